/* fuzz_grpc_wire.c - gRPC's framing, header texts and gzip: there and back is the same.
 *
 * The first byte says which of them the rest goes to. zlib itself is gunzip's judge.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "wire/grpc_frame.h"
#include "wire/grpc_text.h"
#include "wire/gunzip.h"

#define INFLATED_MAX 65536u
#define GZIP_ONLY    (15 + 16) /* zlib's windowBits: the largest window, a gzip header */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok, const char *what) {
    if (ok)
        return;
    fprintf(stderr, "fuzz_grpc_wire: %s\n", what);
    abort();
}

static void must_equal(const struct buf *got, struct slice want, const char *what) {
    must(slice_eq(buf_slice(got), want), what);
}

/* ---- framing ------------------------------------------------------------- */

/* Events as text, a message's bytes with them, in pieces of at most 'piece'. */
static void read_frames(struct slice in, size_t piece, struct buf *out) {
    struct grpc_frame_reader reader = {0};
    enum grpc_frame_event event = GRPC_FRAME_MORE;

    while (in.len && event != GRPC_FRAME_BAD) {
        struct slice now = slice_of(in.ptr, in.len < piece ? in.len : piece);
        struct slice part;

        in = slice_skip(in, now.len);
        while ((event = grpc_frame_next(&reader, &now, &part)) != GRPC_FRAME_MORE) {
            if (event == GRPC_FRAME_PART) {
                must(part.len > 0, "an empty piece of a message");
                buf_add_slice(out, part);
            } else if (event == GRPC_FRAME_HEAD) {
                buf_printf(out, "<%d %u>", reader.compressed, reader.length);
            } else {
                buf_add_char(out, event == GRPC_FRAME_END ? '.' : '!');
            }
            if (event == GRPC_FRAME_BAD)
                break;
        }
        must(event == GRPC_FRAME_BAD || now.len == 0, "input is left over");
    }
    buf_printf(out, " between=%d", grpc_frame_between(&reader));
}

static void check_frames(struct slice in) {
    struct buf whole = {0}, bytes = {0};

    read_frames(in, in.len, &whole);
    read_frames(in, 1, &bytes);
    must_equal(&bytes, buf_slice(&whole), "frames depend on how they are cut");
    buf_release(&whole);
    buf_release(&bytes);
}

/* ---- texts --------------------------------------------------------------- */

static void check_percent(struct slice in) {
    struct buf coded = {0}, back = {0};

    grpc_percent_encode(&coded, in);
    for (size_t i = 0; i < coded.len; i++)
        must(coded.ptr[i] >= ' ' && coded.ptr[i] <= '~', "a byte that a header can't hold");
    grpc_percent_decode(&back, buf_slice(&coded));
    must_equal(&back, in, "percent-encoding loses something");
    buf_clear(&back);
    grpc_percent_decode(&back, in);
    must(back.len <= in.len, "percent-decoding adds something");
    buf_release(&coded);
    buf_release(&back);
}

static void check_base64(struct slice in) {
    struct buf coded = {0}, back = {0};

    grpc_base64_encode(&coded, in);
    must(grpc_base64_decode(&back, buf_slice(&coded)) == ERR_OK, "our own base64 is refused");
    must_equal(&back, in, "base64 loses something");
    buf_clear(&coded);
    buf_clear(&back);
    if (grpc_base64_decode(&back, in) == ERR_OK) {
        grpc_base64_encode(&coded, buf_slice(&back));
        must(coded.len <= in.len && in.len - coded.len <= 2, "more than padding was dropped");
    }
    buf_release(&coded);
    buf_release(&back);
}

static void check_timeout(struct slice in) {
    struct buf text = {0};
    int64_t ms, again = 0;

    if (grpc_timeout_parse(in, &ms) != ERR_OK)
        return;
    must(ms >= 0, "a negative time-out");
    grpc_timeout_write(&text, ms);
    must(text.len <= 9 && grpc_timeout_parse(buf_slice(&text), &again) == ERR_OK,
         "our own time-out is refused");
    must(again >= ms, "a time-out became shorter");
    buf_release(&text);
}

/* ---- gzip ---------------------------------------------------------------- */

/* zlib's opinion: the inflated bytes, false unless 'in' is one whole member of at most the limit.
 */
static bool inflate_one(struct slice in, uint8_t *out, size_t *out_len) {
    z_stream z = {.next_in = (Bytef *)(uintptr_t)in.ptr,
                  .avail_in = (uInt)in.len,
                  .next_out = out,
                  .avail_out = INFLATED_MAX};

    must(inflateInit2(&z, GZIP_ONLY) == Z_OK, "zlib");
    bool whole = inflate(&z, Z_FINISH) == Z_STREAM_END && z.avail_in == 0;
    *out_len = INFLATED_MAX - z.avail_out;
    (void)inflateEnd(&z);
    return whole;
}

static void check_gunzip(struct slice in) {
    static uint8_t expected[INFLATED_MAX];
    static struct gunzip *gunzip; /* used again, as a server does */
    struct buf out = {0};
    size_t len;

    if (!gunzip)
        gunzip = gunzip_new();
    must(gunzip, "no memory");
    bool whole = inflate_one(in, expected, &len);
    enum err err = gunzip_all(gunzip, in, INFLATED_MAX, &out);

    must(out.len <= INFLATED_MAX + (err == ERR_TOO_LARGE), "more than the limit");
    must((err == ERR_OK) == whole, "zlib has another opinion");
    if (whole)
        must_equal(&out, slice_of((const char *)expected, len), "zlib has other bytes");
    buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static void (*const checks[])(struct slice in) = {check_frames, check_percent, check_base64,
                                                      check_timeout, check_gunzip};

    if (size == 0)
        return 0;
    checks[data[0] % ARRAY_LEN(checks)](slice_of((const char *)data + 1, size - 1));
    return 0;
}
