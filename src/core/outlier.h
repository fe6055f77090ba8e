/* outlier.h - is one of several instances far slower than the others?
 *
 *     late      an answer that took more than twice what the others' answers take of late, and
 *               50 ms: the median of their smoothed latencies (1/4 of each new answer)
 *     silent    something is under way to it, and for 500 ms nothing has come back
 *
 * One late answer says nothing, nor does one moment of silence: an instance is slow when 5 answers
 * in a row were late and the first of them is a second ago, or when it was silent for 100 ms more
 * while others answered. Being compared with others, none is slow when all of them are, as when
 * their store is; and our own pause, which makes everybody look silent and every answer late, is
 * over in one turn of the loop: answers at one and the same time are one.
 *
 * Outlier detection is Envoy's term; there it knows errors only.
 *
 * Threads    One owner (a loop).
 * Time       now_ms is monotonic, from 0.
 */
#ifndef CORE_OUTLIER_H
#define CORE_OUTLIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OUTLIER_LATE_MS   50
#define OUTLIER_SILENT_MS 500
#define OUTLIER_SURE_MS   100

/* What is known of one instance; zeroed: nothing. */
struct outlier {
    bool timed;            /* it has answered, */
    int64_t latency_ms;    /* after about so long, */
    int64_t answered_ms;   /* and last then */
    unsigned late;         /* answers in a row */
    int64_t late_since_ms; /* the first of them */
    bool silent;           /* was, when last looked at */
    int64_t silent_ms;     /* since that was seen first */
};

/* The latest that an answer isn't late, with others' smoothed latencies in 'latencies_ms', which it
 * reorders. INT64_MAX: there are none to compare with. */
int64_t outlier_bound_ms(int64_t *latencies_ms, size_t count);

/* An answer came after 'took_ms', which was late or not. True: it is slow, as the last of at least
 * 'rows' late ones in a row, over at least 'span_ms'. */
bool outlier_answered(struct outlier *outlier, int64_t took_ms, bool late, unsigned rows,
                      int64_t span_ms, int64_t now_ms);

/* Looked at, often: it is silent at the moment, or not. */
void outlier_look(struct outlier *outlier, bool silent, int64_t now_ms);

/* It is, and was when it was looked at OUTLIER_SURE_MS ago: it isn't us. It is slow if another one
 * has answered since 'silent_ms'. */
bool outlier_is_silent(const struct outlier *outlier, int64_t now_ms);

/* It has been set aside, or is another one: rows and silence begin anew. */
void outlier_forget(struct outlier *outlier);

#endif
