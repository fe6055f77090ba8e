/* uri.c - percent-decoding, one path part or one pair of a query at a time. */
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

/* Into 'out', which is as long as 'part'; the length, or -1 at a broken escape. 'plus' is what a
 * '+' becomes. */
static ptrdiff_t unescape(struct slice part, char plus, char *out) {
    char *to = out;

    for (size_t i = 0; i < part.len; i++) {
        if (part.ptr[i] != '%') {
            *to++ = part.ptr[i] == '+' ? plus : part.ptr[i];
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

/* What the sentences of one place are. */
struct place {
    const char *malformed;
    const char *nul;
    const char *not_utf8;
    char plus;
};

static enum err decode(struct slice part, const struct place *place, struct arena *arena,
                       struct slice *out, const char **out_detail) {
    struct slice text = part;

    if (part.len && (memchr(part.ptr, '%', part.len) || memchr(part.ptr, '+', part.len))) {
        char *copy = arena_alloc(arena, part.len);

        if (!copy) {
            *out_detail = "the request needs too much memory";
            return ERR_NO_MEMORY;
        }
        ptrdiff_t len = unescape(part, place->plus, copy);
        if (len < 0)
            return invalid(out_detail, place->malformed);
        text = slice_of(copy, (size_t)len);
    }
    if (text.len && memchr(text.ptr, '\0', text.len))
        return invalid(out_detail, place->nul);
    if (!utf8_valid(text))
        return invalid(out_detail, place->not_utf8);
    *out = text;
    return ERR_OK;
}

enum err uri_decode_part(struct slice part, struct arena *arena, struct slice *out,
                         const char **out_detail) {
    static const struct place path = {
        .malformed = "a percent escape in the path is malformed",
        .nul = "the path has a NUL character",
        .not_utf8 = "the path isn't valid UTF-8",
        .plus = '+',
    };

    /* Most names: unreserved characters and delimiters, which stand for themselves. */
    if (LIKELY(http1_all(part, HTTP1_HOST))) {
        *out = part;
        return ERR_OK;
    }
    return decode(part, &path, arena, out, out_detail);
}

bool uri_next_pair(struct slice *query, struct slice *out_name, struct slice *out_value) {
    while (query->len && query->ptr[0] == '&')
        *query = slice_skip(*query, 1);
    if (!query->len)
        return false;
    const char *end = memchr(query->ptr, '&', query->len);
    struct slice pair = slice_of(query->ptr, end ? (size_t)(end - query->ptr) : query->len);
    const char *equals = memchr(pair.ptr, '=', pair.len);
    *query = slice_skip(*query, pair.len);
    *out_name = slice_of(pair.ptr, equals ? (size_t)(equals - pair.ptr) : pair.len);
    *out_value = equals ? slice_skip(pair, out_name->len + 1) : (struct slice){NULL, 0};
    return true;
}

enum err uri_decode_query(struct slice text, struct arena *arena, struct slice *out,
                          const char **out_detail) {
    static const struct place query = {
        .malformed = "a percent escape in the query is malformed",
        .nul = "the query has a NUL character",
        .not_utf8 = "the query isn't valid UTF-8",
        .plus = ' ',
    };

    return decode(text, &query, arena, out, out_detail);
}
