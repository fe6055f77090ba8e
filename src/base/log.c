/* log.c - a line is built in one fixed buffer and leaves with one write(2). */
#include "base/log.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

/* Under PIPE_BUF (4,096), so that one write() to a pipe is never interleaved
 * with another thread's (POSIX write()). */
#define LINE_BYTES 2048u

/* Kept free for what ends a cut line: a quote and the longer of the tails. */
#define TAIL_JSON    ",\"truncated\":true}\n"
#define TAIL_CONSOLE " truncated=true\n"
#define ROOM         (LINE_BYTES - sizeof(TAIL_JSON))

#define REPLACEMENT 0xfffdu /* U+FFFD stands for each byte that isn't UTF-8 */

struct line {
    char text[LINE_BYTES];
    size_t len;
    bool cut; /* something didn't fit; nothing more is added */
    enum log_format format;
};

static _Atomic enum log_level lowest = LOG_INFO;
static enum log_format chosen = LOG_JSON;

static const char *const level_names[LOG_LEVELS] = {"debug", "info", "warn", "error"};

void log_setup(enum log_level level, enum log_format format) {
    log_set_level(level);
    chosen = format;
}

void log_set_level(enum log_level level) {
    atomic_store_explicit(&lowest, level, memory_order_relaxed);
}

/* All of it or nothing. */
static bool put(struct line *line, const char *bytes, size_t len) {
    /* A closing quote may have gone one byte past ROOM. */
    if (line->cut || line->len + len > ROOM) {
        line->cut = true;
        return false;
    }
    memcpy(line->text + line->len, bytes, len);
    line->len += len;
    return true;
}

static bool put_str(struct line *line, const char *str) {
    return put(line, str, strlen(str));
}

/* Into the room that put() keeps free. */
static void put_tail(struct line *line, const char *str) {
    size_t len = strlen(str);

    memcpy(line->text + line->len, str, len);
    line->len += len;
}

/* The length of the sequence that 'lead' starts and the smallest code point it
 * may carry: a smaller one is an overlong form (RFC 3629 section 3). */
static size_t utf8_len(unsigned char lead, uint32_t *out_least) {
    if (lead >= 0xc2 && lead <= 0xdf) {
        *out_least = 0x80;
        return 2;
    }
    if (lead >= 0xe0 && lead <= 0xef) {
        *out_least = 0x800;
        return 3;
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        *out_least = 0x10000;
        return 4;
    }
    return 0;
}

/* One code point from the front of 's', and how many bytes it took: one byte
 * and U+FFFD where no valid sequence starts. */
static uint32_t utf8_next(struct slice s, size_t *out_len) {
    static const unsigned char lead_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    unsigned char lead = (unsigned char)s.ptr[0];
    uint32_t least = 0;

    *out_len = 1;
    if (lead < 0x80)
        return lead;
    size_t len = utf8_len(lead, &least);
    if (len == 0 || len > s.len)
        return REPLACEMENT;
    uint32_t code = lead & lead_bits[len];
    for (size_t i = 1; i < len; i++) {
        unsigned char byte = (unsigned char)s.ptr[i];

        if ((byte & 0xc0) != 0x80)
            return REPLACEMENT;
        code = code << 6 | (byte & 0x3f);
    }
    if (code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return REPLACEMENT;
    *out_len = len;
    return code;
}

/* What could end the line, move a terminal's cursor or turn the text around
 * (CWE-117; UAX #9 for the bidirectional controls). */
static bool is_unsafe(uint32_t code) {
    return code < 0x20 || (code >= 0x7f && code <= 0x9f) || code == 0x61c ||
           (code >= 0x200e && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
           (code >= 0x2066 && code <= 0x2069) || code == REPLACEMENT || code == 0xfeff;
}

static bool put_code(struct line *line, uint32_t code, const char *bytes, size_t len) {
    char escaped[8];

    if (code == '"' || code == '\\')
        return put(line, (const char[]){'\\', (char)code}, 2);
    if (code == '\n')
        return put(line, "\\n", 2);
    if (!is_unsafe(code))
        return put(line, bytes, len);
    (void)snprintf(escaped, sizeof(escaped), "\\u%04x", code & 0xffffu);
    return put(line, escaped, 6);
}

/* As much of it as fits, never half an escape. */
static void put_escaped(struct line *line, struct slice s) {
    size_t len;

    for (; s.len; s = slice_skip(s, len)) {
        uint32_t code = utf8_next(s, &len);

        if (!put_code(line, code, s.ptr, len))
            return;
    }
}

/* A value may be cut; its closing quote always fits. */
static bool put_quoted(struct line *line, struct slice s) {
    if (!put(line, "\"", 1))
        return false;
    put_escaped(line, s);
    put_tail(line, "\"");
    return true;
}

static bool put_value(struct line *line, const struct log_field *field) {
    char number[32];

    switch (field->type) {
    case LOG_FIELD_STR:
        return field->str.ptr ? put_quoted(line, field->str) : put_str(line, "null");
    case LOG_FIELD_INT:
        (void)snprintf(number, sizeof(number), "%lld", (long long)field->num);
        return put_str(line, number);
    case LOG_FIELD_F64:
        /* JSON has no NaN and no infinity (RFC 8259 section 6). */
        if (!isfinite(field->f64))
            return put_str(line, "null");
        (void)snprintf(number, sizeof(number), "%.10g", field->f64);
        return put_str(line, number);
    case LOG_FIELD_TRACE:
        break; /* put_trace() */
    }
    return false;
}

static void put_field(struct line *line, const struct log_field *field) {
    bool json = line->format == LOG_JSON;
    size_t start = line->len;

    if (put_str(line, json ? ",\"" : " ") && put_str(line, field->name) &&
        put_str(line, json ? "\":" : "=") && put_value(line, field))
        return;
    line->len = start; /* half a name or half a number would say something else */
}

static void put_id(struct line *line, const char *name, const uint8_t *id, size_t len) {
    char hex[2 * TRACE_ID_BYTES + 1];

    for (size_t i = 0; i < len; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", id[i]);
    put_field(line, &LOG_SLICE(name, slice_of(hex, 2 * len)));
}

static void put_trace(struct line *line, const struct trace_context *trace) {
    if (!trace)
        return;
    put_id(line, "trace_id", trace->trace_id, TRACE_ID_BYTES);
    put_id(line, "span_id", trace->span_id, SPAN_ID_BYTES);
    put_id(line, "parent_span_id", trace->parent_id, SPAN_ID_BYTES);
}

/* RFC 3339, UTC, milliseconds. */
static void put_time(struct line *line, int64_t wall_ms) {
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    char text[32];

    gmtime_r(&seconds, &tm);
    size_t len = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(text + len, sizeof(text) - len, ".%03dZ", (int)(wall_ms % 1000));
    put_str(line, text);
}

static void put_head(struct line *line, enum log_level level, const char *msg) {
    if (line->format == LOG_CONSOLE) {
        put_time(line, clock_wall_ms());
        put_str(line, " ");
        put_str(line, level_names[level]);
        put_str(line, strlen(level_names[level]) < 5 ? "  " : " ");
        put_escaped(line, slice_str(msg));
        return;
    }
    put_str(line, "{\"ts\":\"");
    put_time(line, clock_wall_ms());
    put_str(line, "\",\"level\":\"");
    put_str(line, level_names[level]);
    put_str(line, "\",\"msg\":");
    put_quoted(line, slice_str(msg));
}

/* A line that can't be written is lost: there is nowhere to say so, and a
 * service must not stop because its log's disk is full. */
static void write_out(const char *text, size_t len) {
    while (len) {
        ssize_t n = write(STDERR_FILENO, text, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        text += n;
        len -= (size_t)n;
    }
}

void log_write(enum log_level level, const char *msg, const struct log_field *fields,
               unsigned count) {
    if (level < lowest)
        return;
    int saved = errno;
    struct line line = {.format = chosen};

    put_head(&line, level, msg);
    for (unsigned i = 0; i < count; i++) {
        if (fields[i].type == LOG_FIELD_TRACE)
            put_trace(&line, fields[i].trace);
        else
            put_field(&line, &fields[i]);
    }
    if (line.format == LOG_JSON)
        put_tail(&line, line.cut ? TAIL_JSON : "}\n");
    else
        put_tail(&line, line.cut ? TAIL_CONSOLE : "\n");
    write_out(line.text, line.len);
    errno = saved;
}
