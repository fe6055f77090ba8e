/* trace.c - lines in one buffer. */
#include "trace.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LINE_MAX_BYTES 1024

void trace_init(struct trace *trace, bool keep, const int64_t *now_ms) {
    *trace = (struct trace){.keep = keep, .now_ms = now_ms, .culprit = -1};
}

void trace_release(struct trace *trace) {
    buf_release(&trace->lines);
    buf_release(&trace->kept);
}

static void PRINTF_LIKE(3, 0)
    put_line(struct buf *buf, int64_t now_ms, const char *fmt, va_list args) {
    char line[LINE_MAX_BYTES];

    (void)vsnprintf(line, sizeof(line), fmt, args);
    buf_printf(buf, "%9.3f  %s\n", (double)now_ms / 1000.0, line);
}

void trace_add(struct trace *trace, const char *fmt, ...) {
    va_list args;

    va_start(args, fmt);
    put_line(&trace->lines, *trace->now_ms, fmt, args);
    va_end(args);
}

void trace_violation(struct trace *trace, int64_t op, const char *fmt, ...) {
    va_list args;

    if (trace->violations == 0)
        trace->culprit = op;
    if (trace->violations++ < VIOLATIONS_KEPT) {
        va_start(args, fmt);
        put_line(&trace->kept, *trace->now_ms, fmt, args);
        va_end(args);
    }
    if (trace->keep) {
        va_start(args, fmt);
        buf_add_str(&trace->lines, "!!!");
        put_line(&trace->lines, *trace->now_ms, fmt, args);
        va_end(args);
    }
}

static const char *next_line(const char *at, const char *end) {
    const char *newline = memchr(at, '\n', (size_t)(end - at));

    return newline ? newline + 1 : end;
}

void trace_print(const struct trace *trace, size_t last) {
    const char *at = trace->lines.ptr;
    const char *end = at ? at + trace->lines.len : at;
    size_t total = 0;
    size_t line = 0;
    char tag[32];

    printf("%zu violation(s):\n%.*s", trace->violations, (int)trace->kept.len,
           trace->kept.ptr ? trace->kept.ptr : "");
    for (const char *p = at; p < end; p = next_line(p, end))
        total++;
    (void)snprintf(tag, sizeof(tag), "[op %" PRId64 "]", trace->culprit);
    printf("timeline (last %zu of %zu lines, and those of %s):\n", last, total, tag);
    for (const char *p = at; p < end; line++) {
        const char *next = next_line(p, end);

        if (line + last >= total || memmem(p, (size_t)(next - p), tag, strlen(tag)))
            printf("%.*s", (int)(next - p), p);
        p = next;
    }
}
