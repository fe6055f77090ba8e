/* event.h - one change of a counter as its consumers see it, whatever store it came from.
 *
 * Events of a lane are numbered without a gap inside an epoch; a new epoch begins at 1. The same
 * event may come twice (after a crash, after a retry): (lane, epoch, seq) tells.
 *
 * Threads    Plain data.
 * Ownership  The slices are borrowed from whoever hands the event over.
 */
#ifndef CORE_EVENT_H
#define CORE_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "core/op.h"

/* {0, 0}: before the first. */
struct event_position {
    uint64_t epoch;
    uint64_t seq;
};

struct event {
    uint32_t lane;
    struct event_position at;
    enum op_kind kind; /* OP_ADD, OP_SET, OP_RESET */
    struct slice resource_id;
    struct slice counter_type;
    int64_t delta; /* new - old, modulo 2^64; only a set or a reset can wrap */
    int64_t new_value;
    uint64_t count; /* operations in it */
    int64_t et_ms;  /* wall clock; never goes back inside a lane */
};

static inline bool event_position_less(struct event_position a, struct event_position b) {
    return a.epoch != b.epoch ? a.epoch < b.epoch : a.seq < b.seq;
}

/* The number of the event behind 'at', when that one is of 'epoch'. */
static inline uint64_t event_position_next(struct event_position at, uint64_t epoch) {
    return epoch == at.epoch ? at.seq + 1 : 1;
}

#endif
