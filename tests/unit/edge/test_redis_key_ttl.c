/* test_redis_key_ttl.c - clients' keys on a Redis whose idempotency.ttl_ms was raised: a record
 * lives in a hash with others, and that may be about to expire.
 */
#include <stdio.h>
#include <stdlib.h>

#include "edge/redis_apply.h"
#include "edge/redis_script.h"
#include "redis_fixture.h"
#include "test.h"

#define KEYS      640 /* of each ttl: of so many some fall into the same of 65,536 hashes */
#define AT_ONCE   16
#define SHORT_MS  60000
#define LONG_MS   (7ll * 24 * 3600 * 1000)
#define KEY_BYTES 16

static struct redis_fixture server;
static redisContext *client;
static const uint64_t epochs[] = {1};

static int64_t make_store(void) {
    freeReplyObject(redis_fixture_do(client, "SCRIPT LOAD %b", redis_script_apply.text.ptr,
                                     redis_script_apply.text.len));
    redisReply *reply = redis_fixture_do(
        client, "EVAL %b 0 1 1 0123456789abcdef 00112233445566778899aabbccddeeff %d 1",
        redis_script_open.text.ptr, redis_script_open.text.len, SHORT_MS);
    int64_t clock_ms = strtoll(reply->element[4]->str, NULL, 10);

    freeReplyObject(reply);
    return clock_ms;
}

/* AT_ONCE increments by 'delta', each with a key of its own; 'delta' tells the ttls apart. */
static void count_keyed(int64_t issued_ms, int64_t ttl_ms, uint64_t number, int64_t delta) {
    struct redis_layout layout = {
        .lanes = 1, .epochs = epochs, .seed = {1, 2}, .key_ttl_ms = ttl_ms, .coalesce = true};
    char keys[AT_ONCE][KEY_BYTES];
    struct op ops[AT_ONCE];
    struct message message = {
        .producer = {3, 4}, .number = number, .issued_ms = issued_ms, .ops = ops, .count = AT_ONCE};
    struct redis_plan plan = {0};
    struct buf command = {0};

    for (size_t i = 0; i < AT_ONCE; i++) {
        (void)snprintf(keys[i], KEY_BYTES, "%d-%d", (int)number, (int)i);
        ops[i] = (struct op){OP_ADD, delta, SLICE("a"), SLICE("like"), slice_str(keys[i])};
    }
    assert_int_equal(redis_plan_make(&plan, &layout, &message), ERR_OK);
    redis_plan_command(&plan, &layout, &message, &command);
    redisReply *reply = redis_fixture_ask(client, buf_slice(&command));
    assert_int_equal(reply->type, REDIS_REPLY_ARRAY);
    freeReplyObject(reply);
    buf_release(&command);
    redis_plan_release(&plan);
}

/* How many records by increments of 'delta' are in the hash. */
static size_t records_of(const char *hash, const char *delta) {
    redisReply *values = redis_fixture_do(client, "HVALS %s", hash);
    size_t count = 0;

    for (size_t i = 0; i < values->elements; i++)
        count += strncmp(values->element[i]->str, delta, strlen(delta)) == 0;
    freeReplyObject(values);
    return count;
}

static long long left_ms(const char *hash) {
    redisReply *reply = redis_fixture_do(client, "PTTL %s", hash);
    long long left = reply->integer;

    freeReplyObject(reply);
    return left;
}

/* Or a key would be forgotten with those beside it that came before, and what comes with it again
 * count twice. */
static void test_a_raised_ttl_holds_for_all_new_keys(void **state) {
    int64_t issued_ms = make_store();
    uint64_t number = 0;
    size_t shared = 0;

    (void)state;
    for (size_t i = 0; i < KEYS / AT_ONCE; i++)
        count_keyed(issued_ms, SHORT_MS, ++number, 1);
    for (size_t i = 0; i < KEYS / AT_ONCE; i++)
        count_keyed(issued_ms, LONG_MS, ++number, 2);
    redisReply *hashes = redis_fixture_do(client, "KEYS hgp:{0}:i:*");
    for (size_t i = 0; i < hashes->elements; i++) {
        const char *hash = hashes->element[i]->str;

        if (records_of(hash, "2 ") == 0)
            continue;
        shared += records_of(hash, "1 ") > 0;
        if (left_ms(hash) < LONG_MS)
            fail_msg("%s is gone in %lld ms", hash, left_ms(hash));
    }
    assert_true(shared > 0); /* or it was about nothing */
    freeReplyObject(hashes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_raised_ttl_holds_for_all_new_keys),
    };

    if (!redis_fixture_start(&server, false, NULL)) {
        puts("no redis-server here: skipped");
        return 77;
    }
    client = redis_fixture_connect(&server);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    redisFree(client);
    redis_fixture_stop(&server);
    return failed;
}
