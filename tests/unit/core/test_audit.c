/* What a store and its events come to, row by row: an audit of one lane and up to two counters. */
#include "core/audit.h"

#include <inttypes.h>

#include "test.h"

#define STORE 7

/* A step of a history; {0} ends it. */
struct step {
    const char *name; /* of the counter */
    uint64_t seq;
    int64_t delta;
    int64_t new_value;
    uint64_t store; /* 0: ours */
    uint64_t epoch; /* 0: the first */
};

struct row {
    const char *name;
    bool others_write;
    uint64_t lane_seq; /* when reading began; "a" is read there */
    int64_t value;     /* of "a" as read */
    struct step steps[8];
    /* what must be found */
    bool fault;
    bool incomplete;
    int64_t external;
    int64_t opening;
    int64_t drift;
    uint64_t missing;
    uint64_t duplicates;
    bool unknown;
};

/* clang-format off */
#define STEP(counter, at, by, after, ...)                                                          \
    {.name = (counter), .seq = (at), .delta = (by), .new_value = (after), ##__VA_ARGS__}

static const struct row rows[] = {
    {.name = "nothing", .value = 0},
    {.name = "agrees", .lane_seq = 2, .value = 5, .steps = {STEP("a", 1, 2, 2), STEP("a", 2, 3, 5)}},
    {.name = "copies count once", .lane_seq = 2, .value = 5, .duplicates = 2,
     .steps = {STEP("a", 1, 2, 2), STEP("a", 2, 3, 5), STEP("a", 1, 2, 2), STEP("a", 2, 3, 5)}},
    {.name = "an applied increment without its event", .lane_seq = 1, .value = 3, .fault = true, .drift = 1,
     .steps = {STEP("a", 1, 2, 2)}},
    {.name = "an event without its increment", .lane_seq = 2, .value = 2, .fault = true, .drift = -3,
     .steps = {STEP("a", 1, 2, 2), STEP("a", 2, 3, 5)}},
    {.name = "a jump between events", .lane_seq = 2, .value = 9, .fault = true, .drift = 4,
     .steps = {STEP("a", 1, 2, 2), STEP("a", 2, 3, 9)}},
    {.name = "a jump that others may make", .others_write = true, .lane_seq = 2, .value = 9, .external = 4,
     .steps = {STEP("a", 1, 2, 2), STEP("a", 2, 3, 9)}},
    {.name = "others began and went on", .others_write = true, .lane_seq = 1, .value = 20, .external = 18,
     .steps = {STEP("a", 1, 2, 12)}},
    {.name = "only others", .others_write = true, .value = 4, .external = 4},
    {.name = "a value without events", .value = 4, .fault = true, .drift = 4},
    {.name = "a lost event isn't external", .others_write = true, .lane_seq = 3, .value = 9, .fault = true,
     .drift = 4, .missing = 1, .steps = {STEP("a", 1, 2, 2), STEP("a", 3, 3, 9)}},
    {.name = "a lost event of another counter", .lane_seq = 3, .value = 5, .fault = true, .missing = 1,
     .steps = {STEP("a", 1, 2, 2), STEP("a", 3, 3, 5)}},
    {.name = "late, but there", .lane_seq = 3, .value = 5, .fault = true,
     .steps = {STEP("a", 1, 2, 2), STEP("a", 3, 3, 5), STEP("b", 2, 1, 1)}},
    {.name = "later ones are left out", .lane_seq = 1, .value = 2,
     .steps = {STEP("a", 1, 2, 2), STEP("a", 2, 3, 5), STEP("b", 3, 1, 1)}},
    {.name = "not all has come", .lane_seq = 2, .value = 5, .incomplete = true, .fault = true, .drift = 3,
     .steps = {STEP("a", 1, 2, 2)}},
    {.name = "the beginning is gone", .lane_seq = 8, .value = 45, .opening = 40,
     .steps = {STEP("a", 7, 2, 42), STEP("a", 8, 3, 45)}},
    {.name = "and all of this counter", .lane_seq = 8, .value = 45, .opening = 45, .unknown = true,
     .steps = {STEP("b", 8, -3, 0)}},
    {.name = "others' events", .lane_seq = 1, .value = 2,
     .steps = {STEP("a", 1, 2, 2), STEP("a", 2, 3, 5, .store = 8)}},
    {.name = "a counter that isn't in the store", .lane_seq = 1, .value = 0, .fault = true,
     .steps = {STEP("b", 1, 2, 2)}},
    {.name = "the next epoch begins at 1", .lane_seq = 1, .value = 5,
     .steps = {STEP("a", 1, 2, 2), STEP("a", 1, 3, 5, .epoch = 2), STEP("a", 1, 2, 2)}, .duplicates = 1, .fault = true, .drift = 3},
    {.name = "a wrapped delta", .lane_seq = 2, .value = INT64_MAX,
     .steps = {STEP("a", 1, INT64_MIN, INT64_MIN), STEP("a", 2, -1, INT64_MAX)}},
};
/* clang-format on */

static void add_event(struct audit *audit, const struct step *step) {
    struct event event = {
        .lane = 0,
        .at = {step->epoch ? step->epoch : 1, step->seq},
        .resource_id = slice_str(step->name),
        .counter_type = SLICE("like"),
        .delta = step->delta,
        .new_value = step->new_value,
        .count = 1,
    };

    assert_int_equal(audit_event(audit, step->store ? step->store : STORE, &event), ERR_OK);
}

static void keep_a(void *ctx, const struct audit_verdict *verdict) {
    if (slice_eq(verdict->resource_id, SLICE("a")))
        *(struct audit_verdict *)ctx = *verdict;
}

static void check_row(const struct row *row) {
    struct audit_conf conf = {
        .store_id = STORE, .lanes = 1, .others_write = row->others_write, .adds_unread = true};
    struct audit *audit = audit_new(&conf);
    struct audit_totals totals;
    struct audit_verdict a = {0};

    audit_lane(audit, 0, (struct event_position){1, row->lane_seq});
    assert_int_equal(audit_counter(audit, 0, SLICE("a"), SLICE("like"), row->value,
                                   (struct event_position){1, row->lane_seq}),
                     ERR_OK);
    for (const struct step *step = row->steps; step->name; step++)
        add_event(audit, step);
    bool fault = audit_judge(audit, &totals);
    audit_each(audit, keep_a, &a);
    if (fault != row->fault || (audit_outstanding(audit) != 0) != row->incomplete ||
        a.external != row->external || a.opening != row->opening || a.drift != row->drift ||
        a.unknown != row->unknown || totals.missing != row->missing ||
        totals.duplicates != row->duplicates)
        fail_msg("%s: fault %d, outstanding %" PRIu64 ", external %" PRId64 ", opening %" PRId64
                 ", drift %" PRId64 ", unknown %d, missing %" PRIu64 ", duplicates %" PRIu64,
                 row->name, fault, audit_outstanding(audit), a.external, a.opening, a.drift,
                 a.unknown, totals.missing, totals.duplicates);
    if ((uint64_t)a.value !=
        (uint64_t)a.opening + (uint64_t)a.external + (uint64_t)a.sum + (uint64_t)a.drift)
        fail_msg("%s: the parts aren't the whole", row->name);
    audit_free(audit);
}

static void test_histories(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        check_row(&rows[i]);
}

/* Each counter has the position at which it was read: what comes behind it is no difference. */
static void test_counters_read_one_after_another(void **state) {
    struct audit_conf conf = {.store_id = STORE, .lanes = 1};
    struct audit *audit = audit_new(&conf);
    struct audit_totals totals;

    (void)state;
    audit_lane(audit, 0, (struct event_position){1, 1});
    assert_int_equal(
        audit_counter(audit, 0, SLICE("a"), SLICE("like"), 1, (struct event_position){1, 1}),
        ERR_OK);
    assert_int_equal(
        audit_counter(audit, 0, SLICE("b"), SLICE("like"), 5, (struct event_position){1, 3}),
        ERR_OK);
    add_event(audit, &(struct step){.name = "a", .seq = 1, .delta = 1, .new_value = 1});
    assert_int_equal(audit_outstanding(audit), 2);
    add_event(audit, &(struct step){.name = "a", .seq = 2, .delta = 1, .new_value = 2});
    add_event(audit, &(struct step){.name = "b", .seq = 3, .delta = 5, .new_value = 5});
    add_event(audit, &(struct step){.name = "b", .seq = 4, .delta = 5, .new_value = 10});
    add_event(audit, &(struct step){
                         .name = "c", .seq = 5, .delta = 1, .new_value = 1}); /* not asked for */
    assert_int_equal(audit_outstanding(audit), 0);
    assert_false(audit_judge(audit, &totals));
    assert_int_equal(totals.counters, 2);
    assert_int_equal(totals.events, 5);
    audit_free(audit);
}

/* clang-format off */
/* What analytics has of a counter, whose value and events are those of the row. */
static const struct total_row {
    const char *name;
    bool others_write;
    uint64_t lane_seq;
    int64_t value;
    struct step steps[3];
    enum total_state state;
    int64_t total;
    enum audit_analytics want;
    int64_t ahead;
} total_rows[] = {
    {"the same", false, 2, 5, {STEP("a", 1, 2, 2), STEP("a", 2, 3, 5)}, TOTAL_KNOWN, 5, AUDIT_AGREES, 0},
    {"too little", false, 2, 5, {STEP("a", 1, 2, 2), STEP("a", 2, 3, 5)}, TOTAL_KNOWN, 2, AUDIT_DIFFERS, -3},
    {"never counted", false, 0, 0, {{0}}, TOTAL_KNOWN, 0, AUDIT_AGREES, 0},
    {"invented", false, 0, 0, {{0}}, TOTAL_KNOWN, 9, AUDIT_DIFFERS, 9},
    {"no event is left", false, 8, 45, {STEP("b", 8, 1, 1)}, TOTAL_KNOWN, 40, AUDIT_DIFFERS, -5},
    {"nor is one where others write", true, 8, 45, {STEP("b", 8, 1, 1)}, TOTAL_KNOWN, 40, AUDIT_EXPLAINED, 0},
    {"others have written since", true, 1, 9, {STEP("a", 1, 2, 2)}, TOTAL_KNOWN, 2, AUDIT_AGREES, 0},
    {"that explains no other total", true, 1, 9, {STEP("a", 1, 2, 2)}, TOTAL_KNOWN, 1, AUDIT_DIFFERS, -1},
    {"only others", true, 0, 4, {{0}}, TOTAL_KNOWN, 0, AUDIT_AGREES, 0},
    {"beyond the limit", false, 1, 2, {STEP("a", 1, 2, 2)}, TOTAL_NOT_HELD, 0, AUDIT_NOT_HELD, 0},
    {"not heard of", false, 1, 2, {STEP("a", 1, 2, 2)}, TOTAL_UNHEARD, 0, AUDIT_UNHEARD, 0},
    {"it wraps", false, 1, INT64_MIN, {STEP("a", 1, INT64_MIN, INT64_MIN)}, TOTAL_KNOWN, INT64_MAX, AUDIT_DIFFERS, -1},
};
/* clang-format on */

static void check_total(const struct total_row *row) {
    struct audit_conf conf = {.store_id = STORE, .lanes = 1, .others_write = row->others_write};
    struct event_position at = {1, row->lane_seq};
    struct total total = {.resource_id = SLICE("a"),
                          .counter_type = SLICE("like"),
                          .state = row->state,
                          .value = row->total};
    struct audit *audit = audit_new(&conf);
    struct audit_totals totals;
    struct audit_verdict a = {0};

    audit_lane(audit, 0, at);
    assert_int_equal(audit_counter(audit, 0, SLICE("a"), SLICE("like"), row->value, at), ERR_OK);
    audit_total(audit, &total);
    for (const struct step *step = row->steps; step->name; step++)
        add_event(audit, step);
    bool fault = audit_judge(audit, &totals);
    audit_each(audit, keep_a, &a);
    if (a.analytics != row->want || a.ahead != row->ahead || a.drift ||
        fault != (row->want == AUDIT_DIFFERS))
        fail_msg("%s: %d, ahead %" PRId64 ", drift %" PRId64 ", fault %d", row->name, a.analytics,
                 a.ahead, a.drift, fault);
    assert_int_equal(totals.agreeing + totals.differing + totals.incomparable, 1);
    audit_free(audit);
}

static void test_totals(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(total_rows) / sizeof(total_rows[0]); i++)
        check_total(&total_rows[i]);
}

static void test_a_lane_that_isn_t_there(void **state) {
    struct audit_conf conf = {.store_id = STORE, .lanes = 1};
    struct audit *audit = audit_new(&conf);
    struct event event = {.lane = 1, .at = {1, 1}};

    (void)state;
    assert_int_equal(audit_event(audit, STORE, &event), ERR_CORRUPT);
    audit_free(audit);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_histories),
        cmocka_unit_test(test_counters_read_one_after_another),
        cmocka_unit_test(test_totals),
        cmocka_unit_test(test_a_lane_that_isn_t_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
