/* audit.h - does what a store says of its counters agree with what their events add up to?
 *
 * A counter's value is read together with the last event number of its lane, in one atomic step:
 * its position. All its events up to there, each counted once however often it comes, must add up
 * to that value (RELIABILITY 3.3):
 *
 *     value = opening + external + sum of deltas + drift
 *
 * opening   what it had before the first event that is still there, of a lane whose beginning isn't
 * external  changes that others made in the store, where they may: between two events (new_value -
 *           delta isn't the new_value before) or behind the last one
 * drift     what is left, and what others seem to have changed in a place where events are missing
 *
 *     audit_lane() for each lane ─► audit_counter() … ─► audit_event() … ─► audit_judge()
 *
 * Where analytics is asked too, its total at that position is the value, or the new_value of the
 * last event, if others have changed the counter since.
 *
 * Threads    One owner.
 * Ownership  Names are copied.
 * Limits     About 150 bytes and its name for each counter.
 */
#ifndef CORE_AUDIT_H
#define CORE_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "core/analytics_total.h"
#include "core/event.h"

struct audit;

struct audit_conf {
    uint64_t store_id; /* events of others are left out */
    uint32_t lanes;
    bool others_write; /* in the store's counters: what the events don't explain is external */
    bool adds_unread;  /* a counter that only events know counts as read, and absent, */
    struct slice adds; /* if its resource_id begins so: all of these were read; borrowed */
};

/* NULL when memory runs out. */
struct audit *audit_new(const struct audit_conf *conf);
void audit_free(struct audit *audit);

/* The lane's last event when reading began; all of them before the first counter. A counter that
 * wasn't there was absent at this position. */
void audit_lane(struct audit *audit, uint32_t lane, struct event_position at);

/* A counter as read, 'at' its lane's position then; absent is 0. Read twice, the later one counts.
 * ERR_NO_MEMORY. */
MUST_CHECK enum err audit_counter(struct audit *audit, uint32_t lane, struct slice resource_id,
                                  struct slice counter_type, int64_t value,
                                  struct event_position at);

/* What analytics has of a counter that was read, at the position it was read at: TOTAL_KNOWN,
 * TOTAL_NOT_HELD or TOTAL_UNHEARD. */
void audit_total(struct audit *audit, const struct total *total);

/* One event, in the order in which the lane's events come. ERR_NO_MEMORY; ERR_CORRUPT: no lane of
 * this store's. */
MUST_CHECK enum err audit_event(struct audit *audit, uint64_t store_id, const struct event *event);

/* Events still to come, up to the last position in each lane that a counter was read at. 0: all
 * have come, and the verdict is one. */
uint64_t audit_outstanding(const struct audit *audit);

struct audit_lane_verdict {
    uint32_t lane;
    struct event_position needed;  /* the last one that a counter was read at */
    struct event_position reached; /* {0, 0}: no event has come */
    uint64_t begins;               /* the first one that came, of its epoch; 0: none */
    uint64_t missing;              /* behind that one */
    uint64_t missing_first;        /* of the first gap, */
    uint64_t missing_last;
    uint64_t out_of_order;
};

/* What its total says. */
enum audit_analytics {
    AUDIT_NOT_ASKED,
    AUDIT_AGREES,
    AUDIT_DIFFERS,
    AUDIT_NOT_HELD,  /* nothing: it has no total of a counter beyond its limit, */
    AUDIT_UNHEARD,   /* or of one that hasn't changed since it began, */
    AUDIT_EXPLAINED, /* or others have changed the counter, and no event says when */
};

struct audit_verdict {
    struct slice resource_id;
    struct slice counter_type;
    uint32_t lane;
    struct event_position at;
    bool absent;     /* it wasn't read: events alone know it */
    uint64_t events; /* of it, up to 'at' */
    int64_t value;   /* all of these modulo 2^64 */
    int64_t sum;
    int64_t opening;
    int64_t external;
    int64_t drift;
    bool unknown; /* none of its events is there, and its lane's beginning isn't: nothing to compare
                   */
    enum audit_analytics analytics;
    int64_t total; /* analytics', */
    int64_t ahead; /* and by how much it is too large */
};

struct audit_totals {
    uint64_t counters;
    uint64_t events;     /* distinct ones of this store, whatever the counter */
    uint64_t duplicates; /* came again */
    uint64_t foreign;    /* of other stores */
    uint64_t drifting;   /* counters */
    uint64_t external;
    uint64_t unknown;
    uint64_t missing;      /* events, of all lanes */
    uint64_t out_of_order; /* events */
    uint32_t behind;       /* lanes whose events haven't all come */
    uint64_t agreeing;     /* counters that analytics was asked for: AUDIT_AGREES, */
    uint64_t differing;    /* AUDIT_DIFFERS, */
    uint64_t incomparable; /* and the others */
};

/* False: nothing differs and nothing is missing. */
bool audit_judge(const struct audit *audit, struct audit_totals *out);

/* In the order in which counters became known. The names are borrowed. */
void audit_each(const struct audit *audit,
                void (*take)(void *ctx, const struct audit_verdict *verdict), void *ctx);
void audit_each_lane(const struct audit *audit,
                     void (*take)(void *ctx, const struct audit_lane_verdict *verdict), void *ctx);

#endif
