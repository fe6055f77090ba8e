/* gunzip.c - gzip by zlib. */
#include "wire/gunzip.h"

#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

#define STEP_BYTES  16384u
#define GZIP_WINDOW (15 + 16) /* the largest window; + 16: a gzip header, not zlib's */

struct gunzip {
    z_stream z;
};

struct gunzip *gunzip_new(void) {
    struct gunzip *gunzip = calloc(1, sizeof(*gunzip));

    if (gunzip && inflateInit2(&gunzip->z, GZIP_WINDOW) != Z_OK) {
        free(gunzip);
        return NULL;
    }
    return gunzip;
}

void gunzip_free(struct gunzip *gunzip) {
    if (!gunzip)
        return;
    (void)inflateEnd(&gunzip->z);
    free(gunzip);
}

static enum err step(z_stream *z, size_t room, struct buf *out, int *out_code) {
    size_t want = room < STEP_BYTES ? room : STEP_BYTES;

    if (!buf_reserve(out, want))
        return ERR_NO_MEMORY;
    z->next_out = (unsigned char *)out->ptr + out->len;
    z->avail_out = (uInt)want;
    *out_code = inflate(z, Z_NO_FLUSH);
    out->len += want - z->avail_out;
    return *out_code == Z_MEM_ERROR ? ERR_NO_MEMORY : ERR_OK;
}

enum err gunzip_all(struct gunzip *gunzip, struct slice in, size_t bytes_max, struct buf *out) {
    z_stream *z = &gunzip->z;
    size_t began = out->len;
    int code = Z_OK;

    if (in.len > UINT_MAX || inflateReset(z) != Z_OK)
        return ERR_INVALID;
    z->next_in = (unsigned char *)(uintptr_t)in.ptr;
    z->avail_in = (uInt)in.len;
    while (code == Z_OK) {
        /* One byte more than allowed, to see that there is more. */
        size_t room = bytes_max - (out->len - began) + 1;
        enum err err = step(z, room, out, &code);

        if (err != ERR_OK)
            return err;
        if (out->len - began > bytes_max)
            return ERR_TOO_LARGE;
        if (code == Z_OK && z->avail_in == 0 && z->avail_out != 0)
            return ERR_INVALID; /* cut off */
    }
    return code == Z_STREAM_END && z->avail_in == 0 ? ERR_OK : ERR_INVALID;
}
