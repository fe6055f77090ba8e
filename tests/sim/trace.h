/* trace.h - the timeline of a run, for people, and what was wrong in it.
 *
 * A run is quiet first; a seed that went wrong is run again with the timeline
 * kept, which it repeats exactly.
 */
#ifndef TESTS_SIM_TRACE_H
#define TESTS_SIM_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"

#define VIOLATIONS_KEPT 8

struct trace {
    bool keep;
    const int64_t *now_ms;
    struct buf lines;
    size_t violations; /* all of them */
    struct buf kept;   /* the first VIOLATIONS_KEPT, a line each */
    int64_t culprit;   /* the operation of the first one; -1: none in particular */
};

void trace_init(struct trace *trace, bool keep, const int64_t *now_ms);
void trace_release(struct trace *trace);

void trace_add(struct trace *trace, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* 'op' is the operation's number or -1. */
void trace_violation(struct trace *trace, int64_t op, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* The violations, the last 'last' lines of the timeline, and every line of the culprit. */
void trace_print(const struct trace *trace, size_t last);

/* Skips the formatting of what nobody will read. */
#define TRACE(trace, ...)                                                                          \
    do {                                                                                           \
        if ((trace)->keep)                                                                         \
            trace_add((trace), __VA_ARGS__);                                                       \
    } while (0)

#endif
