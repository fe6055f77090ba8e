/* A store that went back: what is lost, what is given out anew, and what the counters become. */
#include "core/rewind.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "test.h"

#define COUNTERS   3
#define EVENTS_MAX 60

static const char *const names[COUNTERS] = {"a", "b", "c"};

/* A lane's events as one history of them: a store in small. */
struct history {
    struct event events[EVENTS_MAX];
    size_t count;
    int64_t values[COUNTERS];
    struct event_position at;
    int64_t et_ms;
};

static struct history begin(void) {
    return (struct history){.at = {1, 0}, .et_ms = 1000};
}

static void put(struct history *to, enum op_kind kind, unsigned counter, int64_t arg) {
    int64_t before = to->values[counter];
    int64_t value = kind == OP_ADD ? before + arg : kind == OP_SET ? arg : 0;

    to->values[counter] = value;
    to->at.seq++;
    to->events[to->count++] = (struct event){.at = to->at,
                                             .kind = kind,
                                             .resource_id = slice_str(names[counter]),
                                             .counter_type = SLICE("like"),
                                             .delta = value - before,
                                             .new_value = value,
                                             .count = 1,
                                             .et_ms = to->et_ms++};
}

static void add(struct history *to, unsigned counter, int64_t delta) {
    put(to, OP_ADD, counter, delta);
}

/* The topic's events in order of being there; the store's history, of which the outbox has what is
 * behind 'trimmed'. */
struct found {
    struct rewind *rewind;
    const struct event *topic;
    size_t topic_count;
    const struct history *store;
    size_t trimmed;
};

static bool look(struct found *found) {
    found->rewind = rewind_new(1);
    rewind_store(found->rewind, 0, found->store->at);
    for (size_t i = 0; i < found->topic_count; i++)
        assert_int_equal(rewind_hear(found->rewind, &found->topic[i]), ERR_OK);
    for (size_t i = found->trimmed; i < found->store->count; i++)
        assert_int_equal(rewind_compare(found->rewind, &found->store->events[i]), ERR_OK);
    if (!rewind_judge(found->rewind))
        return false;
    for (size_t i = 0; i < found->topic_count; i++)
        assert_int_equal(rewind_take_topic(found->rewind, &found->topic[i]), ERR_OK);
    for (size_t i = found->trimmed; i < found->store->count; i++)
        assert_int_equal(rewind_take_outbox(found->rewind, &found->store->events[i]), ERR_OK);
    assert_int_equal(rewind_finish(found->rewind), ERR_OK);
    return true;
}

static struct rewind_lane said(const struct found *found) {
    struct rewind_lane lane;

    rewind_lane(found->rewind, 0, &lane);
    return lane;
}

static unsigned counter_named(struct slice name) {
    unsigned i = 0;

    while (!slice_eq(name, slice_str(names[i])))
        i++;
    return i;
}

/* What the counters become. */
static void recover(const struct found *found, int64_t values[COUNTERS]) {
    struct rewind_counter counter;
    uint32_t at = 0;

    memcpy(values, found->store->values, sizeof(found->store->values));
    while (rewind_next_counter(found->rewind, 0, &at, &counter)) {
        int64_t *value = &values[counter_named(counter.resource_id)];

        assert_int_equal(rewind_value(found->rewind, counter.number, *value, value), ERR_OK);
    }
}

static void test_a_store_in_step_or_ahead_is_left_alone(void **state) {
    struct history store = begin();

    (void)state;
    add(&store, 0, 1);
    add(&store, 1, 2);
    for (size_t shipped = 0; shipped <= 2; shipped++) {
        struct found found = {.topic = store.events, .topic_count = shipped, .store = &store};

        assert_false(look(&found));
        assert_int_equal(said(&found).fate, REWIND_IN_STEP);
        rewind_free(found.rewind);
    }
}

static void test_what_was_lost_is_added(void **state) {
    struct history store = begin();
    struct history before;
    struct event event;
    int64_t values[COUNTERS];

    (void)state;
    add(&store, 0, 1);
    before = store;
    add(&before, 0, 10);
    put(&before, OP_SET, 1, 7);
    add(&before, 1, 1);
    struct found found = {.topic = before.events, .topic_count = before.count, .store = &store};
    assert_true(look(&found));
    assert_int_equal(said(&found).fate, REWIND_BACK);
    assert_int_equal(said(&found).lost, 3);
    assert_int_equal(said(&found).again, 1); /* that there is a new epoch */
    rewind_event(found.rewind, 0, 1, &event);
    assert_int_equal(event.kind, OP_SET);
    assert_int_equal(event.delta, 0);
    assert_int_equal(event.new_value, 8);
    assert_int_equal(said(&found).shared.seq, 1);
    assert_int_equal(said(&found).epoch, 2);
    recover(&found, values);
    assert_memory_equal(values, before.values, sizeof(values));
    rewind_free(found.rewind);
}

/* What others have changed without events stays. */
static void test_a_change_of_others_stays(void **state) {
    struct history store = begin();
    struct history before;
    int64_t values[COUNTERS];

    (void)state;
    add(&store, 0, 1);
    before = store;
    add(&before, 0, 10);
    store.values[0] += 100;
    struct found found = {.topic = before.events, .topic_count = before.count, .store = &store};
    assert_true(look(&found));
    recover(&found, values);
    assert_int_equal(values[0], 111);
    rewind_free(found.rewind);
}

static void test_a_topic_that_begins_too_late(void **state) {
    struct history store = begin();
    struct history before;

    (void)state;
    add(&store, 0, 1);
    before = store;
    for (int i = 0; i < 3; i++)
        add(&before, 0, 10);
    struct found found = {.topic = before.events + 2, .topic_count = 2, .store = &store};
    assert_false(look(&found));
    assert_int_equal(said(&found).fate, REWIND_LACKS);
    rewind_free(found.rewind);
}

static void test_a_topic_that_lacks_one_in_the_middle(void **state) {
    struct history store = begin();
    struct history before;
    struct event topic[EVENTS_MAX];

    (void)state;
    add(&store, 0, 1);
    before = store;
    for (int i = 0; i < 3; i++)
        add(&before, 0, 10);
    memcpy(topic, before.events, sizeof(topic));
    topic[2] = topic[3];
    struct found found = {.topic = topic, .topic_count = 3, .store = &store};
    assert_false(look(&found));
    assert_int_equal(said(&found).fate, REWIND_LACKS);
    rewind_free(found.rewind);
}

static void test_its_own_events_are_nowhere(void **state) {
    struct history store = begin();
    struct history before;

    (void)state;
    add(&store, 0, 1);
    before = store;
    add(&before, 0, 10);
    add(&store, 1, 5);
    add(&store, 1, 6);
    before.events[before.count] = store.events[1]; /* shipped, as a copy */
    struct found found = {.topic = before.events,
                          .topic_count = before.count + 1,
                          .store = &store,
                          .trimmed = store.count};
    assert_true(look(&found));
    assert_int_equal(said(&found).fate, REWIND_GONE);
    rewind_free(found.rewind);
}

static void test_back_more_than_once(void **state) {
    struct history store = begin();
    struct history before;
    struct history second;

    (void)state;
    add(&store, 0, 1);
    before = second = store;
    add(&before, 0, 10);
    second.et_ms += 10;
    add(&second, 0, 20);
    store.et_ms += 20;
    add(&store, 0, 30);
    before.events[before.count] = second.events[1];
    struct found found = {.topic = before.events, .topic_count = before.count + 1, .store = &store};
    assert_true(look(&found));
    assert_int_equal(said(&found).fate, REWIND_TWICE);
    rewind_free(found.rewind);
}

static void test_past_the_range(void **state) {
    struct history store = begin();
    struct history before;

    (void)state;
    before = store;
    put(&before, OP_SET, 0, INT64_MAX - 1);
    add(&store, 0, 5);
    struct found found = {.topic = before.events, .topic_count = before.count, .store = &store};
    assert_true(look(&found));
    assert_int_equal(said(&found).fate, REWIND_RANGE);
    rewind_free(found.rewind);
}

static void test_no_lane_of_ours(void **state) {
    struct rewind *rewind = rewind_new(2);
    struct event event = {.lane = 2, .at = {1, 1}};

    (void)state;
    assert_int_equal(rewind_hear(rewind, &event), ERR_CORRUPT);
    assert_int_equal(rewind_compare(rewind, &event), ERR_CORRUPT);
    rewind_free(rewind);
}

/* ---- any history ---- */

static uint64_t random_state = 20261127;

static unsigned dice(unsigned sides) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(random_state >> 33) % sides;
}

static void put_any(struct history *to) {
    unsigned kind = dice(12);

    put(to,
        kind == 0   ? OP_RESET
        : kind == 1 ? OP_SET
                    : OP_ADD,
        dice(COUNTERS), (int64_t)dice(2000) - 1000);
}

/* By its own rules: the lost behind what is shared, then the store's own; a set has the last word.
 */
static void replay(const struct history *shared, const struct history *before,
                   const struct history *store, int64_t values[COUNTERS]) {
    memcpy(values, before->values, sizeof(before->values));
    for (size_t i = shared->count; i < store->count; i++) {
        const struct event *event = &store->events[i];
        int64_t *value = &values[counter_named(event->resource_id)];

        *value = event->kind == OP_ADD ? *value + event->delta : event->new_value;
    }
}

/* A reader of the topic: each number once, then the new epoch. */
static void check_reader(const struct found *found, const int64_t values[COUNTERS]) {
    int64_t read[COUNTERS] = {0};
    uint64_t seq = 0;

    for (size_t i = 0; i < found->topic_count; i++) {
        if (found->topic[i].at.seq != seq + 1)
            continue;
        seq++;
        read[counter_named(found->topic[i].resource_id)] += found->topic[i].delta;
    }
    for (uint64_t n = 1; n <= said(found).again; n++) {
        struct event event;

        rewind_event(found->rewind, 0, n, &event);
        int64_t *value = &read[counter_named(event.resource_id)];
        *value += event.delta;
        assert_int_equal(*value, event.new_value);
        assert_int_equal(event.at.epoch, 2);
        assert_int_equal(event.at.seq, n);
    }
    assert_memory_equal(read, values, sizeof(read));
}

static void run_any(void) {
    struct history store = begin();
    struct history shared;
    struct history before;
    struct event topic[2 * EVENTS_MAX];
    int64_t want[COUNTERS];
    int64_t values[COUNTERS];

    for (unsigned i = dice(10); i > 0; i--)
        put_any(&store);
    shared = before = store;
    for (unsigned i = 1 + dice(10); i > 0; i--)
        put_any(&before);
    store.et_ms += 100;
    for (unsigned i = dice(15); i > 0; i--)
        put_any(&store);
    struct found found = {.topic = topic, .topic_count = before.count, .store = &store};
    memcpy(topic, before.events, before.count * sizeof(*topic));
    /* A relay that starts anew ships some of them, as copies or not; they may be trimmed then. */
    size_t shipped = shared.count + dice((unsigned)(store.count - shared.count) + 1);
    memcpy(topic + before.count, store.events, shipped * sizeof(*topic));
    found.topic_count += shipped;
    found.trimmed = dice((unsigned)shipped + 1);
    assert_true(look(&found));
    assert_int_equal(said(&found).fate, REWIND_BACK);
    assert_int_equal(said(&found).shared.seq, shared.count);
    assert_int_equal(said(&found).lost, before.count - shared.count);
    recover(&found, values);
    replay(&shared, &before, &store, want);
    assert_memory_equal(values, want, sizeof(want));
    check_reader(&found, values);
    rewind_free(found.rewind);
}

static void test_any_history(void **state) {
    (void)state;
    for (int i = 0; i < 20000; i++)
        run_any();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_store_in_step_or_ahead_is_left_alone),
        cmocka_unit_test(test_what_was_lost_is_added),
        cmocka_unit_test(test_a_change_of_others_stays),
        cmocka_unit_test(test_a_topic_that_begins_too_late),
        cmocka_unit_test(test_a_topic_that_lacks_one_in_the_middle),
        cmocka_unit_test(test_its_own_events_are_nowhere),
        cmocka_unit_test(test_back_more_than_once),
        cmocka_unit_test(test_past_the_range),
        cmocka_unit_test(test_no_lane_of_ours),
        cmocka_unit_test(test_any_history),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
