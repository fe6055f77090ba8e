/* test_redis_reads.c - what only reads, without the script and by it, on a real Redis, in both
 * layouts: whatever is stored, the answers are the script's, or it is asked.
 */
#include <inttypes.h>
#include <stdio.h>

#include "edge/redis_reads.h"
#include "redis_one.h"
#include "redis_plain.h"
#include "test.h"

#define OPS 3

static struct redis_fixture server;

enum layouts { BOTH, STANDALONE, CLUSTER };

/* The counter "a" is 7 unless a row says otherwise; times are milliseconds from ONE_T0. What is
 * asked for is "a", then "a", "b" and "a", where nothing is ever behind "b". */
static const struct {
    const char *name;
    enum layouts where;
    const char *before[2];
    int64_t wall, issued;
    const char *want;    /* the answer for "a", as answer_text() has it; how an error begins */
    bool one_by_script;  /* it is asked, for "a" alone */
    bool many_by_script; /* for all of them */
} rows[] = {
    /* clang-format off */
    {"a value", BOTH, {0}, 0, 0, "7 @0", false, false},
    {"time goes on", BOTH, {0}, 5, 0, "7 @5", false, false},
    {"negative", BOTH, {"COUNT a -7"}, 0, 0, "-7 @0", false, false},
    {"nought", BOTH, {"COUNT a 0"}, 0, 0, "0 @0", false, false},
    {"the top", BOTH, {"COUNT a 9223372036854775807"}, 0, 0, "9223372036854775807 @0", false, false},
    {"the bottom", BOTH, {"COUNT a -9223372036854775808"}, 0, 0, "-9223372036854775808 @0", false, false},
    {"past the top", BOTH, {"COUNT a 9223372036854775808"}, 0, 0, "CORRUPT", false, false},
    {"never written", STANDALONE, {"DEL counter:a:like"}, 0, 0, "0 never", false, false},
    {"a nought in front", BOTH, {"COUNT a 01"}, 0, 0, "CORRUPT", false, false},
    {"no number", BOTH, {"COUNT a x"}, 0, 0, "CORRUPT", false, false},
    {"a number and more", BOTH, {"COUNT a 7x"}, 0, 0, "CORRUPT", false, false},
    {"two words", BOTH, {"COUNT a 7~8"}, 0, 0, "CORRUPT", false, false},
    {"as if never written", BOTH, {"COUNT a _"}, 0, 0, "CORRUPT", false, false},
    {"as if none of ours", BOTH, {"COUNT a ?"}, 0, 0, "CORRUPT", false, false},
    {"longer than a number", BOTH, {"COUNT a 000000000000000000007"}, 0, 0, "CORRUPT", false, false},
    {"not one word", STANDALONE, {"DEL counter:a:like", "SPOIL a"}, 0, 0, "CORRUPT", true, true},
    {"where no hash is", CLUSTER, {"BREAK a"}, 0, 0, "CORRUPT", true, true},

    /* the lane */
    {"no meta", BOTH, {"DEL M"}, 0, 0, "HGPEPOCH M has epoch none", true, true},
    {"no epoch", BOTH, {"HDEL M epoch"}, 0, 0, "HGPEPOCH M has epoch none", true, true},
    {"another epoch", BOTH, {"HSET M epoch 2"}, 0, 0, "HGPEPOCH M has epoch 2", true, true},
    {"an epoch that begins like it", BOTH, {"HSET M epoch 10"}, 0, 0, "HGPEPOCH M has epoch 10", true, true},
    {"halted", BOTH, {"HSET M epoch halted"}, 0, 0, "HGPEPOCH M has epoch halted", true, true},
    {"another store", BOTH, {"HSET M store 0123456789abcdee"}, 0, 0,
     "HGPEPOCH M is of store 0123456789abcdee", true, true},
    {"no store", CLUSTER, {"HDEL M store"}, 0, 0, "HGPEPOCH M is of store none", true, true},
    {"meta is no hash", STANDALONE, {"SET M x"}, 0, 0, "HGPDAMAGED M", true, true},
    {"meta is no hash, and has no clock", CLUSTER, {"SET M x"}, 0, 0, "WRONGTYPE", true, true},

    /* the clock, and age by it */
    {"the clock doesn't go back", BOTH, {"HSET K clock @9"}, 5, 0, "7 @9", false, false},
    {"no clock yet", BOTH, {"HDEL K clock"}, 5, 0, "7 @5", false, false},
    {"no hash with one", STANDALONE, {"DEL K"}, 5, 0, "7 @5", false, false},
    {"just young enough", BOTH, {0}, 0, -60000, "7 @0", false, false},
    {"too old", BOTH, {0}, 0, -60001, "TOO_OLD", false, false},
    {"too old by the clock that doesn't go back", BOTH, {"HSET K clock @60001"}, 0, 0, "TOO_OLD", false, false},
    {"just not ahead", BOTH, {0}, 0, 300000, "7 @0", false, false},
    {"ahead", BOTH, {0}, 0, 300001, "TOO_OLD", false, false},
    /* clang-format on */
};

static void ask_for(struct op *ops, struct message *message, size_t count, int64_t issued) {
    static const char *const ids[OPS] = {"a", "b", "a"};

    for (size_t i = 0; i < OPS; i++)
        ops[i] = (struct op){OP_GET, 0, slice_str(ids[i]), SLICE("like"), {NULL, 0}};
    *message = (struct message){
        .producer = {0, 3}, .number = 1, .issued_ms = ONE_T0 + issued, .ops = ops, .count = count};
}

static const char *answer_text(const struct answer *answer) {
    static char out[64];

    if (answer->err != ERR_OK)
        (void)snprintf(out, sizeof(out), "%s", err_name(answer->err));
    else if (answer->time_ms == 0)
        (void)snprintf(out, sizeof(out), "%" PRId64 " never", answer->value);
    else
        (void)snprintf(out, sizeof(out), "%" PRId64 " @%" PRId64, answer->value,
                       answer->time_ms - ONE_T0);
    return out;
}

/* NULL: they are in 'out'; else the script's error. */
static const char *by_script(struct one_store *store, const struct message *message,
                             struct answer *out, struct redis_applied *applied) {
    struct slice strings[8];
    const char *error = NULL;
    redisReply *reply = one_call(store, message, &error);

    if (!reply)
        return error;
    for (size_t i = 0; i < reply->elements; i++)
        strings[i] = slice_of(reply->element[i]->str, reply->element[i]->len);
    if (store->cluster)
        assert_int_equal(redis_plan_hear(&store->plan, 0, strings, reply->elements), ERR_OK);
    enum err err = store->cluster
                       ? redis_plan_finish(&store->plan, &store->layout, message, out, applied)
                       : redis_plan_answers(&store->plan, &store->layout, message, strings,
                                            reply->elements, out, applied);
    assert_int_equal(err, ERR_OK);
    freeReplyObject(reply);
    return NULL;
}

static enum plain plainly(struct one_store *store, const struct message *message,
                          struct answer *out, struct redis_applied *applied) {
    assert_int_equal(redis_plan_make(&store->plan, &store->layout, message), ERR_OK);
    enum plain got =
        plain_ask(store->client, &store->plan, &store->layout, message, 0, 1, &store->command);

    if (got == PLAIN_HEARD)
        assert_int_equal(redis_plan_finish(&store->plan, &store->layout, message, out, applied),
                         ERR_OK);
    return got;
}

static void check_row(size_t row, bool cluster, bool many) {
    static const char *const kinds[] = {"one", "many"};
    struct redis_applied applied[2] = {{0}, {0}};
    struct answer answers[2][OPS] = {0};
    struct one_store store;
    struct op ops[OPS];
    struct message message;

    one_open(&store, &server, 0, cluster);
    (void)one_do(&store, "COUNT a 7");
    for (size_t i = 0; i < 2 && rows[row].before[i]; i++)
        (void)one_do(&store, rows[row].before[i]);
    one_set_time(&store, ONE_T0 + rows[row].wall);
    ask_for(ops, &message, many ? OPS : 1, rows[row].issued);
    const char *error = by_script(&store, &message, answers[0], &applied[0]);
    const char *said = error ? error : answer_text(&answers[0][0]);
    const char *want = error ? one_words(&store, rows[row].want) : rows[row].want;
    if (error ? strncmp(said, want, strlen(want)) != 0 : strcmp(said, want) != 0)
        fail_msg("%s, %s: the script says %s", rows[row].name, kinds[many], said);
    enum plain got = plainly(&store, &message, answers[1], &applied[1]);
    bool by_script = many ? rows[row].many_by_script : rows[row].one_by_script;
    if (got != (cluster && many ? PLAIN_NEVER : by_script ? PLAIN_SCRIPT : PLAIN_HEARD))
        fail_msg("%s, %s: it went way %d", rows[row].name, kinds[many], (int)got);
    for (size_t i = 0; got == PLAIN_HEARD && i < message.count; i++) {
        assert_int_equal(answers[1][i].err, answers[0][i].err);
        assert_int_equal(answers[1][i].value, answers[0][i].value);
        assert_int_equal(answers[1][i].time_ms, answers[0][i].time_ms);
    }
    if (got == PLAIN_HEARD)
        assert_int_equal(applied[1].clock_ms, applied[0].clock_ms);
    one_release(&store);
}

static void test_as_the_script(void **state) {
    (void)state;
    for (size_t row = 0; row < ARRAY_LEN(rows); row++) {
        for (int many = 0; many < 2; many++) {
            if (rows[row].where != CLUSTER)
                check_row(row, false, many);
            if (rows[row].where != STANDALONE)
                check_row(row, true, many);
        }
    }
}

/* A key that is no counter makes MGET as silent as one that isn't there. */
static void test_silence(void **state) {
    (void)state;
    struct redis_applied applied;
    struct answer answers[OPS];
    struct one_store store;
    struct op ops[OPS];
    struct message message;

    one_open(&store, &server, 0, false);
    ask_for(ops, &message, OPS, 0);
    assert_int_equal(plainly(&store, &message, answers, &applied), PLAIN_HEARD);
    for (size_t i = 0; i < OPS; i++)
        assert_string_equal(answer_text(&answers[i]), "0 never");
    (void)one_do(&store, "SPOIL b");
    assert_int_equal(plainly(&store, &message, answers, &applied), PLAIN_SCRIPT);
    one_release(&store);
}

/* Nothing and "" are two things. */
static void test_an_empty_store(void **state) {
    (void)state;
    struct redis_applied applied;
    struct answer answers[OPS];
    struct one_store store;
    struct op ops[OPS];
    struct message message;

    one_open(&store, &server, 0, false);
    freeReplyObject(redis_fixture_do(store.client, "HSET hgp:{0}:m store %s", ""));
    ask_for(ops, &message, 1, 0);
    assert_int_equal(plainly(&store, &message, answers, &applied), PLAIN_SCRIPT);
    one_release(&store);
}

/* Each by its own epoch. */
static void test_two_lanes(void **state) {
    static const struct {
        uint64_t epochs[2];
        enum plain want;
    } cases[] = {{{1, 5}, PLAIN_HEARD},  {{1, 4}, PLAIN_SCRIPT}, {{2, 5}, PLAIN_SCRIPT},
                 {{5, 1}, PLAIN_SCRIPT}, {{1, 1}, PLAIN_SCRIPT}, {{5, 5}, PLAIN_SCRIPT}};
    struct redis_applied applied;
    struct answer answers[OPS];
    struct one_store store;
    struct op ops[OPS];
    struct message message;

    (void)state;
    one_open(&store, &server, 0, false);
    (void)one_do(&store, "COPY hgp:{0}:m hgp:{1}:m");
    (void)one_do(&store, "HSET hgp:{1}:m epoch 5");
    (void)one_do(&store, "COUNT a 7");
    (void)one_do(&store, "COUNT elsewhere 8");
    store.layout.lanes = 2;
    ask_for(ops, &message, OPS, 0);
    ops[1].resource_id = SLICE("elsewhere");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        store.layout.epochs = cases[i].epochs;
        assert_int_equal(redis_plan_make(&store.plan, &store.layout, &message), ERR_OK);
        assert_int_equal(store.plan.parts_count, 2);
        assert_int_equal(
            plain_ask(store.client, &store.plan, &store.layout, &message, 0, 2, &store.command),
            cases[i].want);
        if (cases[i].want != PLAIN_HEARD)
            continue;
        assert_int_equal(redis_plan_finish(&store.plan, &store.layout, &message, answers, &applied),
                         ERR_OK);
        assert_string_equal(answer_text(&answers[0]), "7 @0");
        assert_string_equal(answer_text(&answers[1]), "8 @0");
        assert_string_equal(answer_text(&answers[2]), "7 @0");
    }
    one_release(&store);
}

/* On a Cluster another lane may know an aged message: then its reads count. */
static void test_aged_on_a_cluster(void **state) {
    (void)state;
    struct one_store store;
    struct op ops[OPS];
    struct message message;

    one_open(&store, &server, 0, true);
    (void)one_do(&store, "COUNT a 7");
    ask_for(ops, &message, 1, -60001);
    assert_int_equal(redis_plan_make(&store.plan, &store.layout, &message), ERR_OK);
    assert_int_equal(
        plain_ask(store.client, &store.plan, &store.layout, &message, 0, 1, &store.command),
        PLAIN_HEARD);
    assert_memory_equal(store.plan.heard.ptr, "A 7", 3);
    assert_int_equal(store.plan.said[0].writes.len, 1);
    assert_int_equal(store.plan.said[0].reads.len, 2);
    one_release(&store);
}

static void test_what_must_write(void **state) {
    (void)state;
    struct redis_applied applied;
    struct answer answers[OPS];
    struct op ops[OPS];
    struct message message;

    for (int cluster = 0; cluster < 2; cluster++) {
        struct one_store store;

        one_open(&store, &server, 0, cluster);
        ask_for(ops, &message, 1, 0);
        store.layout.touch = true; /* for a WAIT behind it */
        assert_int_equal(plainly(&store, &message, answers, &applied), PLAIN_NEVER);
        store.layout.touch = false;
        ask_for(ops, &message, OPS, 0);
        ops[1].kind = OP_ADD;
        ops[1].arg = 1;
        assert_int_equal(plainly(&store, &message, answers, &applied), PLAIN_NEVER);
        one_release(&store);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_the_script),     cmocka_unit_test(test_silence),
        cmocka_unit_test(test_an_empty_store),    cmocka_unit_test(test_two_lanes),
        cmocka_unit_test(test_aged_on_a_cluster), cmocka_unit_test(test_what_must_write),
    };

    if (!redis_fixture_start(&server, false, NULL)) {
        puts("no redis-server here: skipped");
        return 77;
    }
    redisContext *client = redis_fixture_connect(&server);
    one_load(client);
    redisFree(client);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    redis_fixture_stop(&server);
    return failed;
}
