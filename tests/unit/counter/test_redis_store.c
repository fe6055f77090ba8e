/* test_redis_store.c - a batcher counting in a real Redis, through losses of every kind. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "edge/redis_script.h"
#include "redis_world.h"

/* ---- counting ---- */

/* On one connection messages are applied in the order of sending. */
static void test_counts(void **state) {
    (void)state;
    struct world w;

    world_open(&w, world_always);
    w.conf.connections = 1;
    world_start(&w);
    w.pending = 1000;
    world_run(&w, 1000);
    world_check_all_ok(&w);
    /* Five counters by turns: the k-th answer of each is k. */
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(w.ones[i].answer.value, i / 5 + 1);
    world_check_counted(&w, 1000);
    assert_true(redis_fleet_up(w.fleet));
    assert_int_not_equal(redis_fleet_store_id(w.fleet), 0);
    world_close(&w);
}

static void *count_beside(void *arg) {
    struct world *w = arg;

    world_start_loop(w);
    w->pending = 3000;
    world_run(w, 3000);
    world_stop_loop(w);
    return NULL;
}

/* Two loops on one fleet, each with a producer of its own. */
static void test_two_loops(void **state) {
    (void)state;
    struct world a;
    pthread_t thread;

    world_open(&a, NULL);
    a.conf.loops = 2;
    world_make_fleet(&a);
    struct world b = a;
    b.ones = calloc(OPS_MAX, sizeof(*b.ones));
    b.shard = 1;
    assert_int_equal(pthread_create(&thread, NULL, count_beside, &b), 0);
    (void)count_beside(&a);
    assert_int_equal(pthread_join(thread, NULL), 0);
    world_check_all_ok(&a);
    world_check_all_ok(&b);
    world_check_counted(&a, 6000);
    free(b.ones);
    world_close(&a);
}

/* What Redis needn't see is answered too, and what it refuses alone. */
static void test_refusals(void **state) {
    (void)state;
    struct world w;
    struct op ops[] = {world_add_op("a", 0), world_add_op("a", INT64_MAX), world_add_op("a", 1),
                       world_add_op("", 1), world_add_op("foreign", 1)};
    static const enum err want[] = {ERR_INVALID, ERR_OK, ERR_RANGE, ERR_INVALID, ERR_CORRUPT};

    world_open(&w, NULL);
    redisContext *client = redis_fixture_connect(&w.server);
    freeReplyObject(redis_fixture_do(client, "SET counter:foreign:like text"));
    world_start(&w);
    for (size_t i = 0; i < ARRAY_LEN(ops); i++)
        world_ask(&w, &ops[i]);
    world_run(&w, ARRAY_LEN(ops));
    for (size_t i = 0; i < ARRAY_LEN(ops); i++)
        assert_string_equal(err_name(w.ones[i].answer.err), err_name(want[i]));
    w.asked = 0;
    world_ask(&w, &ops[0]); /* alone: no call at all */
    world_run(&w, 1);
    assert_int_equal(w.ones[0].answer.err, ERR_INVALID);
    redisFree(client);
    world_close(&w);
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

    world_open(&w, world_always);
    world_start(&w);
    w.pending = 6000;
    w.step.fire = restart_server;
    timer_start(w.loop, &w.step, 5);
    world_run(&w, 6000);
    if (w.server.pid <= 0)
        redis_fixture_again(&w.server);
    assert_true(w.kills >= 5);
    world_check_all_ok(&w);
    world_check_counted(&w, 6000);
    world_close(&w);
}

/* Cuts whenever so many more operations were answered, so that each life gets something done. */
#define BETWEEN_CUTS 100

static void cut_connections(struct timer *timer) {
    struct world *w = CONTAINER_OF(timer, struct world, step);

    if (w->answered / BETWEEN_CUTS > w->kills) {
        redisContext *client = redis_fixture_connect(&w->server);

        freeReplyObject(redis_fixture_do(client, "CLIENT KILL TYPE normal SKIPME yes"));
        freeReplyObject(redis_fixture_do(client, "SCRIPT FLUSH"));
        redisFree(client);
        w->kills = (unsigned)(w->answered / BETWEEN_CUTS);
    }
    timer_start(w->loop, timer, 1);
}

/* Replies lost, scripts flushed: nothing counts twice. */
static void test_cut(void **state) {
    (void)state;
    struct world w;

    world_open(&w, NULL);
    world_start(&w);
    w.pending = 6000;
    w.step.fire = cut_connections;
    timer_start(w.loop, &w.step, 5);
    world_run(&w, 6000);
    assert_true(w.kills >= 10);
    world_check_all_ok(&w);
    world_check_counted(&w, 6000);
    world_close(&w);
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

    world_open(&w, NULL);
    world_start(&w);
    w.pending = 10;
    world_run(&w, 10);
    w.step.fire = flush_scripts;
    timer_start(w.loop, &w.step, 0);
    world_run(&w, 100);
    world_check_all_ok(&w);
    world_check_counted(&w, 110);
    world_close(&w);
}

static bool is_loaded(const struct world *w, const struct redis_script *script) {
    redisContext *client = redis_fixture_connect(&w->server);
    redisReply *reply = redis_fixture_do(client, "SCRIPT EXISTS %s", script->sha1);
    bool loaded = reply->element[0]->integer != 0;

    freeReplyObject(reply);
    redisFree(client);
    return loaded;
}

/* Nor does what nobody waits for: else the outbox would grow until Redis has no memory. */
static void test_lanes_are_tidied_behind_a_flush(void **state) {
    (void)state;
    struct world w;

    world_open(&w, NULL);
    world_start(&w);
    w.pending = 10;
    world_run(&w, 10); /* loads them */
    flush_scripts(&w.step);
    while (!is_loaded(&w, &redis_script_tidy)) {
        w.pending = 1; /* it goes behind traffic only */
        world_run(&w, 1);
    }
    world_check_all_ok(&w);
    world_close(&w);
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

    world_open(&w, NULL);
    w.conf.response_ms = 50;
    world_start(&w);
    w.pending = 10;
    world_run(&w, 10);
    (void)kill(w.server.pid, SIGSTOP);
    w.pending = 100;
    w.step.fire = wake;
    timer_start(w.loop, &w.step, 200);
    world_run(&w, 100);
    world_check_all_ok(&w);
    world_check_counted(&w, 110);
    world_close(&w);
}

static void test_full(void **state) {
    (void)state;
    struct world w;
    struct op op = world_add_op("a", 1);

    world_open(&w, NULL);
    redisContext *client = redis_fixture_connect(&w.server);
    world_start(&w);
    w.pending = 10;
    world_run(&w, 10);
    freeReplyObject(redis_fixture_do(client, "CONFIG SET maxmemory 1"));
    world_ask_until(&w, &op, loop_now_ms(w.loop) + 60);
    world_run(&w, 1);
    assert_int_equal(err_http(w.ones[w.asked - 1].answer.err), 504);
    freeReplyObject(redis_fixture_do(client, "CONFIG SET maxmemory 0"));
    world_check_counted(&w, 10); /* nothing of it */
    redisFree(client);
    world_close(&w);
}

static void test_nobody_there(void **state) {
    (void)state;
    struct world w;
    const char *detail;

    world_open(&w, world_always);
    redis_fixture_kill(&w.server);
    world_make_fleet(&w);
    assert_int_equal(redis_fleet_probe(w.fleet, 50, &detail), ERR_UNREACHABLE);
    assert_non_null(strstr(detail, "can't be reached"));
    assert_false(redis_fleet_up(w.fleet));
    /* Started nevertheless, it counts as soon as Redis is there. */
    world_start_loop(&w);
    w.pending = 50;
    w.step.fire = restart_server;
    timer_start(w.loop, &w.step, 50);
    w.target = 50;
    assert_int_equal(loop_run(w.loop), ERR_OK);
    world_check_all_ok(&w);
    world_check_counted(&w, 50);
    world_close(&w);
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

    world_open(&w, NULL);
    w.conf.lanes = 2;
    w.conf.outbox_max_bytes = 2 * 2000;
    world_start(&w);
    redisContext *client = redis_fixture_connect(&w.server);
    w.pending = 5000;
    world_run(&w, 5000);
    while (oldest_seq(client, 0) < 300 || oldest_seq(client, 1) < 300) {
        w.pending = 7;
        w.asked = 0;
        world_run(&w, 7);
    }
    redisFree(client);
    world_close(&w);
}

int main(void) {
    log_setup(LOG_ERROR, LOG_CONSOLE);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_two_loops),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_scripts_flushed),
        cmocka_unit_test(test_lanes_are_tidied_behind_a_flush),
        cmocka_unit_test(test_stands_still),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_trims),
    };
    struct redis_fixture server;

    if (!redis_fixture_start(&server, false, NULL)) {
        puts("no redis-server here: skipped");
        return 77;
    }
    redis_fixture_stop(&server);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
