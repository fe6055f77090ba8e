/* transport_fixture.c */
#include "transport_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "loop/endpoint.h"

#define PATIENCE_MS 10000

struct loop *loop;
struct tls *server_tls;
struct tls *client_tls;
struct end client;
struct end server;
char *big;

static struct timer watchdog;
static bool (*done)(void);
static struct loop_hook looking;

void end_close(struct end *end) {
    end->live = false;
    timer_stop(loop, &end->later);
    transport_close(&end->transport);
}

void end_release(struct end *end) {
    if (end->live)
        end_close(end);
}

static void run(react what, struct end *end) {
    if (what)
        what(end);
}

static void on_read(void *ctx, struct slice bytes) {
    struct end *end = ctx;

    assert_true(end->live);
    assert_int_equal(end->fins, 0);
    assert_int_equal(end->broken, 0);
    if (bytes.len == 0) {
        end->fins++;
        run(end->on_fin, end);
        return;
    }
    if (end->in.len == 0)
        end->alpn = transport_alpn(&end->transport);
    buf_add_slice(&end->in, bytes);
    run(end->on_bytes, end);
}

static void on_sent(void *ctx, enum err err) {
    struct end *end = ctx;

    assert_int_equal(end->closed, 0);
    *(err == ERR_OK ? &end->sent_ok : &end->sent_closed) += 1;
    if (end->live)
        run(end->on_sent, end);
}

static void on_broken(void *ctx) {
    struct end *end = ctx;
    const char *problem = transport_peer_problem(&end->transport);

    assert_true(end->live);
    end->broken++;
    (void)snprintf(end->problem, sizeof(end->problem), "%s", problem ? problem : "");
    run(end->on_broken, end);
}

static void on_closed(void *ctx) {
    struct end *end = ctx;

    assert_false(end->live);
    end->closed++;
}

const struct stream_events end_events = {on_read, on_sent, on_broken, on_closed};

static void hang(struct timer *timer) {
    (void)timer;
    fprintf(stderr, "hangs: client fins %u broken %u sent %u, server fins %u broken %u sent %u\n",
            client.fins, client.broken, client.sent_ok, server.fins, server.broken, server.sent_ok);
    abort();
}

static void look(struct loop_hook *hook) {
    (void)hook;
    if (done())
        loop_stop(loop);
}

void run_until(bool (*what)(void)) {
    if (what())
        return;
    done = what;
    timer_start(loop, &watchdog, PATIENCE_MS);
    assert_int_equal(loop_run(loop), ERR_OK);
    timer_stop(loop, &watchdog);
}

void begin(struct end *end, const char *name, int fd, bool accepts, bool plain) {
    struct stream *stream = stream_new(loop, fd);

    *end = (struct end){.name = name, .live = true, .peer = end == &client ? &server : &client};
    assert_non_null(stream);
    if (accepts)
        assert_true(transport_accept_tls(&end->transport, stream, plain ? NULL : server_tls));
    else
        assert_true(transport_connect_tls(&end->transport, stream, plain ? NULL : client_tls,
                                          SLICE(SERVER_NAME)));
}

void make_pair(int out[2]) {
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, out), 0);
}

void meet(bool plain) {
    int fds[2];

    make_pair(fds);
    begin(&client, "client", fds[0], false, plain);
    begin(&server, "server", fds[1], true, plain);
    transport_start(&client.transport, &end_events, &client);
    transport_start(&server.transport, &end_events, &server);
}

int meet_raw(void) {
    int fds[2];

    make_pair(fds);
    client = (struct end){.name = "raw"};
    begin(&server, "server", fds[1], true, false);
    transport_start(&server.transport, &end_events, &server);
    return fds[0];
}

bool all_closed(void) {
    return !client.live && !server.live && client.closed == (client.transport.stream != NULL) &&
           server.closed == (server.transport.stream != NULL);
}

void part(void) {
    end_release(&client);
    end_release(&server);
    run_until(all_closed);
    buf_release(&client.in);
    buf_release(&server.in);
}

void send_text(struct end *end, const char *text) {
    if (transport_send(&end->transport, slice_str(text)))
        end->sent_ok++;
}

void send_big(struct end *end) {
    if (transport_send(&end->transport, slice_of(big, BIG)))
        end->sent_ok++;
}

bool got(const struct end *end, const char *text) {
    return slice_eq(buf_slice(&end->in), slice_str(text));
}

void answer(struct end *end) {
    if (got(end, "hello"))
        send_text(end, "and to you");
}

bool answered(void) {
    return got(&client, "and to you");
}

bool server_paused(void) {
    return server.paused;
}

bool server_ended(void) {
    return server.fins == 1;
}

bool client_ended(void) {
    return client.fins == 1;
}

bool server_broke(void) {
    return server.broken == 1;
}

bool client_broke(void) {
    return client.broken == 1;
}

void resume(struct timer *timer) {
    struct end *end = CONTAINER_OF(timer, struct end, later);

    end->paused = false;
    transport_resume(&end->transport);
}

void pause_a_moment(struct end *end) {
    assert_true(!end->paused || !end->transport.tls); /* under TLS nothing comes in a pause */
    end->paused = true;
    transport_pause(&end->transport);
    end->later.fire = resume;
    timer_start(loop, &end->later, 0);
}

void pause_for_long(struct end *end) {
    end->paused = true;
    transport_pause(&end->transport);
}

void fin(struct end *end) {
    transport_shutdown(&end->transport);
}

void close_peer(struct end *end) {
    end_release(end->peer);
}

void meet_and_talk(void) {
    meet(false);
    server.on_bytes = answer;
    send_text(&client, "hello");
    run_until(answered);
    server.on_bytes = NULL;
}

int open_loop(void **state) {
    (void)state;
    loop = harness_loop();
    looking.run = look;
    loop_hook_add(loop, &looking);
    watchdog.fire = hang;
    client = server = (struct end){0};
    server_tls = tls_of(TLS_SERVER, (struct tls_files){.cert = "server"}, "h2");
    client_tls = tls_of(TLS_CLIENT, (struct tls_files){.ca = "ca"}, "h2");
    return 0;
}

int close_loop(void **state) {
    (void)state;
    end_release(&client); /* only after a failure */
    end_release(&server);
    loop_hook_remove(&looking);
    loop_free(loop);
    tls_free(server_tls);
    tls_free(client_tls);
    return 0;
}

int transport_run(const char *name, int (*group)(void)) {
    int failed;

    big = pattern_new(BIG);
    failed = harness_run(name, group);
    free(big);
    return failed;
}
