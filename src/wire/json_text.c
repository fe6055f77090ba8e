/* json_text.c - JSON strings and numbers: their grammar and their values. */
#include "wire/json_text.h"

#include "wire/uri.h"

#define ESCAPE_BYTES   6 /* \uXXXX */
#define MAX_UTF8_BYTES 4

static const char *fail(struct json_error *out, const char *begin, const char *at,
                        const char *what) {
    *out = (struct json_error){(size_t)(at - begin), what};
    return NULL;
}

/* ---- escapes (RFC 8259 section 7) ---- */

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* \uXXXX at 'p' as a UTF-16 code unit, -1 when it is none. */
static int32_t code_unit(const char *p, const char *end) {
    int32_t unit = 0;

    if (end - p < ESCAPE_BYTES || p[0] != '\\' || p[1] != 'u')
        return -1;
    for (int i = 2; i < ESCAPE_BYTES; i++) {
        int digit = hex_digit(p[i]);

        if (digit < 0)
            return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

static bool is_high_surrogate(int32_t unit) {
    return unit >= 0xD800 && unit <= 0xDBFF;
}

static bool is_low_surrogate(int32_t unit) {
    return unit >= 0xDC00 && unit <= 0xDFFF;
}

/* What the letter of a two-byte escape stands for, -1 when there is no such escape. */
static int short_escape(char letter) {
    switch (letter) {
    case '"':
    case '\\':
    case '/':
        return letter;
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return -1;
    }
}

/* The escape at 'p', which is a backslash: its code point, and '*p' moved
 * behind it. -1 with a sentence in '*out_what' when it isn't valid. */
static int32_t read_escape(const char **p, const char *end, const char **out_what) {
    const char *at = *p;

    if (end - at >= 2 && at[1] != 'u') {
        *p = at + 2;
        *out_what = "no such escape in a string";
        return short_escape(at[1]);
    }
    int32_t unit = code_unit(at, end);
    *out_what = "\\u must be followed by four hexadecimal digits";
    if (unit < 0)
        return -1;
    *p = at + ESCAPE_BYTES;
    if (!is_high_surrogate(unit) && !is_low_surrogate(unit))
        return unit;
    /* Half a pair has no UTF-8 form, and guessing U+FFFD would let two
     * different ids become one. */
    int32_t low = code_unit(*p, end);
    *out_what = "an escaped surrogate without its other half";
    if (!is_high_surrogate(unit) || !is_low_surrogate(low))
        return -1;
    *p += ESCAPE_BYTES;
    return 0x10000 + (unit - 0xD800) * 0x400 + (low - 0xDC00);
}

static size_t put_utf8(char *out, int32_t code) {
    uint32_t c = (uint32_t)code;

    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return MAX_UTF8_BYTES;
}

/* ---- strings ---- */

/* On from 'p', the first byte that isn't plain, to the closing quote or 'end'. Apart from
 * json_scan_string(), so that what has no escapes doesn't pay for them. */
static __attribute__((noinline)) const char *scan_escaped(const char *begin, const char *p,
                                                          const char *end, uint64_t *seen,
                                                          struct json_error *out_error) {
    const char *what;

    while (p < end && *p != '"') {
        const char *escape = p;

        if (*p != '\\')
            return fail(out_error, begin, p, "a control character in a string must be escaped");
        if (read_escape(&p, end, &what) < 0)
            return fail(out_error, begin, escape, what);
        p = json_plain_end(p, end, seen);
    }
    return p;
}

const char *json_scan_string(const char *p, const char *end, struct json_token *out,
                             struct json_error *out_error) {
    const char *begin = p;
    uint64_t seen = 0;

    p = json_plain_end(p, end, &seen);
    bool escaped = p < end && *p == '\\';
    if (p < end && *p != '"') {
        uint64_t more = 0;

        p = scan_escaped(begin, p, end, &more, out_error);
        if (!p)
            return NULL;
        seen |= more;
    }
    if (p == end)
        return fail(out_error, begin, p, "the document ends inside a string");
    out->raw = slice_of(begin, (size_t)(p - begin));
    out->escaped = escaped;
    if (seen & SWAR_HIGH && !utf8_valid(out->raw))
        return fail(out_error, begin, begin, "the string that begins here isn't valid UTF-8");
    return p + 1;
}

/* 'raw' was scanned, so its escapes are valid; 'out' has room for raw.len bytes,
 * since no escape is shorter than what it stands for. */
static size_t decode(struct slice raw, char *out) {
    const char *p = raw.ptr;
    const char *end = raw.ptr + raw.len;
    const char *what;
    size_t len = 0;

    while (p < end) {
        if (*p != '\\')
            out[len++] = *p++;
        else
            len += put_utf8(out + len, read_escape(&p, end, &what));
    }
    return len;
}

enum err json_text(const struct json_token *token, struct arena *arena, struct slice *out) {
    if (!token->escaped) {
        *out = token->raw;
        return ERR_OK;
    }
    char *text = arena_alloc(arena, token->raw.len);
    if (!text)
        return ERR_NO_MEMORY;
    *out = slice_of(text, decode(token->raw, text));
    return ERR_OK;
}

/* Apart from json_text_is(), so that plain names don't pay for the buffer, which
 * release builds clear on entry. */
static __attribute__((noinline)) bool decoded_is(struct slice raw, struct slice text) {
    char decoded[JSON_TEXT_IS_MAX * ESCAPE_BYTES];

    if (raw.len > sizeof(decoded))
        return false;
    return slice_eq(slice_of(decoded, decode(raw, decoded)), text);
}

bool json_text_is(const struct json_token *token, struct slice text) {
    return token->escaped ? decoded_is(token->raw, text) : slice_eq(token->raw, text);
}

/* ---- numbers (RFC 8259 section 6) ---- */

static const char *skip_digits(const char *p, const char *end) {
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p;
}

const char *json_scan_number(const char *p, const char *end, struct json_token *out,
                             struct json_error *out_error) {
    const char *begin = p;

    if (*p == '-')
        p++;
    const char *digits = p;
    p = skip_digits(p, end);
    if (p == digits)
        return fail(out_error, begin, p, "a number needs a digit here");
    if (*digits == '0' && p - digits > 1)
        return fail(out_error, begin, digits, "a number can't begin with 0");
    if (p < end && *p == '.') {
        digits = ++p;
        p = skip_digits(p, end);
        if (p == digits)
            return fail(out_error, begin, p, "a number needs a digit behind its point");
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        digits = p;
        p = skip_digits(p, end);
        if (p == digits)
            return fail(out_error, begin, p, "a number needs a digit in its exponent");
    }
    out->raw = slice_of(begin, (size_t)(p - begin));
    return p;
}

bool json_i64(const struct json_token *token, int64_t *out) {
    bool negative = token->raw.len && token->raw.ptr[0] == '-';
    struct slice digits = slice_skip(token->raw, negative);
    int64_t value = 0;

    for (size_t i = 0; i < digits.len; i++) {
        char c = digits.ptr[i];

        /* Counted down, since INT64_MIN has no positive twin. */
        if (c < '0' || c > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, c - '0', &value))
            return false;
    }
    if (!negative && __builtin_sub_overflow(0, value, &value))
        return false;
    *out = value;
    return true;
}
