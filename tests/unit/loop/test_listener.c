/* Accepting: closing listeners, refused streams, and running out of descriptors. */
#include "harness.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/attr.h"
#include "loop/endpoint.h" /* to look at the inside */

static void stop(struct conn *c) {
    loop_stop(c->world->loop);
}

static void test_streams_have_nodelay(void **state) {
    static const struct behaviour behaviour = {.accepted = stop};
    struct world w;
    int fd;
    int nodelay = 0;
    socklen_t len = sizeof(nodelay);

    (void)state;
    world_open(&w, &behaviour, 1);
    fd = client_connect(&w);
    world_run(&w);
    assert_int_equal(getsockopt(w.conns[0].stream->ep.fd, IPPROTO_TCP, TCP_NODELAY, &nodelay, &len),
                     0);
    assert_int_not_equal(nodelay, 0);
    close(fd);
    world_close(&w);
}

static void stop_at(struct timer *timer) {
    struct world *w = CONTAINER_OF(timer, struct world, watchdog);

    loop_stop(w->loop);
}

/* A stream nobody wants: the peer sees the end, and nothing leaks. */
static void refused_client(struct world *w) {
    int fd = client_connect(w);

    if (!client_eof(fd))
        abort();
    close(fd);
}

static void stop_mail(struct mail *mail) {
    struct loop *loop = *(struct loop **)(mail + 1);

    loop_stop(loop);
    free(mail);
}

static void send_stop(struct world *w) {
    struct mail *mail = malloc(sizeof(*mail) + sizeof(struct loop *));

    *mail = (struct mail){.run = stop_mail};
    *(struct loop **)(mail + 1) = w->loop;
    if (mailbox_send(loop_mailbox(w->loop), mail) != ERR_OK)
        abort();
}

static void refused_then_stop(struct world *w) {
    refused_client(w);
    send_stop(w);
}

static void test_refused_stream(void **state) {
    static const struct behaviour behaviour = {0};
    struct world w;
    pthread_t client;

    (void)state;
    world_open(&w, &behaviour, 1);
    w.refuse = true;
    client = client_start(refused_then_stop, &w);
    world_run(&w);
    client_join(client);
    assert_int_equal(w.conn_count, 1);
    world_close(&w);
}

/* Closed inside on_accept(), with more connections waiting: no more come. */
static void test_close_inside_accept(void **state) {
    static const struct behaviour behaviour = {0};
    struct world w;
    int fds[5];

    (void)state;
    world_open(&w, &behaviour, 1); /* the harness fails on a second accept */
    w.close_listener = true;
    for (int i = 0; i < 5; i++)
        fds[i] = client_connect(&w);
    w.watchdog.fire = stop_at;
    timer_start(w.loop, &w.watchdog, 30);
    assert_int_equal(loop_run(w.loop), ERR_OK);
    assert_int_equal(w.conn_count, 1);
    for (int i = 0; i < 5; i++)
        close(fds[i]);
    world_close(&w);
}

/* The port is free again once the loop that listened is gone. */
static void test_port_is_free_after_close(void **state) {
    static const struct behaviour behaviour = {0};
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr = {harness_address()}};
    struct world w;
    int fd;

    (void)state;
    world_open(&w, &behaviour, 1);
    w.watchdog.fire = stop_at;
    timer_start(w.loop, &w.watchdog, 1); /* so that the accept is under way */
    assert_int_equal(loop_run(w.loop), ERR_OK);
    sa.sin_port = htons((uint16_t)w.port);
    world_close(&w);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* no SO_REUSEPORT */
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    close(fd);
}

/* Descriptors run out */

static struct rlimit before;

/* From here on exactly 'n' more descriptors can be had, if none is closed. */
static void allow_descriptors(int n) {
    struct rlimit limit;
    int next = dup(0);

    assert_true(next >= 0);
    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    limit = before;
    limit.rlim_cur = (rlim_t)(next + n);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void allow_all(void) {
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

#define QUEUED 3

static int queued[QUEUED];

/* Half-closes only: closing would free a descriptor of this process. */
static void one_after_another(struct world *w) {
    char answer;

    (void)w;
    for (int i = 0; i < QUEUED; i++) {
        client_write(queued[i], "x", 1);
        client_read(queued[i], &answer, 1);
        shutdown(queued[i], SHUT_WR);
        if (!client_eof(queued[i]))
            abort();
    }
}

static void expect_starved(struct conn *c, struct slice bytes) {
    (void)bytes;
    assert_true(stream_send(c->stream, SLICE("y"))); /* a lone one goes at once */
    if (c->world->closed < QUEUED - 1)
        assert_true(timer_armed(&c->world->listener->retry));
}

/* The stream that closed made room: no waiting for the retry. */
static void expect_resumed(struct conn *c) {
    assert_false(timer_armed(&c->world->listener->retry));
    if (c->world->closed == QUEUED)
        loop_stop(c->world->loop);
}

static void test_accepts_again_when_a_stream_closes(void **state) {
    static const struct behaviour behaviour = {
        .read = expect_starved, .fin = conn_close, .closed = expect_resumed};
    struct world w;
    pthread_t client;

    (void)state;
    world_open(&w, &behaviour, QUEUED);
    for (int i = 0; i < QUEUED; i++)
        queued[i] = client_connect(&w);
    allow_descriptors(1);
    client = client_start(one_after_another, &w);
    world_run(&w);
    client_join(client);
    allow_all();
    assert_int_equal(w.conn_count, QUEUED);
    for (int i = 0; i < QUEUED; i++)
        close(queued[i]);
    world_close(&w);
}

struct spare {
    struct timer timer;
    int fd;
};

static void close_spare(struct timer *timer) {
    close(CONTAINER_OF(timer, struct spare, timer)->fd);
}

static void test_accepts_again_after_a_while(void **state) {
    static const struct behaviour behaviour = {.accepted = stop};
    struct spare spare = {.timer = {.fire = close_spare}, .fd = dup(0)};
    struct world w;
    int fd;

    (void)state;
    world_open(&w, &behaviour, 1);
    fd = client_connect(&w);
    allow_descriptors(0);
    timer_start(w.loop, &spare.timer, 10);
    world_run(&w);
    allow_all();
    assert_int_equal(w.conn_count, 1);
    close(fd);
    world_close(&w);
}

/* A socket that others hold, too, is left as it is: what connects later is theirs, and what was
 * accepted before the stop comes still. */
static unsigned stops;

static void on_stopped(void *ctx) {
    stops++;
    loop_stop(((struct world *)ctx)->loop);
}

static void test_stop_of_a_shared_socket(void **state) {
    static const struct behaviour behaviour = {.accepted = stop};
    struct world w;
    int fds[2];

    (void)state;
    stops = 0;
    world_open(&w, &behaviour, 4);
    int others = dup(w.listener->ep.fd);
    assert_true(others >= 0);
    fds[0] = client_connect(&w);
    world_run(&w);
    assert_int_equal(w.conn_count, 1);
    listener_stop(w.listener, on_stopped);
    w.listener = NULL;
    assert_int_equal(stops, 0);
    world_run(&w);
    assert_int_equal(stops, 1);
    fds[1] = client_connect(&w);
    int accepted = accept(others, NULL, NULL);
    assert_true(accepted >= 0);
    assert_int_equal(w.conn_count, 1);
    close(accepted);
    close(others);
    close(fds[0]);
    close(fds[1]);
    world_close(&w);
}

static int group(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams_have_nodelay),
        cmocka_unit_test(test_refused_stream),
        cmocka_unit_test(test_close_inside_accept),
        cmocka_unit_test(test_port_is_free_after_close),
        cmocka_unit_test(test_stop_of_a_shared_socket),
        cmocka_unit_test(test_accepts_again_when_a_stream_closes),
        cmocka_unit_test(test_accepts_again_after_a_while),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
    return harness_run("listener", group);
}
