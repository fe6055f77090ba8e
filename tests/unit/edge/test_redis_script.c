/* test_redis_script.c - the script among keys that others have written, and when Redis refuses. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "edge/redis_apply.h"
#include "edge/redis_reply.h"
#include "edge/redis_script.h"
#include "redis_fixture.h"
#include "test.h"

#define OPS_MAX 16

static struct redis_fixture server;
static redisContext *client;
static const uint64_t epochs[] = {1};

struct one_lane {
    struct redis_layout layout;
    struct redis_plan plan;
    struct answer answers[OPS_MAX];
    struct redis_applied applied;
    enum err err; /* of the call as a whole */
    bool refused;
    char detail[256];
    int64_t issued_ms;
    uint64_t number;
};

static void do_command(const char *format, const char *arg) {
    freeReplyObject(redis_fixture_do(client, format, arg));
}

static void open_lane(struct one_lane *l) {
    *l = (struct one_lane){
        .layout = {
            .lanes = 1, .epochs = epochs, .seed = {1, 2}, .key_ttl_ms = 60000, .coalesce = true}};
    do_command("FLUSHALL", "");
    do_command("SCRIPT LOAD %s", "return 1");
    freeReplyObject(redis_fixture_do(client, "SCRIPT LOAD %b", redis_script_apply.text.ptr,
                                     redis_script_apply.text.len));
    redisReply *reply = redis_fixture_do(
        client, "EVAL %b 0 1 1 0123456789abcdef 00112233445566778899aabbccddeeff 60000 1",
        redis_script_open.text.ptr, redis_script_open.text.len);
    l->issued_ms = strtoll(reply->element[4]->str, NULL, 10);
    freeReplyObject(reply);
}

static void read_reply(struct one_lane *l, const struct message *message, const redisReply *reply) {
    struct slice strings[3];

    l->err = redis_reply_err((const struct redis_reply *)reply, &l->refused);
    (void)snprintf(l->detail, sizeof(l->detail), "%s", reply->str ? reply->str : "");
    if (l->err != ERR_OK)
        return;
    assert_int_equal(reply->elements, 3);
    for (size_t i = 0; i < 3; i++)
        strings[i] = slice_of(reply->element[i]->str, (size_t)reply->element[i]->len);
    assert_int_equal(
        redis_plan_answers(&l->plan, &l->layout, message, strings, 3, l->answers, &l->applied),
        ERR_OK);
}

/* Sends message 'number'; 0: the next. */
static void apply(struct one_lane *l, uint64_t number, const struct op *ops, size_t count) {
    struct message message = {.producer = {3, 4},
                              .number = number ? number : ++l->number,
                              .issued_ms = l->issued_ms,
                              .ops = ops,
                              .count = count};
    struct buf command = {0};

    assert_true(count <= OPS_MAX);
    assert_int_equal(redis_plan_make(&l->plan, &l->layout, &message), ERR_OK);
    redis_plan_command(&l->plan, &l->layout, &message, &command);
    redisReply *reply = redis_fixture_ask(client, buf_slice(&command));
    read_reply(l, &message, reply);
    freeReplyObject(reply);
    buf_release(&command);
}

static struct op op_on(enum op_kind kind, const char *id, int64_t arg) {
    return (struct op){kind, arg, slice_str(id), SLICE("like"), {NULL, 0}};
}

static void assert_key(const char *key, const char *want) {
    redisReply *reply = redis_fixture_do(client, "GET %s", key);

    if (!want)
        assert_int_equal(reply->type, REDIS_REPLY_NIL);
    else
        assert_string_equal(reply->str, want);
    freeReplyObject(reply);
}

static int64_t entries(void) {
    redisReply *reply = redis_fixture_do(client, "XLEN hgp:{0}:o");
    int64_t count = reply->integer;

    freeReplyObject(reply);
    return count;
}

/* ---- Phase 1 takes turns with us ---- */

static void test_phase_1(void **state) {
    (void)state;
    struct one_lane l;
    const struct op add = op_on(OP_ADD, "test", 1);
    const struct op get = op_on(OP_GET, "test", 0);

    open_lane(&l);
    do_command("INCRBY counter:test:like 41", "");
    apply(&l, 0, &get, 1);
    assert_int_equal(l.answers[0].value, 41);
    apply(&l, 0, &add, 1);
    assert_int_equal(l.answers[0].value, 42);
    do_command("INCR counter:test:like", "");
    apply(&l, 0, &add, 1);
    assert_int_equal(l.answers[0].value, 44);
    assert_key("counter:test:like", "44");
    redis_plan_release(&l.plan);
}

/* CONTRACT A: '%' and ':' of a type are escaped, a resource stands as it is. */
static void test_keys(void **state) {
    (void)state;
    static const struct {
        const char *resource, *type, *key;
    } rows[] = {
        {"a", "like", "counter:a:like"},         {"a:b", "c", "counter:a:b:c"},
        {"a", "b:c", "counter:a:b%3Ac"},         {"a%", "x%3A", "counter:a%:x%253A"},
        {"\xc3\xa4", " ", "counter:\xc3\xa4: "},
    };
    struct one_lane l;

    open_lane(&l);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct op op = {OP_ADD, 7, slice_str(rows[i].resource), slice_str(rows[i].type), {NULL, 0}};

        apply(&l, 0, &op, 1);
        assert_int_equal(l.answers[0].err, ERR_OK);
        assert_key(rows[i].key, "7");
    }
    redis_plan_release(&l.plan);
}

/* What isn't an integer refuses its own operation and no other one. */
static void test_foreign_values(void **state) {
    (void)state;
    static const char *const bad[] = {"",
                                      "x",
                                      "1.5",
                                      "01",
                                      "+1",
                                      "-0",
                                      " 1",
                                      "1e3",
                                      "_",
                                      "1 2",
                                      "9223372036854775808",
                                      "-9223372036854775809"};
    struct one_lane l;

    open_lane(&l);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const struct op ops[] = {op_on(OP_ADD, "good", 1), op_on(OP_ADD, "bad", 1),
                                 op_on(OP_SET, "bad", 5), op_on(OP_GET, "bad", 0),
                                 op_on(OP_ADD, "good", 1)};

        freeReplyObject(
            redis_fixture_do(client, "SET counter:bad:like %b", bad[i], strlen(bad[i])));
        apply(&l, 0, ops, 5);
        assert_int_equal(l.err, ERR_OK);
        assert_int_equal(l.answers[0].value, 2 * i + 1);
        for (size_t j = 1; j < 4; j++) {
            if (l.answers[j].err != ERR_CORRUPT)
                fail_msg("\"%s\" op %zu: %s %" PRId64, bad[i], j, err_name(l.answers[j].err),
                         l.answers[j].value);
        }
        assert_int_equal(l.answers[4].value, 2 * i + 2);
        assert_key("counter:bad:like", bad[i]);
        apply(&l, 0, &ops[1], 1); /* alone, too */
        assert_int_equal(l.answers[0].err, ERR_CORRUPT);
        assert_key("counter:bad:like", bad[i]);
    }
    do_command("DEL counter:bad:like", "");
    do_command("LPUSH counter:bad:like x", "");
    const struct op ops[] = {op_on(OP_ADD, "bad", 1), op_on(OP_SET, "bad", 5),
                             op_on(OP_GET, "bad", 0)};
    apply(&l, 0, ops, 3);
    for (size_t j = 0; j < 3; j++)
        assert_int_equal(l.answers[j].err, ERR_CORRUPT);
    redis_plan_release(&l.plan);
}

/* A message that only reads takes all values by one command, which is silent of other types; and a
 * user who may not give it (an ACL of before) reads one by one. */
static void test_reads(void **state) {
    (void)state;
    static const struct {
        const char *stored; /* NULL: never written; "[": a list */
        enum err err;
        int64_t value;
    } rows[] = {
        {"42", ERR_OK, 42},
        {NULL, ERR_OK, 0},
        {"[", ERR_CORRUPT, 0},
        {"_", ERR_CORRUPT, 0},
        {"?", ERR_CORRUPT, 0},
        {"", ERR_CORRUPT, 0},
        {"1 2", ERR_CORRUPT, 0},
        {"01", ERR_CORRUPT, 0},
        {"-0", ERR_CORRUPT, 0},
        {"-", ERR_CORRUPT, 0},
        {"0", ERR_OK, 0},
        {"-7", ERR_OK, -7},
        {"9223372036854775807", ERR_OK, INT64_MAX},
        {"-9223372036854775808", ERR_OK, INT64_MIN},
        {"9223372036854775808", ERR_CORRUPT, 0},
        {"a word far longer than all integers of a message could ever be, taken together, so that "
         "it is "
         "not sent: a word far longer than all integers of a message could ever be, taken "
         "together, so "
         "that it is not sent: a word far longer than all integers of a message could ever be",
         ERR_CORRUPT, 0},
    };
    enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

    for (int denied = 0; denied < 2; denied++) {
        struct one_lane l;
        struct op ops[ROWS];
        char ids[ROWS][8];

        open_lane(&l);
        for (size_t i = 0; i < ROWS; i++) {
            const char *text = rows[i].stored;

            (void)snprintf(ids[i], sizeof(ids[i]), "%zu", i);
            ops[i] = op_on(OP_GET, ids[i], 0);
            if (text)
                freeReplyObject(redis_fixture_do(
                    client, text[0] == '[' ? "LPUSH counter:%s:like %b" : "SET counter:%s:like %b",
                    ids[i], text, strlen(text)));
        }
        do_command(denied ? "ACL SETUSER default -mget" : "CONFIG RESETSTAT", "");
        apply(&l, 0, ops, ROWS);
        do_command("ACL SETUSER default +mget", "");
        for (size_t i = 0; i < ROWS; i++) {
            if (l.answers[i].err != rows[i].err || l.answers[i].value != rows[i].value)
                fail_msg("\"%s\", denied %d: %s %" PRId64, rows[i].stored, denied,
                         err_name(l.answers[i].err), l.answers[i].value);
            assert_int_equal(l.answers[i].time_ms != 0, rows[i].stored && rows[i].err == ERR_OK);
        }
        redis_plan_release(&l.plan);
    }
}

/* Doubles would give 2^53 back for 2^53 + 1. */
static void test_exact(void **state) {
    (void)state;
    static const int64_t values[] = {
        (1ll << 53) - 1, (1ll << 53) + 1, -(1ll << 53) - 1, INT64_MAX, INT64_MIN, 0, -1};
    struct one_lane l;

    open_lane(&l);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        const struct op ops[] = {op_on(OP_RESET, "v", 0),
                                 op_on(values[i] ? OP_ADD : OP_SET, "v", values[i]),
                                 op_on(OP_GET, "v", 0)};
        char text[32];

        apply(&l, 0, ops, 3);
        assert_true(l.answers[1].value == values[i]);
        assert_true(l.answers[2].value == values[i]);
        const struct op up = op_on(OP_ADD, "v", values[i] < 0 ? 1 : -1);
        const struct op back = op_on(OP_ADD, "v", -up.arg);

        apply(&l, 0, &up, 1); /* alone, too */
        apply(&l, 0, &back, 1);
        assert_true(l.answers[0].value == values[i]);
        (void)snprintf(text, sizeof(text), "%" PRId64, values[i]);
        assert_key("counter:v:like", text);
    }
    redis_plan_release(&l.plan);
}

/* ---- refused as a whole, with nothing changed ---- */

static void nothing_changes(size_t count) {
    static const struct {
        const char *before, *after;
        enum err err;
        const char *says;
    } rows[] = {
        {"CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", ERR_NO_MEMORY, "OOM"},
        {"REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", ERR_UNAVAILABLE, "READONLY"},
        {"CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0", ERR_IO,
         "NOREPLICAS"},
        {"HSET hgp:{0}:m epoch 2", "HSET hgp:{0}:m epoch 1", ERR_LAYOUT, "epoch 2"},
        {"XADD hgp:{0}:o 1-1 a b", "DEL hgp:{0}:o", ERR_CORRUPT, "hgp:{0}:o"},
        {"SET hgp:{0}:o x", "DEL hgp:{0}:o", ERR_CORRUPT, "hgp:{0}:o"},
        {"SET hgp:{0}:w x", "DEL hgp:{0}:w", ERR_CORRUPT, "hgp:{0}:w"},
        {"HSET hgp:{0}:m seq x", "HSET hgp:{0}:m seq 0", ERR_CORRUPT, "hgp:{0}:m"},
        {"SCRIPT FLUSH", "PING", ERR_NOT_FOUND, "NOSCRIPT"},
    };
    const struct op ops[] = {op_on(OP_ADD, "a", 1), op_on(OP_ADD, "b", 1)};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct one_lane l;

        open_lane(&l);
        do_command(rows[i].before, "");
        apply(&l, 1, ops, count);
        if (l.err != rows[i].err || !l.refused || !strstr(l.detail, rows[i].says))
            fail_msg("%s: %s, %s", rows[i].before, err_name(l.err), l.detail);
        do_command(rows[i].after, "");
        assert_key("counter:a:like", NULL);
        freeReplyObject(redis_fixture_do(client, "SCRIPT LOAD %b", redis_script_apply.text.ptr,
                                         redis_script_apply.text.len));
        apply(&l, 1, ops, count); /* the same number: it was never applied */
        assert_int_equal(l.err, ERR_OK);
        assert_false(l.applied.replayed);
        assert_key("counter:a:like", "1");
        assert_int_equal(entries(), 1);
        redis_plan_release(&l.plan);
    }
}

/* One increment alone goes a way of its own. */
static void test_nothing_changes(void **state) {
    (void)state;
    nothing_changes(2);
    nothing_changes(1);
}

/* ---- replays ---- */

/* An instance with another setting of events.coalesce repeats the message. */
static void test_replay_by_another(void **state) {
    (void)state;
    const struct op ops[] = {op_on(OP_ADD, "a", 1), op_on(OP_ADD, "a", 2), op_on(OP_GET, "a", 0),
                             op_on(OP_ADD, "b", 5), op_on(OP_ADD, "a", 4)};
    static const int64_t want[] = {1, 3, 7, 5, 7}; /* the read is made again */

    for (int first = 0; first < 2; first++) {
        struct one_lane l;

        open_lane(&l);
        l.layout.coalesce = first;
        apply(&l, 1, ops, 5);
        assert_int_equal(l.answers[2].value, 3);
        l.layout.coalesce = !first;
        apply(&l, 1, ops, 5);
        assert_true(l.applied.replayed);
        for (size_t i = 0; i < 5; i++)
            assert_int_equal(l.answers[i].value, want[i]);
        assert_key("counter:a:like", "7");
        assert_int_equal(entries(), 1);
        redis_plan_release(&l.plan);
    }
}

/* All widths in which a value is kept for a replay. */
static void test_replay_values(void **state) {
    (void)state;
    static const int64_t values[] = {
        1,
        127,
        128,
        255,
        256,
        65535,
        65536,
        4294967295,
        4294967296,
        -1,
        -32,
        -33,
        -128,
        -129,
        -32768,
        -32769,
        -2147483648ll,
        -2147483649ll,
        (1ll << 53) - 1,
        -(1ll << 53) + 1,
        1ll << 53,
        INT64_MIN,
    };
    struct one_lane l;

    open_lane(&l);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        /* The second has its own delta; then all have one. */
        const struct op rows[][2] = {{op_on(OP_ADD, "v", values[i]), op_on(OP_ADD, "w", 7)},
                                     {op_on(OP_ADD, "v", -1), op_on(OP_ADD, "w", -1)}};

        do_command("DEL counter:v:like", "");
        do_command("SET counter:w:like 0", "");
        for (size_t row = 0; row < 2 && values[i] != INT64_MIN + (int64_t)row; row++) {
            apply(&l, 0, rows[row], 2);
            for (int replay = 0; replay < 2; replay++) {
                if (replay)
                    apply(&l, l.number, rows[row], 2);
                assert_int_equal(l.applied.replayed, replay);
                assert_true(l.answers[0].value == values[i] - (int64_t)row);
                assert_true(l.answers[1].value == 7 - (int64_t)row);
            }
        }
    }
    redis_plan_release(&l.plan);
}

/* What a process of before has stored in the window. */
static void test_replay_of_text(void **state) {
    (void)state;
    const struct op ops[] = {op_on(OP_ADD, "a", 1), op_on(OP_ADD, "b", 1), op_on(OP_ADD, "a", 2)};
    static const int64_t want[] = {41, 7, 43};
    struct one_lane l;

    open_lane(&l);
    apply(&l, 1, ops, 3);
    do_command("HSET hgp:{0}:w 00000000000000030000000000000004:1 %s", "1 1c 3 5 43 7");
    apply(&l, 1, ops, 3);
    assert_true(l.applied.replayed);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(l.answers[i].err, ERR_OK);
        assert_int_equal(l.answers[i].value, want[i]);
        assert_int_equal(l.answers[i].time_ms, 5);
    }
    redis_plan_release(&l.plan);
}

/* The same number with other operations is a producer's bug: no answer fits. */
static void test_replay_differs(void **state) {
    (void)state;
    const struct op ops[] = {op_on(OP_ADD, "a", 1), op_on(OP_ADD, "b", 1)};
    struct one_lane l;

    open_lane(&l);
    apply(&l, 1, ops, 2);
    apply(&l, 1, ops, 1);
    assert_int_equal(l.answers[0].err, ERR_INVALID);
    assert_key("counter:a:like", "1");
    redis_plan_release(&l.plan);
}

/* RELIABILITY 3.2, 3.4: a duplicate writes too, or a WAIT behind it would cover nothing. */
static void test_replay_touches(void **state) {
    (void)state;
    const struct op op = op_on(OP_ADD, "a", 1);
    struct one_lane l;

    open_lane(&l);
    apply(&l, 1, &op, 1);
    do_command("CONFIG RESETSTAT", "");
    apply(&l, 1, &op, 1);
    assert_true(l.applied.replayed);
    redisReply *reply = redis_fixture_do(client, "INFO commandstats");
    assert_non_null(strstr(reply->str, "cmdstat_hset:calls=1,"));
    assert_null(strstr(reply->str, "cmdstat_incrby"));
    freeReplyObject(reply);
    redis_plan_release(&l.plan);
}

/* core/ack.h: in mode replicated so does what only reads. */
static void test_a_read_touches(void **state) {
    (void)state;
    const struct op op = op_on(OP_GET, "a", 0);
    struct one_lane l;

    for (int touch = 0; touch < 2; touch++) {
        open_lane(&l);
        l.layout.touch = touch;
        do_command("CONFIG RESETSTAT", "");
        apply(&l, 1, &op, 1);
        assert_int_equal(l.answers[0].value, 0);
        redisReply *reply = redis_fixture_do(client, "INFO commandstats");
        assert_int_equal(strstr(reply->str, "cmdstat_hset:calls=1,") != NULL, touch);
        freeReplyObject(reply);
        redis_plan_release(&l.plan);
    }
}

/* A client's key: bucketed, and gone by itself in the end. */
static void test_key_records(void **state) {
    (void)state;
    struct op op = op_on(OP_ADD, "a", 3);
    struct one_lane l;

    open_lane(&l);
    op.key = SLICE("key-1");
    apply(&l, 0, &op, 1);
    apply(&l, 0, &op, 1);
    assert_true(l.answers[0].replayed);
    assert_int_equal(l.answers[0].value, 3);
    op.arg = 4;
    apply(&l, 0, &op, 1);
    assert_int_equal(l.answers[0].err, ERR_MISMATCH);
    assert_key("counter:a:like", "3");
    redisReply *reply = redis_fixture_do(client, "KEYS hgp:{0}:i:*");
    assert_int_equal(reply->elements, 1);
    redisReply *left = redis_fixture_do(client, "PTTL %s", reply->element[0]->str);
    /* Two generations and an hour. */
    assert_in_range(left->integer, 60000 + 3600000, 120000 + 3600000);
    freeReplyObject(left);
    freeReplyObject(reply);
    redis_plan_release(&l.plan);
}

/* An edge that random messages seldom meet: sums that reach exactly the end of int64. */
static void test_sums_at_the_edge(void **state) {
    (void)state;
    static const struct {
        int64_t a, b;
        size_t entry_events;
    } rows[] = {
        {INT64_MIN + 1, -1, 1}, {INT64_MIN + 2, -3, 2},          {INT64_MAX - 1, 1, 1},
        {INT64_MAX - 1, 2, 2},  {-(1ll << 62), -(1ll << 62), 1}, {1ll << 62, 1ll << 62, 2},
        {999999999, 1, 1},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        /* The read keeps them apart until the script joins their events. */
        const struct op ops[] = {op_on(OP_SET, "a", rows[i].a < 0 ? INT64_MAX : INT64_MIN),
                                 op_on(OP_ADD, "a", rows[i].a), op_on(OP_GET, "a", 0),
                                 op_on(OP_ADD, "a", rows[i].b)};
        struct one_lane l;

        open_lane(&l);
        apply(&l, 0, ops, 4);
        assert_int_equal(l.answers[3].err, ERR_OK);
        redisReply *reply = redis_fixture_do(client, "HGET hgp:{0}:m seq");
        if (strtoull(reply->str, NULL, 10) != 1 + rows[i].entry_events)
            fail_msg("row %zu: %s events", i, reply->str);
        freeReplyObject(reply);
        redis_plan_release(&l.plan);
    }
}

/* Two increments travel as one, but only the first fits into the event before. */
static void test_sum_splits(void **state) {
    (void)state;
    const struct op ops[] = {op_on(OP_SET, "a", INT64_MIN), op_on(OP_ADD, "a", 9),
                             op_on(OP_GET, "a", 0), op_on(OP_ADD, "a", 1),
                             op_on(OP_ADD, "a", INT64_MAX - 1)};
    struct one_lane l;

    open_lane(&l);
    apply(&l, 0, ops, 5);
    assert_true(l.answers[3].value == INT64_MIN + 10);
    assert_true(l.answers[4].value == 8);
    redisReply *reply = redis_fixture_do(client, "HGET hgp:{0}:m seq");
    assert_string_equal(reply->str, "3"); /* the set, 9 + 1, the last */
    freeReplyObject(reply);
    redis_plan_release(&l.plan);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_phase_1),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_foreign_values),
        cmocka_unit_test(test_reads),
        cmocka_unit_test(test_exact),
        cmocka_unit_test(test_nothing_changes),
        cmocka_unit_test(test_replay_by_another),
        cmocka_unit_test(test_replay_differs),
        cmocka_unit_test(test_replay_values),
        cmocka_unit_test(test_replay_of_text),
        cmocka_unit_test(test_replay_touches),
        cmocka_unit_test(test_a_read_touches),
        cmocka_unit_test(test_key_records),
        cmocka_unit_test(test_sums_at_the_edge),
        cmocka_unit_test(test_sum_splits),
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
