/* fuzz_grpc_server.c - arbitrary bytes to the gRPC server, over a socket and a loop's turns.
 *
 *     byte 0: 1 the bytes begin with a preface of ours, 2 they are short frames (below)
 *     byte 1: the size of a piece, 0: all at once; the server gets a turn after each
 *     short frames: type, flags, stream, length, payload; type 0xf0 and above sends the frame
 *     before again, 'length' times
 *
 * What the server has sent must be frames, nothing of a stream behind its end. When the client has
 * gone no call and no connection may be left; one whose answers the client's window holds back
 * stays until their time is up, and is ended by a drain here.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "grpc_echo.h"

#include "loop/stream.h"
#include "loop/timer.h"

#define HAS_PREFACE  1u
#define SHORT_FRAMES 2u
#define OPTION_BYTES 2u
#define IN_MAX       65536u /* a socket's buffer holds it without a reader */
#define FRAME_HEAD   9u
#define SHORT_HEAD   4u
#define REPEAT       0xf0u
#define PIECES_MAX   32u
#define TURNS        4u  /* until what one write has caused is done */
#define TURNS_MAX    20u /* until a connection without a client is gone */
#define STREAMS_SEEN 256u
#define STREAM_ECHO  1u /* grpc_echo's method that answers as much as it is asked for */

enum { DATA = 0, HEADERS = 1, RST_STREAM = 3, SETTINGS = 4, TYPES = 10, END_STREAM = 1 };

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";

static struct {
    struct loop *loop;
    struct grpc_server *server;
    struct grpc_echo echo;
    struct grpc_method methods[GRPC_ECHO_METHODS];
    struct sockaddr_un address;
    socklen_t address_len;
} self;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok, const char *what) {
    if (ok)
        return;
    fprintf(stderr, "fuzz_grpc_server: %s\n", what);
    abort();
}

/* A local socket has no port to run out of; Linux finds it a name. */
static void start(void) {
    struct grpc_server_conf conf = {.methods = self.methods,
                                    .method_count = GRPC_ECHO_METHODS,
                                    .connections_max = 4,
                                    .message_bytes_max = 4096,
                                    .streams_max = 10,
                                    .deadline_max_ms = 20000,
                                    .idle_ms = 20000,
                                    .write_ms = 20000,
                                    .keepalive_min_ms = 10000,
                                    .finished = grpc_echo_finished,
                                    .finished_ctx = &self.echo};
    sa_family_t family = AF_UNIX;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    grpc_echo_methods(&self.echo, self.methods);
    self.methods[STREAM_ECHO] = self.methods[0];
    self.address_len = sizeof(self.address);
    must(fd >= 0 && bind(fd, (struct sockaddr *)&family, sizeof(family)) == 0 &&
             listen(fd, 4) == 0 &&
             getsockname(fd, (struct sockaddr *)&self.address, &self.address_len) == 0,
         "no socket");
    must(loop_new(&(struct loop_conf){.backend = LOOP_EPOLL}, &self.loop) == ERR_OK, "no loop");
    self.server = grpc_server_new(self.loop, &conf);
    must(self.server && grpc_server_listen(self.server, fd) == ERR_OK, "no server");
}

static void stop(struct timer *timer) {
    (void)timer;
    loop_stop(self.loop);
}

static void turn(void) {
    struct timer timer = {.fire = stop};

    timer_start(self.loop, &timer, 0);
    must(loop_run(self.loop) == ERR_OK, "the loop failed");
}

static void turns(unsigned count) {
    while (count--)
        turn();
}

static void drained(void *ctx) {
    *(bool *)ctx = true;
}

/* Nothing may be left of the connections now. */
static void end_all(void) {
    const struct grpc_server_stats *stats = grpc_server_stats(self.server);
    bool done = false;

    for (unsigned i = 0; i < TURNS_MAX && stats->connections; i++)
        turn();
    if (stats->connections) {
        grpc_server_drain(self.server, drained, &done);
        grpc_server_abort(self.server);
        for (unsigned i = 0; i < TURNS_MAX && !done; i++)
            turn();
        must(done, "the drain has no end");
    }
    must(stats->connections == 0, "a connection is left over");
    must(stats->calls == 0, "a call is left over");
    if (!done)
        return;
    grpc_server_free(self.server);
    loop_free(self.loop);
    self.loop = NULL; /* the next input gets a new server */
}

/* ---- what the client sends ----------------------------------------------- */

static void add_frame(struct buf *out, const uint8_t *head, size_t len) {
    const uint8_t full[FRAME_HEAD] = {0, 0, (uint8_t)len, head[0], head[1], 0, 0, 0, head[2]};

    buf_add(out, full, sizeof(full));
    buf_add(out, head + SHORT_HEAD, len);
}

static void expand(struct buf *out, const uint8_t *data, size_t size) {
    const uint8_t *last = NULL;
    size_t last_len = 0;

    while (size >= SHORT_HEAD && out->len < IN_MAX / 2) {
        size_t len = data[3];

        if (data[0] >= REPEAT) {
            while (last && len-- && out->len < IN_MAX / 2)
                add_frame(out, last, last_len);
            data += SHORT_HEAD;
            size -= SHORT_HEAD;
            continue;
        }
        if (len > size - SHORT_HEAD)
            len = size - SHORT_HEAD;
        add_frame(out, data, len);
        last = data;
        last_len = len;
        data += SHORT_HEAD + len;
        size -= SHORT_HEAD + len;
    }
}

/* ---- what it gets -------------------------------------------------------- */

static uint32_t read_u24(const uint8_t *p) {
    return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

static void check_frame(const uint8_t *head, bool *ended) {
    uint32_t id = (uint32_t)head[5] << 24 | read_u24(head + 6);
    uint8_t type = head[3];

    must(type < TYPES, "the server has sent a frame of an unknown type");
    if (id == 0 || id >= STREAMS_SEEN)
        return;
    if (type == DATA || type == HEADERS) {
        must(!ended[id], "the server goes on behind a stream's end");
        ended[id] = (head[4] & END_STREAM) != 0;
    } else if (type == RST_STREAM) {
        ended[id] = true;
    }
}

static void check_answer(struct slice in) {
    bool ended[STREAMS_SEEN] = {false};

    must(in.len < FRAME_HEAD || in.ptr[3] == SETTINGS, "the server's first frame isn't SETTINGS");
    while (in.len >= FRAME_HEAD) {
        size_t len = FRAME_HEAD + read_u24((const uint8_t *)in.ptr);

        check_frame((const uint8_t *)in.ptr, ended);
        if (len > in.len)
            return; /* the client has left before the rest */
        in = slice_skip(in, len);
    }
}

static void receive(int fd, struct buf *answer) {
    char bytes[4096];
    ssize_t n;

    while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0)
        buf_add(answer, bytes, (size_t)n);
}

static void converse(struct slice in, size_t piece, struct buf *answer) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    must(fd >= 0 && connect(fd, (struct sockaddr *)&self.address, self.address_len) == 0,
         "no connection");
    for (unsigned count = 1; in.len; count++) {
        size_t n = piece == 0 || piece > in.len || count == PIECES_MAX ? in.len : piece;

        if (send(fd, in.ptr, n, MSG_NOSIGNAL) != (ssize_t)n)
            break; /* the server has closed */
        in = slice_skip(in, n);
        turn();
        receive(fd, answer);
    }
    turns(TURNS);
    (void)shutdown(fd, SHUT_WR);
    turns(TURNS);
    receive(fd, answer);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct buf in = {0}, answer = {0};

    if (size < OPTION_BYTES || size > IN_MAX / 2)
        return 0;
    if (!self.loop)
        start();
    if (data[0] & HAS_PREFACE)
        buf_add(&in, preface, sizeof(preface)); /* its NUL is the last of the empty SETTINGS */
    if (data[0] & SHORT_FRAMES)
        expand(&in, data + OPTION_BYTES, size - OPTION_BYTES);
    else
        buf_add(&in, data + OPTION_BYTES, size - OPTION_BYTES);
    converse(buf_slice(&in), data[1], &answer);
    check_answer(buf_slice(&answer));
    end_all();
    buf_release(&in);
    buf_release(&answer);
    return 0;
}
