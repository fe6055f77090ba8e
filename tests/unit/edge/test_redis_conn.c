/* test_redis_conn.c - the connection against a real redis-server, on each back end of the loop. */
#include "edge/redis_conn.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "edge/redis_command.h"
#include "loop/timer.h"
#include "redis_fixture.h"
#include "test.h"

#define WATCHDOG_MS 30000
#define REQUESTS    2000
#define BIG         ((size_t)1 << 20)

static const struct redis_scripts scripts = {{&redis_script_apply}};

struct asked {
    struct redis_request request;
    struct world *world;
    unsigned done;
    struct redis_outcome outcome;
    char text[128];
    int64_t number;
    size_t len;
};

struct world {
    struct redis_fixture server;
    struct redis_url url;
    struct loop *loop;
    struct resolver *resolver;
    struct redis_conn *conn;
    struct timer watchdog;
    struct timer again;
    struct timer kick;
    struct asked *asked;
    size_t answers;
    size_t stop_at; /* answers; stops the loop */
    unsigned ready;
    unsigned down;
    bool closed;
    void (*on_ready)(struct world *w);
    void (*on_down)(struct world *w);
    int64_t response_ms;
};

static enum loop_backend backend;

static void on_watchdog(struct timer *timer) {
    (void)timer;
    fail_msg("the test hangs");
}

static void on_ready(void *ctx) {
    struct world *w = ctx;

    w->ready++;
    if (w->on_ready)
        w->on_ready(w);
    else
        loop_stop(w->loop);
}

static void on_down(void *ctx) {
    struct world *w = ctx;

    w->down++;
    if (w->on_down)
        w->on_down(w);
}

static void on_done(struct redis_request *request, const struct redis_outcome *outcome) {
    struct asked *asked = CONTAINER_OF(request, struct asked, request);
    struct world *w = asked->world;

    asked->done++;
    asked->outcome = *outcome;
    if (outcome->reply) {
        struct slice text = redis_reply_text(outcome->reply);

        asked->len = text.len;
        (void)snprintf(asked->text, sizeof(asked->text), "%.*s", SLICE_ARGS(text));
        (void)redis_reply_i64(outcome->reply, &asked->number);
    }
    if (++w->answers == w->stop_at)
        loop_stop(w->loop);
}

static void add(struct buf *out, struct slice a, struct slice b, struct slice c) {
    struct slice args[] = {a, b, c};
    size_t count = c.ptr ? 3 : b.ptr ? 2 : 1;

    redis_command_begin(out, count);
    for (size_t i = 0; i < count; i++)
        redis_command_arg(out, args[i]);
}

static enum err ask(struct world *w, size_t i, struct slice a, struct slice b, struct slice c) {
    struct buf command = {0};

    w->asked[i].request.done = on_done;
    w->asked[i].world = w;
    add(&command, a, b, c);
    enum err err = redis_conn_ask(w->conn, &w->asked[i].request, buf_slice(&command));
    buf_release(&command);
    return err;
}

#define NONE ((struct slice){NULL, 0})

static void open_world(struct world *w, const char *options[], bool tcp) {
    struct loop_conf conf = {.backend = backend};

    *w = (struct world){.response_ms = 10000};
    assert_true(redis_fixture_start(&w->server, tcp, options));
    assert_int_equal(loop_new(&conf, &w->loop), ERR_OK);
    w->resolver = resolver_new();
    assert_non_null(w->resolver);
    w->asked = calloc(REQUESTS, sizeof(*w->asked));
    w->watchdog.fire = on_watchdog;
    timer_start(w->loop, &w->watchdog, WATCHDOG_MS);
    if (tcp)
        (void)snprintf(w->url.address, sizeof(w->url.address), "localhost:%d", w->server.port);
    else
        (void)snprintf(w->url.address, sizeof(w->url.address), "%s", w->server.socket);
    w->url.is_unix = !tcp;
}

static void start(struct world *w) {
    struct redis_conn_conf conf = {.resolver = w->resolver,
                                   .url = &w->url,
                                   .scripts = &scripts,
                                   .connect_ms = 5000,
                                   .response_ms = w->response_ms,
                                   .backoff_min_ms = 2,
                                   .backoff_max_ms = 50,
                                   .on_ready = on_ready,
                                   .on_down = on_down,
                                   .ctx = w,
                                   .seed = 7};

    w->conn = redis_conn_new(w->loop, &conf);
    assert_non_null(w->conn);
    assert_int_equal(ask(w, 0, SLICE("PING"), NONE, NONE), ERR_UNREACHABLE);
}

static void on_kick(struct timer *timer) {
    (void)timer;
}

/* What was asked between two runs leaves at the end of a tick: there must be one. */
static void run(struct world *w) {
    w->kick.fire = on_kick;
    timer_start(w->loop, &w->kick, 0);
    assert_int_equal(loop_run(w->loop), ERR_OK);
}

static void stop_now(struct timer *timer) {
    loop_stop(CONTAINER_OF(timer, struct world, kick)->loop);
}

static void one_turn(struct world *w) {
    w->kick.fire = stop_now;
    timer_start(w->loop, &w->kick, 0);
    assert_int_equal(loop_run(w->loop), ERR_OK);
}

static void on_conn_closed(void *ctx) {
    struct world *w = ctx;

    w->closed = true;
    loop_stop(w->loop);
}

static void close_world(struct world *w) {
    if (!w->closed) {
        redis_conn_close(w->conn, on_conn_closed, w);
        run(w);
    }
    timer_stop(w->loop, &w->watchdog);
    timer_stop(w->loop, &w->again);
    timer_stop(w->loop, &w->kick);
    loop_free(w->loop);
    resolver_free(w->resolver);
    redis_fixture_stop(&w->server);
    free(w->asked);
}

/* ---- asking ---- */

/* Numbers are in order only if replies went to their own requests. */
static void test_pipeline(void **state) {
    (void)state;
    struct world w;
    char *big = malloc(BIG);

    open_world(&w, NULL, true);
    start(&w);
    run(&w);
    assert_true(redis_conn_ready(w.conn));
    memset(big, 'x', BIG);
    assert_int_equal(ask(&w, 0, SLICE("SET"), SLICE("big"), slice_of(big, BIG)), ERR_OK);
    for (size_t i = 1; i < REQUESTS - 1; i++)
        assert_int_equal(ask(&w, i, SLICE("INCR"), SLICE("n"), NONE), ERR_OK);
    assert_int_equal(ask(&w, REQUESTS - 1, SLICE("GET"), SLICE("big"), NONE), ERR_OK);
    assert_int_equal(redis_conn_requests(w.conn), REQUESTS);
    w.stop_at = REQUESTS;
    run(&w);
    assert_string_equal(w.asked[0].text, "OK");
    for (size_t i = 1; i < REQUESTS - 1; i++) {
        assert_int_equal(w.asked[i].done, 1);
        assert_int_equal(w.asked[i].number, i);
    }
    assert_int_equal(w.asked[REQUESTS - 1].len, BIG);
    assert_int_equal(redis_conn_requests(w.conn), 0);
    free(big);
    close_world(&w);
    assert_int_equal(w.down, 0);
}

/* The user may only do this, in that database. */
static void test_credentials(void **state) {
    (void)state;
    static const char *options[] = {"--user", "svc",    "on",      ">s3cr@t", "~*", "&*",
                                    "+@all",  "--user", "default", "off",     NULL};
    struct world w;

    open_world(&w, options, false);
    (void)snprintf(w.url.user, sizeof(w.url.user), "svc");
    (void)snprintf(w.url.password, sizeof(w.url.password), "s3cr@t");
    w.url.db = 9;
    start(&w);
    run(&w);
    w.stop_at = 1;
    assert_int_equal(ask(&w, 0, SLICE("CLIENT"), SLICE("INFO"), NONE), ERR_OK);
    run(&w);
    assert_non_null(strstr(w.asked[0].text, "name=highgopress"));
    w.stop_at = 2;
    assert_int_equal(ask(&w, 1, SLICE("ACL"), SLICE("WHOAMI"), NONE), ERR_OK);
    run(&w);
    assert_string_equal(w.asked[1].text, "svc");
    close_world(&w);
}

static void stop_at_second(struct world *w) {
    if (w->down == 2)
        loop_stop(w->loop);
}

static void test_wrong_password(void **state) {
    (void)state;
    static const char *options[] = {"--requirepass", "right", NULL};
    struct world w;

    open_world(&w, options, false);
    (void)snprintf(w.url.password, sizeof(w.url.password), "secret-wrong");
    w.on_down = stop_at_second;
    start(&w);
    run(&w);
    assert_int_equal(w.ready, 0);
    assert_non_null(strstr(redis_conn_problem(w.conn), "WRONGPASS"));
    assert_null(strstr(redis_conn_problem(w.conn), "secret-wrong"));
    close_world(&w);
}

/* ---- errors ---- */

static void test_errors(void **state) {
    (void)state;
    struct world w;

    open_world(&w, NULL, false);
    redisContext *client = redis_fixture_connect(&w.server);
    start(&w);
    run(&w);
    w.stop_at = 3;
    assert_int_equal(
        ask(&w, 0, SLICE("EVALSHA"), SLICE("0000000000000000000000000000000000000000"), SLICE("0")),
        ERR_OK);
    freeReplyObject(redis_fixture_do(client, "CONFIG SET maxmemory 1"));
    assert_int_equal(ask(&w, 1, SLICE("INCR"), SLICE("a"), NONE), ERR_OK);
    assert_int_equal(ask(&w, 2, SLICE("NOSUCH"), NONE, NONE), ERR_OK);
    run(&w);
    assert_int_equal(w.asked[0].outcome.err, ERR_NOT_FOUND);
    assert_true(w.asked[0].outcome.refused);
    assert_int_equal(w.asked[1].outcome.err, ERR_NO_MEMORY);
    assert_true(w.asked[1].outcome.refused);
    assert_int_equal(w.asked[2].outcome.err, ERR_INTERNAL);
    assert_false(w.asked[2].outcome.refused);
    /* A replica: the connection is of no use, but a later one may be. */
    freeReplyObject(redis_fixture_do(client, "CONFIG SET maxmemory 0"));
    freeReplyObject(redis_fixture_do(client, "REPLICAOF 127.0.0.1 1"));
    w.stop_at = 4;
    w.ready = 0;
    assert_int_equal(ask(&w, 3, SLICE("INCR"), SLICE("a"), NONE), ERR_OK);
    run(&w);
    assert_int_equal(w.asked[3].outcome.err, ERR_UNAVAILABLE);
    assert_true(w.asked[3].outcome.refused);
    assert_int_equal(w.down, 1);
    assert_non_null(strstr(redis_conn_problem(w.conn), "READONLY"));
    freeReplyObject(redis_fixture_do(client, "REPLICAOF NO ONE"));
    w.stop_at = 0;
    run(&w);
    assert_true(redis_conn_ready(w.conn));
    redisFree(client);
    close_world(&w);
}

/* ---- losses ---- */

static void kill_again(struct timer *timer) {
    struct world *w = CONTAINER_OF(timer, struct world, again);

    redis_fixture_again(&w->server);
}

/* What left has an unknown outcome; what was asked in the tick of the loss surely did nothing. */
static void ask_late(struct world *w) {
    if (w->down == 1 && w->ready == 1)
        assert_int_equal(ask(w, 2, SLICE("PING"), NONE, NONE), ERR_UNREACHABLE);
}

static void test_killed(void **state) {
    (void)state;
    struct world w;

    open_world(&w, NULL, false);
    w.on_down = ask_late;
    start(&w);
    run(&w);
    (void)kill(w.server.pid, SIGSTOP);
    assert_int_equal(ask(&w, 0, SLICE("INCR"), SLICE("a"), NONE), ERR_OK);
    assert_int_equal(ask(&w, 1, SLICE("INCR"), SLICE("a"), NONE), ERR_OK);
    one_turn(&w); /* the commands are the kernel's */
    redis_fixture_kill(&w.server);
    w.stop_at = 2;
    run(&w);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(w.asked[i].done, 1);
        assert_int_equal(w.asked[i].outcome.err, ERR_UNKNOWN);
        assert_false(w.asked[i].outcome.refused);
    }
    /* Back on the same socket: found again without anybody's help. */
    w.again.fire = kill_again;
    timer_start(w.loop, &w.again, 20);
    run(&w);
    assert_int_equal(w.ready, 2);
    assert_true(w.down >= 1);
    close_world(&w);
}

/* A server that stands still: given up after response_ms, and found again when it goes on. */
static void test_deadline(void **state) {
    (void)state;
    struct world w;

    open_world(&w, NULL, true);
    w.response_ms = 60;
    start(&w);
    run(&w);
    (void)kill(w.server.pid, SIGSTOP);
    w.stop_at = 1;
    assert_int_equal(ask(&w, 0, SLICE("PING"), NONE, NONE), ERR_OK);
    run(&w);
    assert_int_equal(w.asked[0].outcome.err, ERR_UNKNOWN);
    assert_non_null(strstr(redis_conn_problem(w.conn), "in time"));
    (void)kill(w.server.pid, SIGCONT);
    run(&w);
    assert_int_equal(w.ready, 2);
    close_world(&w);
}

static void on_several(struct redis_request *request, const struct redis_outcome *outcome) {
    struct asked *asked = CONTAINER_OF(request, struct asked, request);

    if (outcome->reply) {
        assert_int_equal(redis_reply_count(outcome->reply), 3);
        assert_true(redis_reply_is_error(redis_reply_at(outcome->reply, 1)));
        assert_int_equal(redis_reply_text(redis_reply_at(outcome->reply, 2)).len, BIG);
        assert_true(redis_reply_i64(redis_reply_at(outcome->reply, 0), &asked->number));
    }
    on_done(request, outcome);
}

/* INCR, what is an error, and what doesn't come in one piece. */
static void ask_several(struct world *w, size_t i) {
    struct buf commands = {0};

    w->asked[i].world = w;
    w->asked[i].request.done = on_several;
    add(&commands, SLICE("INCR"), SLICE("a"), NONE);
    add(&commands, SLICE("INCR"), SLICE("big"), NONE);
    add(&commands, SLICE("GET"), SLICE("big"), NONE);
    assert_int_equal(redis_conn_ask_several(w->conn, &w->asked[i].request, buf_slice(&commands), 3),
                     ERR_OK);
    buf_release(&commands);
}

static void test_several(void **state) {
    (void)state;
    struct world w;
    char *big = malloc(BIG);

    open_world(&w, NULL, true);
    start(&w);
    run(&w);
    memset(big, 'x', BIG);
    assert_int_equal(ask(&w, 0, SLICE("SET"), SLICE("big"), slice_of(big, BIG)), ERR_OK);
    for (size_t i = 1; i < 9; i += 2) {
        ask_several(&w, i);
        assert_int_equal(ask(&w, i + 1, SLICE("INCR"), SLICE("a"), NONE), ERR_OK);
    }
    assert_int_equal(redis_conn_requests(w.conn), 9);
    w.stop_at = 9;
    run(&w);
    for (size_t i = 1; i < 9; i++) {
        assert_int_equal(w.asked[i].done, 1);
        assert_int_equal(w.asked[i].outcome.err, ERR_OK);
        assert_int_equal(w.asked[i].number, i);
    }
    assert_int_equal(redis_conn_requests(w.conn), 0);
    free(big);
    close_world(&w);
}

/* Some replies have come, and the rest never will. */
static void test_killed_among_several(void **state) {
    (void)state;
    struct world w;
    struct buf commands = {0};

    open_world(&w, NULL, false);
    start(&w);
    run(&w);
    w.asked[0].world = &w;
    w.asked[0].request.done = on_done;
    add(&commands, SLICE("INCR"), SLICE("a"), NONE);
    add(&commands, SLICE("QUIT"), NONE, NONE);
    add(&commands, SLICE("INCR"), SLICE("a"), NONE);
    assert_int_equal(redis_conn_ask_several(w.conn, &w.asked[0].request, buf_slice(&commands), 3),
                     ERR_OK);
    buf_release(&commands);
    w.stop_at = 1;
    run(&w);
    assert_int_equal(w.asked[0].outcome.err, ERR_UNKNOWN);
    assert_null(w.asked[0].outcome.reply);
    run(&w);
    assert_int_equal(w.ready, 2);
    assert_int_equal(ask(&w, 1, SLICE("INCR"), SLICE("a"), NONE), ERR_OK);
    w.stop_at = 2;
    run(&w);
    assert_int_equal(w.asked[1].number, 2);
    close_world(&w);
}

/* Asked, and lost before the tick's end. */
static void give_up_in_hook(struct timer *timer) {
    struct world *w = CONTAINER_OF(timer, struct world, again);

    assert_int_equal(ask(w, 0, SLICE("INCR"), SLICE("a"), NONE), ERR_OK);
    redis_conn_give_up(w->conn, "of another store");
}

static void test_never_sent(void **state) {
    (void)state;
    struct world w;

    open_world(&w, NULL, false);
    start(&w);
    run(&w);
    w.again.fire = give_up_in_hook;
    timer_start(w.loop, &w.again, 0);
    w.stop_at = 1;
    run(&w);
    assert_int_equal(w.asked[0].outcome.err, ERR_UNAVAILABLE);
    assert_true(w.asked[0].outcome.refused);
    assert_string_equal(redis_conn_problem(w.conn), "of another store");
    run(&w);
    assert_int_equal(w.ready, 2);
    close_world(&w);
}

static void test_close_under_way(void **state) {
    (void)state;
    struct world w;

    open_world(&w, NULL, false);
    start(&w);
    run(&w);
    (void)kill(w.server.pid, SIGSTOP);
    assert_int_equal(ask(&w, 0, SLICE("PING"), NONE, NONE), ERR_OK);
    redis_conn_close(w.conn, on_conn_closed, &w);
    assert_int_equal(w.asked[0].done, 0); /* never inside */
    run(&w);
    assert_true(w.closed);
    assert_int_equal(w.asked[0].done, 1);
    assert_int_equal(w.asked[0].outcome.err, ERR_CANCELLED);
    close_world(&w);
}

static void hear(struct world *w) {
    assert_false(w->closed);
}

/* Closed before, while, and after connecting: nothing leaks, nothing is called too late. */
static void test_close_early(void **state) {
    (void)state;
    for (int turns = 0; turns < 6; turns++) {
        struct world w;

        open_world(&w, NULL, turns % 2);
        start(&w);
        w.on_ready = hear;
        for (int i = 0; i < turns; i++)
            one_turn(&w);
        close_world(&w);
        assert_true(w.closed);
    }
}

static void test_nobody_there(void **state) {
    (void)state;
    struct world w;

    open_world(&w, NULL, false);
    redis_fixture_kill(&w.server);
    w.on_down = stop_at_second;
    start(&w);
    run(&w);
    assert_non_null(strstr(redis_conn_problem(w.conn), "can't be reached"));
    close_world(&w);
}

static int run_group(const char *name, enum loop_backend which) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pipeline),       cmocka_unit_test(test_credentials),
        cmocka_unit_test(test_wrong_password), cmocka_unit_test(test_errors),
        cmocka_unit_test(test_killed),         cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_never_sent),     cmocka_unit_test(test_close_under_way),
        cmocka_unit_test(test_close_early),    cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_several),        cmocka_unit_test(test_killed_among_several),
    };
    struct loop_conf conf = {.backend = which};
    struct loop *loop;

    if (loop_new(&conf, &loop) != ERR_OK) {
        printf("%s: refused here, skipped\n", name);
        return 0;
    }
    loop_free(loop);
    backend = which;
    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void) {
    struct redis_fixture server;

    if (!redis_fixture_start(&server, false, NULL)) {
        puts("no redis-server here: skipped");
        return 77;
    }
    redis_fixture_stop(&server);
    return run_group("epoll", LOOP_EPOLL) + run_group("io_uring", LOOP_IO_URING);
}
