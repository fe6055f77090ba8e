/* uri.c - percent-decoding, one path part at a time. */
#include "wire/uri.h"

#include <string.h>

#include "wire/http1_char.h"

struct slice uri_next_part(struct slice *path) {
    const char *slash = path->len ? memchr(path->ptr, '/', path->len) : NULL;
    struct slice part = *path;

    if (slash) {
        part.len = (size_t)(slash - path->ptr);
        *path = slice_skip(*path, part.len + 1);
    } else {
        *path = slice_skip(*path, path->len);
    }
    return part;
}

static enum err invalid(const char **out_detail, const char *detail) {
    *out_detail = detail;
    return ERR_INVALID;
}

/* Into 'out', which is as long as 'part'; the length, or -1 at a broken escape. */
static ptrdiff_t unescape(struct slice part, char *out) {
    char *to = out;

    for (size_t i = 0; i < part.len; i++) {
        if (part.ptr[i] != '%') {
            *to++ = part.ptr[i];
            continue;
        }
        int high = part.len - i > 2 ? http1_hex(part.ptr[i + 1]) : -1;
        int low = high >= 0 ? http1_hex(part.ptr[i + 2]) : -1;

        if (low < 0)
            return -1;
        *to++ = (char)(high << 4 | low);
        i += 2;
    }
    return to - out;
}

enum err uri_decode_part(struct slice part, struct arena *arena, struct slice *out,
                         const char **out_detail) {
    struct slice text = part;

    if (part.len && memchr(part.ptr, '%', part.len)) {
        char *copy = arena_alloc(arena, part.len);

        if (!copy) {
            *out_detail = "the request needs too much memory";
            return ERR_NO_MEMORY;
        }
        ptrdiff_t len = unescape(part, copy);
        if (len < 0)
            return invalid(out_detail, "a percent escape in the path is malformed");
        text = slice_of(copy, (size_t)len);
    }
    if (text.len && memchr(text.ptr, '\0', text.len))
        return invalid(out_detail, "the path has a NUL character");
    if (!utf8_valid(text))
        return invalid(out_detail, "the path isn't valid UTF-8");
    *out = text;
    return ERR_OK;
}
