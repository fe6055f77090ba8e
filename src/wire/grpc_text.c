/* grpc_text.c */
#include "wire/grpc_text.h"

#define TIMEOUT_DIGITS_MAX 8 /* "TimeoutValue → {positive integer as ASCII string, 8 digits}" */

/* ---- grpc-message -------------------------------------------------------- */

void grpc_percent_encode(struct buf *out, struct slice text) {
    static const char hex[] = "0123456789ABCDEF";

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if (c >= 0x20 && c <= 0x7e && c != '%') {
            buf_add_char(out, (char)c);
        } else {
            char escaped[3] = {'%', hex[c >> 4], hex[c & 15]};
            buf_add(out, escaped, sizeof(escaped));
        }
    }
}

static int hex_value(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

void grpc_percent_decode(struct buf *out, struct slice text) {
    for (size_t i = 0; i < text.len; i++) {
        int high = text.ptr[i] == '%' && text.len - i > 2 ? hex_value(text.ptr[i + 1]) : -1;
        int low = high >= 0 ? hex_value(text.ptr[i + 2]) : -1;

        if (low >= 0) {
            buf_add_char(out, (char)(high << 4 | low));
            i += 2;
        } else {
            buf_add_char(out, text.ptr[i]);
        }
    }
}

/* ---- grpc-timeout -------------------------------------------------------- */

/* A unit is so many nanoseconds. */
static int64_t unit_ns(char unit) {
    switch (unit) {
    case 'H':
        return INT64_C(3600000000000);
    case 'M':
        return INT64_C(60000000000);
    case 'S':
        return INT64_C(1000000000);
    case 'm':
        return INT64_C(1000000);
    case 'u':
        return INT64_C(1000);
    case 'n':
        return 1;
    default:
        return 0;
    }
}

enum err grpc_timeout_parse(struct slice text, int64_t *out_ms) {
    int64_t value = 0;

    if (text.len < 2 || text.len > TIMEOUT_DIGITS_MAX + 1)
        return ERR_INVALID;
    int64_t unit = unit_ns(text.ptr[text.len - 1]);
    if (unit == 0)
        return ERR_INVALID;
    for (size_t i = 0; i + 1 < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return ERR_INVALID;
        value = value * 10 + (text.ptr[i] - '0');
    }
    /* Eight digits of hours in nanoseconds don't fit: whole milliseconds first. */
    if (unit >= 1000000)
        *out_ms = value * (unit / 1000000);
    else
        *out_ms = (value * unit + 999999) / 1000000;
    return ERR_OK;
}

void grpc_timeout_write(struct buf *out, int64_t ms) {
    static const struct {
        char unit;
        int64_t ms;
    } units[] = {{'m', 1}, {'S', 1000}, {'M', 60000}, {'H', 3600000}};
    int64_t most = 99999999;
    size_t i = 0;

    while (i + 1 < ARRAY_LEN(units) && ms > most * units[i].ms)
        i++;
    int64_t value = ms / units[i].ms + (ms % units[i].ms != 0);
    buf_add_i64(out, value < most ? value : most);
    buf_add_char(out, units[i].unit);
}

/* ---- base64 -------------------------------------------------------------- */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void grpc_base64_encode(struct buf *out, struct slice bytes) {
    const unsigned char *p = (const unsigned char *)bytes.ptr;

    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t n = bytes.len - i < 3 ? bytes.len - i : 3;
        unsigned group = (unsigned)p[i] << 16;

        if (n > 1)
            group |= (unsigned)p[i + 1] << 8;
        if (n > 2)
            group |= p[i + 2];
        for (size_t k = 0; k <= n; k++)
            buf_add_char(out, alphabet[group >> (18 - 6 * k) & 63]);
    }
}

static int base64_value(char c) {
    const char *at = c ? strchr(alphabet, c) : NULL;

    return at ? (int)(at - alphabet) : -1;
}

enum err grpc_base64_decode(struct buf *out, struct slice text) {
    unsigned group = 0;
    unsigned bits = 0;
    size_t padding = 0;

    while (padding < 2 && text.len && text.ptr[text.len - 1] == '=') {
        text.len--;
        padding++;
    }
    /* A lone character carries six bits, no byte; padding fills up to four, or isn't there. */
    if (text.len % 4 == 1 || (padding && (text.len + padding) % 4 != 0))
        return ERR_INVALID;
    for (size_t i = 0; i < text.len; i++) {
        int value = base64_value(text.ptr[i]);

        if (value < 0)
            return ERR_INVALID;
        group = group << 6 | (unsigned)value;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            buf_add_char(out, (char)(group >> bits & 255));
        }
    }
    return ERR_OK;
}
