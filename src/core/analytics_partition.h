/* analytics_partition.h - partitions that move from one instance of analytics to another.
 *
 * Events come by partitions: lane l is in partition l mod 'of'. Which of them an instance reads is
 * configuration, until one is moved; then its own store says it, with the counts and in the same
 * batch, so that a crash leaves each with one owner or on its way.
 *
 *     from   HERE ─► LEAVING ──────────────────────────────────► GONE
 *                    nothing is counted,                          not ranked any more,
 *                    its state is read out ─┐                     until it comes back
 *     to     none, GONE ─► ARRIVING ◄───────┘ ─► READY ─────────────────► HERE
 *                          not ranked            all of it is stored
 *
 * READY comes before GONE, and HERE behind it: no partition is counted twice at any moment. Every
 * step may be repeated. 'moves' counts the hand-overs, so that an instance whose state is out of
 * date isn't taken for the owner.
 *
 * Counters of a partition that isn't here stay, hidden: in their windows, stored, and not ranked.
 *
 * Threads    The owner's of analytics.
 */
#ifndef CORE_ANALYTICS_PARTITION_H
#define CORE_ANALYTICS_PARTITION_H

#include "core/analytics.h"

#define ANALYTICS_PARTITIONS_MAX 256
#define ANALYTICS_PEER_BYTES     40

enum partition_state {
    PARTITION_UNMOVED, /* as configured */
    PARTITION_HERE,
    PARTITION_LEAVING,
    PARTITION_GONE,
    PARTITION_ARRIVING,
    PARTITION_READY
};

struct analytics_partition {
    uint32_t number;
    uint32_t of; /* partitions of the topic */
    enum partition_state state;
    uint64_t moves;
    char peer[ANALYTICS_PEER_BYTES]; /* whom it goes to, or came from */
};

/* All that were moved, at any time. */
const struct analytics_partition *analytics_partitions(const struct analytics *analytics,
                                                       uint32_t *out_count);

/* UNMOVED: there is no record of it. */
struct analytics_partition analytics_partition(const struct analytics *analytics, uint32_t number);

/* The steps above, from left to right; each is in force with the next commit and may be repeated.
 * ERR_LOCKED: its state is another one; ERR_RANGE: as many have been moved as may be. */

/* HERE or UNMOVED, which the caller knows to be read here. Another peer's: ERR_LOCKED. */
MUST_CHECK enum err analytics_leave(struct analytics *analytics, uint32_t number, uint32_t of,
                                    struct slice peer);
/* ERR_TOO_OLD: it has been here, or gone through here, since the peer had it. */
MUST_CHECK enum err analytics_arrive(struct analytics *analytics,
                                     const struct analytics_partition *from, struct slice peer);
MUST_CHECK enum err analytics_ready(struct analytics *analytics, uint32_t number);
MUST_CHECK enum err analytics_release(struct analytics *analytics, uint32_t number,
                                      struct slice peer);
MUST_CHECK enum err analytics_own(struct analytics *analytics, uint32_t number);

/* The way back, as long as it isn't GONE: LEAVING becomes HERE again, and ARRIVING or READY GONE.
 */
MUST_CHECK enum err analytics_keep(struct analytics *analytics, uint32_t number);

/* What is counted of the lane is another instance's, or nobody's for now. */
bool analytics_elsewhere(const struct analytics *analytics, uint32_t lane);

/* Something was counted of the partition, and is ranked here: read now or not. */
bool analytics_shows(const struct analytics *analytics, uint32_t number, uint32_t of);

/* Shows and hides counters as their partitions want it, some at a time; true: there are more. Until
 * all are, and while a partition is on its way, answers aren't exact. */
bool analytics_veil_some(struct analytics *analytics);

/* An answer isn't exact for now. */
bool analytics_moving(const struct analytics *analytics);

/* ---- a partition's state, in pages ---- */

/* Why this one's state can't be read out, a sentence; NULL: it can. */
const char *analytics_cant_leave(const struct analytics *analytics, uint32_t number, uint32_t of);

/* Behind 'from' ("": from the beginning), as much as a page has; 'out_next' is empty at the end.
 * Nothing of the partition may be pending or counted meanwhile. ERR_NO_MEMORY, ERR_CORRUPT, ERR_IO;
 * ERR_INVALID: 'from' is none that was given. */
MUST_CHECK enum err analytics_export(struct analytics *analytics,
                                     const struct analytics_partition *partition, struct slice from,
                                     struct buf *out_page, struct buf *out_next);

/* Takes what is left of an earlier stay away, likewise. */
MUST_CHECK enum err analytics_wipe(struct analytics *analytics,
                                   const struct analytics_partition *partition, struct slice from,
                                   struct buf *out_next);

/* Counters by the number that they have where they come from. */
struct analytics_import {
    uint32_t *numbers;
    uint32_t cap;
};

/* Every page once, in order. ERR_BUSY: nothing was taken, as too much is pending; ERR_RANGE: its
 * counters are more than are held here; ERR_CORRUPT, ERR_NO_MEMORY: some was, begin again. */
MUST_CHECK enum err analytics_import_page(struct analytics *analytics,
                                          struct analytics_import *import, struct slice page);
void analytics_import_release(struct analytics_import *import);

#endif
