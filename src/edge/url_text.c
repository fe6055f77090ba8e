/* url_text.c - escapes and credentials. */
#include "edge/url_text.h"

#include <string.h>

static int hex(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool url_unescape(struct slice from, char *out, size_t size) {
    size_t len = 0;

    for (size_t i = 0; i < from.len; i++) {
        char c = from.ptr[i];

        if (c == '%') {
            if (i + 2 >= from.len || hex(from.ptr[i + 1]) < 0 || hex(from.ptr[i + 2]) < 0)
                return false;
            c = (char)(hex(from.ptr[i + 1]) * 16 + hex(from.ptr[i + 2]));
            i += 2;
        }
        if (c == '\0' || len + 1 >= size)
            return false;
        out[len++] = c;
    }
    out[len] = '\0';
    return true;
}

struct slice url_cut(struct slice *text, char c, bool last) {
    const char *at = NULL;

    if (text->len)
        at = last ? memrchr(text->ptr, c, text->len) : memchr(text->ptr, c, text->len);
    if (!at)
        return (struct slice){NULL, 0};
    struct slice behind = slice_skip(*text, (size_t)(at - text->ptr) + 1);
    text->len = (size_t)(at - text->ptr);
    return behind;
}

static const char *read_credentials(struct slice text, char *user, char *password, size_t size) {
    struct slice secret = url_cut(&text, ':', false);

    if (secret.ptr ? secret.len == 0 : text.len == 0)
        return "credentials are user:password@, :password@ or user@";
    if (!url_unescape(text, user, size) || (secret.ptr && !url_unescape(secret, password, size)))
        return "user or password is too long or has a bad %-escape";
    return NULL;
}

const char *url_take_credentials(struct slice text, char *user, char *password, size_t size,
                                 struct slice *out_rest) {
    struct slice rest = url_cut(&text, '@', true);

    *out_rest = rest.ptr ? rest : text;
    return rest.ptr ? read_credentials(text, user, password, size) : NULL;
}
