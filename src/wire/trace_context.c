/* trace_context.c - traceparent and tracestate. */
#include "wire/trace_context.h"

#include <string.h>

#define MEMBERS_MAX      32  /* 3.3.1.1 */
#define KEY_BYTES_MAX    256 /* 3.3.1.3.1; with a tenant: */
#define TENANT_BYTES_MAX 241
#define SYSTEM_BYTES_MAX 14
#define VALUE_BYTES_MAX  256

#define FLAGS_KNOWN 0x03u /* sampled, random: others must be sent as 0 (3.2.2.5) */

/* ---- traceparent --------------------------------------------------------- */

/* Lower case alone (3.2.2). -1: no digit. */
static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_hex(const char *digits, uint8_t *out, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        int high = hex_digit(digits[2 * i]);
        int low = hex_digit(digits[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool is_zero(const uint8_t *bytes, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (bytes[i])
            return false;
    return true;
}

/* Version 00 has these 55 characters and no more. A later one begins with them, and what it has
 * behind a further dash isn't ours to read (3.2.4); ff never is one. */
static bool shape_valid(struct slice value, uint8_t version) {
    if (version == 0xff || value.ptr[2] != '-' || value.ptr[35] != '-' || value.ptr[52] != '-')
        return false;
    return value.len == TRACEPARENT_BYTES || (version > 0 && value.ptr[TRACEPARENT_BYTES] == '-');
}

bool traceparent_read(struct slice value, struct trace_context *out) {
    struct trace_context read = *out;
    uint8_t version;

    if (value.len < TRACEPARENT_BYTES || !read_hex(value.ptr, &version, 1) ||
        !shape_valid(value, version) || !read_hex(value.ptr + 3, read.trace_id, TRACE_ID_BYTES) ||
        !read_hex(value.ptr + 36, read.parent_id, SPAN_ID_BYTES) ||
        !read_hex(value.ptr + 53, &read.flags, 1))
        return false;
    if (is_zero(read.trace_id, TRACE_ID_BYTES) || is_zero(read.parent_id, SPAN_ID_BYTES))
        return false;
    read.flags &= FLAGS_KNOWN;
    *out = read;
    return true;
}

static char *write_hex(char *to, const uint8_t *bytes, size_t len) {
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < len; i++) {
        *to++ = digits[bytes[i] >> 4];
        *to++ = digits[bytes[i] & 15];
    }
    return to;
}

void traceparent_write(const struct trace_context *trace, char out[TRACEPARENT_BYTES]) {
    const uint8_t version = 0;

    out = write_hex(out, &version, 1);
    *out++ = '-';
    out = write_hex(out, trace->trace_id, TRACE_ID_BYTES);
    *out++ = '-';
    out = write_hex(out, trace->span_id, SPAN_ID_BYTES);
    *out++ = '-';
    (void)write_hex(out, &trace->flags, 1);
}

/* ---- tracestate ---------------------------------------------------------- */

static bool is_lower(char c) {
    return c >= 'a' && c <= 'z';
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool key_chars_valid(struct slice key) {
    for (size_t i = 0; i < key.len; i++)
        if (!is_lower(key.ptr[i]) && !is_digit(key.ptr[i]) &&
            (key.ptr[i] == '\0' || !strchr("_-*/", key.ptr[i])))
            return false;
    return true;
}

static bool key_part_valid(struct slice part, size_t len_max, bool digit_first) {
    return part.len > 0 && part.len <= len_max &&
           (is_lower(part.ptr[0]) || (digit_first && is_digit(part.ptr[0]))) &&
           key_chars_valid(part);
}

/* "key", or "tenant@system". */
static bool key_valid(struct slice key) {
    const char *at = key.len ? memchr(key.ptr, '@', key.len) : NULL;

    if (!at)
        return key_part_valid(key, KEY_BYTES_MAX, false);
    struct slice tenant = slice_of(key.ptr, (size_t)(at - key.ptr));

    return key_part_valid(tenant, TENANT_BYTES_MAX, true) &&
           key_part_valid(slice_skip(key, tenant.len + 1), SYSTEM_BYTES_MAX, false);
}

/* Printable ASCII without ',' and '='; the caller has trimmed it. */
static bool value_valid(struct slice value) {
    if (value.len == 0 || value.len > VALUE_BYTES_MAX)
        return false;
    for (size_t i = 0; i < value.len; i++)
        if (value.ptr[i] < 0x20 || value.ptr[i] > 0x7e || value.ptr[i] == '=')
            return false;
    return true;
}

static struct slice trimmed(struct slice s) {
    while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
        s = slice_skip(s, 1);
    while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
        s.len--;
    return s;
}

static struct slice next_member(struct slice *rest) {
    const char *comma = memchr(rest->ptr, ',', rest->len);
    size_t len = comma ? (size_t)(comma - rest->ptr) : rest->len;
    struct slice member = trimmed(slice_of(rest->ptr, len));

    *rest = slice_skip(*rest, comma ? len + 1 : len);
    return member;
}

static bool is_known(const struct slice *keys, unsigned count, struct slice key) {
    for (unsigned i = 0; i < count; i++)
        if (slice_eq(keys[i], key))
            return true;
    return false;
}

bool tracestate_valid(struct slice state) {
    struct slice keys[MEMBERS_MAX];
    unsigned count = 0;

    while (state.len) {
        struct slice member = next_member(&state);
        const char *equals = member.len ? memchr(member.ptr, '=', member.len) : NULL;

        if (member.len == 0)
            continue; /* allowed, and worth nothing (3.3.1.1) */
        if (!equals || count == MEMBERS_MAX)
            return false;
        struct slice key = slice_of(member.ptr, (size_t)(equals - member.ptr));
        if (!key_valid(key) || !value_valid(slice_skip(member, key.len + 1)) ||
            is_known(keys, count, key))
            return false;
        keys[count++] = key;
    }
    return count > 0;
}

/* ---- both, among a request's fields -------------------------------------- */

void trace_fields_add(struct trace_fields *fields, struct slice name, struct slice value) {
    if (slice_eq_nocase(name, SLICE(TRACEPARENT))) {
        fields->parent = value;
        fields->parents++;
    } else if (slice_eq_nocase(name, SLICE(TRACESTATE))) {
        if (fields->states < TRACESTATE_FIELDS_MAX)
            fields->state[fields->states] = value;
        fields->states++;
    }
}

/* Joined as one value; empty when it is too long or too scattered to be passed on. */
static struct slice join_state(const struct trace_fields *fields, struct arena *arena) {
    size_t len = 0;
    size_t used = 0;

    if (fields->states == 0 || fields->states > TRACESTATE_FIELDS_MAX)
        return SLICE("");
    for (unsigned i = 0; i < fields->states; i++)
        len += fields->state[i].len + 1;
    if (len - 1 > TRACESTATE_BYTES_MAX)
        return SLICE("");
    char *joined = arena_alloc(arena, len);
    if (!joined)
        return SLICE("");
    for (unsigned i = 0; i < fields->states; i++) {
        if (fields->state[i].len)
            memcpy(joined + used, fields->state[i].ptr, fields->state[i].len);
        used += fields->state[i].len;
        joined[used++] = ',';
    }
    struct slice state = trimmed(slice_of(joined, used - 1));
    return tracestate_valid(state) ? state : SLICE("");
}

struct trace_context *trace_fields_read(const struct trace_fields *fields, uint64_t span_id,
                                        struct arena *arena) {
    struct trace_context read = {.flags = 0};

    /* Two of them: nobody knows which is meant. */
    if (fields->parents != 1 || !traceparent_read(fields->parent, &read))
        return NULL;
    struct trace_context *trace = arena_alloc(arena, sizeof(*trace));
    if (!trace)
        return NULL;
    span_id |= span_id == 0; /* all zeroes is invalid */
    memcpy(read.span_id, &span_id, sizeof(read.span_id));
    read.state = join_state(fields, arena);
    *trace = read;
    return trace;
}
