/* test_redis_apply.c - the scripts on a real Redis answer and store what core/applier does.
 *
 * In both layouts: a standalone Redis's, where a message is one call, and a Cluster's, where it is
 * one for each lane. There some lanes have met the message before it comes as a whole, at random:
 * what a broken connection leaves behind. The answers are the same all the same.
 *
 * The same random messages go to both: duplicates, keys, mixed signs, sets, the edges of int64,
 * producers forgotten, key generations turned, consumers that come, report and leave, outboxes that
 * are trimmed or full. Some histories' applier is on a real RocksDB. Time is the test's: the
 * scripts are loaded with their one look at the clock replaced, so a seed is a whole history.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/applier.h"
#include "edge/redis_script.h"
#include "redis_pair.h"
#include "redis_plain.h"
#include "sim_kv.h"
#include "store_fixture.h"
#include "test.h"

#define SEEDS      100
#define MESSAGES   100
#define ROCKS_EACH 20            /* histories, one is on a real RocksDB */
#define EPOCH_MS   4000000000000 /* the future: no key of a test expires while it runs */

static struct redis_fixture server;
static redisContext *client;
static char sha1_apply[41];
static char sha1_apply_cluster[41];
static char sha1_open[41];
static char sha1_lane[41];
static char sha1_tidy[41];

static struct model model; /* the generator's: its messages */
static size_t refused;
static size_t trimmed;

/* Of all histories: that each way through the script was gone. */
static struct {
    size_t plain; /* messages of plain parts alone, */
    size_t past;  /* and those where an increment was past int64 */
    size_t other;
    size_t read; /* without the script */
} ways;

static void free_reply(redisReply *reply) {
    freeReplyObject(reply);
}

/* ---- the scripts, with the test's clock ---- */

static void load(const struct redis_script *script, char *out_sha1) {
    static const char look[] = "redis.call('TIME')";
    static const char table[] = "{redis.call('GET','t:s'),redis.call('GET','t:u')}";
    const char *at = memmem(script->text.ptr, script->text.len, look, sizeof(look) - 1);
    struct buf text = {0};

    assert_non_null(at);
    size_t before = (size_t)(at - script->text.ptr);
    struct slice rest = slice_skip(script->text, before + sizeof(look) - 1);
    assert_null(memmem(rest.ptr, rest.len, look, sizeof(look) - 1));
    buf_add(&text, script->text.ptr, before);
    buf_add_str(&text, table);
    buf_add_slice(&text, rest);
    redisReply *reply = redis_fixture_do(client, "SCRIPT LOAD %b", text.ptr, text.len);
    (void)snprintf(out_sha1, 41, "%s", reply->str);
    free_reply(reply);
    buf_release(&text);
}

static void set_time(struct pair *p) {
    if (p->wall_ms > p->clock_ms)
        p->clock_ms = p->wall_ms;
    free_reply(redis_fixture_do(client, "MSET t:s %lld t:u %lld", (long long)(p->wall_ms / 1000),
                                (long long)(p->wall_ms % 1000 * 1000)));
}

/* ---- both sides ---- */

static void open_standalone(struct pair *p) {
    redisReply *reply = redis_fixture_do(
        client, "EVALSHA %s 0 %d 4 0123456789abcdef %s %lld 1", sha1_open, (int)p->conf.lanes,
        "00000000000000000000000000000000", (long long)p->conf.key_ttl_ms);

    assert_int_equal(reply->elements, 6 + p->conf.lanes);
    free_reply(reply);
}

static void open_cluster(struct pair *p) {
    assert_true(redis_tags_make(p->conf.lanes, p->tags));
    p->layout.tags = p->tags;
    for (uint32_t lane = 0; lane < p->conf.lanes; lane++)
        free_reply(redis_fixture_do(client, "EVALSHA %s 1 %s 0123456789abcdef %u %lld 1", sha1_lane,
                                    pair_key(p, lane, "m"), lane, (long long)p->conf.key_ttl_ms));
}

static void open_both(struct pair *p, bool cluster) {
    const char *detail;

    free_reply(redis_fixture_do(client, "FLUSHALL"));
    set_time(p);
    for (uint32_t i = 0; i < p->conf.lanes; i++)
        p->epochs[i] = 1;
    p->layout = (struct redis_layout){.lanes = p->conf.lanes,
                                      .epochs = p->epochs,
                                      .seed = {1, 2},
                                      .store_id = 0x0123456789abcdef,
                                      .key_ttl_ms = p->conf.key_ttl_ms,
                                      .outbox_max_bytes = p->conf.outbox_max_bytes,
                                      .coalesce = p->conf.coalesce,
                                      .touch = random_chance(&p->random, 50)};
    if (cluster)
        open_cluster(p);
    else
        open_standalone(p);
    if (applier_open(p->kv, &p->conf, pair_now(p), &p->applier, &detail) != ERR_OK)
        fail_msg("open: %s", detail);
}

/* The command is in p->command. */
static redisReply *call_script(struct pair *p, const struct redis_script *script, const char *sha1,
                               struct slice *out_strings) {
    char *at = memmem(p->command.ptr, p->command.len, script->sha1, 40);

    assert_non_null(at);
    memcpy(at, sha1, 40);
    redisReply *reply = redis_fixture_ask(client, buf_slice(&p->command));
    if (reply->type != REDIS_REPLY_ARRAY)
        fail_msg("seed %" PRIu64 ": %s", p->seed, reply->str);
    assert_in_range(reply->elements, 1, 1 + 2 * MODEL_LANES);
    for (size_t i = 0; i < reply->elements; i++)
        out_strings[i] = slice_of(reply->element[i]->str, (size_t)reply->element[i]->len);
    return reply;
}

/* Half of what may be read without the script. Nothing in a history is out of the ordinary. */
static bool read_plainly(struct pair *p, const struct message *message, uint32_t from,
                         uint32_t end) {
    if (from == end || random_chance(&p->random, 50))
        return false;
    enum plain got = plain_ask(client, &p->plan, &p->layout, message, from, end, &p->command);

    assert_int_not_equal(got, PLAIN_SCRIPT);
    ways.read += got == PLAIN_HEARD;
    return got == PLAIN_HEARD;
}

static void apply_on_redis(struct pair *p, const struct message *message, struct answer *out,
                           struct redis_applied *applied) {
    struct slice strings[1 + 2 * MODEL_LANES];

    if (read_plainly(p, message, 0, p->plan.parts_count)) {
        assert_int_equal(redis_plan_finish(&p->plan, &p->layout, message, out, applied), ERR_OK);
        return;
    }
    buf_clear(&p->command);
    redis_plan_command(&p->plan, &p->layout, message, &p->command);
    redisReply *reply = call_script(p, &redis_script_apply, sha1_apply, strings);
    enum err err =
        redis_plan_answers(&p->plan, &p->layout, message, strings, reply->elements, out, applied);
    if (err != ERR_OK)
        fail_msg("seed %" PRIu64 ": answers: %s", p->seed, err_name(err));
    free_reply(reply);
}

static void apply_part(struct pair *p, const struct message *message, uint32_t i) {
    struct slice strings[1 + 2 * MODEL_LANES];

    if (read_plainly(p, message, i, i + 1))
        return;
    buf_clear(&p->command);
    redis_plan_part_command(&p->plan, &p->layout, message, i, &p->command);
    redisReply *reply = call_script(p, &redis_script_apply_cluster, sha1_apply_cluster, strings);
    assert_int_equal(redis_plan_hear(&p->plan, i, strings, reply->elements), ERR_OK);
    free_reply(reply);
}

static void apply_on_cluster(struct pair *p, const struct message *message, struct answer *out,
                             struct redis_applied *applied) {
    memset(p->met, 0, sizeof(p->met));
    if (random_chance(&p->random, 30)) {
        for (uint32_t i = 0; i < p->plan.parts_count; i++) {
            if (random_chance(&p->random, 50))
                continue;
            apply_part(p, message, i);
            p->met[p->plan.parts[i].lane] = true;
        }
        assert_int_equal(redis_plan_make(&p->plan, &p->layout, message), ERR_OK);
        p->partial++;
    }
    for (uint32_t i = 0; i < p->plan.parts_count; i++)
        apply_part(p, message, i);
    enum err err = redis_plan_finish(&p->plan, &p->layout, message, out, applied);
    if (err != ERR_OK)
        fail_msg("seed %" PRIu64 ": answers: %s", p->seed, err_name(err));
}

static void apply_there(struct pair *p, const struct message *message, struct answer *out) {
    struct redis_applied applied;

    assert_int_equal(redis_plan_make(&p->plan, &p->layout, message), ERR_OK);
    if (p->layout.tags)
        apply_on_cluster(p, message, out, &applied);
    else
        apply_on_redis(p, message, out, &applied);
    assert_int_equal(applied.clock_ms, p->clock_ms);
}

static void compare_answers(const struct pair *p, const struct message *message,
                            const struct answer *got, const struct answer *want) {
    for (size_t i = 0; i < message->count; i++) {
        /* Phase 1's keys don't say when they were written. */
        bool same_time = message->ops[i].kind == OP_GET
                             ? (got[i].time_ms != 0) == (want[i].time_ms != 0)
                             : got[i].time_ms == want[i].time_ms;

        if (got[i].err != want[i].err || got[i].replayed != want[i].replayed ||
            got[i].value != want[i].value || !same_time)
            fail_msg("seed %" PRIu64 " message %" PRIu64 " op %zu kind %d arg %" PRId64
                     ": got %s %d %" PRId64 " at %" PRId64 ", want %s %d %" PRId64 " at %" PRId64,
                     p->seed, message->number, i, (int)message->ops[i].kind, message->ops[i].arg,
                     err_name(got[i].err), got[i].replayed, got[i].value, got[i].time_ms,
                     err_name(want[i].err), want[i].replayed, want[i].value, want[i].time_ms);
    }
}

/* Where the message was met before, it is replayed: reads in it are read again. */
static void read_again(struct pair *p, const struct message *message, struct answer *want) {
    struct answer again[MODEL_OPS];

    assert_int_equal(applier_apply(p->applier, message, pair_now(p), again), ERR_OK);
    assert_int_equal(applier_commit(p->applier, true), ERR_OK);
    for (size_t i = 0; i < message->count; i++) {
        const struct op *op = &message->ops[i];

        if (op->kind == OP_GET && op_valid(op) && p->met[pair_lane_of(p, op)])
            want[i] = again[i];
    }
}

static void count_way(const struct pair *p, const struct message *message,
                      const struct answer *got) {
    bool plain = true;
    bool past = false;

    for (uint32_t i = 0; i < p->plan.parts_count; i++)
        plain = plain && p->plan.parts[i].plain && p->plan.parts[i].writes;
    for (size_t i = 0; i < message->count; i++)
        past = past || got[i].err == ERR_RANGE;
    ways.plain += plain;
    ways.past += plain && past;
    ways.other += !plain;
}

static void step_message(struct pair *p) {
    struct op ops[MODEL_OPS];
    struct answer got[MODEL_OPS];
    struct answer want[MODEL_OPS];
    const struct model_message *from =
        &model.messages[random_message(&p->random, &model, p->clock_ms)];
    struct message message = {.producer = {7, (uint64_t)from->producer},
                              .number = from->number,
                              .issued_ms = from->issued_ms,
                              .ops = ops,
                              .count = (size_t)from->count};

    for (int i = 0; i < from->count; i++) {
        const struct model_op *op = &from->ops[i];

        ops[i] = (struct op){op->kind, op->arg, slice_str(p->ids[op->counter]), SLICE("like"),
                             slice_str(op->key >= 0 ? model_key_names[op->key] : NULL)};
    }
    assert_int_equal(applier_apply(p->applier, &message, pair_now(p), want), ERR_OK);
    assert_int_equal(applier_commit(p->applier, true), ERR_OK);
    apply_there(p, &message, got);
    for (size_t i = 0; i < message.count; i++)
        p->refused += want[i].err == ERR_OUTBOX_FULL;
    if (p->layout.tags)
        read_again(p, &message, want);
    compare_answers(p, &message, got, want);
    count_way(p, &message, got);
}

static void store_clock(struct pair *p) {
    if (!p->layout.tags)
        free_reply(redis_fixture_do(client, "HSET hgp:meta clock %lld", (long long)p->clock_ms));
    for (uint32_t lane = 0; p->layout.tags && lane < p->conf.lanes; lane++)
        free_reply(redis_fixture_do(client, "HSET %s clock %lld", pair_key(p, lane, "m"),
                                    (long long)p->clock_ms));
}

/* Backwards only from where Redis has seen the clock: as if the last message had written, in all
 * lanes. */
static void move_clock(struct pair *p) {
    uint64_t what = random_roll(&p->random, 100);

    p->wall_ms +=
        (int64_t)random_roll(&p->random, random_chance(&p->random, 3) ? 2 * PRODUCER_KEEP_MS : 50);
    if (what < 4) {
        store_clock(p);
        p->wall_ms -= (int64_t)random_roll(&p->random, what < 2 ? 3000 : 2 * PRODUCER_KEEP_MS);
    }
    set_time(p);
}

/* ---- a history ---- */

/* With consumers, or trimmed by age, or full as soon as anything is there: full is a lane's on
 * Redis and the whole store's here, which is the same with one lane. */
static void choose(struct pair *p) {
    bool fills = random_chance(&p->random, 30);

    p->conf = (struct applier_conf){
        .lanes = fills ? 1 : (uint32_t)(1 + random_roll(&p->random, MODEL_LANES)),
        .key_ttl_ms = 1000 + (int64_t)random_roll(&p->random, 200000),
        .outbox_max_bytes = fills ? 1 : PAIR_MAX,
        .outbox_max_age_ms = random_chance(&p->random, 50)
                                 ? PAIR_MAX
                                 : 1 + (int64_t)random_roll(&p->random, PRODUCER_KEEP_MS),
        .cache_counters = 100,
        .coalesce = random_chance(&p->random, 70),
        .hash_seed = {p->seed, 3}};
    p->consumes = fills || random_chance(&p->random, 50);
}

static void run_steps(struct pair *p, bool cluster) {
    open_both(p, cluster);
    for (int i = 0; i < MESSAGES; i++) {
        move_clock(p);
        step_message(p);
        if (random_chance(&p->random, 8))
            pair_tidy(p);
        if (p->consumes && random_chance(&p->random, 15))
            pair_step_consumer(p);
        if (random_chance(&p->random, 3))
            pair_compare(p);
    }
    pair_compare(p);
    assert_true(p->counters > 0 && (p->partial > 0) == cluster);
    applier_close(p->applier);
}

static void run_history(uint64_t seed, bool cluster) {
    struct pair p = {.random = seed, .wall_ms = EPOCH_MS, .seed = seed, .client = client};
    struct sim_kv *sim = sim_kv_new();
    struct store rocks;

    choose(&p);
    for (int i = 0; i < MODEL_COUNTERS; i++)
        (void)snprintf(p.ids[i], sizeof(p.ids[i]), i % 2 ? "r%d" : "r %%d 1 %d", i);
    memcpy(p.sha1_tidy, sha1_tidy, sizeof(sha1_tidy));
    memset(&model, 0, sizeof(model));
    store_setup(&rocks);
    if (seed % ROCKS_EACH == 0)
        store_must_open(&rocks);
    p.kv = rocks.kv ? rocks.kv : sim_kv_base(sim);
    run_steps(&p, cluster);
    refused += p.refused;
    trimmed += p.trimmed;
    store_teardown(&rocks);
    sim_kv_free(sim);
    redis_plan_release(&p.plan);
    buf_release(&p.command);
    buf_release(&p.key);
}

/* HGP_SEED runs that one alone. */
static void run_histories(bool cluster) {
    const char *only = getenv("HGP_SEED");
    uint64_t from = only ? strtoull(only, NULL, 10) : 1;
    uint64_t to = only ? from : SEEDS;

    memset(&ways, 0, sizeof(ways));
    for (uint64_t seed = from; seed <= to; seed++)
        run_history(seed, cluster);
    assert_true(only || (refused > 0 && trimmed > 0)); /* it was about something */
    assert_true(only || (ways.plain > 0 && ways.past > 0 && ways.other > 0 && ways.read > 0));
}

static void test_standalone_equals_applier(void **state) {
    (void)state;
    run_histories(false);
}

static void test_cluster_equals_applier(void **state) {
    (void)state;
    run_histories(true);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_standalone_equals_applier),
                                       cmocka_unit_test(test_cluster_equals_applier)};

    if (!redis_fixture_start(&server, false, NULL)) {
        puts("no redis-server here: skipped");
        return 77;
    }
    client = redis_fixture_connect(&server);
    load(&redis_script_apply, sha1_apply);
    load(&redis_script_apply_cluster, sha1_apply_cluster);
    load(&redis_script_open, sha1_open);
    load(&redis_script_cluster_lane, sha1_lane);
    load(&redis_script_tidy, sha1_tidy);
    free_reply(redis_fixture_do(client, "SCRIPT LOAD %b", redis_script_consumer.text.ptr,
                                redis_script_consumer.text.len));
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    redisFree(client);
    redis_fixture_stop(&server);
    return failed;
}
