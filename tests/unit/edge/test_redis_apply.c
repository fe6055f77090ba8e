/* test_redis_apply.c - the scripts on a real Redis answer and store what core/applier does.
 *
 * In both layouts: a standalone Redis's, where a message is one call, and a Cluster's, where it is
 * one for each lane. There some lanes have met the message before it comes as a whole, at random:
 * what a broken connection leaves behind. The answers are the same all the same.
 *
 * The same random messages go to both: duplicates, keys, mixed signs, sets, the edges of int64,
 * producers forgotten, key generations turned. Time is the test's: the scripts are loaded with
 * their one look at the clock replaced, so a seed is a whole history.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/applier.h"
#include "core/hash.h"
#include "core/inspect.h"
#include "core_random.h"
#include "edge/redis_apply.h"
#include "edge/redis_outbox.h"
#include "edge/redis_script.h"
#include "redis_fixture.h"
#include "sim_kv.h"
#include "test.h"

#define SEEDS      100
#define MESSAGES   100
#define EPOCH_MS   4000000000000 /* the future: no key of a test expires while it runs */
#define EVENTS_MAX 4096

static struct redis_fixture server;
static redisContext *client;
static char sha1_apply[41];
static char sha1_apply_cluster[41];
static char sha1_open[41];
static char sha1_lane[41];
static char sha1_tidy[41];

static struct model model; /* the generator's: its messages */

struct pair {
    uint64_t random;
    struct sim_kv *sim;
    struct applier *applier;
    struct applier_conf conf;
    int64_t wall_ms;
    int64_t clock_ms; /* the store's: never goes back */
    struct redis_layout layout;
    struct redis_plan plan;
    uint64_t epochs[MODEL_LANES];
    struct redis_tag tags[MODEL_LANES];
    struct buf command;
    struct buf key;
    char ids[MODEL_COUNTERS][16];
    uint64_t seed;
    bool met[MODEL_LANES]; /* the message at hand, before it came as a whole */
    size_t partial;        /* messages that came in part first */
    size_t counters;       /* compared */
};

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

static struct applier_time now(const struct pair *p) {
    return (struct applier_time){.mono_ms = p->clock_ms, .wall_ms = p->wall_ms};
}

/* ---- both sides ---- */

static const char *place_of(struct pair *p, uint32_t lane, const char *what) {
    buf_clear(&p->key);
    redis_lane_key(&p->key, &p->layout, lane, what);
    buf_add_char(&p->key, '\0');
    return p->key.ptr;
}

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
                                    place_of(p, lane, "m"), lane, (long long)p->conf.key_ttl_ms));
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
                                      .coalesce = p->conf.coalesce,
                                      .touch = random_chance(&p->random, 50)};
    if (cluster)
        open_cluster(p);
    else
        open_standalone(p);
    if (applier_open(sim_kv_base(p->sim), &p->conf, now(p), &p->applier, &detail) != ERR_OK)
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

static void apply_on_redis(struct pair *p, const struct message *message, struct answer *out,
                           struct redis_applied *applied) {
    struct slice strings[1 + 2 * MODEL_LANES];

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

static uint32_t lane_of(struct pair *p, const struct op *op) {
    buf_clear(&p->key);
    buf_add_slice(&p->key, op->resource_id);
    buf_add_char(&p->key, '\0');
    buf_add_slice(&p->key, op->counter_type);
    return hash_lane(buf_slice(&p->key), p->conf.lanes);
}

/* Where the message was met before, it is replayed: reads in it are read again. */
static void read_again(struct pair *p, const struct message *message, struct answer *want) {
    struct answer again[MODEL_OPS];

    assert_int_equal(applier_apply(p->applier, message, now(p), again), ERR_OK);
    assert_int_equal(applier_commit(p->applier, true), ERR_OK);
    for (size_t i = 0; i < message->count; i++) {
        const struct op *op = &message->ops[i];

        if (op->kind == OP_GET && op_valid(op) && p->met[lane_of(p, op)])
            want[i] = again[i];
    }
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
    assert_int_equal(applier_apply(p->applier, &message, now(p), want), ERR_OK);
    assert_int_equal(applier_commit(p->applier, true), ERR_OK);
    apply_there(p, &message, got);
    if (p->layout.tags)
        read_again(p, &message, want);
    compare_answers(p, &message, got, want);
}

static void tidy_lane(struct pair *p, uint32_t lane) {
    char tag[16];

    (void)snprintf(tag, sizeof(tag), "%u", lane);
    if (p->layout.tags)
        free_reply(redis_fixture_do(client, "EVALSHA %s 1 %s %s 1 1000000000000 1000000000000",
                                    sha1_tidy, place_of(p, lane, "m"), p->tags[lane].text));
    else
        free_reply(redis_fixture_do(client, "EVALSHA %s 0 %s 1 1000000000000 1000000000000",
                                    sha1_tidy, tag));
}

static void tidy_both(struct pair *p) {
    assert_int_equal(applier_tidy(p->applier, now(p)), ERR_OK);
    assert_int_equal(applier_commit(p->applier, true), ERR_OK);
    for (uint32_t lane = 0; lane < p->conf.lanes; lane++)
        tidy_lane(p, lane);
}

static void store_clock(struct pair *p) {
    if (!p->layout.tags)
        free_reply(redis_fixture_do(client, "HSET hgp:meta clock %lld", (long long)p->clock_ms));
    for (uint32_t lane = 0; p->layout.tags && lane < p->conf.lanes; lane++)
        free_reply(redis_fixture_do(client, "HSET %s clock %lld", place_of(p, lane, "m"),
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

/* ---- what is stored ---- */

struct stored { /* of one lane, by the applier */
    struct stored_event {
        struct outbox_entry entry;
        struct outbox_event event;
        char id[64];
        char indexes[256];
    } events[EVENTS_MAX];
    size_t count;
    uint32_t lane;
};

static struct stored stored;

static enum err collect(void *ctx, const struct outbox_entry *entry,
                        const struct outbox_event *event) {
    struct stored *to = ctx;
    struct outbox_event indexes = *event;
    uint32_t index;
    int at = 0;

    if (entry->lane != to->lane)
        return ERR_OK;
    assert_true(to->count < EVENTS_MAX);
    struct stored_event *slot = &to->events[to->count++];
    slot->entry = *entry;
    slot->event = *event;
    assert_true(event->id.len < sizeof(slot->id));
    memcpy(slot->id, event->id.ptr, event->id.len);
    slot->id[event->id.len] = '\0';
    slot->id[strlen(slot->id)] = ':'; /* the zero byte between */
    slot->indexes[0] = '\0';
    while (outbox_next_index(&indexes, &index) == ERR_OK)
        at += snprintf(slot->indexes + at, sizeof(slot->indexes) - (size_t)at, at ? ",%u" : "%u",
                       index);
    return ERR_OK;
}

static void compare_event(const struct pair *p, const struct redis_outbox_entry *entry,
                          const struct redis_outbox_event *got, const struct stored_event *want) {
    if (got->seq != want->event.seq || got->kind != want->event.kind ||
        got->delta != want->event.delta || got->old_value != want->event.old_value ||
        got->new_value != want->event.new_value || got->count != want->event.count ||
        !slice_eq(got->id, slice_str(want->id)) ||
        !slice_eq(got->indexes, slice_str(want->indexes)) || entry->et_ms != want->entry.et_ms ||
        entry->number != want->entry.number || entry->first_seq != want->entry.first_seq ||
        entry->last_seq != want->entry.last_seq || entry->epoch != want->entry.epoch)
        fail_msg("seed %" PRIu64 " lane %u: event %" PRIu64 " kind %d %" PRId64 " -> %" PRId64
                 " of %.*s [%.*s], want %" PRIu64 " kind %d %" PRId64 " -> %" PRId64 " of %s [%s]",
                 p->seed, want->entry.lane, got->seq, (int)got->kind, got->old_value,
                 got->new_value, SLICE_ARGS(got->id), SLICE_ARGS(got->indexes), want->event.seq,
                 (int)want->event.kind, want->event.old_value, want->event.new_value, want->id,
                 want->indexes);
}

/* Redis has a SHA-1; its input is what redis_outbox.h promises. */
static void next_chain(char *chain, const struct redis_outbox_entry *entry, struct slice indexes) {
    char text[4096];
    int len = snprintf(text, sizeof(text), "%s %.*s %" PRIu64 " %.*s", chain,
                       SLICE_ARGS(entry->producer), entry->number, SLICE_ARGS(indexes));
    redisReply *reply = redis_fixture_do(client, "EVAL %s 0 %b", "return redis.sha1hex(ARGV[1])",
                                         text, (size_t)len);

    (void)snprintf(chain, 17, "%s", reply->str);
    free_reply(reply);
}

static void compare_entry(struct pair *p, const redisReply *from, size_t *at, char *chain) {
    struct redis_outbox_entry entry;
    struct redis_outbox_event event;
    struct slice fields[16];
    struct buf indexes = {0};
    const redisReply *pairs = from->element[1];
    enum err err;

    assert_in_range(pairs->elements, 1, 16);
    for (size_t i = 0; i < pairs->elements; i++)
        fields[i] = slice_of(pairs->element[i]->str, (size_t)pairs->element[i]->len);
    assert_int_equal(
        redis_outbox_decode(slice_str(from->element[0]->str), fields, pairs->elements, &entry),
        ERR_OK);
    while ((err = redis_outbox_next(&entry, &event)) == ERR_OK) {
        if (*at >= stored.count)
            fail_msg("seed %" PRIu64 " lane %u: too many events", p->seed, stored.lane);
        compare_event(p, &entry, &event, &stored.events[(*at)++]);
        if (indexes.len)
            buf_add_char(&indexes, ',');
        buf_add_slice(&indexes, event.indexes);
    }
    assert_int_equal(err, ERR_NOT_FOUND);
    next_chain(chain, &entry, buf_slice(&indexes));
    assert_memory_equal(entry.chain.ptr, chain, 16);
    buf_release(&indexes);
}

static void compare_meta(struct pair *p, uint32_t number, const char *chain) {
    struct lane lane;
    redisReply *reply =
        redis_fixture_do(client, "HMGET %s seq et chain forgotten", place_of(p, number, "m"));

    assert_int_equal(inspect_lane(sim_kv_base(p->sim), number, &lane), ERR_OK);
    int64_t forgotten_ms = lane.forgotten_ms == INT64_MIN ? -1 : lane.forgotten_ms;
    if (strtoull(reply->element[0]->str, NULL, 10) != lane.seq ||
        strtoll(reply->element[1]->str, NULL, 10) != lane.last_et_ms ||
        strtoll(reply->element[3]->str, NULL, 10) != forgotten_ms)
        fail_msg("seed %" PRIu64 " lane %u: seq %s et %s forgotten %s, want %" PRIu64 " %" PRId64
                 " %" PRId64,
                 p->seed, number, reply->element[0]->str, reply->element[1]->str,
                 reply->element[3]->str, lane.seq, lane.last_et_ms, forgotten_ms);
    assert_string_equal(reply->element[2]->str, chain);
    free_reply(reply);
}

static void compare_lane(struct pair *p, uint32_t lane) {
    char chain[17] = "0000000000000000";
    size_t at = 0;

    stored.count = 0;
    stored.lane = lane;
    assert_int_equal(inspect_outbox(sim_kv_base(p->sim), collect, &stored), ERR_OK);
    redisReply *reply = redis_fixture_do(client, "XRANGE %s - +", place_of(p, lane, "o"));
    for (size_t i = 0; i < reply->elements; i++)
        compare_entry(p, reply->element[i], &at, chain);
    free_reply(reply);
    if (at != stored.count)
        fail_msg("seed %" PRIu64 " lane %u: %zu events, want %zu", p->seed, lane, at, stored.count);
    compare_meta(p, lane, chain);
}

static redisReply *get_counter(struct pair *p, const struct inspect_counter *counter) {
    struct op op = {.resource_id = counter->resource_id, .counter_type = counter->counter_type};
    uint32_t lane = lane_of(p, &op);
    struct buf *text = &p->command;

    buf_clear(text);
    redis_counter_id(text, counter->resource_id, counter->counter_type);
    if (!p->layout.tags)
        return redis_fixture_do(client, "GET counter:%b", text->ptr, text->len);
    buf_clear(&p->key);
    redis_counter_home(&p->key, &p->layout, lane, buf_slice(text));
    return redis_fixture_do(client, "HGET %b %b", p->key.ptr, p->key.len, text->ptr, text->len);
}

static enum err compare_counter(void *ctx, const struct inspect_counter *counter) {
    struct pair *p = ctx;
    redisReply *reply = get_counter(p, counter);

    if (reply->type != REDIS_REPLY_STRING || strtoll(reply->str, NULL, 10) != counter->value)
        fail_msg("seed %" PRIu64 ": a counter is %s, want %" PRId64, p->seed, reply->str,
                 counter->value);
    free_reply(reply);
    p->counters++;
    return ERR_OK;
}

static void compare_store(struct pair *p) {
    for (uint32_t lane = 0; lane < p->conf.lanes; lane++)
        compare_lane(p, lane);
    assert_int_equal(inspect_counters(sim_kv_base(p->sim), compare_counter, p), ERR_OK);
}

/* ---- a history ---- */

static void run_history(uint64_t seed, bool cluster) {
    struct pair p = {.random = seed, .wall_ms = EPOCH_MS, .seed = seed};

    p.conf = (struct applier_conf){.lanes = (uint32_t)(1 + random_roll(&p.random, MODEL_LANES)),
                                   .key_ttl_ms = 1000 + (int64_t)random_roll(&p.random, 200000),
                                   .outbox_max_bytes = UINT64_MAX,
                                   .outbox_max_age_ms = INT64_MAX,
                                   .cache_counters = 100,
                                   .coalesce = random_chance(&p.random, 70),
                                   .hash_seed = {seed, 3}};
    for (int i = 0; i < MODEL_COUNTERS; i++)
        (void)snprintf(p.ids[i], sizeof(p.ids[i]), "r%d", i);
    memset(&model, 0, sizeof(model));
    p.sim = sim_kv_new();
    open_both(&p, cluster);
    for (int i = 0; i < MESSAGES; i++) {
        move_clock(&p);
        step_message(&p);
        if (random_chance(&p.random, 8))
            tidy_both(&p);
    }
    compare_store(&p);
    assert_true(p.counters > 0 && (p.partial > 0) == cluster);
    applier_close(p.applier);
    sim_kv_free(p.sim);
    redis_plan_release(&p.plan);
    buf_release(&p.command);
    buf_release(&p.key);
}

/* HGP_SEED runs that one alone. */
static void run_histories(bool cluster) {
    const char *only = getenv("HGP_SEED");
    uint64_t from = only ? strtoull(only, NULL, 10) : 1;
    uint64_t to = only ? from : SEEDS;

    for (uint64_t seed = from; seed <= to; seed++)
        run_history(seed, cluster);
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
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    redisFree(client);
    redis_fixture_stop(&server);
    return failed;
}
