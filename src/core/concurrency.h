/* concurrency.h - how many operations may be under way at once, found out from how long they take.
 *
 *     answers take too long ───► as many as are answered in that time (Little's law), not more
 *     fewer are answered since ─► given back: perhaps that is what they take. If that doesn't
 *                                 help, the store can do less than before
 *     they don't, and we shed ──► a sixteenth more
 *     nothing was shed ─────────► a quarter more, up to all; all when nothing is under way
 *
 * "Too long" is twice what answers take while nothing is shed, but at least 'least_ms' and at most
 * 'most_ms'. So a store that works well is never held back, and one that is asked for more than it
 * can do keeps doing all it can, with a short queue. A store that doesn't answer at all says
 * nothing about that: deadlines and the queue's bound are for it.
 *
 * Looks at windows of 50 ms with at least one answer.
 *
 * Threads    One owner (a loop).
 * Time       now_ms is monotonic.
 */
#ifndef CORE_CONCURRENCY_H
#define CORE_CONCURRENCY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct concurrency {
    int64_t least_ms; /* 0: no limit */
    int64_t most_ms;
    size_t limit;
    size_t limit_max;
    int64_t usual_us; /* of an answer while nothing is shed; 0: not known yet */
    uint64_t rate;    /* answers a second, of late */
    unsigned late;    /* windows in a row whose answers took too long */
    struct {
        int64_t began_ms;
        uint64_t answered;
        uint64_t took_us; /* all of them together */
        uint64_t shed;
    } window;
    struct { /* since the limit was first lowered, until nothing is shed any more */
        bool on;
        uint64_t rate;   /* before */
        int64_t look_ms; /* when it is compared next */
        bool given_back;
        int64_t usual_us; /* before that */
    } cut;
    bool idle; /* nothing was under way when the last turn ended */
};

/* 'limit_max': there is no need to allow more. */
void concurrency_init(struct concurrency *c, size_t limit_max, int64_t now_ms);

/* Other bounds from now on; 0 for the first: no limit. */
void concurrency_set(struct concurrency *c, int64_t least_ms, int64_t most_ms);

/* May one more begin, with so many under way? A refusal is counted. */
bool concurrency_admits(struct concurrency *c, size_t under_way);

/* 'count' were answered, after so long. */
void concurrency_answered(struct concurrency *c, size_t count, int64_t took_ms);

/* Often: at the end of each turn of the loop that has something under way. */
void concurrency_turn(struct concurrency *c, size_t under_way, int64_t now_ms);

#endif
