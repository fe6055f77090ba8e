/* counter_model.c - RELIABILITY 3.1 to 3.5 read aloud. */
#include "counter_model.h"

#include <stdio.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static int64_t later(int64_t a, int64_t b) {
    return a > b ? a : b;
}

void model_init(struct model *model, int lanes, bool coalesce, int64_t key_ttl_ms,
                struct applier_time now) {
    memset(model, 0, sizeof(*model));
    model->lanes = lanes;
    model->coalesce = coalesce;
    model->key_ttl_ms = key_ttl_ms;
    model->stored_clock_ms = now.wall_ms;
    model_restart(model, now);
    model->generation = now.wall_ms / key_ttl_ms;
    for (int i = 0; i < MODEL_LANES; i++)
        model->forgotten_ms[i] = INT64_MIN;
    for (int i = 0; i < MODEL_COUNTERS; i++) {
        char id[256]; /* gcc 12 believes XXH3 reads far past a small one */
        int len = snprintf(id, sizeof(id), "r%d", i) + 1;

        memcpy(id + len, "like", 4);
        model->lane_of[i] = (int)(XXH3_64bits(id, (size_t)len + 4) % (uint64_t)lanes);
    }
}

static bool in_window(const struct model *model, const struct model_message *message, int lane) {
    const struct model_window *window = &model->windows[message->producer][lane];

    return message->applied[lane] && message->number + MESSAGE_WINDOW > window->highest;
}

static bool too_old(const struct model *model, const struct model_message *message, int lane,
                    bool aged) {
    const struct model_window *window = &model->windows[message->producer][lane];

    if (window->highest >= MESSAGE_WINDOW && message->number <= window->highest - MESSAGE_WINDOW)
        return true;
    return aged || message->issued_ms <= model->forgotten_ms[lane];
}

static const struct model_key *find_key(const struct model *model, const struct model_op *op) {
    for (int i = model->keys_count - 1; i >= 0; i--) {
        const struct model_key *key = &model->keys[i];

        if (key->kind == op->kind && key->counter == op->counter && key->key == op->key)
            return key->generation >= model->generation - 1 ? key : NULL;
    }
    return NULL;
}

/* The newest event of this counter in this message, if the operation may join it. */
static struct model_event *joinable(struct model *model, int message, const struct model_op *op) {
    for (int i = model->events_count - 1; i >= 0; i--) {
        struct model_event *event = &model->events[i];
        wide sum = (wide)event->new_value - event->old_value + op->arg;

        if (event->message != message)
            return NULL;
        if (event->counter != op->counter)
            continue;
        if (!model->coalesce || event->kind != OP_ADD || op->kind != OP_ADD || event->keyed ||
            op->key >= 0)
            return NULL;
        if ((event->new_value > event->old_value) != (op->arg > 0))
            return NULL;
        return sum < INT64_MIN || sum > INT64_MAX ? NULL : event;
    }
    return NULL;
}

static void add_event(struct model *model, int message, int index, int64_t old_value,
                      int64_t new_value, int64_t et_ms) {
    const struct model_op *op = &model->messages[message].ops[index];
    struct model_event *event = joinable(model, message, op);

    if (!event) {
        event = &model->events[model->events_count++];
        *event = (struct model_event){.lane = model->lane_of[op->counter],
                                      .counter = op->counter,
                                      .kind = op->kind,
                                      .keyed = op->key >= 0,
                                      .message = message,
                                      .old_value = old_value,
                                      .et_ms = et_ms};
    }
    event->new_value = new_value;
    event->indexes[event->count++] = (uint8_t)index;
}

static struct answer write_counter(struct model *model, int message, int index, int64_t et_ms) {
    const struct model_op *op = &model->messages[message].ops[index];
    struct model_counter *counter = &model->counters[op->counter];
    const struct model_key *key = op->key >= 0 ? find_key(model, op) : NULL;
    int64_t arg = op->kind == OP_RESET ? 0 : op->arg;
    int64_t old_value = counter->value;
    wide value = op->kind == OP_ADD ? (wide)old_value + arg : arg;

    if (key && key->arg != arg)
        return (struct answer){.err = ERR_MISMATCH};
    if (key)
        return (struct answer){.replayed = true, .value = key->value, .time_ms = key->time_ms};
    if (value < INT64_MIN || value > INT64_MAX)
        return (struct answer){.err = ERR_RANGE, .value = old_value, .time_ms = et_ms};
    *counter = (struct model_counter){(int64_t)value, et_ms};
    add_event(model, message, index, old_value, counter->value, et_ms);
    if (op->key >= 0)
        model->keys[model->keys_count++] = (struct model_key){
            op->kind, op->counter, op->key, model->generation, arg, counter->value, et_ms};
    return (struct answer){.value = counter->value, .time_ms = et_ms};
}

static void turn_keys(struct model *model) {
    model->generation = later(model->generation, model->clock_ms / model->key_ttl_ms);
}

struct verdicts {
    bool writes[MODEL_LANES];
    bool replay[MODEL_LANES];
    bool refuse[MODEL_LANES];
    bool any_replay;
    bool aged;
};

static struct verdicts judge(const struct model *model, const struct model_message *message) {
    int64_t age_ms = model->clock_ms - message->issued_ms;
    struct verdicts v = {.aged = age_ms > MESSAGE_MAX_AGE_MS || -age_ms > MESSAGE_MAX_AHEAD_MS};

    for (int i = 0; i < message->count; i++) {
        if (message->ops[i].kind != OP_GET)
            v.writes[model->lane_of[message->ops[i].counter]] = true;
    }
    for (int lane = 0; lane < model->lanes; lane++) {
        if (!v.writes[lane])
            continue;
        v.replay[lane] = in_window(model, message, lane);
        v.refuse[lane] = !v.replay[lane] && too_old(model, message, lane, v.aged);
        v.any_replay |= v.replay[lane];
    }
    return v;
}

static void remember(struct model *model, struct model_message *message, int lane, int64_t et_ms) {
    struct model_window *window = &model->windows[message->producer][lane];

    message->applied[lane] = true;
    model->last_et_ms[lane] = et_ms;
    if (message->number > window->highest)
        window->highest = message->number;
    window->active_ms = later(window->active_ms, later(model->clock_ms, message->issued_ms));
    model->dirty = true;
}

static void set_time(struct model *model, struct applier_time now) {
    model->clock_ms = later(model->clock_ms, now.mono_ms + model->ahead_ms);
}

void model_apply(struct model *model, int number, struct applier_time now,
                 struct answer *out_answers) {
    struct model_message *message = &model->messages[number];

    set_time(model, now);
    struct verdicts v = judge(model, message);
    if (v.aged && !v.any_replay) {
        for (int i = 0; i < message->count; i++)
            out_answers[i] = (struct answer){.err = ERR_TOO_OLD};
        return;
    }
    for (int i = 0; i < message->count; i++) {
        if (message->ops[i].key >= 0)
            turn_keys(model);
    }
    for (int i = 0; i < message->count; i++) {
        const struct model_op *op = &message->ops[i];
        int lane = model->lane_of[op->counter];

        if (v.refuse[lane])
            out_answers[i] = (struct answer){.err = ERR_TOO_OLD};
        else if (op->kind == OP_GET)
            out_answers[i] = (struct answer){.value = model->counters[op->counter].value,
                                             .time_ms = model->counters[op->counter].time_ms};
        else if (v.replay[lane])
            out_answers[i] = message->answers[i];
        else
            out_answers[i] = message->answers[i] =
                write_counter(model, number, i, later(now.wall_ms, model->last_et_ms[lane]));
    }
    for (int lane = 0; lane < model->lanes; lane++) {
        if (v.writes[lane] && !v.replay[lane] && !v.refuse[lane])
            remember(model, message, lane, later(now.wall_ms, model->last_et_ms[lane]));
    }
}

static void forget(struct model *model, int producer, int lane) {
    struct model_window *window = &model->windows[producer][lane];

    model->forgotten_ms[lane] = later(model->forgotten_ms[lane], window->active_ms);
    *window = (struct model_window){0};
    model->dirty = true;
    for (int i = 0; i < model->messages_count; i++) {
        if (model->messages[i].producer == producer)
            model->messages[i].applied[lane] = false;
    }
}

void model_tidy(struct model *model, struct applier_time now) {
    set_time(model, now);
    turn_keys(model);
    for (int producer = 0; producer < MODEL_PRODUCERS; producer++) {
        for (int lane = 0; lane < model->lanes; lane++) {
            const struct model_window *window = &model->windows[producer][lane];

            if (window->highest && model->clock_ms - window->active_ms >= PRODUCER_KEEP_MS)
                forget(model, producer, lane);
        }
    }
}

void model_commit(struct model *model) {
    if (model->dirty)
        model->stored_clock_ms = model->clock_ms;
    model->dirty = false;
}

void model_restart(struct model *model, struct applier_time now) {
    model->clock_ms = later(now.wall_ms, model->stored_clock_ms);
    model->ahead_ms = model->clock_ms - now.mono_ms;
}
