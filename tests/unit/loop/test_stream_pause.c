/* Back-pressure: pause and resume, on both back ends. */
#include "harness.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define SENT_BYTES (4 * MIB)

static struct timer timer;
static struct conn *paused;

static void sending_client(struct world *w) {
    char *bytes = pattern_new(SENT_BYTES);
    int fd = client_connect(w);

    client_write(fd, bytes, SENT_BYTES);
    shutdown(fd, SHUT_WR);
    if (!client_eof(fd))
        abort();
    close(fd);
    free(bytes);
}

static void stop(struct conn *c) {
    loop_stop(c->world->loop);
}

static void run(const struct behaviour *behaviour) {
    struct world w;
    pthread_t client;

    world_open(&w, behaviour, 1);
    client = client_start(sending_client, &w);
    world_run(&w);
    client_join(client);
    assert_int_equal(w.conns[0].in_len, SENT_BYTES);
    assert_true(pattern_is(w.conns[0].in, SENT_BYTES, 0));
    assert_int_equal(w.conns[0].fins, 1);
    world_close(&w);
}

/* A pause after every read, ended on a later turn: bytes stay in order. */

static void resume(struct timer *t) {
    (void)t;
    if (paused->stream)
        stream_resume(paused->stream);
}

static void pause_until_timer(struct conn *c, struct slice bytes) {
    (void)bytes;
    paused = c;
    stream_pause(c->stream);
    timer_start(c->world->loop, &timer, 0);
}

static void finish(struct conn *c) {
    timer_stop(c->world->loop, &timer);
    conn_close(c);
}

static void test_order_is_kept(void **state) {
    static const struct behaviour behaviour = {
        .read = pause_until_timer, .fin = finish, .closed = stop};

    (void)state;
    timer = (struct timer){.fire = resume};
    run(&behaviour);
}

/* Both in one callback: as if nothing had happened. */
static void pause_and_resume(struct conn *c, struct slice bytes) {
    (void)bytes;
    stream_pause(c->stream);
    stream_resume(c->stream);
}

static void test_pause_and_resume_in_one_turn(void **state) {
    static const struct behaviour behaviour = {
        .read = pause_and_resume, .fin = conn_close, .closed = stop};

    (void)state;
    run(&behaviour);
}

/* What is sent once the pause has taken hold waits for the resume. */

#define SETTLE_MS 30

static bool held;

static void let_stream_go_on(struct timer *t) {
    (void)t;
    held = false;
    stream_resume(paused->stream);
}

static void let_client_go_on(struct timer *t) {
    sem_post(&paused->world->gate);
    t->fire = let_stream_go_on;
    timer_start(paused->world->loop, t, SETTLE_MS);
}

static void pause_once(struct conn *c, struct slice bytes) {
    (void)bytes;
    assert_false(held);
    if (paused)
        return;
    paused = c;
    held = true;
    stream_pause(c->stream);
    timer_start(c->world->loop, &timer, SETTLE_MS);
}

static void close_when_free(struct conn *c) {
    assert_false(held);
    conn_close(c);
}

static void going_on_client(struct world *w) {
    int fd = client_connect(w);

    client_write(fd, "1", 1);
    sem_wait(&w->gate);
    client_write(fd, "2", 1);
    shutdown(fd, SHUT_WR);
    if (!client_eof(fd))
        abort();
    close(fd);
}

static void test_paused_stream_reads_nothing(void **state) {
    static const struct behaviour behaviour = {
        .read = pause_once, .fin = close_when_free, .closed = stop};
    struct world w;
    pthread_t client;

    (void)state;
    paused = NULL;
    held = false;
    timer = (struct timer){.fire = let_client_go_on};
    world_open(&w, &behaviour, 1);
    client = client_start(going_on_client, &w);
    world_run(&w);
    client_join(client);
    assert_int_equal(w.conns[0].in_len, 2);
    assert_int_equal(w.conns[0].fins, 1);
    world_close(&w);
}

/* Paused, the peer gone, and nothing to send: the loop must not spin on the
 * hang-up it can't hand over. */

static unsigned turns;

static void count_turn(struct loop_hook *hook) {
    (void)hook;
    turns++;
}

static void spun(struct timer *t) {
    (void)t;
    assert_in_range(turns, 1, 20);
    stream_resume(paused->stream);
}

static void gone_client(struct world *w) {
    int fd = client_connect(w);
    char byte;

    client_write(fd, "x", 1);
    client_read(fd, &byte, 1);
    client_reset(fd);
}

static void answer_and_pause(struct conn *c, struct slice bytes) {
    (void)bytes;
    assert_true(stream_send(c->stream, SLICE("y"))); /* a lone one goes at once */
    paused = c;
    turns = 0;
    stream_pause(c->stream);
    timer_start(c->world->loop, &timer, SETTLE_MS);
}

static void test_paused_stream_of_a_gone_peer_costs_nothing(void **state) {
    static const struct behaviour behaviour = {
        .read = answer_and_pause, .broken = conn_close, .closed = stop};
    struct loop_hook hook = {.run = count_turn};
    struct world w;
    pthread_t client;

    (void)state;
    timer = (struct timer){.fire = spun};
    world_open(&w, &behaviour, 1);
    loop_hook_add(w.loop, &hook);
    client = client_start(gone_client, &w);
    world_run(&w);
    client_join(client);
    assert_int_equal(w.conns[0].broken, 1);
    loop_hook_remove(&hook);
    world_close(&w);
}

static int group(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_is_kept),
        cmocka_unit_test(test_pause_and_resume_in_one_turn),
        cmocka_unit_test(test_paused_stream_reads_nothing),
        cmocka_unit_test(test_paused_stream_of_a_gone_peer_costs_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
    return harness_run("stream_pause", group);
}
