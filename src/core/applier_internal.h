/* applier_internal.h - what applier.c (the store's life) and apply.c (one message) share.
 *
 * Threads    One owner.
 */
#ifndef CORE_APPLIER_INTERNAL_H
#define CORE_APPLIER_INTERNAL_H

#include "core/applier.h"
#include "core/consumers.h"
#include "core/counter_cache.h"
#include "core/key_record.h"
#include "core/lane.h"
#include "core/layout.h"
#include "core/outbox_trim.h"
#include "core/window.h"

#define NO_NUMBER UINT32_MAX

/* One operation of the message at hand. */
struct op_work {
    struct slice id; /* resource_id, a zero byte, counter_type */
    struct cache_lookup lookup;
    uint32_t next;     /* operation of the same part, NO_NUMBER at the end */
    uint32_t in_event; /* next operation of the same event */
    uint32_t counter;  /* in the cache */
    uint32_t key;      /* in the key records, NO_NUMBER: none */
    bool valid;
};

enum part_fate {
    PART_READ,   /* no writes in it: no identity needed */
    PART_APPLY,  /* new */
    PART_REPLAY, /* in the window */
    PART_FULL,   /* new, but consumers are behind: its reads are read */
    PART_REFUSE  /* all its operations get 'err' */
};

/* The message's operations in one lane. */
struct part {
    uint32_t lane;
    uint32_t first;
    uint32_t last;
    uint32_t writes;
    enum part_fate fate;
    enum err err;
    struct window *window; /* PART_APPLY, PART_REPLAY */
};

/* An event of the part at hand. */
struct pending_event {
    uint32_t counter;
    enum op_kind kind;
    bool keyed;
    int64_t delta; /* modulo 2^64 for a set or reset */
    int64_t new_value;
    uint32_t count;
    uint32_t first; /* its operations, by 'in_event' */
    uint32_t last;
};

struct applier {
    struct kv *kv;
    struct applier_conf conf;
    struct layout layout;
    struct lanes lanes;
    struct windows windows;
    struct counter_cache cache;
    struct key_records keys;
    struct consumers consumers;
    struct outbox_trim trim;
    int64_t ahead_ms; /* the store's clock minus the monotonic one */
    int64_t clock_ms; /* the store's clock now; never goes back */
    bool staged;      /* the group isn't empty */
    bool unsynced;    /* something committed may not be on disk yet */
    enum err broken;  /* the store failed: what every later call returns */
    uint64_t events_total;
    uint64_t operations_total;
    uint64_t replayed_messages_total;
    uint64_t replayed_keys_total;
    uint64_t refused_full_total;

    /* one message; sized to the largest seen */
    uint64_t message_serial;
    size_t work_cap;
    struct op_work *work;
    struct pending_event *events;
    uint32_t events_count;
    struct part *parts;
    uint32_t parts_count;
    uint32_t *part_of_lane; /* NO_NUMBER between messages */
    bool has_keys;
    struct buf ids;
    struct buf entry; /* scratch */
    struct buf key;
};

static inline void applier_set_time(struct applier *a, struct applier_time now) {
    if (now.mono_ms + a->ahead_ms > a->clock_ms)
        a->clock_ms = now.mono_ms + a->ahead_ms;
}

#endif
