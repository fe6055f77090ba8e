/* test_grpc_floods.c - what a hostile client sends: each attack ends its connection, and another
 * client doesn't notice. */
#include "grpc_fixture.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WINDOW 65535

/* HPACK: :method POST, :scheme http, :path / from the static table, :authority t (RFC 7541 A). */
#define REQUEST_HEAD "\x83\x86\x84\x01\x01t"

static struct server server;

static void add_frame(struct buf *out, uint8_t type, uint8_t flags, uint32_t stream_id,
                      struct slice payload) {
    uint8_t head[9] = {(uint8_t)(payload.len >> 16),
                       (uint8_t)(payload.len >> 8),
                       (uint8_t)payload.len,
                       type,
                       flags,
                       (uint8_t)(stream_id >> 24),
                       (uint8_t)(stream_id >> 16),
                       (uint8_t)(stream_id >> 8),
                       (uint8_t)stream_id};

    buf_add(out, head, sizeof(head));
    buf_add_slice(out, payload);
}

static void ping(struct buf *out, unsigned round) {
    (void)round;
    add_frame(out, NGHTTP2_PING, 0, 0, SLICE("12345678"));
}

static void settings(struct buf *out, unsigned round) {
    (void)round;
    add_frame(out, NGHTTP2_SETTINGS, 0, 0, SLICE("\0\3\0\0\0\144"));
}

static void empty_settings(struct buf *out, unsigned round) {
    (void)round;
    add_frame(out, NGHTTP2_SETTINGS, 0, 0, SLICE(""));
}

static void rapid_reset(struct buf *out, unsigned round) {
    uint32_t id = round * 2 + 1;

    add_frame(out, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, id, SLICE(REQUEST_HEAD));
    add_frame(out, NGHTTP2_RST_STREAM, 0, id, SLICE("\0\0\0\10"));
}

/* The client makes us reset: a window beyond 2^31-1 is a stream error (CVE-2025-8671). */
static void made_you_reset(struct buf *out, unsigned round) {
    uint32_t id = round * 2 + 1;

    add_frame(out, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, id, SLICE(REQUEST_HEAD));
    add_frame(out, NGHTTP2_WINDOW_UPDATE, 0, id, SLICE("\177\377\377\377"));
}

static void open_once(struct buf *out, unsigned round) {
    if (round == 0)
        add_frame(out, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, SLICE(REQUEST_HEAD));
}

static void empty_data(struct buf *out, unsigned round) {
    open_once(out, round);
    add_frame(out, NGHTTP2_DATA, 0, 1, SLICE(""));
}

static void dribble(struct buf *out, unsigned round) {
    open_once(out, round);
    add_frame(out, NGHTTP2_DATA, 0, 1, SLICE("x"));
}

static void window_updates(struct buf *out, unsigned round) {
    (void)round;
    add_frame(out, NGHTTP2_WINDOW_UPDATE, 0, 0, SLICE("\0\0\0\1"));
}

static void priorities(struct buf *out, unsigned round) {
    add_frame(out, NGHTTP2_PRIORITY, 0, round * 2 + 1, SLICE("\0\0\0\0\17"));
}

static void unknown_frames(struct buf *out, unsigned round) {
    (void)round;
    add_frame(out, 0xee, 0, 0, SLICE(""));
}

static void continuations(struct buf *out, unsigned round) {
    if (round == 0)
        add_frame(out, NGHTTP2_HEADERS, 0, 1, SLICE(REQUEST_HEAD));
    else
        add_frame(out, NGHTTP2_CONTINUATION, 0, 1, SLICE(""));
}

/* One crumb in full, then 15,000 of one byte each that repeat it from the dynamic table. */
static void cookie_crumbs(struct buf *out, unsigned round) {
    struct buf block = {0};

    buf_add_slice(&block, SLICE(REQUEST_HEAD));
    buf_add_slice(&block, SLICE("\x60\3a=b")); /* cookie, indexed: now entry 62 */
    for (int i = 0; i < 15000; i++)
        buf_add_char(&block, (char)0xbe);
    add_frame(out, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, round * 2 + 1, buf_slice(&block));
    buf_release(&block);
}

static const struct {
    const char *name;
    void (*attack)(struct buf *out, unsigned round);
    const char *why; /* in the GOAWAY */
    unsigned rounds; /* that are enough */
} attacks[] = {
    {"ping flood", ping, "too_many_pings", 4},
    {"settings flood", settings, "too many frames without use", 101},
    {"empty settings flood", empty_settings, "too many frames without use", 101},
    {"rapid reset", rapid_reset, "too many streams reset", 1000},
    {"made you reset", made_you_reset, "too many", 1000},
    {"empty data", empty_data, "too many frames without use", 201},
    {"data dribble", dribble, "too many frames without use", 2001},
    {"window updates", window_updates, "too many frames without use", 2001},
    {"priorities", priorities, "too many frames without use", 2001},
    {"unknown frames", unknown_frames, "too many frames without use", 2001},
    {"continuations", continuations, "flood", 12},
    {"cookie crumbs", cookie_crumbs, "too many header fields", 1},
};

/* What the server said last, read to its end. */
static void read_goaway(int fd, uint32_t *out_code, char *why, size_t room) {
    struct buf in = {0};
    char bytes[65536];
    ssize_t n;

    while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0)
        buf_add(&in, bytes, (size_t)n);
    struct slice rest = buf_slice(&in);
    *out_code = UINT32_MAX;
    why[0] = '\0';
    while (rest.len >= 9) {
        const uint8_t *p = (const uint8_t *)rest.ptr;
        size_t len = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];

        if (rest.len < 9 + len)
            break;
        if (p[3] == NGHTTP2_GOAWAY && *out_code == UINT32_MAX) {
            *out_code = p[16];
            size_t text = len - 8 < room - 1 ? len - 8 : room - 1;
            memcpy(why, p + 17, text);
            why[text] = '\0';
        }
        rest = slice_skip(rest, 9 + len);
    }
    buf_release(&in);
}

static void run_attack(size_t row) {
    int fd = raw_connect(&server);
    struct buf out = {0};
    uint32_t code;
    char why[64];

    buf_add_str(&out, NGHTTP2_CLIENT_MAGIC);
    add_frame(&out, NGHTTP2_SETTINGS, 0, 0, SLICE(""));
    for (unsigned round = 0; round < attacks[row].rounds; round++)
        attacks[row].attack(&out, round);
    (void)raw_write(fd, out.ptr, out.len); /* it may close before the end */
    read_goaway(fd, &code, why, sizeof(why));
    if (code != NGHTTP2_ENHANCE_YOUR_CALM || !strstr(why, attacks[row].why))
        fail_msg("%s: GOAWAY with code %u, \"%s\"", attacks[row].name, code, why);
    buf_release(&out);
    close(fd);
}

static void test_attacks(void **state) {
    (void)state;
    server_start(&server, &FIXTURE_CONF);
    struct client *friend = client_new(&server, WINDOW);
    for (size_t row = 0; row < ARRAY_LEN(attacks); row++) {
        run_attack(row);
        unsigned i = client_call(friend, "/echo.Echo/Unary", SLICE("me too"));
        client_wait_closed(friend, (unsigned)row + 1);
        assert_int_equal(friend->replies[i].status, GRPC_OK);
    }
    client_free(friend);
    server_stop(&server);
    assert_int_equal(server.floods, ARRAY_LEN(attacks));
}

/* Just below each limit nobody is bothered. */
static void test_patience(void **state) {
    static const struct {
        void (*attack)(struct buf *out, unsigned round);
        unsigned rounds;
    } rows[] = {
        {ping, 3}, {settings, 90}, {rapid_reset, 900}, {empty_data, 150}, {unknown_frames, 1900},
    };

    (void)state;
    server_start(&server, &FIXTURE_CONF);
    for (size_t row = 0; row < ARRAY_LEN(rows); row++) {
        int fd = raw_connect(&server);
        struct buf out = {0};
        uint32_t code;
        char why[64];

        buf_add_str(&out, NGHTTP2_CLIENT_MAGIC);
        add_frame(&out, NGHTTP2_SETTINGS, 0, 0, SLICE(""));
        for (unsigned round = 0; round < rows[row].rounds; round++)
            rows[row].attack(&out, round);
        assert_true(raw_write(fd, out.ptr, out.len));
        shutdown(fd, SHUT_WR);
        read_goaway(fd, &code, why, sizeof(why));
        if (code != UINT32_MAX)
            fail_msg("row %zu: GOAWAY with code %u, \"%s\"", row, code, why);
        buf_release(&out);
        close(fd);
    }
    server_stop(&server);
    assert_int_equal(server.floods, 0);
}

/* The client's windows stay shut: 1,000 answers of 100 KB don't fit into what may be held; those
 * that do are given up after idle_ms. */
static void test_zero_window(void **state) {
    struct grpc_server_conf conf = FIXTURE_CONF;
    unsigned refused = 0;
    unsigned reset = 0;

    (void)state;
    conf.idle_ms = 200;
    server_start(&server, &conf);
    struct client *c = client_new(&server, 0);
    for (unsigned i = 0; i < STREAMS_MAX; i++)
        client_call(c, "/echo.Echo/Stream", SLICE("1 100000"));
    client_wait_closed(c, STREAMS_MAX);
    for (unsigned i = 0; i < STREAMS_MAX; i++) {
        assert_int_equal(c->replies[i].bytes, 0);
        refused += c->replies[i].status == GRPC_RESOURCE_EXHAUSTED;
        reset += c->replies[i].status < 0 && c->replies[i].reset == NGHTTP2_CANCEL;
    }
    assert_in_range(reset, 50, 62); /* 6 MiB of 100 KB */
    assert_int_equal(refused + reset, STREAMS_MAX);
    client_free(c);
    server_stop(&server);
}

/* 1,000 messages that begin and never end: what came of them is bounded, what was announced costs
 * nothing. */
static void test_unfinished_messages(void **state) {
    struct grpc_server_conf conf = FIXTURE_CONF;
    struct buf body = {0};
    unsigned refused = 0;

    (void)state;
    conf.deadline_max_ms = 3000;
    server_start(&server, &conf);
    struct client *c = client_new(&server, WINDOW);
    buf_add_slice(&body, SLICE("\0\0\77\377\377"));
    char *part = calloc(1, 16000);
    buf_add(&body, part, 16000);
    for (unsigned i = 0; i < STREAMS_MAX; i++)
        client_request(c, "/echo.Echo/Unary", NULL, buf_slice(&body), false);
    client_wait_closed(c, STREAMS_MAX);
    for (unsigned i = 0; i < STREAMS_MAX; i++)
        refused += c->replies[i].status == GRPC_RESOURCE_EXHAUSTED;
    assert_in_range(refused, 500, 900); /* 5 MiB of 16 KB are some 300 */
    free(part);
    buf_release(&body);
    client_free(c);
    server_stop(&server);
    assert_int_equal(server.echo.by_status[GRPC_RESOURCE_EXHAUSTED], refused);
    assert_int_equal(server.echo.by_status[GRPC_DEADLINE_EXCEEDED], STREAMS_MAX - refused);
}

/* A peer that doesn't read its socket: no more is read from it, and it is dropped. */
static void test_a_peer_that_does_not_read(void **state) {
    struct grpc_server_conf conf = FIXTURE_CONF;
    struct buf out = {0};
    int small = 4096;

    (void)state;
    conf.idle_ms = 300;
    server_start(&server, &conf);
    struct client *c = client_new(&server, 1u << 30);
    setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    nghttp2_submit_window_update(c->session, 0, 0, 1 << 30);
    for (unsigned i = 0; i < 900; i++)
        client_call(c, "/echo.Echo/Stream", SLICE("5 100000"));
    client_flush(c);
    server_stop(&server); /* returns: the connection is gone although nothing was read */
    buf_release(&out);
    client_free(c);
}

static int group(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attacks),
        cmocka_unit_test(test_patience),
        cmocka_unit_test(test_zero_window),
        cmocka_unit_test(test_unfinished_messages),
        cmocka_unit_test(test_a_peer_that_does_not_read),
    };

    return cmocka_run_group_tests_name("edge/grpc_floods", tests, NULL, NULL);
}

int main(void) {
    return fixture_run("edge/grpc_floods", group);
}
