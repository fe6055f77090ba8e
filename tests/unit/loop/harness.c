/* harness.c */
#include "harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WATCHDOG_MS 60000
#define POLL_US     100

struct loop_conf harness_conf;

/* For the client's threads, where cmocka's assertions can't jump. */
static void must(bool ok, const char *what) {
    if (ok)
        return;
    fprintf(stderr, "test client: %s: %s\n", what, strerror(errno));
    abort();
}

struct loop *harness_loop(void) {
    struct loop *loop;

    assert_int_equal(loop_new(&harness_conf, &loop), ERR_OK);
    return loop;
}

static void append(struct conn *c, struct slice bytes) {
    if (c->in_len + bytes.len > c->in_capacity) {
        c->in_capacity = (c->in_len + bytes.len) * 2;
        c->in = realloc(c->in, c->in_capacity);
        must(c->in, "realloc");
    }
    memcpy(c->in + c->in_len, bytes.ptr, bytes.len);
    c->in_len += bytes.len;
}

static void on_read(void *ctx, struct slice bytes) {
    struct conn *c = ctx;

    assert_non_null(c->stream);
    assert_int_equal(c->fins, 0);
    if (bytes.len == 0) {
        c->fins++;
        if (c->world->behaviour->fin)
            c->world->behaviour->fin(c);
        return;
    }
    c->reads++;
    append(c, bytes);
    if (c->world->behaviour->read)
        c->world->behaviour->read(c, bytes);
}

static void on_sent(void *ctx, enum err err) {
    struct conn *c = ctx;

    assert_int_equal(c->closed, 0);
    if (err == ERR_OK)
        c->sent_ok++;
    else
        c->sent_closed++;
    assert_true(err == ERR_OK || err == ERR_CLOSED);
    if (c->world->behaviour->sent)
        c->world->behaviour->sent(c, err);
}

static void on_broken(void *ctx) {
    struct conn *c = ctx;

    assert_non_null(c->stream);
    c->broken++;
    if (c->world->behaviour->broken)
        c->world->behaviour->broken(c);
}

static void on_closed(void *ctx) {
    struct conn *c = ctx;

    assert_null(c->stream);
    c->closed++;
    c->world->closed++;
    if (c->world->behaviour->closed)
        c->world->behaviour->closed(c);
}

static const struct stream_events events = {on_read, on_sent, on_broken, on_closed};

static void on_accept(void *ctx, struct stream *stream) {
    struct world *w = ctx;
    struct conn *c = &w->conns[w->conn_count];

    assert_true(w->conn_count < w->conn_max);
    w->conn_count++;
    if (w->close_listener) {
        listener_close(w->listener);
        w->listener = NULL;
    }
    if (w->refuse) {
        stream_close(stream);
        return;
    }
    c->world = w;
    c->stream = stream;
    assert_ptr_equal(stream_loop(stream), w->loop);
    stream_start(stream, &events, c);
    if (w->behaviour->accepted)
        w->behaviour->accepted(c);
}

static void on_watchdog(struct timer *timer) {
    (void)timer;
    fprintf(stderr, "the loop hangs\n");
    abort();
}

static int name_port(int fd) {
    char name[64];

    socket_name(fd, name, sizeof(name));
    return atoi(strrchr(name, ':') + 1);
}

in_addr_t harness_address(void) {
    return htonl(0x7f000001u | ((uint32_t)getpid() & 0xffffu) << 8);
}

void world_open(struct world *w, const struct behaviour *behaviour, size_t conn_max) {
    char name[32];
    int fd;

    memset(w, 0, sizeof(*w));
    sem_init(&w->gate, 0, 0);
    w->loop = harness_loop();
    w->behaviour = behaviour;
    w->conn_max = conn_max;
    w->conns = calloc(conn_max, sizeof(*w->conns));
    assert_non_null(w->conns);
    (void)snprintf(name, sizeof(name), "%s:0", inet_ntoa((struct in_addr){harness_address()}));
    assert_int_equal(socket_listen(slice_str(name), 0, &fd), ERR_OK);
    w->port = name_port(fd);
    assert_int_equal(listener_new(w->loop, fd, on_accept, w, &w->listener), ERR_OK);
    w->watchdog.fire = on_watchdog;
}

void world_run(struct world *w) {
    timer_start(w->loop, &w->watchdog, WATCHDOG_MS);
    assert_int_equal(loop_run(w->loop), ERR_OK);
    timer_stop(w->loop, &w->watchdog);
}

void world_close(struct world *w) {
    listener_close(w->listener);
    for (size_t i = 0; i < w->conn_count; i++)
        if (w->conns[i].stream)
            conn_close(&w->conns[i]);
    loop_free(w->loop);
    for (size_t i = 0; i < w->conn_count; i++) {
        assert_true(w->refuse || w->conns[i].closed == 1);
        free(w->conns[i].in);
    }
    free(w->conns);
    sem_destroy(&w->gate);
}

void conn_close(struct conn *c) {
    struct stream *stream = c->stream;

    c->stream = NULL;
    stream_close(stream);
}

static void echo_more(struct conn *c) {
    while (c->stream && !c->echo_bytes && c->echoed < c->in_len) {
        /* A copy, because 'in' may move while the send is under way. */
        size_t len = c->in_len - c->echoed;

        c->echo_bytes = malloc(len);
        must(c->echo_bytes, "malloc");
        memcpy(c->echo_bytes, c->in + c->echoed, len);
        c->echoed += len;
        if (!stream_send(c->stream, slice_of(c->echo_bytes, len)))
            return;
        free(c->echo_bytes);
        c->echo_bytes = NULL;
    }
    if (c->stream && !c->echo_bytes && c->fins > 0)
        conn_close(c);
}

static void echo_read(struct conn *c, struct slice bytes) {
    (void)bytes;
    echo_more(c);
}

static void echo_sent(struct conn *c, enum err err) {
    (void)err;
    free(c->echo_bytes);
    c->echo_bytes = NULL;
    echo_more(c);
}

static void echo_closed(struct conn *c) {
    if (c->world->closed == c->world->conn_max)
        loop_stop(c->world->loop);
}

const struct behaviour echo_behaviour = {
    .read = echo_read,
    .fin = echo_more,
    .sent = echo_sent,
    .broken = conn_close,
    .closed = echo_closed,
};

struct client {
    void (*fn)(struct world *w);
    struct world *w;
};

static void *client_main(void *arg) {
    struct client client = *(struct client *)arg;

    free(arg);
    client.fn(client.w);
    return NULL;
}

pthread_t client_start(void (*fn)(struct world *w), struct world *w) {
    struct client *client = malloc(sizeof(*client));
    pthread_t thread;

    must(client, "malloc");
    *client = (struct client){fn, w};
    must(pthread_create(&thread, NULL, client_main, client) == 0, "pthread_create");
    return thread;
}

void client_join(pthread_t thread) {
    pthread_join(thread, NULL);
}

int client_connect(const struct world *w) {
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)w->port),
                             .sin_addr = {harness_address()}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    must(fd >= 0, "socket");
    must(connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0, "connect");
    return fd;
}

void client_write(int fd, const void *bytes, size_t len) {
    const char *p = bytes;

    while (len > 0) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

        must(n > 0, "send");
        p += n;
        len -= (size_t)n;
    }
}

void client_read(int fd, void *bytes, size_t len) {
    char *p = bytes;

    while (len > 0) {
        ssize_t n = recv(fd, p, len, 0);

        must(n > 0, "recv");
        p += n;
        len -= (size_t)n;
    }
}

bool client_eof(int fd) {
    char byte;

    return recv(fd, &byte, 1, 0) == 0;
}

void client_reset(int fd) {
    struct linger linger = {.l_onoff = 1, .l_linger = 0};

    must(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) == 0, "SO_LINGER");
    close(fd);
}

char *pattern_new(size_t len) {
    char *bytes = malloc(len);

    must(bytes, "malloc");
    for (size_t i = 0; i < len; i++)
        bytes[i] = pattern(i);
    return bytes;
}

bool pattern_is(const char *bytes, size_t len, size_t from) {
    for (size_t i = 0; i < len; i++)
        if (bytes[i] != pattern(from + i))
            return false;
    return true;
}

int harness_run(const char *name, int (*group)(void)) {
    /* epoll first: what the kernel still has to do for a ring that is gone interrupts a wait, which
     * is a turn more than test_loop.c counts. */
    static const struct loop_conf confs[] = {
        {LOOP_EPOLL, 0}, {LOOP_EPOLL, POLL_US}, {LOOP_IO_URING, 0}, {LOOP_IO_URING, POLL_US}};
    static const char *const names[] = {"epoll", "epoll, polling", "io_uring", "io_uring, polling"};
    int failed = 0;

    for (size_t i = 0; i < ARRAY_LEN(confs); i++) {
        struct loop *loop;

        harness_conf = confs[i];
        printf("== %s on %s\n", name, names[i]);
        if (loop_new(&harness_conf, &loop) == ERR_UNAVAILABLE) {
            printf("[  SKIPPED ] %s: this kernel or its policy refuses io_uring\n", name);
            continue;
        }
        loop_free(loop);
        failed += group();
    }
    return failed;
}
