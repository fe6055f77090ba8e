/* history.h - every operation a run's clients asked for, what they were told, and
 * the promises that can be checked at once (I7, I10, definite refusals).
 *
 * An addition's delta is a power of two that no other addition to that counter
 * has, so that what an event or a value is made of can be read back from it.
 * A set's value and a reset are unique in their counter too.
 */
#ifndef TESTS_SIM_HISTORY_H
#define TESTS_SIM_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/op.h"
#include "rng.h"
#include "trace.h"

#define COUNTER_BITS 60
#define COUNTER_SETS 8

enum counter_class {
    CLASS_UP,    /* only grows: reads have to grow too (I10) */
    CLASS_MIXED, /* both signs */
    CLASS_TOP,   /* set close to INT64_MAX, then both signs: some are refused */
    CLASS_SETS,  /* additions, sets and one reset */
    CLASSES
};

struct sim_op;

struct sim_counter {
    char id[24];
    char type[8];
    enum counter_class class;
    unsigned bits;                     /* deltas 1 << 0 .. 1 << (bits - 1) are given out */
    struct sim_op *adds[COUNTER_BITS]; /* by bit */
    struct sim_op *sets[COUNTER_SETS];
    unsigned sets_count;
    struct sim_op *reset;
    int64_t high;        /* CLASS_UP: the highest value told */
    int64_t high_synced; /* the same when the disk was last synced */

    int64_t value; /* the checker's, from the events */
    int64_t value_time_ms;
};

/* What a reply is known to rest on. */
struct facts {
    uint64_t commit;      /* the owner's count of commits */
    bool old_ok;          /* the message was outside the allowed age: TOO_OLD is right */
    int64_t store_now_ms; /* as told to the gateway */
};

enum belief {
    BELIEF_NOT,   /* every submission was refused for certain */
    BELIEF_MAYBE, /* nobody told, or nobody knows */
    BELIEF_ACKED
};

struct sim_op {
    int64_t number;
    struct sim_counter *counter;
    struct op op;
    char key[24];
    struct sim_op *original; /* this one reuses its key with another payload */
    uint64_t order;          /* of the last time a batcher took it */
    unsigned open;           /* submissions without an answer */
    unsigned tries;

    enum belief belief;
    struct answer answer;    /* BELIEF_ACKED */
    uint64_t commit;         /* BELIEF_ACKED: what that rests on */
    uint64_t refusal_commit; /* BELIEF_NOT: what the last refusal by the store rests on */
    bool was_lost;           /* once acked, then allowed to get lost (mode fast, power loss) */

    unsigned applied; /* the checker's: times seen in the events */
    struct answer in_event;
};

/* An answer that rests on several servers' commits: 'joint' stands for all of them. */
struct joint {
    uint64_t joint;
    uint64_t part;
};

/* Commits in (from, to] may be gone. */
struct lost {
    uint64_t from;
    uint64_t to;
};

struct history {
    struct trace *trace;
    struct sim_counter *counters;
    size_t counters_count;
    struct sim_op **ops;
    size_t ops_count;
    size_t ops_cap;
    uint64_t orders;
    struct joint *joints;
    size_t joints_count;
    size_t joints_cap;
    struct lost *lost;
    unsigned lossy_epoch; /* how many: power losses in mode fast */
};

/* One counter of each class per 'groups', several of CLASS_UP. */
void history_init(struct history *history, struct trace *trace, unsigned groups);
void history_release(struct history *history);

/* A new operation of a random kind on a random counter; NULL when that counter is used up. */
struct sim_op *history_new_op(struct history *history, struct rng *rng, unsigned read_percent,
                              bool keyed);

/* The key of 'original' with another payload. NULL as above. */
struct sim_op *history_new_misuse(struct history *history, struct sim_op *original);

/* NULL: there is none. */
struct sim_counter *history_counter(const struct history *history, struct slice resource_id);

/* Appends " [op 7] c3 +16" for the timeline; a read has no number. */
void history_describe(const struct history *history, const struct op *op, struct buf *out);

/* What a read of the operation's counter has to be at least, from now on. */
int64_t history_floor(const struct history *history, const struct sim_op *op);

/* A submission was answered; 'floor' as of its start, INT64_MIN: nothing to demand. Facts are
 * those of the reply that is being handed over, NULL outside one. */
void history_answered(struct history *history, struct sim_op *op, const struct answer *answer,
                      const struct facts *facts, int64_t floor);

/* The disk holds everything told so far. */
void history_synced(struct history *history);

/* 'joint' is lost when 'part' is, or has been. */
void history_rests_on(struct history *history, uint64_t joint, uint64_t part);

/* Commits in (from, to] may be gone, and what rests on them. */
void history_lost(struct history *history, uint64_t from, uint64_t to);

#endif
