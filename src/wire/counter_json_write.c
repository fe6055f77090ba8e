/* counter_json_write.c - reply bodies, byte for byte as CONTRACT A has them.
 *
 * One counter's data is written in one go: reserve the most it can take, then
 * copy without further checks.
 */
#include "wire/counter_json.h"

#include "base/decimal.h"
#include "wire/json_text.h"

#define ESCAPE_MAX_CHARS 6 /* \u001f */

/* More than the literals and both numbers of any one counter's data take. */
#define DATA_ROOM 256

/* ---- unchecked pieces: 'p' has room, the result is behind what was put ---- */

static inline char *put(char *p, struct slice s) {
    if (s.len)
        memcpy(p, s.ptr, s.len);
    return p + s.len;
}

static char *put_i64(char *p, int64_t value) {
    char room[DECIMAL_BYTES];

    return put(p, decimal_i64(room, value));
}

/* The letter of the two-byte escape of 'c', 0 when it has none. */
static char short_escape(char c) {
    switch (c) {
    case '"':
    case '\\':
        return c;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return 0;
    }
}

static char *put_escape(char *p, char c) {
    static const char hex[] = "0123456789abcdef";
    char letter = short_escape(c);

    *p++ = '\\';
    if (letter) {
        *p++ = letter;
        return p;
    }
    p = put(p, SLICE("u00"));
    *p++ = hex[(unsigned char)c >> 4];
    *p++ = hex[(unsigned char)c & 0xF];
    return p;
}

/* How many bytes at the front of 's' stand for themselves. */
static size_t plain_len(struct slice s) {
    uint64_t seen = 0;

    return s.len ? (size_t)(json_plain_end(s.ptr, s.ptr + s.len, &seen) - s.ptr) : 0;
}

/* What RFC 8259 section 7 requires escaped, and nothing else, is. */
static char *put_string(char *p, struct slice s) {
    *p++ = '"';
    for (;;) {
        size_t plain = plain_len(s);

        p = put(p, slice_of(s.ptr, plain));
        if (LIKELY(plain == s.len))
            break;
        p = put_escape(p, s.ptr[plain]);
        s = slice_skip(s, plain + 1);
    }
    *p++ = '"';
    return p;
}

/* The most that put_string() can write: all of it escaped, in quotes. */
static size_t string_room(struct slice s) {
    return ESCAPE_MAX_CHARS * s.len + 2;
}

/* ---- one counter's data ---- */

/* Where to write 'counter'; NULL when memory runs out. */
static char *data_begin(struct buf *out, const struct json_counter *counter) {
    size_t room =
        DATA_ROOM + string_room(counter->resource_id) + string_room(counter->counter_type);

    return buf_reserve(out, room) ? out->ptr + out->len : NULL;
}

static void data_end(struct buf *out, const char *p) {
    out->len = (size_t)(p - out->ptr);
}

static char *put_names(char *p, const struct json_counter *counter) {
    p = put(p, SLICE("{\"resource_id\":"));
    p = put_string(p, counter->resource_id);
    p = put(p, SLICE(",\"counter_type\":"));
    return put_string(p, counter->counter_type);
}

static char *put_incremented(char *p, const struct json_counter *counter) {
    p = put_names(p, counter);
    p = put(p, SLICE(",\"current_value\":"));
    p = put_i64(p, counter->value);
    p = put(p, SLICE(",\"success\":true,\"timestamp\":"));
    return put_i64(p, counter->time_s);
}

static char *put_state(char *p, const struct json_counter *counter) {
    p = put_names(p, counter);
    p = put(p, SLICE(",\"current_value\":"));
    p = put_i64(p, counter->value);
    p = put(p, SLICE(",\"updated_at\":"));
    p = put_i64(p, counter->time_s);
    if (UNLIKELY(counter->stale)) {
        p = put(p, SLICE(",\"stale\":true,\"as_of\":"));
        p = put_i64(p, counter->as_of_s);
    }
    return put(p, SLICE("}"));
}

void json_add_counter(struct buf *out, const struct json_counter *counter) {
    char *p = data_begin(out, counter);

    if (p)
        data_end(out, put_state(p, counter));
}

void json_add_string(struct buf *out, struct slice s) {
    if (buf_reserve(out, string_room(s)))
        data_end(out, put_string(out->ptr + out->len, s));
}

void json_add_words(struct buf *out, const char *words) {
    buf_add_char(out, '[');
    for (const char *word = words; *word;) {
        size_t len = strcspn(word, ",");

        if (word != words)
            buf_add_char(out, ',');
        json_add_string(out, slice_of(word, len));
        word += len + (word[len] ? 1 : 0);
    }
    buf_add_char(out, ']');
}

void json_write_increment(struct buf *out, const struct json_counter *counter) {
    char *p = data_begin(out, counter);

    if (!p)
        return;
    p = put(p, SLICE("{\"data\":"));
    p = put_incremented(p, counter);
    p = put(p, SLICE("},\"status\":\"success\"}"));
    data_end(out, p);
}

void json_write_get(struct buf *out, const struct json_counter *counter) {
    char *p = data_begin(out, counter);

    if (!p)
        return;
    p = put(p, SLICE("{\"data\":"));
    p = put_state(p, counter);
    p = put(p, SLICE(",\"status\":\"success\"}"));
    data_end(out, p);
}

/* ---- batches ---- */

static void begin_results(struct buf *out) {
    buf_add_slice(out, SLICE("{\"data\":{\"results\":["));
}

static void end_results(struct buf *out, size_t count, bool partial) {
    buf_add_slice(out, SLICE("],\"total\":"));
    buf_add_u64(out, count);
    buf_add_slice(out, partial ? SLICE("},\"status\":\"partial\"}")
                               : SLICE("},\"status\":\"success\"}"));
}

void json_write_batch_get(struct buf *out, const struct json_counter *counters, size_t count) {
    begin_results(out);
    for (size_t i = 0; i < count; i++) {
        char *p = data_begin(out, &counters[i]);

        if (!p)
            return;
        if (i)
            *p++ = ',';
        data_end(out, put_state(p, &counters[i]));
    }
    end_results(out, count, false);
}

static void add_failed(struct buf *out, const struct json_counter *counter) {
    char *p = data_begin(out, counter);

    if (!p)
        return;
    data_end(out, put_names(p, counter));
    buf_add_slice(out, SLICE(",\"success\":false,\"error\":{\"code\":"));
    json_add_string(out, slice_str(err_name(counter->err)));
    buf_add_slice(out, SLICE(",\"message\":"));
    json_add_string(out, slice_str(err_text(counter->err)));
    buf_add_slice(out, SLICE("}}"));
}

static void add_done(struct buf *out, const struct json_counter *counter) {
    char *p = data_begin(out, counter);

    if (!p)
        return;
    p = put_incremented(p, counter);
    p = counter->replayed ? put(p, SLICE(",\"replayed\":true}")) : put(p, SLICE("}"));
    data_end(out, p);
}

void json_write_batch_increment(struct buf *out, const struct json_counter *counters,
                                size_t count) {
    bool partial = false;

    begin_results(out);
    for (size_t i = 0; i < count; i++) {
        if (i)
            buf_add_char(out, ',');
        if (counters[i].err == ERR_OK) {
            add_done(out, &counters[i]);
        } else {
            add_failed(out, &counters[i]);
            partial = true;
        }
    }
    end_results(out, count, partial);
}

/* ---- errors ---- */

void json_write_error(struct buf *out, struct slice details, struct slice error, bool with_status) {
    buf_add_char(out, '{');
    if (details.len) {
        buf_add_slice(out, SLICE("\"details\":"));
        json_add_string(out, details);
        buf_add_char(out, ',');
    }
    buf_add_slice(out, SLICE("\"error\":"));
    json_add_string(out, error);
    buf_add_slice(out, with_status ? SLICE(",\"status\":\"error\"}") : SLICE("}"));
}

void json_write_problem(struct buf *out, int status, struct slice title, struct slice detail) {
    buf_add_slice(out, SLICE("{\"type\":\"about:blank\",\"title\":"));
    json_add_string(out, title);
    buf_add_slice(out, SLICE(",\"status\":"));
    buf_add_i64(out, status);
    if (detail.len) {
        buf_add_slice(out, SLICE(",\"detail\":"));
        json_add_string(out, detail);
    }
    buf_add_char(out, '}');
}
