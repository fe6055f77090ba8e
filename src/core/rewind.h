/* rewind.h - a store that has gone back behind its own events, and what brings it forward again
 * (RELIABILITY 3.7): a failover or a power cut took the end of its log, or an older copy was put
 * back.
 *
 *                      they share this     the topic has        and the store, counting on
 *     lane   1 2 3 4 5 6 7 8 9 10 11 12    13 14 15 16 'lost'   13' 14' 'again': the same numbers
 *
 * The lost ones are added to the counters; those of the store since then are given out anew, in a
 * new epoch from 1 on, with the values that they make behind the lost ones. So a reader of the
 * topic sees 1 to 16, then 13' and 14', and the sums are the values. Had the store come to 18', and
 * shipped it, then a reader has 17' and 18', too, behind 16: only 13' to 16' are given out anew.
 * Where none are, the epoch begins with an event that sets a counter to what it is.
 *
 *     rewind_store() of each lane ─► rewind_hear() the topic ─► rewind_compare() the outbox ─►
 * rewind_judge() ─► any lane back? both again: rewind_take_topic(), rewind_take_outbox() ─►
 * rewind_finish()
 *
 * Events have no other name than their number, so two with one number are told apart by what they
 * say.
 *
 * Threads    One owner.
 * Ownership  Names are copied.
 * Limits     24 bytes for each event of the topic; 150 and its counter's name for each one lost or
 * again.
 */
#ifndef CORE_REWIND_H
#define CORE_REWIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "core/event.h"

struct rewind;

/* NULL when memory runs out. */
struct rewind *rewind_new(uint32_t lanes);
void rewind_free(struct rewind *rewind);

/* The last event that the store knows of. */
void rewind_store(struct rewind *rewind, uint32_t lane, struct event_position at);

/* Both: lane by lane in the order in which they are there, copies too. ERR_NO_MEMORY; ERR_CORRUPT:
 * no lane of this store's. */
MUST_CHECK enum err rewind_hear(struct rewind *rewind, const struct event *event);
MUST_CHECK enum err rewind_compare(struct rewind *rewind, const struct event *event);

/* True: some lane is to be brought forward. */
MUST_CHECK bool rewind_judge(struct rewind *rewind);

/* Errors as above. */
MUST_CHECK enum err rewind_take_topic(struct rewind *rewind, const struct event *event);
MUST_CHECK enum err rewind_take_outbox(struct rewind *rewind, const struct event *event);
/* ERR_NO_MEMORY. */
MUST_CHECK enum err rewind_finish(struct rewind *rewind);

enum rewind_fate {
    REWIND_IN_STEP, /* or ahead of the topic, as events wait for their relay */
    REWIND_BACK,    /* to be brought forward */
    REWIND_LACKS,   /* the topic lacks some of the lost events */
    REWIND_GONE,    /* the store's own since then are neither in its outbox nor in the topic */
    REWIND_TWICE,   /* several events of one number since then: it has gone back more than once */
    REWIND_RANGE    /* a counter would leave the range of values */
};

struct rewind_lane {
    enum rewind_fate fate;
    struct event_position store;  /* its last event */
    struct event_position topic;  /* the topic's */
    struct event_position shared; /* of both: the last they have in common */
    uint64_t lost;
    uint64_t again; /* events of the new epoch */
    uint64_t epoch; /* the new one */
    int64_t et_ms;  /* the latest of those lost and again */
};

void rewind_lane(const struct rewind *rewind, uint32_t lane, struct rewind_lane *out);

/* What becomes of a counter, given what the store has now. Only those whose value changes. */
struct rewind_counter {
    struct slice resource_id; /* borrowed until the next call */
    struct slice counter_type;
    uint32_t number; /* from 0 on, over all lanes */
};

/* False: the lane has no more. '*at' is 0 at first. */
MUST_CHECK bool rewind_next_counter(const struct rewind *rewind, uint32_t lane, uint32_t *at,
                                    struct rewind_counter *out);
/* ERR_RANGE. */
MUST_CHECK enum err rewind_value(const struct rewind *rewind, uint32_t number, int64_t store_value,
                                 int64_t *out);

/* The lane's event number 'n' of the new epoch, 1 to 'again'; borrowed until the next call. */
void rewind_event(const struct rewind *rewind, uint32_t lane, uint64_t n, struct event *out);

#endif
