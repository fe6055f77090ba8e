/* Bytes in and out of streams, on both back ends. */
#include "harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static void small_client(struct world *w) {
    int fd = client_connect(w);
    char answer[5];

    client_write(fd, "hello", 5);
    client_read(fd, answer, 5);
    if (memcmp(answer, "hello", 5) != 0)
        abort();
    shutdown(fd, SHUT_WR);
    if (!client_eof(fd))
        abort();
    close(fd);
}

static void test_small_echo(void **state) {
    struct world w;
    pthread_t client;

    (void)state;
    world_open(&w, &echo_behaviour, 1);
    client = client_start(small_client, &w);
    world_run(&w);
    client_join(client);
    assert_int_equal(w.conns[0].in_len, 5);
    assert_int_equal(w.conns[0].fins, 1);
    world_close(&w);
}

#define BIG (8 * MIB)

struct both {
    int fd;
    char *bytes;
};

static void *writer_main(void *arg) {
    struct both *both = arg;

    client_write(both->fd, both->bytes, BIG);
    shutdown(both->fd, SHUT_WR);
    return NULL;
}

static void big_client(struct world *w) {
    struct both both = {client_connect(w), pattern_new(BIG)};
    char *answer = malloc(BIG);
    pthread_t writer;

    pthread_create(&writer, NULL, writer_main, &both);
    client_read(both.fd, answer, BIG);
    if (!pattern_is(answer, BIG, 0) || !client_eof(both.fd))
        abort();
    pthread_join(writer, NULL);
    close(both.fd);
    free(answer);
    free(both.bytes);
}

static void test_big_echo(void **state) {
    struct world w;
    pthread_t client;

    (void)state;
    world_open(&w, &echo_behaviour, 1);
    client = client_start(big_client, &w);
    world_run(&w);
    client_join(client);
    assert_int_equal(w.conns[0].in_len, BIG);
    assert_true(pattern_is(w.conns[0].in, BIG, 0));
    world_close(&w);
}

/* More in one turn than the submission queue of io_uring holds (1,024). */
#define MANY 1200

static void many_client(struct world *w) {
    static int fds[MANY];

    for (int i = 0; i < MANY; i++)
        fds[i] = client_connect(w);
    for (int i = 0; i < MANY; i++)
        client_write(fds[i], &i, sizeof(i));
    for (int i = 0; i < MANY; i++) {
        int answer;

        client_read(fds[i], &answer, sizeof(answer));
        if (answer != i)
            abort();
    }
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
}

static void test_many_connections(void **state) {
    struct rlimit limit;
    struct world w;
    pthread_t client;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < 4 * MANY) {
        limit.rlim_cur = 4 * MANY;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    }
    world_open(&w, &echo_behaviour, MANY);
    client = client_start(many_client, &w);
    world_run(&w);
    client_join(client);
    world_close(&w);
}

/* All clients have sent before the loop turns once: in one turn there is more
 * to receive than there are receive buffers. */
#define FLOODS      64
#define FLOOD_BYTES ((size_t)192 << 10)

static void test_more_data_than_buffers(void **state) {
    char *bytes = pattern_new(FLOOD_BYTES);
    size_t sent[FLOODS] = {0};
    int fds[FLOODS];
    struct world w;

    (void)state;
    world_open(&w, &echo_behaviour, FLOODS);
    for (int i = 0; i < FLOODS; i++) {
        ssize_t n;

        fds[i] = client_connect(&w);
        n = send(fds[i], bytes, FLOOD_BYTES, MSG_DONTWAIT);
        assert_true(n > 0);
        sent[i] = (size_t)n;
        shutdown(fds[i], SHUT_WR);
    }
    world_run(&w);
    for (int i = 0; i < FLOODS; i++) {
        assert_int_equal(w.conns[i].in_len, sent[i]);
        assert_true(pattern_is(w.conns[i].in, sent[i], 0));
        close(fds[i]);
    }
    world_close(&w);
    free(bytes);
}

#define MESSAGES      1000
#define MESSAGE_BYTES 37

static void pipelining_client(struct world *w) {
    char *bytes = pattern_new((size_t)MESSAGES * MESSAGE_BYTES);
    char *answer = malloc((size_t)MESSAGES * MESSAGE_BYTES);
    int fd = client_connect(w);

    for (size_t i = 0; i < MESSAGES; i++)
        client_write(fd, bytes + i * MESSAGE_BYTES, MESSAGE_BYTES);
    client_read(fd, answer, (size_t)MESSAGES * MESSAGE_BYTES);
    if (memcmp(answer, bytes, (size_t)MESSAGES * MESSAGE_BYTES) != 0)
        abort();
    close(fd);
    free(answer);
    free(bytes);
}

static void test_pipelined_reads(void **state) {
    struct world w;
    pthread_t client;

    (void)state;
    world_open(&w, &echo_behaviour, 1);
    client = client_start(pipelining_client, &w);
    world_run(&w);
    client_join(client);
    world_close(&w);
}

/* A slow reader: one send of 8 MiB, taken by the client in small sips. */

static char *big_bytes;

/* More than the socket buffers hold, as long as the client doesn't read. */
static void send_big(struct conn *c) {
    assert_false(stream_send(c->stream, slice_of(big_bytes, BIG)));
    sem_post(&c->world->gate);
}

static void close_after_send(struct conn *c, enum err err) {
    assert_int_equal(err, ERR_OK);
    conn_close(c);
}

static void sipping_client(struct world *w) {
    int fd = client_connect(w);
    char sip[3000];

    sem_wait(&w->gate);
    for (size_t at = 0; at < BIG;) {
        size_t n = BIG - at < sizeof(sip) ? BIG - at : sizeof(sip);

        client_read(fd, sip, n);
        if (!pattern_is(sip, n, at))
            abort();
        at += n;
    }
    if (!client_eof(fd))
        abort();
    close(fd);
}

static void stop(struct conn *c) {
    loop_stop(c->world->loop);
}

static void test_slow_reader(void **state) {
    static const struct behaviour behaviour = {
        .accepted = send_big, .sent = close_after_send, .closed = stop};
    struct world w;
    pthread_t client;

    (void)state;
    big_bytes = pattern_new(BIG);
    world_open(&w, &behaviour, 1);
    client = client_start(sipping_client, &w);
    world_run(&w);
    client_join(client);
    assert_int_equal(w.conns[0].sent_ok, 1);
    world_close(&w);
    free(big_bytes);
}

/* The peer ends first and still gets its answer. */

static void answer_and_close(struct conn *c, enum err err) {
    assert_int_equal(err, ERR_OK);
    conn_close(c);
}

static void answer_fin(struct conn *c) {
    assert_int_equal(c->in_len, 8);
    if (stream_send(c->stream, SLICE("answer")))
        conn_close(c);
}

static void asking_client(struct world *w) {
    int fd = client_connect(w);
    char answer[6];

    client_write(fd, "question", 8);
    shutdown(fd, SHUT_WR);
    client_read(fd, answer, 6);
    if (memcmp(answer, "answer", 6) != 0 || !client_eof(fd))
        abort();
    close(fd);
}

static void test_peer_half_closes(void **state) {
    static const struct behaviour behaviour = {
        .fin = answer_fin, .sent = answer_and_close, .closed = stop};
    struct world w;
    pthread_t client;

    (void)state;
    world_open(&w, &behaviour, 1);
    client = client_start(asking_client, &w);
    world_run(&w);
    client_join(client);
    world_close(&w);
}

/* We end first, behind a send still under way, and go on reading. */

static void send_big_and_fin(struct conn *c) {
    send_big(c);
    stream_shutdown(c->stream);
}

static void late_client(struct world *w) {
    int fd = client_connect(w);
    char *answer = malloc(BIG);

    sem_wait(&w->gate);
    client_read(fd, answer, BIG);
    if (!pattern_is(answer, BIG, 0) || !client_eof(fd))
        abort();
    client_write(fd, "late", 4);
    close(fd);
    free(answer);
}

static void test_we_half_close(void **state) {
    static const struct behaviour behaviour = {
        .accepted = send_big_and_fin, .fin = conn_close, .closed = stop};
    struct world w;
    pthread_t client;

    (void)state;
    big_bytes = pattern_new(BIG);
    world_open(&w, &behaviour, 1);
    client = client_start(late_client, &w);
    world_run(&w);
    client_join(client);
    assert_int_equal(w.conns[0].sent_ok, 1);
    assert_int_equal(w.conns[0].in_len, 4);
    assert_memory_equal(w.conns[0].in, "late", 4);
    world_close(&w);
    free(big_bytes);
}

static void test_empty_send_is_done_at_once(void **state) {
    struct world w;
    int fd;

    (void)state;
    static const struct behaviour behaviour = {.accepted = stop};
    world_open(&w, &behaviour, 1);
    fd = client_connect(&w);
    world_run(&w);
    assert_true(stream_send(w.conns[0].stream, SLICE("")));
    close(fd);
    world_close(&w);
}

static int group(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_echo),
        cmocka_unit_test(test_big_echo),
        cmocka_unit_test(test_many_connections),
        cmocka_unit_test(test_more_data_than_buffers),
        cmocka_unit_test(test_pipelined_reads),
        cmocka_unit_test(test_slow_reader),
        cmocka_unit_test(test_peer_half_closes),
        cmocka_unit_test(test_we_half_close),
        cmocka_unit_test(test_empty_send_is_done_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
    return harness_run("stream", group);
}
