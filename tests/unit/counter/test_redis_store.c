/* test_redis_store.c - a batcher counting in a real Redis, through losses of every kind. */
#include "counter/redis_store.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "edge/redis_outbox.h"
#include "loop/timer.h"
#include "redis_fixture.h"
#include "test.h"

#define WATCHDOG_MS 30000
#define POLL_MS     5
#define OPS_MAX     20000

static const char *const always[] = {"--appendonly", "yes", "--appendfsync", "always", NULL};

struct one {
    struct waiter waiter;
    struct world *world;
    struct answer answer;
    unsigned done;
};

struct world {
    struct redis_fixture server;
    struct metrics *metrics;
    struct resolver *resolver;
    struct redis_fleet_conf conf;
    struct redis_fleet *fleet;
    struct loop *loop;
    struct redis_store *store;
    struct batcher *batcher;
    struct loop_hook flush;
    struct timer poll;
    struct timer watchdog;
    struct timer step;
    int64_t ahead_ms;
    unsigned clocks;
    struct one *ones;
    size_t asked;
    size_t answered;
    size_t target;  /* answers, then the loop stops */
    size_t pending; /* to be asked by on_tick() */
    unsigned kills;
    bool closed;
};

/* ---- a loop with a batcher on a store ---- */

static void on_watchdog(struct timer *timer) {
    (void)timer;
    fail_msg("the test hangs");
}

static void on_done(struct waiter *waiter, const struct answer *answer) {
    struct one *one = CONTAINER_OF(waiter, struct one, waiter);

    one->answer = *answer;
    one->done++;
    if (++one->world->answered == one->world->target)
        loop_stop(one->world->loop);
}

static void ask_until(struct world *w, const struct op *op, int64_t deadline_ms) {
    struct one *one = &w->ones[w->asked++];

    assert_true(w->asked <= OPS_MAX);
    *one = (struct one){.waiter = {.done = on_done, .deadline_ms = deadline_ms}, .world = w};
    assert_int_equal(batcher_add(w->batcher, op, &one->waiter), ERR_OK);
}

static void ask(struct world *w, const struct op *op) {
    ask_until(w, op, INT64_MAX);
}

static struct op add_op(const char *id, int64_t delta) {
    return (struct op){OP_ADD, delta, slice_str(id), SLICE("like"), {NULL, 0}};
}

static void on_tick(struct loop_hook *hook) {
    struct world *w = CONTAINER_OF(hook, struct world, flush);
    static const char *const ids[] = {"a", "b", "c", "d", "e"};
    int64_t now_ms = loop_now_ms(w->loop);

    for (int i = 0; w->pending > 0 && i < 7; i++, w->pending--) {
        struct op op = add_op(ids[w->asked % ARRAY_LEN(ids)], 1);

        ask(w, &op);
    }
    if (w->clocks)
        batcher_flush(w->batcher, now_ms, now_ms + w->ahead_ms);
}

static void on_poll(struct timer *timer) {
    struct world *w = CONTAINER_OF(timer, struct world, poll);

    (void)batcher_poll(w->batcher, loop_now_ms(w->loop));
    timer_start(w->loop, timer, POLL_MS);
}

static void on_delivered(void *ctx, struct delivery *delivery) {
    struct world *w = ctx;

    batcher_delivered(w->batcher, delivery, loop_now_ms(w->loop));
}

static void on_clock(void *ctx, int64_t ahead_ms) {
    struct world *w = ctx;

    w->ahead_ms = ahead_ms;
    w->clocks++;
}

static void on_closed(void *ctx) {
    struct world *w = ctx;

    w->closed = true;
    loop_stop(w->loop);
}

static void open_world(struct world *w, const char *const *options) {
    *w = (struct world){.metrics = metrics_new(1), .resolver = resolver_new()};
    assert_true(redis_fixture_start(&w->server, false, options));
    w->ones = calloc(OPS_MAX, sizeof(*w->ones));
    w->conf = (struct redis_fleet_conf){.url = {.is_unix = true},
                                        .resolver = w->resolver,
                                        .metrics = w->metrics,
                                        .key_ttl_ms = 86400000,
                                        .coalesce = true,
                                        .outbox_max_bytes = 1 << 30,
                                        .outbox_max_age_ms = 86400000,
                                        .durability = DURABILITY_FAST,
                                        .loops = 1,
                                        .connections = 2,
                                        .connect_ms = 2000,
                                        .response_ms = 2000};
    (void)snprintf(w->conf.url.address, sizeof(w->conf.url.address), "%s", w->server.socket);
}

static void make_fleet(struct world *w) {
    w->fleet = redis_fleet_new(&w->conf);
    assert_non_null(w->fleet);
}

static enum err probe(struct world *w, const char **out_detail) {
    const char *detail;
    enum err err = redis_fleet_probe(w->fleet, 2000, &detail);

    if (out_detail)
        *out_detail = detail;
    return err;
}

static void make_batcher(struct world *w) {
    struct batcher_conf conf = {.ops_max = 64,
                                .queue_max = OPS_MAX,
                                .in_flight_max = 8,
                                .attempts_max = 1000,
                                .backoff_min_ms = 1,
                                .backoff_max_ms = 20,
                                .producer = {5, 6},
                                .seed = 1};

    w->batcher = batcher_new(&conf, redis_store_upstream(w->store));
    assert_non_null(w->batcher);
    w->flush.run = on_tick;
    loop_hook_add(w->loop, &w->flush);
    w->poll.fire = on_poll;
    timer_start(w->loop, &w->poll, POLL_MS);
}

static void start_loop(struct world *w) {
    struct loop_conf conf = {.backend = LOOP_EPOLL};
    struct redis_store_user user = {
        .ctx = w, .delivered = on_delivered, .clock_learned = on_clock};

    assert_int_equal(loop_new(&conf, &w->loop), ERR_OK);
    w->watchdog.fire = on_watchdog;
    timer_start(w->loop, &w->watchdog, WATCHDOG_MS);
    w->store = redis_store_new(w->fleet, w->loop, 0, &user);
    assert_non_null(w->store);
    make_batcher(w);
    assert_true(redis_store_connect(w->store));
}

static void start_world(struct world *w) {
    make_fleet(w);
    assert_int_equal(probe(w, NULL), ERR_OK);
    start_loop(w);
}

/* Until that many more are answered. */
static void run(struct world *w, size_t answers) {
    w->target = w->answered + answers;
    assert_int_equal(loop_run(w->loop), ERR_OK);
}

static void close_world(struct world *w) {
    if (w->store) {
        redis_store_close(w->store, on_closed, w);
        assert_int_equal(loop_run(w->loop), ERR_OK);
        assert_true(w->closed);
        loop_hook_remove(&w->flush);
        timer_stop(w->loop, &w->poll);
        timer_stop(w->loop, &w->step);
        timer_stop(w->loop, &w->watchdog);
        batcher_free(w->batcher);
        loop_free(w->loop);
    }
    redis_fleet_free(w->fleet);
    redis_fixture_stop(&w->server);
    resolver_free(w->resolver);
    metrics_free(w->metrics);
    free(w->ones);
}

/* ---- what is stored ---- */

static int64_t value_of(redisContext *client, const char *id) {
    redisReply *reply = redis_fixture_do(client, "GET counter:%s:like", id);
    int64_t value = reply->type == REDIS_REPLY_NIL ? 0 : strtoll(reply->str, NULL, 10);

    freeReplyObject(reply);
    return value;
}

/* I9, I4: no gap, and the events' deltas are the values. */
static int64_t sum_of_events(redisContext *client, uint32_t lane) {
    redisReply *reply = redis_fixture_do(client, "XRANGE hgp:{%u}:o - +", lane);
    uint64_t seq = 0;
    int64_t sum = 0;

    for (size_t i = 0; i < reply->elements; i++) {
        const redisReply *pairs = reply->element[i]->element[1];
        struct redis_outbox_entry entry;
        struct redis_outbox_event event;
        struct slice fields[16];

        assert_in_range(pairs->elements, 1, 16);
        for (size_t j = 0; j < pairs->elements; j++)
            fields[j] = slice_of(pairs->element[j]->str, (size_t)pairs->element[j]->len);
        assert_int_equal(redis_outbox_decode(slice_str(reply->element[i]->element[0]->str), fields,
                                             pairs->elements, &entry),
                         ERR_OK);
        while (redis_outbox_next(&entry, &event) == ERR_OK) {
            assert_int_equal(event.seq, ++seq);
            sum += event.delta;
        }
    }
    freeReplyObject(reply);
    return sum;
}

static void check_counted(struct world *w, int64_t want) {
    static const char *const ids[] = {"a", "b", "c", "d", "e"};
    redisContext *client = redis_fixture_connect(&w->server);
    int64_t values = 0;
    int64_t events = 0;

    for (size_t i = 0; i < ARRAY_LEN(ids); i++)
        values += value_of(client, ids[i]);
    for (uint32_t lane = 0; lane < 4; lane++)
        events += sum_of_events(client, lane);
    assert_int_equal(values, want);
    assert_int_equal(events, want);
    redisFree(client);
}

static void check_all_ok(const struct world *w) {
    for (size_t i = 0; i < w->asked; i++) {
        if (w->ones[i].done != 1 || w->ones[i].answer.err != ERR_OK)
            fail_msg("operation %zu: %u answers, %s", i, w->ones[i].done,
                     err_name(w->ones[i].answer.err));
    }
}

/* ---- counting ---- */

/* On one connection messages are applied in the order of sending. */
static void test_counts(void **state) {
    (void)state;
    struct world w;

    open_world(&w, always);
    w.conf.connections = 1;
    start_world(&w);
    w.pending = 1000;
    run(&w, 1000);
    check_all_ok(&w);
    /* Five counters by turns: the k-th answer of each is k. */
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(w.ones[i].answer.value, i / 5 + 1);
    check_counted(&w, 1000);
    assert_true(redis_fleet_up(w.fleet));
    assert_int_not_equal(redis_fleet_store_id(w.fleet), 0);
    close_world(&w);
}

/* What Redis needn't see is answered too, and what it refuses alone. */
static void test_refusals(void **state) {
    (void)state;
    struct world w;
    struct op ops[] = {add_op("a", 0), add_op("a", INT64_MAX), add_op("a", 1), add_op("", 1),
                       add_op("foreign", 1)};
    static const enum err want[] = {ERR_INVALID, ERR_OK, ERR_RANGE, ERR_INVALID, ERR_CORRUPT};

    open_world(&w, NULL);
    redisContext *client = redis_fixture_connect(&w.server);
    freeReplyObject(redis_fixture_do(client, "SET counter:foreign:like text"));
    start_world(&w);
    for (size_t i = 0; i < ARRAY_LEN(ops); i++)
        ask(&w, &ops[i]);
    run(&w, ARRAY_LEN(ops));
    for (size_t i = 0; i < ARRAY_LEN(ops); i++)
        assert_string_equal(err_name(w.ones[i].answer.err), err_name(want[i]));
    w.asked = 0;
    ask(&w, &ops[0]); /* alone: no call at all */
    run(&w, 1);
    assert_int_equal(w.ones[0].answer.err, ERR_INVALID);
    redisFree(client);
    close_world(&w);
}

/* ---- losses ---- */

/* Kills the server whenever so many more operations were answered; the dead one comes back. */
#define BETWEEN_KILLS 700

static void restart_server(struct timer *timer) {
    struct world *w = CONTAINER_OF(timer, struct world, step);

    if (w->server.pid <= 0) {
        redis_fixture_again(&w->server);
        w->kills++;
    } else if (w->answered / BETWEEN_KILLS > w->kills) {
        redis_fixture_kill(&w->server);
    }
    timer_start(w->loop, timer, 2);
}

/* kill -9 again and again with appendfsync always: every operation exactly once. */
static void test_killed(void **state) {
    (void)state;
    struct world w;

    open_world(&w, always);
    start_world(&w);
    w.pending = 6000;
    w.step.fire = restart_server;
    timer_start(w.loop, &w.step, 5);
    run(&w, 6000);
    if (w.server.pid <= 0)
        redis_fixture_again(&w.server);
    assert_true(w.kills >= 5);
    check_all_ok(&w);
    check_counted(&w, 6000);
    close_world(&w);
}

static void cut_connections(struct timer *timer) {
    struct world *w = CONTAINER_OF(timer, struct world, step);
    redisContext *client = redis_fixture_connect(&w->server);

    freeReplyObject(redis_fixture_do(client, "CLIENT KILL TYPE normal SKIPME yes"));
    freeReplyObject(redis_fixture_do(client, "SCRIPT FLUSH"));
    redisFree(client);
    if (w->answered < w->target - 200)
        timer_start(w->loop, timer, 4);
}

/* Replies lost, scripts flushed: nothing counts twice. */
static void test_cut(void **state) {
    (void)state;
    struct world w;

    open_world(&w, NULL);
    start_world(&w);
    w.pending = 6000;
    w.step.fire = cut_connections;
    timer_start(w.loop, &w.step, 5);
    run(&w, 6000);
    check_all_ok(&w);
    check_counted(&w, 6000);
    close_world(&w);
}

static void flush_scripts(struct timer *timer) {
    struct world *w = CONTAINER_OF(timer, struct world, step);
    redisContext *client = redis_fixture_connect(&w->server);

    freeReplyObject(redis_fixture_do(client, "SCRIPT FLUSH"));
    redisFree(client);
    w->pending = 100;
}

static void test_scripts_flushed(void **state) {
    (void)state;
    struct world w;

    open_world(&w, NULL);
    start_world(&w);
    w.pending = 10;
    run(&w, 10);
    w.step.fire = flush_scripts;
    timer_start(w.loop, &w.step, 0);
    run(&w, 100);
    check_all_ok(&w);
    check_counted(&w, 110);
    close_world(&w);
}

static void wake(struct timer *timer) {
    struct world *w = CONTAINER_OF(timer, struct world, step);

    (void)kill(w->server.pid, SIGCONT);
}

/* Answers that come too late for their connection: the same numbers again, answered from the
 * window. */
static void test_stands_still(void **state) {
    (void)state;
    struct world w;

    open_world(&w, NULL);
    w.conf.response_ms = 50;
    start_world(&w);
    w.pending = 10;
    run(&w, 10);
    (void)kill(w.server.pid, SIGSTOP);
    w.pending = 100;
    w.step.fire = wake;
    timer_start(w.loop, &w.step, 200);
    run(&w, 100);
    check_all_ok(&w);
    check_counted(&w, 110);
    close_world(&w);
}

static void test_full(void **state) {
    (void)state;
    struct world w;
    struct op op = add_op("a", 1);

    open_world(&w, NULL);
    redisContext *client = redis_fixture_connect(&w.server);
    start_world(&w);
    w.pending = 10;
    run(&w, 10);
    freeReplyObject(redis_fixture_do(client, "CONFIG SET maxmemory 1"));
    ask_until(&w, &op, loop_now_ms(w.loop) + 60);
    run(&w, 1);
    assert_int_equal(w.ones[w.asked - 1].answer.err, ERR_DEADLINE);
    freeReplyObject(redis_fixture_do(client, "CONFIG SET maxmemory 0"));
    check_counted(&w, 10); /* nothing of it */
    redisFree(client);
    close_world(&w);
}

/* ---- what isn't ours to count in ---- */

static void test_lanes_differ(void **state) {
    (void)state;
    struct world w;
    const char *detail;

    open_world(&w, NULL);
    w.conf.lanes = 3;
    make_fleet(&w);
    assert_int_equal(probe(&w, NULL), ERR_OK);
    uint64_t id = redis_fleet_store_id(w.fleet);
    redis_fleet_free(w.fleet);
    w.conf.lanes = 4;
    make_fleet(&w);
    assert_int_equal(probe(&w, &detail), ERR_LAYOUT);
    assert_non_null(strstr(detail, "made with 3 lanes; the configuration asks for 4"));
    redis_fleet_free(w.fleet);
    w.conf.lanes = 0; /* what is there */
    make_fleet(&w);
    assert_int_equal(probe(&w, NULL), ERR_OK);
    assert_true(redis_fleet_store_id(w.fleet) == id);
    close_world(&w);
}

static void test_newer_and_damaged(void **state) {
    (void)state;
    static const struct {
        const char *command;
        enum err err;
        const char *says;
    } rows[] = {
        {"HSET hgp:meta format 2", ERR_NEWER, "format 2; this program reads up to 1"},
        {"HSET hgp:meta id xyz", ERR_CORRUPT, "damaged"},
        {"HSET hgp:meta lanes 99999", ERR_CORRUPT, "hgp:{4}:m"},
        {"DEL hgp:{2}:m", ERR_CORRUPT, "hgp:{2}:m is missing"},
        {"HDEL hgp:meta format", ERR_CORRUPT, "lost its fields"},
        {"DEL hgp:meta", ERR_CORRUPT, "lost its fields"},
        {"HSET hgp:{1}:m epoch halted", ERR_CORRUPT, "damaged"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;
        const char *detail;

        open_world(&w, NULL);
        redisContext *client = redis_fixture_connect(&w.server);
        make_fleet(&w);
        assert_int_equal(probe(&w, NULL), ERR_OK);
        redis_fleet_free(w.fleet);
        freeReplyObject(redis_fixture_do(client, rows[i].command));
        make_fleet(&w);
        enum err err = probe(&w, &detail);
        if (err != rows[i].err || !strstr(detail, rows[i].says))
            fail_msg("%s: %s, %s", rows[i].command, err_name(err), detail);
        redisFree(client);
        close_world(&w);
    }
}

/* A store that is emptied under us isn't laid out again behind our back. */
static void test_emptied(void **state) {
    (void)state;
    struct world w;
    struct op op = add_op("a", 1);

    open_world(&w, NULL);
    redisContext *client = redis_fixture_connect(&w.server);
    start_world(&w);
    w.pending = 10;
    run(&w, 10);
    freeReplyObject(redis_fixture_do(client, "FLUSHALL"));
    ask(&w, &op);
    run(&w, 1);
    assert_int_equal(w.ones[10].answer.err, ERR_LAYOUT);
    for (size_t i = 11; i < 14; i++) { /* neither connection, nor one made again */
        ask_until(&w, &op, loop_now_ms(w.loop) + 300);
        run(&w, 1);
        assert_int_not_equal(w.ones[i].answer.err, ERR_OK);
    }
    assert_int_equal(w.ones[13].answer.err, ERR_DEADLINE);
    redisReply *reply = redis_fixture_do(client, "DBSIZE");
    assert_int_equal(reply->integer, 0);
    freeReplyObject(reply);
    redisFree(client);
    close_world(&w);
}

static void test_durability(void **state) {
    (void)state;
    static const char *const everysec[] = {"--appendonly", "yes", NULL};
    static const char *const evicts[] = {"--appendonly",     "yes",         "--appendfsync",
                                         "always",           "--maxmemory", "100mb",
                                         "--maxmemory-policy", "allkeys-lru", NULL};
    static const struct {
        const char *name;
        const char *const *options;
        bool strict;
        enum err err;
        const char *says; /* guarantee, or the refusal */
    } rows[] = {
        {"always", always, true, ERR_OK, "a power loss of its machine"},
        {"everysec", everysec, true, ERR_INVALID, "up to 1 second"},
        {"everysec, not strict", everysec, false, ERR_OK, "up to 1 second"},
        {"memory only", NULL, true, ERR_INVALID, "appendonly is off"},
        {"memory only, not strict", NULL, false, ERR_OK, "appendonly is off"},
        {"evicts", evicts, true, ERR_INVALID, "allkeys-lru"},
        {"evicts, not strict", evicts, false, ERR_OK, "allkeys-lru may delete"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;
        char guarantee[512] = "";
        const char *detail;

        open_world(&w, rows[i].options);
        w.conf.durability = DURABILITY_LOCAL;
        w.conf.strict = rows[i].strict;
        make_fleet(&w);
        enum err err = probe(&w, &detail);
        redis_fleet_guarantee(w.fleet, guarantee, sizeof(guarantee));
        if (err != rows[i].err || !strstr(err == ERR_OK ? guarantee : detail, rows[i].says))
            fail_msg("%s: %s, \"%s\", \"%s\"", rows[i].name, err_name(err), detail, guarantee);
        close_world(&w);
    }
}

/* A user who may do only what counting takes: INFO and CONFIG are denied. */
static void test_acl(void **state) {
    (void)state;
    static const char *const options[] = {
        "--user", "svc", "on", ">pw", "~counter:*", "~hgp:*", "-@all", "+evalsha", "+script|load",
        "+time", "+hget", "+hset", "+hmget", "+hgetall", "+hdel", "+exists", "+xrevrange",
        "+xrange", "+xadd", "+xtrim", "+incrby", "+get", "+set", "+pexpireat", NULL};
    struct world w;
    char guarantee[512];

    open_world(&w, options);
    (void)snprintf(w.conf.url.user, sizeof(w.conf.url.user), "svc");
    (void)snprintf(w.conf.url.password, sizeof(w.conf.url.password), "pw");
    start_world(&w);
    w.pending = 10;
    run(&w, 10);
    check_all_ok(&w);
    redis_fleet_guarantee(w.fleet, guarantee, sizeof(guarantee));
    assert_non_null(strstr(guarantee, "survive a crash of our processes"));
    close_world(&w);
}

static void test_nobody_there(void **state) {
    (void)state;
    struct world w;
    const char *detail;

    open_world(&w, always);
    redis_fixture_kill(&w.server);
    make_fleet(&w);
    assert_int_equal(redis_fleet_probe(w.fleet, 50, &detail), ERR_UNREACHABLE);
    assert_non_null(strstr(detail, "can't be reached"));
    assert_false(redis_fleet_up(w.fleet));
    /* Started nevertheless, it counts as soon as Redis is there. */
    start_loop(&w);
    w.pending = 50;
    w.step.fire = restart_server;
    timer_start(w.loop, &w.step, 50);
    w.target = 50;
    assert_int_equal(loop_run(w.loop), ERR_OK);
    check_all_ok(&w);
    check_counted(&w, 50);
    close_world(&w);
}

/* The sequence at the end of the lane's oldest entry. */
static int64_t oldest_seq(redisContext *client, int lane) {
    redisReply *reply = redis_fixture_do(client, "XRANGE hgp:{%d}:o - + COUNT 1", lane);

    assert_int_equal(reply->elements, 1);
    int64_t seq = strtoll(strchr(reply->element[0]->element[0]->str, '-') + 1, NULL, 10);
    freeReplyObject(reply);
    return seq;
}

/* Trimmed behind traffic, lane by lane; what is left begins at an entry and has no gap. */
static void test_trims(void **state) {
    (void)state;
    struct world w;

    open_world(&w, NULL);
    w.conf.lanes = 2;
    w.conf.outbox_max_bytes = 2 * 2000;
    start_world(&w);
    redisContext *client = redis_fixture_connect(&w.server);
    w.pending = 5000;
    run(&w, 5000);
    while (oldest_seq(client, 0) < 300 || oldest_seq(client, 1) < 300) {
        w.pending = 7;
        w.asked = 0;
        run(&w, 7);
    }
    redisFree(client);
    close_world(&w);
}

int main(void) {
    log_setup(LOG_ERROR, LOG_CONSOLE);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),          cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_killed),          cmocka_unit_test(test_cut),
        cmocka_unit_test(test_scripts_flushed), cmocka_unit_test(test_stands_still),
        cmocka_unit_test(test_full),            cmocka_unit_test(test_lanes_differ),
        cmocka_unit_test(test_newer_and_damaged), cmocka_unit_test(test_emptied),
        cmocka_unit_test(test_durability),      cmocka_unit_test(test_acl),
        cmocka_unit_test(test_nobody_there),    cmocka_unit_test(test_trims),
    };
    struct redis_fixture server;

    if (!redis_fixture_start(&server, false, NULL)) {
        puts("no redis-server here: skipped");
        return 77;
    }
    redis_fixture_stop(&server);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
