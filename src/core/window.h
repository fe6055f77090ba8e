/* window.h - what each lane remembers of each producer's messages (RELIABILITY 3.2).
 *
 * A ring of MESSAGE_WINDOW numbers with the answers of that lane's part, in
 * memory and in KV_WINDOW. Numbers are sparse per lane. The newest number n is
 * always kept, so the highest forgotten one is n - MESSAGE_WINDOW and needs no
 * record of its own.
 *
 *     forgotten │ n-63 …  known or new  … n │ new
 *
 * Threads    One owner.
 * Limits     MESSAGE_WINDOW records per lane and live producer.
 */
#ifndef CORE_WINDOW_H
#define CORE_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "core/bytes.h"
#include "core/kv.h"
#include "core/lane.h"
#include "core/message.h"

struct window_slot {
    uint64_t number; /* 0: none */
    struct buf record;
};

struct window {
    uint64_t highest;  /* number applied, 0: none */
    int64_t active_ms; /* the latest of issue times and arrivals: forgotten KEEP after it */
    struct window_slot slots[MESSAGE_WINDOW]; /* number n in slot n mod MESSAGE_WINDOW */
};

struct producer {
    struct producer *next; /* in its bucket */
    struct producer_id id;
    uint32_t windows;       /* how many lanes have one */
    struct window *lanes[]; /* by lane; NULL: none */
};

#define WINDOWS_BUCKETS 256

struct windows {
    struct producer *buckets[WINDOWS_BUCKETS]; /* producers pick their ids: random, and ours */
    uint32_t lanes;
    size_t producers;
    int64_t next_forget_ms; /* nothing is due before */
    int64_t pass_next_ms;   /* the same, collected by the pass under way */
    unsigned pass_bucket;   /* where it stands */
    struct buf key;         /* scratch */
};

void windows_init(struct windows *windows, uint32_t lanes);
void windows_release(struct windows *windows);

/* Reads KV_WINDOW. ERR_NO_MEMORY, ERR_CORRUPT, ERR_NEWER or the store's. */
MUST_CHECK enum err windows_open(struct windows *windows, struct kv *kv);

/* NULL: not known. */
struct producer *windows_find(const struct windows *windows, const struct producer_id *id);

/* Found or made; NULL when memory runs out. */
struct producer *windows_producer(struct windows *windows, const struct producer_id *id);
struct window *windows_lane(struct producer *producer, uint32_t lane);

enum window_verdict { WINDOW_NEW, WINDOW_KNOWN, WINDOW_FORGOTTEN };

/* 'window' may be NULL. */
enum window_verdict window_look(const struct window *window, uint64_t number);

/* Not below the window. Always so for what window_look() lets through, unless a test has taken
 * RULE_TOO_OLD away: such a number has no slot of its own. */
bool window_takes(const struct window *window, uint64_t number);

/* Makes room for the record of 'number' with so many answers; false when memory runs out. */
bool window_reserve(struct window *window, uint64_t number, size_t answers);

/* Records a part: forgets what is MESSAGE_WINDOW below, then window_begin(), window_answer() for
 * each write in order, window_store(). Never fails after window_reserve(). */
struct window_part {
    struct windows *windows;
    struct window *window;
    struct producer_id producer;
    uint32_t lane;
    uint64_t number;
    int64_t et_ms;
    int64_t active_ms;
    size_t answers;
};
void window_begin(const struct window_part *part, struct kv *kv);
void window_answer(const struct window_part *part, const struct answer *answer);
void window_store(const struct window_part *part, struct kv *kv);

/* Reading one back: how many answers, then each. */
struct window_record {
    struct bytes_reader in;
    int64_t et_ms;
    int64_t active_ms;
    uint64_t answers;
};
MUST_CHECK enum err window_record_open(struct slice record, struct window_record *out);
MUST_CHECK enum err window_record_next(struct window_record *record, struct answer *out);
struct slice window_get(const struct window *window, uint64_t number);

/* Forgets windows silent for PRODUCER_KEEP_MS: stages a bounded piece, touches lanes. */
void windows_tidy(struct windows *windows, struct kv *kv, struct lanes *lanes, int64_t clock_ms);

#endif
