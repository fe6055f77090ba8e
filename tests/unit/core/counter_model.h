/* counter_model.h - what the applier must answer and store, written the slow and obvious way.
 *
 * One operation after another, lists searched from the front, 128-bit sums.
 * Shares no code with src/core but the types and the chain's hash.
 */
#ifndef TESTS_UNIT_CORE_COUNTER_MODEL_H
#define TESTS_UNIT_CORE_COUNTER_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/applier.h"

#define MODEL_COUNTERS  12
#define MODEL_KEYS      6
#define MODEL_PRODUCERS 4
#define MODEL_LANES     16
#define MODEL_OPS       24
#define MODEL_MESSAGES  320
#define MODEL_EVENTS    (MODEL_MESSAGES * MODEL_OPS)

__extension__ typedef __int128 wide;

struct model_op {
    enum op_kind kind;
    int64_t arg;
    int counter;
    int key; /* -1: none */
};

struct model_message {
    int producer;
    uint64_t number;
    int64_t issued_ms;
    int count;
    struct model_op ops[MODEL_OPS];
    /* what the store remembers */
    bool applied[MODEL_LANES];
    struct answer answers[MODEL_OPS];
};

struct model_counter {
    int64_t value;
    int64_t time_ms;
};

struct model_key {
    enum op_kind kind;
    int counter;
    int key;
    int64_t generation;
    int64_t arg;
    int64_t value;
    int64_t time_ms;
};

struct model_event {
    int lane;
    int counter;
    enum op_kind kind;
    bool keyed;
    int message;
    int64_t old_value;
    int64_t new_value;
    int64_t et_ms;
    int count;
    uint8_t indexes[MODEL_OPS];
};

struct model_window {
    uint64_t highest;
    int64_t active_ms;
};

struct model {
    int lanes;
    bool coalesce;
    int64_t key_ttl_ms;
    int lane_of[MODEL_COUNTERS];

    struct model_counter counters[MODEL_COUNTERS];
    int64_t last_et_ms[MODEL_LANES];
    int64_t forgotten_ms[MODEL_LANES];
    int64_t ahead_ms;        /* the store's clock minus the monotonic one */
    int64_t clock_ms;        /* the store's */
    int64_t stored_clock_ms; /* as of the last commit of a lane */
    bool dirty;              /* the open group has changed a lane */
    int64_t generation;
    struct model_window windows[MODEL_PRODUCERS][MODEL_LANES];
    uint64_t next_number[MODEL_PRODUCERS]; /* the generator's */
    int messages_count;
    int keys_count;
    int events_count;
    struct model_message messages[MODEL_MESSAGES];
    struct model_key keys[MODEL_EVENTS];
    struct model_event events[MODEL_EVENTS];
};

/* Counter 'i' is resource "r<i>" of type "like". */
void model_init(struct model *model, int lanes, bool coalesce, int64_t key_ttl_ms,
                struct applier_time now);

/* Message 'number' of model->messages arrives, for the first time or again. */
void model_apply(struct model *model, int number, struct applier_time now,
                 struct answer *out_answers);
void model_tidy(struct model *model, struct applier_time now);
void model_commit(struct model *model);
void model_restart(struct model *model, struct applier_time now);

#endif
