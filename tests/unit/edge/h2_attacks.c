/* h2_attacks.c */
#include "h2_attacks.h"

#include <nghttp2/nghttp2.h>
#include <string.h>
#include <sys/socket.h>

#include "grpc_fixture.h"

void h2_add_preface(struct buf *out) {
    buf_add_str(out, NGHTTP2_CLIENT_MAGIC);
    h2_add_frame(out, NGHTTP2_SETTINGS, 0, 0, SLICE(""));
}

void h2_add_frame(struct buf *out, uint8_t type, uint8_t flags, uint32_t stream_id,
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
    h2_add_frame(out, NGHTTP2_PING, 0, 0, SLICE("12345678"));
}

static void settings(struct buf *out, unsigned round) {
    (void)round;
    h2_add_frame(out, NGHTTP2_SETTINGS, 0, 0, SLICE("\0\3\0\0\0\144"));
}

static void empty_settings(struct buf *out, unsigned round) {
    (void)round;
    h2_add_frame(out, NGHTTP2_SETTINGS, 0, 0, SLICE(""));
}

static void rapid_reset(struct buf *out, unsigned round) {
    uint32_t id = round * 2 + 1;

    h2_add_frame(out, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, id, SLICE(H2_REQUEST_HEAD));
    h2_add_frame(out, NGHTTP2_RST_STREAM, 0, id, SLICE("\0\0\0\10"));
}

/* The client makes us reset: a window beyond 2^31-1 is a stream error (CVE-2025-8671). */
static void made_you_reset(struct buf *out, unsigned round) {
    uint32_t id = round * 2 + 1;

    h2_add_frame(out, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, id, SLICE(H2_REQUEST_HEAD));
    h2_add_frame(out, NGHTTP2_WINDOW_UPDATE, 0, id, SLICE("\177\377\377\377"));
}

static void open_once(struct buf *out, unsigned round) {
    if (round == 0)
        h2_add_frame(out, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, SLICE(H2_REQUEST_HEAD));
}

static void empty_data(struct buf *out, unsigned round) {
    open_once(out, round);
    h2_add_frame(out, NGHTTP2_DATA, 0, 1, SLICE(""));
}

static void dribble(struct buf *out, unsigned round) {
    open_once(out, round);
    h2_add_frame(out, NGHTTP2_DATA, 0, 1, SLICE("x"));
}

static void window_updates(struct buf *out, unsigned round) {
    (void)round;
    h2_add_frame(out, NGHTTP2_WINDOW_UPDATE, 0, 0, SLICE("\0\0\0\1"));
}

static void priorities(struct buf *out, unsigned round) {
    h2_add_frame(out, NGHTTP2_PRIORITY, 0, round * 2 + 1, SLICE("\0\0\0\0\17"));
}

static void unknown_frames(struct buf *out, unsigned round) {
    (void)round;
    h2_add_frame(out, 0xee, 0, 0, SLICE(""));
}

static void continuations(struct buf *out, unsigned round) {
    if (round == 0)
        h2_add_frame(out, NGHTTP2_HEADERS, 0, 1, SLICE(H2_REQUEST_HEAD));
    else
        h2_add_frame(out, NGHTTP2_CONTINUATION, 0, 1, SLICE(""));
}

/* One crumb in full, then 15,000 of one byte each that repeat it from the dynamic table. */
static void cookie_crumbs(struct buf *out, unsigned round) {
    struct buf block = {0};

    buf_add_slice(&block, SLICE(H2_REQUEST_HEAD));
    buf_add_slice(&block, SLICE("\x60\3a=b")); /* cookie, indexed: now entry 62 */
    for (int i = 0; i < 15000; i++)
        buf_add_char(&block, (char)0xbe);
    h2_add_frame(out, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, round * 2 + 1, buf_slice(&block));
    buf_release(&block);
}

/* A large field once, then a thousand times from the dynamic table: a byte each, 4 MB in all. */
static void large_fields(struct buf *out, unsigned round) {
    struct buf block = {0};

    buf_add_slice(&block, SLICE(H2_REQUEST_HEAD));
    buf_add_slice(&block, SLICE("\x40\1x\x7f\xa1\x1e")); /* "x", a value of 4,000 bytes */
    for (int i = 0; i < 4000; i++)
        buf_add_char(&block, 'v');
    for (int i = 0; i < 1100; i++)
        buf_add_char(&block, (char)0xbe);
    h2_add_frame(out, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, round * 2 + 1, buf_slice(&block));
    buf_release(&block);
}

/* clang-format off */
const struct h2_attack h2_attacks[] = {
    {"ping flood", ping, "too_many_pings", 4, 3},
    {"settings flood", settings, "too many frames without use", 101, 90},
    {"empty settings flood", empty_settings, "too many frames without use", 101, 0},
    {"rapid reset", rapid_reset, "too many streams reset", 1000, 900},
    {"made you reset", made_you_reset, "too many", 1000, 0},
    {"empty data", empty_data, "too many frames without use", 201, 150},
    {"data dribble", dribble, "too many frames without use", 2001, 0},
    {"window updates", window_updates, "too many frames without use", 2001, 0},
    {"priorities", priorities, "too many frames without use", 2001, 0},
    {"unknown frames", unknown_frames, "too many frames without use", 2001, 1900},
    {"continuations", continuations, "flood", 12, 0},
    {"cookie crumbs", cookie_crumbs, "too many header fields", 1, 0},
    {"large fields", large_fields, "too many header fields", 1, 0},
};
/* clang-format on */
const size_t h2_attack_count = ARRAY_LEN(h2_attacks);

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

static void send_rounds(int fd, const struct h2_attack *attack, unsigned rounds, bool all) {
    struct buf out = {0};

    h2_add_preface(&out);
    for (unsigned round = 0; round < rounds; round++)
        attack->add(&out, round);
    bool sent = raw_write(fd, out.ptr, out.len);
    if (all)
        assert_true(sent);
    buf_release(&out);
}

void h2_attack_run(int fd, const struct h2_attack *attack) {
    uint32_t code;
    char why[64];

    send_rounds(fd, attack, attack->rounds, false); /* it may close before the end */
    read_goaway(fd, &code, why, sizeof(why));
    if (code != NGHTTP2_ENHANCE_YOUR_CALM || !strstr(why, attack->why))
        fail_msg("%s: GOAWAY with code %u, \"%s\"", attack->name, code, why);
}

void h2_attack_below(int fd, const struct h2_attack *attack) {
    uint32_t code;
    char why[64];

    send_rounds(fd, attack, attack->patience, true);
    shutdown(fd, SHUT_WR);
    read_goaway(fd, &code, why, sizeof(why));
    if (code != UINT32_MAX)
        fail_msg("%s: GOAWAY with code %u, \"%s\"", attack->name, code, why);
}
