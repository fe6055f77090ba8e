/* analytics_rig.c - random lives of core/analytics, and what it must say. */
#include "analytics_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "test.h"

uint64_t rig_below(struct rig *rig, uint64_t n) {
    rig->random = rig->random * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (rig->random >> 33) % n;
}

/* ---- life and death ---- */

void rig_start(struct rig *rig) {
    static const struct event_position none[MODEL_LANES];
    struct rocks_tally_conf conf = {1 << 20, 1 << 20};
    const char *detail = NULL;

    assert_int_equal(rocks_tally_open(rig->folder, &conf, &rig->rocks, &detail), ERR_OK);
    assert_int_equal(
        analytics_open(rocks_tally_view(rig->rocks), &rig->conf, rig->clock_ms, &rig->analytics),
        ERR_OK);
    assert_int_equal(analytics_source(rig->analytics, STORE_ID, MODEL_LANES, none), ERR_OK);
}

void rig_crash(struct rig *rig) {
    analytics_close(rig->analytics);
    rocks_tally_close(rig->rocks);
}

struct rig *rig_new(unsigned seed, uint32_t counters_max) {
    struct rig *rig = calloc(1, sizeof(*rig));

    assert_non_null(rig);
    rig->seed = seed;
    rig->random = seed;
    rig->clock_ms = rig->latest_clock_ms = START_MS;
    rig->conf = (struct analytics_conf){
        .counters_max = counters_max, .pending_max = 64, .hash_seed = {seed, 5}};
    (void)snprintf(rig->folder, sizeof(rig->folder), "/tmp/hgp-analytics-XXXXXX");
    assert_non_null(mkdtemp(rig->folder));
    rig_start(rig);
    return rig;
}

void rig_free(struct rig *rig) {
    char command[96];

    rig_crash(rig);
    (void)snprintf(command, sizeof(command), "rm -r %s", rig->folder);
    assert_int_equal(system(command), 0);
    free(rig);
}

/* ---- events ---- */

void rig_happen(struct rig *rig) {
    struct model *model = &rig->model;
    uint32_t counter =
        (uint32_t)(rig_below(rig, 3) ? rig_below(rig, 6) : rig_below(rig, MODEL_COUNTERS));
    uint32_t lane = counter % MODEL_LANES;
    uint32_t number = model->count[lane];
    struct event *event = &model->events[lane][number];
    int64_t *value = &model->value[counter];

    assert_true(number < MODEL_EVENTS);
    if (rig_below(rig, 15) == 0)
        *value += (int64_t)rig_below(rig, 100) - 50; /* somebody else wrote */
    if (rig_below(rig, 60) == 0)
        rig->at[lane] = (struct event_position){rig->at[lane].epoch + 1, 0};
    rig->at[lane].epoch += rig->at[lane].epoch == 0;
    rig->at[lane].seq++;
    *event = (struct event){.lane = lane,
                            .at = rig->at[lane],
                            .kind = rig_below(rig, 8) ? OP_ADD : OP_SET,
                            .resource_id = model_id(counter),
                            .counter_type = model_type(counter),
                            .delta = (int64_t)rig_below(rig, 40) - 12,
                            .count = 1 + rig_below(rig, 5),
                            .et_ms = rig->clock_ms};
    if (rig_below(rig, 5) == 0)
        event->et_ms -= (int64_t)rig_below(rig, (uint64_t)(30 * DAY_MS));
    *value += event->delta;
    event->new_value = *value;
    model->counter[lane][number] = counter;
    model->count[lane]++;
}

static uint32_t counted(const struct rig *rig, uint32_t lane) {
    struct event_position at = analytics_position(rig->analytics, lane);
    uint32_t number = 0;

    while (number < rig->model.count[lane] &&
           !event_position_less(at, rig->model.events[lane][number].at))
        number++;
    return number;
}

/* From a few events back to the end, in pieces; what doesn't fit comes again. */
void rig_deliver(struct rig *rig, uint32_t lane) {
    uint32_t next = counted(rig, lane);
    uint32_t from = next - (uint32_t)rig_below(rig, (uint64_t)(next < 5 ? next : 5) + 1);

    while (from < rig->model.count[lane]) {
        size_t count = 1 + rig_below(rig, rig->model.count[lane] - from);
        enum err err = analytics_apply(rig->analytics, &rig->model.events[lane][from], count);

        if (err == ERR_BUSY) { /* another one may be under way */
            assert_int_equal(analytics_commit_end(rig->analytics, true), ERR_OK);
            assert_true(analytics_commit_begin(rig->analytics));
            continue;
        }
        assert_int_equal(err, ERR_OK);
        from += (uint32_t)count;
    }
    for (uint32_t i = next; i < rig->model.count[lane]; i++)
        if (rig->model.events[lane][i].et_ms > rig->latest_event_ms)
            rig->latest_event_ms = rig->model.events[lane][i].et_ms;
}

int64_t rig_end_of(const struct rig *rig) {
    return rig->clock_ms > rig->latest_event_ms ? rig->clock_ms : rig->latest_event_ms;
}

/* What may be asked for a little longer is remembered. */
void rig_move(struct rig *rig) {
    for (unsigned range = 0; range < RANGE_WINDOWS; range++) {
        enum time_range r = (enum time_range)range;
        int64_t was = time_range_span(r, analytics_end_ms(rig->analytics)).last;

        for (uint32_t lane = 0;
             lane < MODEL_LANES && time_range_span(r, rig_end_of(rig)).last != was; lane++)
            rig->before[range][lane] = counted(rig, lane);
    }
    assert_int_equal(analytics_move(rig->analytics, rig->clock_ms), ERR_OK);
}

void rig_pass_time(struct rig *rig) {
    static const int64_t steps[] = {1000, 30000, 90000, HOUR_MS, 5 * HOUR_MS, 2 * DAY_MS};

    if (rig_below(rig, 6) == 0)
        rig->clock_ms = rig->latest_clock_ms - (int64_t)rig_below(rig, HOUR_MS);
    else
        rig->clock_ms += (int64_t)rig_below(rig, (uint64_t)steps[rig_below(rig, 6)]);
    if (rig_below(rig, 60) == 0)
        rig->clock_ms += 40 * DAY_MS;
    if (rig->clock_ms > rig->latest_clock_ms)
        rig->latest_clock_ms = rig->clock_ms;
}

/* ---- equality ---- */

void rig_deliver_all(struct rig *rig) {
    for (uint32_t lane = 0; lane < MODEL_LANES; lane++)
        rig_deliver(rig, lane);
    rig_move(rig);
}

static void check_items(struct rig *rig, const struct top_query *query, uint32_t type,
                        const struct top_answer *answer) {
    enum time_range range = query->range;
    uint32_t want[MODEL_IDS];
    size_t listed = model_top(&rig->model, type, range, answer->as_of_ms, want);
    size_t expected = listed > query->offset ? listed - query->offset : 0;

    if (expected > query->limit)
        expected = query->limit;
    if (answer->count != expected)
        fail_msg("seed %u: %s %u: %zu listed, wanted %zu", rig->seed, time_range_name(range), type,
                 answer->count, expected);
    for (size_t i = 0; i < expected; i++) {
        uint32_t counter = want[query->offset + i];
        struct tally tally = model_tally(&rig->model, counter, range, answer->as_of_ms);
        const struct top_item *item = top_item(answer, i);

        if (!slice_eq(item->resource_id, model_id(counter)) || item->tally.sum != tally.sum ||
            item->tally.increments != tally.increments)
            fail_msg("seed %u: %s rank %zu: %.*s %lld (%llu), wanted %.*s %lld (%llu)", rig->seed,
                     time_range_name(range), i, SLICE_ARGS(item->resource_id),
                     (long long)item->tally.sum, (unsigned long long)item->tally.increments,
                     SLICE_ARGS(model_id(counter)), (long long)tally.sum,
                     (unsigned long long)tally.increments);
    }
}

/* As of before its window moved on, from the events that were counted then. */
static void check_still(struct rig *rig, const struct top_query *query, uint32_t type,
                        const struct top_answer *answer) {
    uint32_t now[MODEL_LANES];
    uint64_t since = 0;

    assert_true(analytics_is_behind(rig->analytics) && query->range != RANGE_ALL);
    memcpy(now, rig->model.count, sizeof(now));
    for (uint32_t lane = 0; lane < MODEL_LANES; lane++)
        since += counted(rig, lane) - rig->before[query->range][lane];
    memcpy(rig->model.count, rig->before[query->range], sizeof(now));
    check_items(rig, query, type, answer);
    memcpy(rig->model.count, now, sizeof(now));
    assert_int_equal(answer->since, since);
    rig->still++;
}

static void check_top(struct rig *rig, uint32_t type, enum time_range range) {
    struct top_query query = {model_type(type), range, (uint32_t)rig_below(rig, 4),
                              1 + (uint32_t)rig_below(rig, MODEL_IDS)};
    struct top_answer answer = {0};

    assert_int_equal(analytics_top(rig->analytics, &query, &answer), ERR_OK);
    if (!answer.certainty.exact) { /* time has jumped, and rows are left to leave */
        assert_true(analytics_is_behind(rig->analytics) && range != RANGE_ALL);
        assert_int_equal(answer.certainty.max_error, -1);
        rig->behind++;
    } else if (answer.as_of_ms != rig_end_of(rig)) {
        check_still(rig, &query, type, &answer);
    } else {
        check_items(rig, &query, type, &answer);
    }
    top_answer_release(&answer);
}

static void check_series(struct rig *rig, uint32_t counter, enum time_range range) {
    struct stats_query query = {model_id(counter), model_type(counter), range};
    static struct stats_answer answer;
    static struct series_point want[RANGE_POINTS_MAX];
    struct tally tally = model_tally(&rig->model, counter, range, rig_end_of(rig));
    size_t points = model_series(&rig->model, counter, range, rig_end_of(rig), want);
    bool known = false;

    for (uint32_t i = 0; i < rig->model.count[counter % MODEL_LANES]; i++)
        known |= rig->model.counter[counter % MODEL_LANES][i] == counter;
    assert_int_equal(analytics_series(rig->analytics, &query, &answer), ERR_OK);
    assert_true(answer.certainty.exact);
    if (answer.count != (known ? points : 0) || answer.total.sum != tally.sum ||
        answer.total.increments != tally.increments)
        fail_msg("seed %u: %s: %zu points, total %lld; wanted %zu, %lld", rig->seed,
                 time_range_name(range), answer.count, (long long)answer.total.sum, points,
                 (long long)tally.sum);
    assert_memory_equal(answer.points, want, answer.count * sizeof(*want));
}

void rig_check_now(struct rig *rig) {
    for (unsigned range = 0; range < RANGES; range++) {
        for (uint32_t type = 0; type < MODEL_TYPES; type++)
            check_top(rig, type, (enum time_range)range);
        check_series(rig, (uint32_t)rig_below(rig, MODEL_COUNTERS), (enum time_range)range);
        check_series(rig, (uint32_t)rig_below(rig, 6), (enum time_range)range);
    }
}
