/* redis_world.c - the loop's side of the tests, and sums over the outbox. */
#include "redis_world.h"

#include <stdio.h>
#include <stdlib.h>

#include "edge/redis_outbox.h"

#define WATCHDOG_MS 30000
#define POLL_MS     5

const char *const world_always[] = {
    "--appendonly", "yes", "--appendfsync", "always", "--aof-load-truncated", "no", NULL};

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

void world_ask_until(struct world *w, const struct op *op, int64_t deadline_ms) {
    struct one *one = &w->ones[w->asked++];

    assert_true(w->asked <= OPS_MAX);
    *one = (struct one){.waiter = {.done = on_done, .deadline_ms = deadline_ms}, .world = w};
    assert_int_equal(batcher_add(w->batcher, op, &one->waiter), ERR_OK);
}

void world_ask(struct world *w, const struct op *op) {
    world_ask_until(w, op, INT64_MAX);
}

struct op world_add_op(const char *id, int64_t delta) {
    return (struct op){OP_ADD, delta, slice_str(id), SLICE("like"), {NULL, 0}};
}

static void on_tick(struct loop_hook *hook) {
    struct world *w = CONTAINER_OF(hook, struct world, flush);
    static const char *const ids[] = {"a", "b", "c", "d", "e"};
    int64_t now_ms = loop_now_ms(w->loop);

    for (int i = 0; w->pending > 0 && i < 7; i++, w->pending--) {
        struct op op = world_add_op(ids[w->asked % ARRAY_LEN(ids)], 1);

        world_ask(w, &op);
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

static void on_changed(void *ctx, bool up) {
    struct world *w = ctx;

    w->ups += up;
    w->downs += !up;
}

static void on_closed(void *ctx) {
    struct world *w = ctx;

    w->closed = true;
    loop_stop(w->loop);
}

void world_open_on(struct world *w, const char *const *options, bool tcp) {
    *w = (struct world){.metrics = metrics_new(2), .resolver = resolver_new()};
    assert_true(redis_fixture_start(&w->server, tcp, options));
    w->ones = calloc(OPS_MAX, sizeof(*w->ones));
    w->conf = (struct redis_fleet_conf){.url = {.is_unix = true},
                                        .resolver = w->resolver,
                                        .metrics = w->metrics,
                                        .new_lanes = 4,
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

void world_open(struct world *w, const char *const *options) {
    world_open_on(w, options, false);
}

void world_make_fleet(struct world *w) {
    w->fleet = redis_fleet_new(&w->conf);
    assert_non_null(w->fleet);
}

enum err world_probe(struct world *w, const char **out_detail) {
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
                                .producer = {5, 6 + w->shard},
                                .seed = 1};

    redis_port_init(&w->port, w->store, on_delivered, w);
    w->batcher = batcher_new(&conf, &w->port.upstream);
    assert_non_null(w->batcher);
    w->flush.run = on_tick;
    loop_hook_add(w->loop, &w->flush);
    w->poll.fire = on_poll;
    timer_start(w->loop, &w->poll, POLL_MS);
}

void world_start_loop(struct world *w) {
    struct loop_conf conf = {.backend = LOOP_EPOLL};
    struct redis_store_user user = {.ctx = w, .clock_learned = on_clock, .changed = on_changed};

    assert_int_equal(loop_new(&conf, &w->loop), ERR_OK);
    w->watchdog.fire = on_watchdog;
    timer_start(w->loop, &w->watchdog, WATCHDOG_MS);
    w->store = redis_store_new(w->fleet, w->loop, w->shard, &user);
    assert_non_null(w->store);
    make_batcher(w);
    assert_true(redis_store_connect(w->store));
}

void world_start(struct world *w) {
    world_make_fleet(w);
    assert_int_equal(world_probe(w, NULL), ERR_OK);
    world_start_loop(w);
}

/* Until that many more are answered. */
void world_run(struct world *w, size_t answers) {
    w->target = w->answered + answers;
    assert_int_equal(loop_run(w->loop), ERR_OK);
}

void world_stop_loop(struct world *w) {
    redis_store_close(w->store, on_closed, w);
    assert_int_equal(loop_run(w->loop), ERR_OK);
    assert_true(w->closed);
    loop_hook_remove(&w->flush);
    timer_stop(w->loop, &w->poll);
    timer_stop(w->loop, &w->step);
    timer_stop(w->loop, &w->watchdog);
    batcher_free(w->batcher);
    loop_free(w->loop);
    w->store = NULL;
}

void world_close(struct world *w) {
    if (w->store)
        world_stop_loop(w);
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

void world_check_counted(struct world *w, int64_t want) {
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

void world_check_all_ok(const struct world *w) {
    for (size_t i = 0; i < w->asked; i++) {
        if (w->ones[i].done != 1 || w->ones[i].answer.err != ERR_OK)
            fail_msg("operation %zu: %u answers, %s", i, w->ones[i].done,
                     err_name(w->ones[i].answer.err));
    }
}
