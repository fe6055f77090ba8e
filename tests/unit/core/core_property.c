/* core_property.c - runner and comparison. */
#include "core_property.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/applier.h"
#include "core/hash.h"
#include "core/inspect.h"
#include "core_random.h"
#include "counter_model.h"
#include "sim_kv.h"

#define GROUPS             30
#define MESSAGES_PER_GROUP 6

struct run {
    uint64_t random;
    struct sim_kv *sim;
    struct applier *applier;
    struct applier_conf conf;
    struct applier_time now;
    char ids[MODEL_COUNTERS][16];
};

static struct model model;
static struct model before; /* the open group */
static char difference[512];

#define DIFFER(...) (snprintf(difference, sizeof(difference), __VA_ARGS__), false)

static uint64_t roll(struct run *run, uint64_t below) {
    return random_roll(&run->random, below);
}

static bool chance(struct run *run, unsigned percent) {
    return random_chance(&run->random, percent);
}

/* Time passes; sometimes the wall clock is corrected. */
static void move_clocks(struct run *run) {
    int64_t passes_ms = (int64_t)roll(run, chance(run, 3) ? 2 * PRODUCER_KEEP_MS : 50);
    uint64_t what = roll(run, 100);

    run->now.mono_ms += passes_ms;
    run->now.wall_ms += passes_ms;
    if (what < 5)
        run->now.wall_ms -= (int64_t)roll(run, 3000);
    else if (what < 7)
        run->now.wall_ms += (int64_t)roll(run, 2 * PRODUCER_KEEP_MS);
    else if (what < 9)
        run->now.wall_ms -= (int64_t)roll(run, 2 * PRODUCER_KEEP_MS);
}

/* ---- the applier's side ---- */

static bool open_applier(struct run *run) {
    const char *detail;
    enum err err =
        applier_open(sim_kv_base(run->sim), &run->conf, run->now, &run->applier, &detail);

    return err == ERR_OK || DIFFER("open: %s (%s)", err_name(err), detail);
}

static enum err apply(struct run *run, const struct model_message *from, struct answer *out) {
    struct op ops[MODEL_OPS];
    struct message message = {.producer = {7, (uint64_t)from->producer},
                              .number = from->number,
                              .issued_ms = from->issued_ms,
                              .ops = ops,
                              .count = (size_t)from->count};

    for (int i = 0; i < from->count; i++) {
        const struct model_op *op = &from->ops[i];

        ops[i] = (struct op){op->kind, op->arg, slice_str(run->ids[op->counter]), SLICE("like"),
                             slice_str(op->key >= 0 ? model_key_names[op->key] : NULL)};
    }
    return applier_apply(run->applier, &message, run->now, out);
}

static bool same_answers(const struct model_message *message, const struct answer *got,
                         const struct answer *want) {
    for (int i = 0; i < message->count; i++) {
        if (got[i].err != want[i].err || got[i].replayed != want[i].replayed ||
            got[i].value != want[i].value || got[i].time_ms != want[i].time_ms)
            return DIFFER("message %" PRIu64 " op %d (kind %d arg %" PRId64 " key %d): got %s %d "
                          "%" PRId64 " at %" PRId64 ", want %s %d %" PRId64 " at %" PRId64,
                          message->number, i, (int)message->ops[i].kind, message->ops[i].arg,
                          message->ops[i].key, err_name(got[i].err), got[i].replayed, got[i].value,
                          got[i].time_ms, err_name(want[i].err), want[i].replayed, want[i].value,
                          want[i].time_ms);
    }
    return true;
}

static bool step_message(struct run *run) {
    struct answer got[MODEL_OPS];
    struct answer want[MODEL_OPS];
    int number = random_message(&run->random, &model, run->now.mono_ms + model.ahead_ms);
    enum err err = apply(run, &model.messages[number], got);

    if (err != ERR_OK)
        return DIFFER("apply: %s", err_name(err));
    model_apply(&model, number, run->now, want);
    return same_answers(&model.messages[number], got, want);
}

/* ---- what is stored ---- */

struct check {
    const struct run *run;
    int at[MODEL_LANES]; /* in model.events: behind the lane's last one seen */
    uint64_t seq[MODEL_LANES];
    uint64_t chain[MODEL_LANES];
    int64_t et_ms[MODEL_LANES];
    wide sums[MODEL_COUNTERS];
    int counters;
};

static const struct model_event *next_expected(struct check *check, uint32_t lane) {
    while (check->at[lane] < model.events_count) {
        const struct model_event *event = &model.events[check->at[lane]++];

        if (event->lane == (int)lane)
            return event;
    }
    return NULL;
}

static bool same_indexes(struct check *check, const struct outbox_entry *entry,
                         const struct model_event *want, struct outbox_event got) {
    uint32_t index;

    for (int i = 0; i < want->count; i++) {
        if (outbox_next_index(&got, &index) != ERR_OK || index != want->indexes[i])
            return DIFFER("event %" PRIu64 ": not the operations expected", got.seq);
        check->chain[entry->lane] =
            hash_chain(check->chain[entry->lane], &entry->producer, entry->number, index);
    }
    return outbox_next_index(&got, &index) == ERR_NOT_FOUND || DIFFER("more operations");
}

static bool same_event(struct check *check, const struct outbox_entry *entry,
                       const struct outbox_event *event) {
    uint32_t lane = entry->lane;
    const struct model_event *want = next_expected(check, lane);

    if (!want)
        return DIFFER("lane %u has an event too many", lane);
    if (event->seq != check->seq[lane] + 1)
        return DIFFER("lane %u: seq %" PRIu64 " behind %" PRIu64, lane, event->seq,
                      check->seq[lane]);
    check->seq[lane] = event->seq;
    if (entry->et_ms < check->et_ms[lane] || entry->et_ms != want->et_ms)
        return DIFFER("lane %u: event time %" PRId64 ", want %" PRId64, lane, entry->et_ms,
                      want->et_ms);
    check->et_ms[lane] = entry->et_ms;
    struct slice id = slice_str(check->run->ids[want->counter]);
    if (event->kind != want->kind || event->count != (uint64_t)want->count ||
        event->old_value != want->old_value || event->new_value != want->new_value ||
        !slice_starts(event->id, id) || event->id.len != id.len + sizeof("like"))
        return DIFFER("lane %u event %" PRIu64 ": kind %d count %" PRIu64 " %" PRId64 " -> %" PRId64
                      ", want kind %d count %d %" PRId64 " -> %" PRId64,
                      lane, event->seq, (int)event->kind, event->count, event->old_value,
                      event->new_value, (int)want->kind, want->count, want->old_value,
                      want->new_value);
    check->sums[want->counter] += (wide)event->new_value - event->old_value;
    if (!outbox_delta_wrapped(event) &&
        event->delta != (int64_t)((wide)event->new_value - event->old_value))
        return DIFFER("delta %" PRId64 " isn't new - old", event->delta);
    if (!same_indexes(check, entry, want, *event))
        return false;
    return event->seq != entry->last_seq || entry->chain == check->chain[lane] ||
           DIFFER("lane %u: the chain breaks at %" PRIu64, lane, event->seq);
}

static enum err on_event(void *ctx, const struct outbox_entry *entry,
                         const struct outbox_event *event) {
    return same_event(ctx, entry, event) ? ERR_OK : ERR_INTERNAL;
}

static enum err on_counter(void *ctx, const struct inspect_counter *counter) {
    struct check *check = ctx;

    for (int i = 0; i < MODEL_COUNTERS; i++) {
        if (!slice_eq(counter->resource_id, slice_str(check->run->ids[i])))
            continue;
        check->counters++;
        /* I3: value = sum of deltas; nothing external here. */
        if (counter->value == model.counters[i].value &&
            counter->time_ms == model.counters[i].time_ms && counter->value == check->sums[i])
            return ERR_OK;
        (void)DIFFER("counter %d: stored %" PRId64 " at %" PRId64 ", sum of deltas %" PRId64
                     ", want %" PRId64 " at %" PRId64,
                     i, counter->value, counter->time_ms, (int64_t)check->sums[i],
                     model.counters[i].value, model.counters[i].time_ms);
        return ERR_INTERNAL;
    }
    (void)DIFFER("an unknown counter is stored");
    return ERR_INTERNAL;
}

static bool check_store(const struct run *run) {
    struct kv *kv = sim_kv_base(run->sim);
    struct check check = {.run = run};
    int written = 0;

    snprintf(difference, sizeof(difference), "a record doesn't read");
    if (inspect_outbox(kv, on_event, &check) != ERR_OK)
        return false;
    for (uint32_t lane = 0; lane < (uint32_t)model.lanes; lane++) {
        struct lane stored;

        if (next_expected(&check, lane))
            return DIFFER("lane %u misses events", lane);
        if (inspect_lane(kv, lane, &stored) != ERR_OK || stored.seq != check.seq[lane] ||
            stored.chain != check.chain[lane])
            return DIFFER("lane %u: its record is not the last event's", lane);
    }
    if (inspect_counters(kv, on_counter, &check) != ERR_OK)
        return false;
    for (int i = 0; i < MODEL_COUNTERS; i++)
        written += model.counters[i].time_ms != 0;
    return written == check.counters ||
           DIFFER("%d counters stored, want %d", check.counters, written);
}

/* ---- a history ---- */

static bool restart(struct run *run) {
    applier_close(run->applier);
    run->applier = NULL;
    sim_kv_kill(run->sim);
    run->now.mono_ms = (int64_t)roll(run, 1000000); /* the machine may have started again, too */
    model_restart(&model, run->now);
    return open_applier(run);
}

static bool step_group(struct run *run) {
    bool kill = chance(run, 6);
    uint64_t messages = 1 + roll(run, MESSAGES_PER_GROUP);

    if (kill)
        before = model;
    for (uint64_t i = 0; i < messages; i++) {
        move_clocks(run);
        if (!step_message(run))
            return false;
    }
    if (chance(run, 20)) {
        if (applier_tidy(run->applier, run->now) != ERR_OK)
            return DIFFER("tidy failed");
        model_tidy(&model, run->now);
    }
    if (kill) {
        model = before;
        return restart(run) && check_store(run);
    }
    if (applier_commit(run->applier, chance(run, 50)) != ERR_OK)
        return DIFFER("commit failed");
    model_commit(&model);
    return !chance(run, 10) || (restart(run) && check_store(run));
}

static bool run_history(struct run *run) {
    model_init(&model, (int)run->conf.lanes, run->conf.coalesce, run->conf.key_ttl_ms, run->now);
    if (!open_applier(run))
        return false;
    for (int i = 0; i < GROUPS; i++) {
        if (!step_group(run))
            return false;
    }
    return check_store(run);
}

const char *core_property_run(uint64_t seed) {
    struct run run = {.random = seed, .now = {5000000, 1700000000000}};

    run.conf = (struct applier_conf){.lanes = (uint32_t)(1 + roll(&run, MODEL_LANES)),
                                     .key_ttl_ms = 1000 + (int64_t)roll(&run, 200000),
                                     .outbox_max_bytes = UINT64_MAX,
                                     .outbox_max_age_ms = INT64_MAX,
                                     .cache_counters = roll(&run, 2 * MODEL_COUNTERS),
                                     .coalesce = chance(&run, 70),
                                     .hash_seed = {roll(&run, UINT64_MAX), seed}};
    for (int i = 0; i < MODEL_COUNTERS; i++)
        snprintf(run.ids[i], sizeof(run.ids[i]), "r%d", i);
    run.sim = sim_kv_new();
    bool same = run_history(&run);
    applier_close(run.applier);
    sim_kv_free(run.sim);
    return same ? NULL : difference;
}
