/* channel_fixture.c */
#include "channel_fixture.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/stream.h"
#include "wire/grpc_frame.h"

/* ---- the loop and the channel -------------------------------------------- */

static void on_tick(struct timer *timer) {
    (void)timer;
}

static void stop_each_tick(struct loop_hook *hook) {
    loop_stop(CONTAINER_OF(hook, struct world, hook)->loop);
}

static void on_state(void *ctx, enum grpc_channel_state state) {
    struct world *w = ctx;

    assert_int_equal(state, grpc_channel_state(w->channel));
    if (w->state_count < ARRAY_LEN(w->states))
        w->states[w->state_count++] = state;
}

void world_init(struct world *w) {
    memset(w, 0, sizeof(*w));
    w->listening = -1;
    assert_int_equal(loop_new(&(struct loop_conf){.backend = fixture_backend}, &w->loop), ERR_OK);
    w->resolver = resolver_new();
    assert_non_null(w->resolver);
    w->tick.fire = on_tick;
    w->hook.run = stop_each_tick;
    loop_hook_add(w->loop, &w->hook);
    w->conf = (struct grpc_channel_conf){
        .resolver = w->resolver,
        .connect_ms = 20000,
        .backoff_min_ms = 1,
        .backoff_max_ms = 4,
        .keepalive_ms = 60000,
        .keepalive_timeout_ms = 20000,
        .message_bytes_max = MESSAGE_MAX,
        .on_state = on_state,
        .ctx = w,
        .seed = 1,
    };
}

void world_listen(struct world *w) {
    assert_int_equal(socket_listen(SLICE("127.0.0.1:0"), 0, &w->listening), ERR_OK);
    socket_name(w->listening, w->address, sizeof(w->address));
    w->conf.address = slice_str(w->address);
}

void world_connect(struct world *w) {
    w->channel = grpc_channel_new(w->loop, &w->conf);
    assert_non_null(w->channel);
    assert_int_equal(grpc_channel_state(w->channel), GRPC_CHANNEL_CONNECTING);
}

static void on_closed(void *ctx) {
    struct world *w = ctx;

    w->closed = true;
}

void world_release(struct world *w) {
    if (w->channel) {
        grpc_channel_close(w->channel, on_closed, w);
        assert_false(w->closed);
        AWAIT(w, w->closed);
    }
    for (size_t i = 0; i < w->call_count; i++) {
        assert_int_equal(w->calls[i].done, 1);
        free(w->calls[i].response);
    }
    if (w->listening >= 0)
        close(w->listening);
    timer_stop(w->loop, &w->tick);
    loop_hook_remove(&w->hook);
    resolver_free(w->resolver);
    loop_free(w->loop);
}

void world_turn(struct world *w) {
    timer_start(w->loop, &w->tick, 1);
    assert_int_equal(loop_run(w->loop), ERR_OK);
}

/* ---- calls --------------------------------------------------------------- */

static void on_done(struct grpc_out_call *call, const struct grpc_result *result) {
    struct called *called = CONTAINER_OF(call, struct called, call);

    called->done++;
    called->status = result->status;
    called->not_processed = result->not_processed;
    (void)snprintf(called->message, sizeof(called->message), "%.*s", SLICE_ARGS(result->message));
    called->response_len = result->response.len;
    if (result->status == GRPC_OK) {
        called->response = malloc(result->response.len + 1);
        memcpy(called->response, result->response.ptr, result->response.len);
        called->response[result->response.len] = '\0';
    } else {
        assert_int_equal(result->response.len, 0);
    }
    if (called->world->on_done)
        called->world->on_done(called);
}

enum err world_try_call(struct world *w, const char *path, struct slice request, int64_t timeout_ms,
                        struct called **out) {
    struct called *called = &w->calls[w->call_count];
    enum err err;

    assert_true(w->call_count < CALLS_MAX);
    called->world = w;
    called->call.done = on_done;
    called->call.trace = w->trace;
    err = grpc_channel_call(w->channel, &called->call, slice_str(path), request,
                            loop_now_ms(w->loop) + timeout_ms);
    assert_int_equal(called->done, 0);
    if (err == ERR_OK) {
        w->call_count++;
        *out = called;
    }
    return err;
}

struct called *world_call(struct world *w, const char *path, struct slice request,
                          int64_t timeout_ms) {
    struct called *called = NULL;

    assert_int_equal(world_try_call(w, path, request, timeout_ms, &called), ERR_OK);
    return called;
}

void world_await_done(struct world *w, struct called *called) {
    AWAIT(w, called->done);
}

void world_expect(const struct called *called, enum grpc_status status, bool not_processed) {
    assert_int_equal(called->done, 1);
    if (called->status != status || called->not_processed != not_processed)
        fail_msg("status %d (%s), %sprocessed", called->status, called->message,
                 called->not_processed ? "not " : "");
}

/* ---- the raw server ------------------------------------------------------ */

#define PREFACE_BYTES 24

static bool readable(int fd) {
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, 0) > 0;
}

struct raw *raw_accept(struct world *w) {
    struct raw *r = calloc(1, sizeof(*r));
    int one = 1;

    assert_non_null(r);
    AWAIT(w, readable(w->listening));
    r->fd = accept(w->listening, NULL, NULL);
    assert_true(r->fd >= 0);
    setsockopt(r->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    r->parsed = PREFACE_BYTES;
    return r;
}

struct raw *raw_ready(struct world *w) {
    struct raw *r = raw_accept(w);

    raw_settings(r, 0, 0);
    AWAIT(w, grpc_channel_state(w->channel) == GRPC_CHANNEL_READY);
    return r;
}

struct raw *world_open_raw(struct world *w) {
    world_init(w);
    world_listen(w);
    world_connect(w);
    return raw_ready(w);
}

void world_close_raw(struct world *w, struct raw *r) {
    world_release(w);
    raw_free(r);
}

struct called *world_requested(struct world *w, struct raw *r, int32_t stream_id) {
    struct called *called = world_call(w, "/test.Test/Call", SLICE("ask"), 20000);

    AWAIT(w, raw_requested(r, stream_id));
    return called;
}

bool raw_ended(struct raw *r) {
    raw_poll(r);
    return r->end;
}

void raw_free(struct raw *r) {
    close(r->fd);
    for (size_t i = 0; i < r->frame_count; i++)
        free(r->frames[i].payload);
    buf_release(&r->in);
    free(r);
}

static bool parse(struct raw *r) {
    struct frame *f = &r->frames[r->frame_count];
    const unsigned char *p;
    size_t len;

    if (r->in.len < r->parsed + 9)
        return false;
    p = (const unsigned char *)r->in.ptr + r->parsed;
    len = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
    if (r->in.len < r->parsed + 9 + len)
        return false;
    assert_true(r->frame_count < FRAMES_MAX);
    f->type = p[3];
    f->flags = p[4];
    f->stream_id = (int32_t)((uint32_t)p[5] << 24 | (uint32_t)p[6] << 16 | (uint32_t)p[7] << 8 |
                             (uint32_t)p[8]);
    f->len = len;
    f->payload = malloc(len + 1);
    memcpy(f->payload, p + 9, len);
    r->parsed += 9 + len;
    r->frame_count++;
    return true;
}

size_t raw_poll(struct raw *r) {
    char bytes[65536];
    ssize_t n;

    while ((n = recv(r->fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
        buf_add(&r->in, bytes, (size_t)n);
    r->end = r->end || n == 0 || (n < 0 && errno == ECONNRESET);
    while (parse(r))
        ;
    return r->frame_count;
}

unsigned raw_count(struct raw *r, uint8_t type, int32_t stream_id) {
    unsigned count = 0;

    raw_poll(r);
    for (size_t i = 0; i < r->frame_count; i++)
        count +=
            r->frames[i].type == type && (stream_id < 0 || r->frames[i].stream_id == stream_id);
    return count;
}

const struct frame *raw_find(struct raw *r, uint8_t type, int32_t stream_id) {
    raw_poll(r);
    for (size_t i = 0; i < r->frame_count; i++)
        if (r->frames[i].type == type && (stream_id < 0 || r->frames[i].stream_id == stream_id))
            return &r->frames[i];
    return NULL;
}

bool raw_requested(struct raw *r, int32_t stream_id) {
    raw_poll(r);
    for (size_t i = 0; i < r->frame_count; i++)
        if (r->frames[i].stream_id == stream_id && r->frames[i].type == NGHTTP2_DATA &&
            r->frames[i].flags & NGHTTP2_FLAG_END_STREAM)
            return true;
    return false;
}

/* A client that has gone already is fine: the test looks at what it made of the rest. */
void raw_send(struct raw *r, uint8_t type, uint8_t flags, int32_t stream_id, const void *payload,
              size_t len) {
    unsigned char head[9] = {(unsigned char)(len >> 16),
                             (unsigned char)(len >> 8),
                             (unsigned char)len,
                             type,
                             flags,
                             (unsigned char)(stream_id >> 24),
                             (unsigned char)(stream_id >> 16),
                             (unsigned char)(stream_id >> 8),
                             (unsigned char)stream_id};

    if (raw_write(r->fd, head, sizeof(head)))
        (void)raw_write(r->fd, payload, len);
}

static void put_u32(unsigned char *to, uint32_t value) {
    to[0] = (unsigned char)(value >> 24);
    to[1] = (unsigned char)(value >> 16);
    to[2] = (unsigned char)(value >> 8);
    to[3] = (unsigned char)value;
}

void raw_settings(struct raw *r, uint16_t id, uint32_t value) {
    unsigned char payload[6] = {(unsigned char)(id >> 8), (unsigned char)id};

    put_u32(payload + 2, value);
    raw_send(r, NGHTTP2_SETTINGS, 0, 0, payload, id ? sizeof(payload) : 0);
}

void raw_goaway(struct raw *r, int32_t last, uint32_t code, const char *text) {
    unsigned char payload[256];

    put_u32(payload, (uint32_t)last);
    put_u32(payload + 4, code);
    memcpy(payload + 8, text, strlen(text));
    raw_send(r, NGHTTP2_GOAWAY, 0, 0, payload, 8 + strlen(text));
}

void raw_reset(struct raw *r, int32_t stream_id, uint32_t code) {
    unsigned char payload[4];

    put_u32(payload, code);
    raw_send(r, NGHTTP2_RST_STREAM, 0, stream_id, payload, sizeof(payload));
}

/* RFC 7541 5.1, a prefix of seven bits: up to 127 + 16383 bytes. */
static void add_literal(struct buf *out, struct slice text) {
    size_t len = text.len;

    if (len < 127) {
        buf_add_char(out, (char)len);
    } else {
        buf_add_char(out, 127);
        for (len -= 127; len >= 128; len >>= 7)
            buf_add_char(out, (char)(len % 128 + 128));
        buf_add_char(out, (char)len);
    }
    buf_add_slice(out, text);
}

void raw_headers(struct raw *r, int32_t stream_id, const char *lines, bool end) {
    struct buf block = {0};

    while (*lines) {
        const char *colon = strstr(lines, ": ");
        const char *newline = strchr(lines, '\n');

        buf_add_char(&block, 0);
        add_literal(&block, slice_of(lines, (size_t)(colon - lines)));
        add_literal(&block, slice_of(colon + 2, (size_t)(newline - colon - 2)));
        lines = newline + 1;
    }
    raw_send(r, NGHTTP2_HEADERS,
             (uint8_t)(NGHTTP2_FLAG_END_HEADERS | (end ? NGHTTP2_FLAG_END_STREAM : 0)), stream_id,
             block.ptr, block.len);
    buf_release(&block);
}

void raw_message(struct raw *r, int32_t stream_id, struct slice message) {
    struct buf body = {0};

    frame_message(&body, false, message);
    for (struct slice rest = buf_slice(&body); rest.len > 0;) {
        size_t n = rest.len < 16384 ? rest.len : 16384;

        raw_send(r, NGHTTP2_DATA, 0, stream_id, rest.ptr, n);
        rest = slice_skip(rest, n);
    }
    buf_release(&body);
}

void raw_answer(struct raw *r, int32_t stream_id, struct slice message) {
    raw_headers(r, stream_id, GRPC_HEAD, false);
    raw_message(r, stream_id, message);
    raw_headers(r, stream_id, GRPC_TRAILERS, true);
}
