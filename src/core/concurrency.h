/* concurrency.h - how many operations may be under way at once, found out from how long they take.
 *
 *     answers take too long ───────► a fifth less than are answered in that time (Little's law)
 *     and nearly all still do ─────► it isn't a queue of ours, that would be gone: a trial
 *     nearly too long ─────────────► a sixty-fourth more
 *     less than 4/5 of too long ───► a sixteenth more; a quarter, when nothing was shed
 *     nothing was under way ───────► all
 *
 * "Too long" is twice what answers take while all are let in, but at least 'least_ms' and at most
 * 'most_ms'. So a store that works well is never held back, and one that is asked for more than it
 * can do keeps doing all it can, with a short queue. A store that doesn't answer at all says
 * nothing about that: deadlines and the queue's bound are for it.
 *
 * A trial lets in as many as before, and takes half as much again for too long. If half as many
 * again are answered, the store takes longer than it did and that is usual now; otherwise all is as
 * it was, and the next trial comes after twice the time. How many are answered begins no trial, and
 * how long a queue is ends none: both are also the doing of whoever else uses the store. With loops
 * and gateways that each took a smaller share for a slower store, one after the other would allow
 * itself a longer queue than the rest, for ever (TCP Vegas' trouble with a wrong BaseRTT).
 *
 * For the same reason nothing is learned about what is usual while less than all are let in; and
 * what a loop saw first may be the others' overload: that is but a guess, which sinks when it
 * sheds.
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
    size_t owed;      /* to the limit, in 64ths of one */
    int64_t usual_us; /* of an answer while all are let in; 0: not known yet */
    unsigned learned; /* windows it is known from, as far as that matters */
    uint64_t rate;    /* answers a second, of late */
    unsigned late;    /* windows in a row whose answers took too long */
    struct {
        int64_t began_ms;
        uint64_t answered;
        uint64_t took_us; /* all of them together */
        uint64_t shed;
    } window;
    struct { /* since the limit was first lowered, until all are let in again */
        bool on;
        uint64_t rate;      /* when answers last took no longer than they may */
        int64_t settled_ms; /* what was under way at the last change has gone by then */
        int64_t look_ms;    /* when it is seen what came of it */
        uint64_t windows;   /* from the one to the other, */
        uint64_t late;      /* of them too long, */
        uint64_t took_us;   /* and what their answers took, all windows together */
        unsigned trials;
    } cut;
    struct {
        bool on;
        int64_t usual_us; /* before */
        uint64_t rate;    /* before */
    } trial;
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
