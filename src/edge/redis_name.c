/* redis_name.c - the last colon is the one between. */
#include "edge/redis_name.h"

static bool read_type(struct slice text, struct buf *out) {
    buf_clear(out);
    for (size_t i = 0; i < text.len; i++) {
        struct slice rest = slice_skip(text, i);

        if (text.ptr[i] != '%') {
            buf_add_char(out, text.ptr[i]);
        } else if (slice_starts(rest, SLICE("%25")) || slice_starts(rest, SLICE("%3A"))) {
            buf_add_char(out, rest.ptr[1] == '2' ? '%' : ':');
            i += 2;
        } else {
            return false;
        }
    }
    return text.len > 0;
}

enum err redis_name_read(struct slice name, struct slice *out_resource, struct buf *out_type) {
    const char *colon = name.len ? memrchr(name.ptr, ':', name.len) : NULL;
    struct slice resource = slice_of(name.ptr, colon ? (size_t)(colon - name.ptr) : 0);

    if (!resource.len || memchr(name.ptr, 0, name.len) ||
        !read_type(slice_skip(name, resource.len + 1), out_type))
        return ERR_INVALID;
    *out_resource = resource;
    return buf_failed(out_type) ? ERR_NO_MEMORY : ERR_OK;
}
