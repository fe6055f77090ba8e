/* How streams end: resets, and a close inside every callback. */
#include "harness.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define BIG (8 * MIB)

static char *big_bytes;

static int setup(void **state) {
    (void)state;
    big_bytes = pattern_new(BIG);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    free(big_bytes);
    return 0;
}

static void stop(struct conn *c) {
    loop_stop(c->world->loop);
}

/* More than the socket buffers hold, as long as the client doesn't read. */
static void send_big(struct conn *c) {
    assert_false(stream_send(c->stream, slice_of(big_bytes, BIG)));
    sem_post(&c->world->gate);
}

static void send_big_on_read(struct conn *c, struct slice bytes) {
    (void)bytes;
    send_big(c);
}

/* Sends a byte, waits for 'first' bytes of an answer, then resets. */
static void resetting_client(struct world *w) {
    int fd = client_connect(w);
    char byte;

    client_write(fd, "?", 1);
    if (w->user)
        client_read(fd, &byte, 1);
    client_reset(fd);
}

static void test_reset_while_reading(void **state) {
    static const struct behaviour behaviour = {.broken = conn_close, .closed = stop};
    struct world w;
    pthread_t client;

    (void)state;
    world_open(&w, &behaviour, 1);
    client = client_start(resetting_client, &w);
    world_run(&w);
    client_join(client);
    assert_int_equal(w.conns[0].broken, 1);
    assert_int_equal(w.conns[0].fins, 0);
    assert_int_equal(w.conns[0].sent_closed, 0);
    world_close(&w);
}

static void test_reset_while_sending(void **state) {
    static const struct behaviour behaviour = {
        .read = send_big_on_read, .broken = conn_close, .closed = stop};
    struct world w;
    pthread_t client;

    (void)state;
    world_open(&w, &behaviour, 1);
    w.user = &w; /* the client resets in the middle of the answer */
    client = client_start(resetting_client, &w);
    world_run(&w);
    client_join(client);
    assert_int_equal(w.conns[0].broken, 1);
    assert_int_equal(w.conns[0].sent_closed, 1);
    assert_int_equal(w.conns[0].sent_ok, 0);
    world_close(&w);
}

/* A paused stream hears of the reset by its send. */
static void pause_and_send_big(struct conn *c, struct slice bytes) {
    (void)bytes;
    stream_pause(c->stream);
    send_big(c);
}

static void test_reset_while_paused_and_sending(void **state) {
    static const struct behaviour behaviour = {
        .read = pause_and_send_big, .broken = conn_close, .closed = stop};
    struct world w;
    pthread_t client;

    (void)state;
    world_open(&w, &behaviour, 1);
    w.user = &w;
    client = client_start(resetting_client, &w);
    world_run(&w);
    client_join(client);
    assert_int_equal(w.conns[0].broken, 1);
    assert_int_equal(w.conns[0].sent_closed, 1);
    world_close(&w);
}

/* A send on a connection that broke already: the answer comes, and later. */
static bool answered;

static void send_when_broken(struct conn *c) {
    answered = false;
    /* One send of a back end that tries at once, the other on the next submit. */
    assert_false(stream_send(c->stream, slice_of(big_bytes, BIG)));
    assert_false(answered);
}

static void note_answer(struct conn *c, enum err err) {
    assert_int_equal(err, ERR_CLOSED);
    answered = true;
    conn_close(c);
}

static void test_send_after_reset(void **state) {
    static const struct behaviour behaviour = {
        .broken = send_when_broken, .sent = note_answer, .closed = stop};
    struct world w;
    pthread_t client;

    (void)state;
    world_open(&w, &behaviour, 1);
    client = client_start(resetting_client, &w);
    world_run(&w);
    client_join(client);
    assert_true(answered);
    assert_int_equal(w.conns[0].broken, 1);
    world_close(&w);
}

/* What the peer said before it broke is read, although a send finds the break first. */
#define LAST_WORDS "the last words"
static sem_t gone;

static void last_words_client(struct world *w) {
    int fd = client_connect(w);

    client_write(fd, "?", 1);
    sem_wait(&w->gate);
    client_write(fd, LAST_WORDS, sizeof(LAST_WORDS));
    client_reset(fd);
    sem_post(&gone);
}

/* To its end, with a loop that behaves so. */
static void world_of_last_words(struct world *w, const struct behaviour *behaviour) {
    pthread_t client;

    sem_init(&gone, 0, 0);
    world_open(w, behaviour, 1);
    client = client_start(last_words_client, w);
    world_run(w);
    client_join(client);
}

static void world_of_last_words_close(struct world *w) {
    world_close(w);
    sem_destroy(&gone);
}

static void send_to_the_gone(struct conn *c, struct slice bytes) {
    (void)bytes;
    if (c->reads > 1)
        return;
    sem_post(&c->world->gate);
    sem_wait(&gone);
    assert_false(stream_send(c->stream, SLICE("nobody hears it")));
}

static void test_last_words_are_read(void **state) {
    static const struct behaviour behaviour = {
        .read = send_to_the_gone, .broken = conn_close, .closed = stop};
    struct world w;

    (void)state;
    world_of_last_words(&w, &behaviour);
    assert_int_equal(w.conns[0].in_len, 1 + sizeof(LAST_WORDS));
    assert_memory_equal(w.conns[0].in + 1, LAST_WORDS, sizeof(LAST_WORDS));
    assert_int_equal(w.conns[0].sent_closed, 1);
    assert_int_equal(w.conns[0].broken, 1);
    assert_int_equal(w.conns[0].fins, 0);
    world_of_last_words_close(&w);
}

/* Both are there before there is anybody to receive them. */
static void test_a_reset_before_the_accept(void **state) {
    static const struct behaviour behaviour = {.broken = conn_close, .closed = stop};
    struct world w;

    (void)state;
    world_open(&w, &behaviour, 1);
    client_join(client_start(resetting_client, &w));
    world_run(&w);
    assert_int_equal(w.conns[0].in_len, 1);
    assert_int_equal(w.conns[0].broken, 1);
    assert_int_equal(w.conns[0].fins, 0);
    world_close(&w);
}

/* A reset right behind bytes is heard of without a send, too: both were there before the loop
 * looked. */
static void wait_for_the_end(struct conn *c, struct slice bytes) {
    (void)bytes;
    if (c->reads > 1)
        return;
    sem_post(&c->world->gate);
    sem_wait(&gone);
}

static void hear_a_reset_behind_bytes(const struct behaviour *behaviour) {
    struct world w;

    world_of_last_words(&w, behaviour);
    assert_int_equal(w.conns[0].in_len, 1 + sizeof(LAST_WORDS));
    assert_int_equal(w.conns[0].broken, 1);
    assert_int_equal(w.conns[0].fins, 0);
    world_of_last_words_close(&w);
}

static void test_a_reset_behind_bytes(void **state) {
    static const struct behaviour behaviour = {
        .read = wait_for_the_end, .broken = conn_close, .closed = stop};

    (void)state;
    hear_a_reset_behind_bytes(&behaviour);
}

/* Nor does a close wait for ever that comes right behind them. */
static void close_behind_bytes(struct conn *c, struct slice bytes) {
    wait_for_the_end(c, bytes);
    conn_close(c);
}

static void test_a_close_behind_bytes(void **state) {
    static const struct behaviour behaviour = {.read = close_behind_bytes, .closed = stop};
    struct world w;

    (void)state;
    world_of_last_words(&w, &behaviour);
    assert_int_equal(w.conns[0].in_len, 1);
    world_of_last_words_close(&w);
}

/* And when they came to a user that had paused. */
static struct conn *paused;

static void resume(struct timer *timer) {
    (void)timer;
    stream_resume(paused->stream);
}

static struct timer nap = {.fire = resume};

static void pause_for_the_end(struct conn *c, struct slice bytes) {
    if (c->reads == 1) {
        stream_pause(c->stream);
        paused = c;
        timer_start(c->world->loop, &nap, 1);
    }
    wait_for_the_end(c, bytes);
}

static void test_a_reset_behind_bytes_in_a_pause(void **state) {
    static const struct behaviour behaviour = {
        .read = pause_for_the_end, .broken = conn_close, .closed = stop};

    (void)state;
    hear_a_reset_behind_bytes(&behaviour);
}

/* And nobody waits for a user that has paused. */
static void pause_when_sent(struct conn *c, enum err err) {
    (void)err;
    stream_pause(c->stream);
}

static void test_a_pause_behind_a_failed_send(void **state) {
    static const struct behaviour behaviour = {
        .read = send_to_the_gone, .sent = pause_when_sent, .broken = conn_close, .closed = stop};
    struct world w;

    (void)state;
    world_of_last_words(&w, &behaviour);
    assert_int_equal(w.conns[0].broken, 1);
    world_of_last_words_close(&w);
}

/* A close with a send under way answers the send first, then says closed. */
static void close_and_look(struct conn *c, struct slice bytes) {
    (void)bytes;
    send_big(c);
    conn_close(c);
    assert_int_equal(c->sent_closed, 0);
    assert_int_equal(c->closed, 0);
}

static void closed_after_sent(struct conn *c) {
    assert_int_equal(c->sent_closed, 1);
    loop_stop(c->world->loop);
}

static void one_byte_client(struct world *w) {
    int fd = client_connect(w);
    char bytes[4096];

    client_write(fd, "?", 1);
    sem_wait(&w->gate);
    while (recv(fd, bytes, sizeof(bytes), 0) > 0)
        ;
    close(fd);
}

static void test_close_while_sending(void **state) {
    static const struct behaviour behaviour = {.read = close_and_look, .closed = closed_after_sent};
    struct world w;
    pthread_t client;

    (void)state;
    world_open(&w, &behaviour, 1);
    client = client_start(one_byte_client, &w);
    world_run(&w);
    client_join(client);
    world_close(&w);
}

/* The harness checks that nothing but on_sent() and on_closed() follows. */

static void close_in_accept(struct conn *c) {
    conn_close(c);
    assert_int_equal(c->closed, 0); /* never before the call returns */
}

static void close_in_read(struct conn *c, struct slice bytes) {
    (void)bytes;
    close_in_accept(c);
}

static void close_in_sent(struct conn *c, enum err err) {
    assert_int_equal(err, ERR_OK);
    close_in_accept(c);
}

static void chatty_client(struct world *w) {
    int fd = client_connect(w);
    char bytes[4096];

    send(fd, "a", 1, MSG_NOSIGNAL);
    send(fd, "b", 1, MSG_NOSIGNAL); /* may find it closed */
    shutdown(fd, SHUT_WR);
    if (w->user)
        sem_wait(&w->gate);
    while (recv(fd, bytes, sizeof(bytes), 0) > 0)
        ;
    close(fd);
}

static void test_close_in_each_callback(void **state) {
    static const struct {
        const char *name;
        struct behaviour behaviour;
        void (*client)(struct world *w);
        bool sends;
    } rows[] = {
        {"accept", {.accepted = close_in_accept, .closed = stop}, chatty_client, false},
        {"read", {.read = close_in_read, .closed = stop}, chatty_client, false},
        {"fin", {.fin = close_in_accept, .closed = stop}, chatty_client, false},
        {"sent",
         {.accepted = send_big, .sent = close_in_sent, .closed = stop},
         chatty_client,
         true},
        {"broken", {.broken = close_in_accept, .closed = stop}, resetting_client, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct world w;
        pthread_t client;

        world_open(&w, &rows[i].behaviour, 1);
        w.user = rows[i].sends ? &w : NULL;
        client = client_start(rows[i].client, &w);
        world_run(&w);
        client_join(client);
        if (w.conns[0].closed != 1)
            fail_msg("%s: closed %u times", rows[i].name, w.conns[0].closed);
        world_close(&w);
    }
}

/* Each closes the other: the events of one turn must survive it. */
static void close_others(struct conn *c, struct slice bytes) {
    struct world *w = c->world;

    (void)bytes;
    for (size_t i = 0; i < w->conn_count; i++)
        if (&w->conns[i] != c && w->conns[i].stream)
            conn_close(&w->conns[i]);
}

static void stop_when_one_is_left(struct conn *c) {
    if (c->world->closed == c->world->conn_max - 1)
        loop_stop(c->world->loop);
}

static void test_close_of_others_in_one_turn(void **state) {
    static const struct behaviour behaviour = {.read = close_others,
                                               .closed = stop_when_one_is_left};
    enum { PEERS = 20 };
    struct world w;
    int fds[PEERS];

    (void)state;
    world_open(&w, &behaviour, PEERS);
    for (int i = 0; i < PEERS; i++) {
        fds[i] = client_connect(&w);
        client_write(fds[i], "x", 1);
    }
    world_run(&w);
    assert_int_equal(w.closed, PEERS - 1);
    for (int i = 0; i < PEERS; i++)
        close(fds[i]);
    world_close(&w);
}

/* loop_free() finishes closes that a stopped loop left behind. */
static void test_free_finishes_closes(void **state) {
    static const struct behaviour behaviour = {.accepted = stop};
    struct world w;
    int fd;

    (void)state;
    world_open(&w, &behaviour, 1);
    fd = client_connect(&w);
    world_run(&w);
    send_big(&w.conns[0]);
    world_close(&w); /* asserts that on_closed() came once */
    close(fd);
}

static int group(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reset_while_reading),
        cmocka_unit_test(test_reset_while_sending),
        cmocka_unit_test(test_reset_while_paused_and_sending),
        cmocka_unit_test(test_send_after_reset),
        cmocka_unit_test(test_last_words_are_read),
        cmocka_unit_test(test_a_reset_before_the_accept),
        cmocka_unit_test(test_a_reset_behind_bytes),
        cmocka_unit_test(test_a_reset_behind_bytes_in_a_pause),
        cmocka_unit_test(test_a_close_behind_bytes),
        cmocka_unit_test(test_a_pause_behind_a_failed_send),
        cmocka_unit_test(test_close_while_sending),
        cmocka_unit_test(test_close_in_each_callback),
        cmocka_unit_test(test_close_of_others_in_one_turn),
        cmocka_unit_test(test_free_finishes_closes),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}

int main(void) {
    return harness_run("stream_end", group);
}
