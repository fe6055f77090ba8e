/* log.h - one line per event, as JSON or for a console, on standard error.
 *
 * Threads    Any; a line is written in one go and never interleaved.
 * Limits     A line is cut at 2,048 bytes, with "truncated":true. Control
 *            characters, invalid UTF-8 and bidirectional overrides in values
 *            are escaped (CWE-117).
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"
#include "base/trace_context.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_LEVELS };
enum log_format { LOG_JSON, LOG_CONSOLE };

/* Before any thread logs; the defaults are LOG_INFO and LOG_JSON. */
void log_setup(enum log_level level, enum log_format format);

/* Any thread, at any time. */
void log_set_level(enum log_level level);

/* A typed field of a line. Made by the LOG_… macros below. */
struct log_field {
    const char *name; /* snake_case, a literal */
    enum { LOG_FIELD_STR, LOG_FIELD_INT, LOG_FIELD_F64, LOG_FIELD_TRACE } type;
    struct slice str;
    int64_t num;
    double f64;
    const struct trace_context *trace;
};

#define LOG_STR(n, v)   ((struct log_field){.name = (n), .type = LOG_FIELD_STR, .str = slice_str(v)})
#define LOG_SLICE(n, v) ((struct log_field){.name = (n), .type = LOG_FIELD_STR, .str = (v)})
#define LOG_INT(n, v)   ((struct log_field){.name = (n), .type = LOG_FIELD_INT, .num = (int64_t)(v)})
#define LOG_F64(n, v)   ((struct log_field){.name = (n), .type = LOG_FIELD_F64, .f64 = (v)})

/* trace_id, span_id and parent_span_id; NULL: none of them is written. */
#define LOG_TRACE(t) ((struct log_field){.name = "", .type = LOG_FIELD_TRACE, .trace = (t)})

/* "msg" is a fixed sentence (what happened); what varies goes into fields:
 *     log_line(LOG_INFO, "listening", LOG_STR("http", name), LOG_INT("threads", n)); */
void log_write(enum log_level level, const char *msg, const struct log_field *fields,
               unsigned count);

#define log_line(level, msg, ...)                                                                  \
    log_write((level), (msg), (const struct log_field[]){{0}, ##__VA_ARGS__} + 1,                  \
              (unsigned)(sizeof((const struct log_field[]){{0}, ##__VA_ARGS__}) /                  \
                         sizeof(struct log_field)) -                                               \
                  1)

#endif
