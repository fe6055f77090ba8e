/* test_redis_reader.c - replies in an arena are those that hiredis would build. */
#include <string.h>

#include "edge/redis_reader.h"
#include "test.h"

static const char wire[] = "*5\r\n$4\r\na\0b\n\r\n:-7\r\n$-1\r\n*2\r\n+fine\r\n-ERR no\r\n*0\r\n";

static void check(const redisReply *got) {
    assert_int_equal(got->type, REDIS_REPLY_ARRAY);
    assert_int_equal(got->elements, 5);
    assert_int_equal(got->element[0]->type, REDIS_REPLY_STRING);
    assert_int_equal(got->element[0]->len, 4);
    assert_memory_equal(got->element[0]->str, "a\0b\n", 5);
    assert_int_equal(got->element[1]->type, REDIS_REPLY_INTEGER);
    assert_int_equal(got->element[1]->integer, -7);
    assert_int_equal(got->element[2]->type, REDIS_REPLY_NIL);
    assert_int_equal(got->element[3]->elements, 2);
    assert_int_equal(got->element[3]->element[0]->type, REDIS_REPLY_STATUS);
    assert_string_equal(got->element[3]->element[0]->str, "fine");
    assert_int_equal(got->element[3]->element[1]->type, REDIS_REPLY_ERROR);
    assert_string_equal(got->element[3]->element[1]->str, "ERR no");
    assert_int_equal(got->element[4]->type, REDIS_REPLY_ARRAY);
    assert_int_equal(got->element[4]->elements, 0);
}

/* Cut at each place in two; the same memory serves every time. */
static void test_replies(void **state) {
    struct arena arena;
    size_t held = 0;

    (void)state;
    arena_init(&arena, 4096, 8192);
    redisReader *reader = redis_reader_new(&arena);
    for (size_t cut = 0; cut < sizeof(wire) - 1; cut++) {
        void *reply = NULL;

        assert_int_equal(redisReaderFeed(reader, wire, cut), REDIS_OK);
        assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
        assert_null(reply);
        assert_int_equal(redisReaderFeed(reader, wire + cut, sizeof(wire) - 1 - cut), REDIS_OK);
        assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
        check(reply);
        arena_reset(&arena, 4096);
        assert_true(cut == 0 || arena.held == held);
        held = arena.held;
    }
    redisReaderFree(reader);
    arena_release(&arena);
}

static void test_too_large(void **state) {
    static const char *const rows[] = {"*1000000\r\n", "*2\r\n+1234567890123456\r\n+1\r\n"};
    struct arena arena;
    void *reply;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        arena_init(&arena, 64, 128);
        redisReader *reader = redis_reader_new(&arena);
        assert_int_equal(redisReaderFeed(reader, rows[i], strlen(rows[i])), REDIS_OK);
        assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_ERR);
        assert_int_equal(reader->err, REDIS_ERR_OOM);
        redisReaderFree(reader);
        arena_release(&arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_replies),
                                       cmocka_unit_test(test_too_large)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
