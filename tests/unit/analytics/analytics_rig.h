/* analytics_rig.h - analytics on RocksDB beside a model that keeps every event: random events,
 * duplicates, late ones, several lanes and epochs, a clock of its own, crashes at any point.
 *
 * Threads    One.
 */
#ifndef TESTS_ANALYTICS_RIG_H
#define TESTS_ANALYTICS_RIG_H

#include "analytics_model.h"
#include "edge/rocks_tally.h"

#define START_MS  (INT64_C(1790000000) * 1000)
#define MINUTE_MS INT64_C(60000)
#define HOUR_MS   (60 * MINUTE_MS)
#define DAY_MS    (24 * HOUR_MS)
#define STORE_ID  77

struct rig {
    char folder[64];
    struct rocks_tally *rocks;
    struct analytics *analytics;
    struct analytics_conf conf;
    struct model model;
    struct event_position at[MODEL_LANES];
    int64_t clock_ms;
    int64_t latest_clock_ms;
    int64_t latest_event_ms; /* of those counted */
    uint64_t random;
    unsigned seed;
    uint32_t before[RANGE_WINDOWS][MODEL_LANES]; /* events counted when its window last moved on */
    unsigned behind; /* rankings asked for while rows were left to leave */
    unsigned still;  /* of these, ones as of before */
};

struct rig *rig_new(unsigned seed, uint32_t counters_max);
void rig_free(struct rig *rig);

/* After a change of its conf, or to lose what isn't committed. */
void rig_crash(struct rig *rig);
void rig_start(struct rig *rig);

uint64_t rig_below(struct rig *rig, uint64_t n);

/* One event more, and its clock, which jumps. */
void rig_happen(struct rig *rig);
void rig_pass_time(struct rig *rig);

/* From a few events back to the end, in pieces; what doesn't fit comes again. All: and moves. */
void rig_deliver(struct rig *rig, uint32_t lane);
void rig_deliver_all(struct rig *rig);
void rig_move(struct rig *rig);

/* Where the windows end once they have moved. */
int64_t rig_end_of(const struct rig *rig);

/* Fails where an answer isn't what the model says, now, or as of the time that it names. */
void rig_check_now(struct rig *rig);

#endif
