/* test_consumers.c - positions, what is trimmed for whom, the full outbox, and reading it. */
#include "core/consumers.h"
#include "core/outbox_alarm.h"
#include "core/outbox_read.h"
#include "core_fixture.h"

#define NAME  SLICE("relay")
#define OTHER SLICE("analytics")

struct world {
    struct fixture f; /* one lane */
    uint64_t number;
    struct outbox_reader reader;
};

static int setup(void **state) {
    static struct world world;

    world = (struct world){.number = 0};
    fixture_init(&world.f, 1);
    *state = &world;
    return 0;
}

static int teardown(void **state) {
    struct world *w = *state;

    outbox_reader_release(&w->reader);
    fixture_release(&w->f);
    return 0;
}

/* A message of one event, committed. */
static enum err write_one(struct world *w) {
    return fixture_one(&w->f, ++w->number, op_on(OP_ADD, "a", 1, NULL)).err;
}

static void write_events(struct world *w, unsigned count) {
    while (count-- > 0)
        assert_int_equal(write_one(w), ERR_OK);
}

static void tidy(struct world *w) {
    do {
        assert_int_equal(applier_tidy(w->f.applier, fixture_time(&w->f)), ERR_OK);
        fixture_commit(&w->f);
    } while (applier_has_chores(w->f.applier));
}

static struct event_position join(struct world *w, struct slice name) {
    const struct event_position *at;

    assert_int_equal(applier_consumer_add(w->f.applier, name, &at), ERR_OK);
    fixture_commit(&w->f);
    return at[0];
}

static enum err report(struct world *w, struct slice name, uint64_t seq) {
    return applier_consumer_report(w->f.applier, name, 0, (struct event_position){1, seq});
}

static void assert_kept(struct world *w, size_t entries) {
    assert_int_equal(sim_kv_count(w->f.sim, KV_OUTBOX), entries);
}

static void limit_bytes(struct world *w, size_t bytes) {
    w->f.conf.outbox_max_bytes = bytes;
    fixture_reopen(&w->f);
}

/* ---- positions ---- */

static void test_begins_at_the_oldest_there_is(void **state) {
    struct world *w = *state;

    assert_true(join(w, NAME).seq == 0);
    applier_consumer_remove(w->f.applier, NAME);
    write_events(w, 5);
    limit_bytes(w, 1); /* no consumer: all goes */
    tidy(w);
    assert_kept(w, 0);
    struct event_position at = join(w, NAME);
    assert_true(at.epoch == 1 && at.seq == 5);
}

static void test_positions_survive_a_restart(void **state) {
    struct world *w = *state;

    join(w, NAME);
    write_events(w, 5);
    assert_int_equal(report(w, NAME, 3), ERR_OK);
    fixture_commit(&w->f);
    fixture_reopen(&w->f);
    assert_true(join(w, NAME).seq == 3);
}

static void test_a_position_never_falls(void **state) {
    struct world *w = *state;

    join(w, NAME);
    write_events(w, 5);
    assert_int_equal(report(w, NAME, 3), ERR_OK);
    assert_int_equal(report(w, NAME, 2), ERR_OK);
    assert_true(join(w, NAME).seq == 3);
}

static void test_a_report_beyond_the_end_is_refused(void **state) {
    struct world *w = *state;

    join(w, NAME);
    write_events(w, 5);
    assert_int_equal(report(w, NAME, 6), ERR_INVALID);
    assert_int_equal(report(w, OTHER, 1), ERR_NOT_FOUND);
    assert_true(join(w, NAME).seq == 0);
}

static void test_names(void **state) {
    struct world *w = *state;
    const struct event_position *at;
    char name[2] = "a";

    assert_int_equal(applier_consumer_add(w->f.applier, SLICE(""), &at), ERR_INVALID);
    assert_int_equal(
        applier_consumer_add(w->f.applier, SLICE("123456789012345678901234567890123"), &at),
        ERR_INVALID);
    for (; name[0] < 'a' + CONSUMERS_MAX; name[0]++)
        assert_int_equal(applier_consumer_add(w->f.applier, slice_str(name), &at), ERR_OK);
    assert_int_equal(applier_consumer_add(w->f.applier, slice_str(name), &at), ERR_BUSY);
    assert_int_equal(applier_consumer_add(w->f.applier, SLICE("c"), &at), ERR_OK);
    applier_consumer_remove(w->f.applier, SLICE("c"));
    fixture_commit(&w->f);
    fixture_reopen(&w->f);
    assert_int_equal(applier_consumer_add(w->f.applier, slice_str(name), &at), ERR_OK);
    assert_int_equal(applier_consumer_add(w->f.applier, SLICE("z"), &at), ERR_BUSY);
}

/* ---- trimming ---- */

static void test_only_what_all_have_taken_is_trimmed(void **state) {
    struct world *w = *state;

    join(w, NAME);
    join(w, OTHER);
    write_events(w, 200);
    assert_int_equal(report(w, NAME, 200), ERR_OK);
    tidy(w);
    assert_kept(w, 200);
    assert_int_equal(report(w, OTHER, 150), ERR_OK);
    tidy(w);
    assert_kept(w, 50);
    fixture_reopen(&w->f);
    tidy(w);
    assert_kept(w, 50);
    assert_int_equal(report(w, OTHER, 200), ERR_OK);
    tidy(w);
    assert_kept(w, 0);
}

static void test_half_an_entry_is_kept(void **state) {
    struct world *w = *state;
    struct op ops[] = {op_on(OP_ADD, "a", 1, NULL), op_on(OP_ADD, "b", 1, NULL)};

    join(w, NAME);
    fixture_apply(&w->f, producer_a, ++w->number, ops, 2);
    fixture_commit(&w->f);
    assert_int_equal(report(w, NAME, 1), ERR_OK);
    tidy(w);
    assert_kept(w, 1);
}

static void test_age_doesn_t_matter_with_a_consumer(void **state) {
    struct world *w = *state;

    join(w, NAME);
    write_events(w, 3);
    w->f.now_ms += 2 * w->f.conf.outbox_max_age_ms;
    tidy(w);
    assert_kept(w, 3);
    applier_consumer_remove(w->f.applier, NAME);
    tidy(w);
    assert_kept(w, 0);
}

/* ---- the full outbox ---- */

static void test_a_full_outbox_refuses_writes_before_anything_changes(void **state) {
    struct world *w = *state;
    struct applier_stats stats;

    join(w, NAME);
    limit_bytes(w, 1);
    assert_int_equal(write_one(w), ERR_OK); /* one message may exceed it */
    size_t windows = sim_kv_count(w->f.sim, KV_WINDOW);
    assert_answer(fixture_one(&w->f, ++w->number, op_on(OP_ADD, "a", 1, "key")), ERR_OUTBOX_FULL,
                  false, 0);
    assert_answer(fixture_one(&w->f, ++w->number, op_on(OP_SET, "a", 9, NULL)), ERR_OUTBOX_FULL,
                  false, 0);
    assert_answer(fixture_one(&w->f, ++w->number, op_on(OP_GET, "a", 0, NULL)), ERR_OK, false, 1);
    assert_int_equal(sim_kv_count(w->f.sim, KV_WINDOW), windows);
    assert_int_equal(sim_kv_count(w->f.sim, KV_KEY), 0);
    assert_kept(w, 1);
    applier_stats(w->f.applier, &stats);
    assert_int_equal(stats.refused_full_total, 2);
}

/* Said at 80 %, and again only after it was below 70 %. */
static void test_an_outbox_that_fills_up_says_so_early(void **state) {
    static const struct {
        bool was;
        uint64_t consumers;
        uint64_t bytes;
        bool want;
    } rows[] = {
        {false, 1, 799, false}, {false, 1, 800, true},  {true, 1, 700, true},
        {true, 1, 699, false},  {false, 0, 999, false}, {true, 0, 999, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (outbox_filling(rows[i].was, rows[i].consumers, rows[i].bytes, 1000) != rows[i].want)
            fail_msg("row %zu", i);
}

static void test_a_replay_is_answered_though_the_outbox_is_full(void **state) {
    struct world *w = *state;

    join(w, NAME);
    limit_bytes(w, 1);
    assert_int_equal(write_one(w), ERR_OK);
    assert_answer(fixture_one(&w->f, w->number, op_on(OP_ADD, "a", 1, NULL)), ERR_OK, false, 1);
}

static void test_room_comes_with_a_report(void **state) {
    struct world *w = *state;

    join(w, NAME);
    limit_bytes(w, 1);
    assert_int_equal(write_one(w), ERR_OK);
    assert_int_equal(write_one(w), ERR_OUTBOX_FULL);
    assert_int_equal(report(w, NAME, 1), ERR_OK);
    tidy(w);
    assert_int_equal(write_one(w), ERR_OK);
    assert_int_equal(write_one(w), ERR_OUTBOX_FULL);
    applier_consumer_remove(w->f.applier, NAME);
    assert_int_equal(write_one(w), ERR_OK);
}

/* ---- reading ---- */

static enum err read_events(struct world *w, uint64_t after, uint64_t end, size_t max_bytes) {
    return outbox_read(&w->reader, sim_kv_scanner(w->f.sim), 0, (struct event_position){1, after},
                       (struct event_position){1, end}, max_bytes);
}

static void test_reads_what_is_behind_a_position(void **state) {
    struct world *w = *state;
    struct op ops[] = {op_on(OP_ADD, "a", 5, NULL), op_on(OP_ADD, "b", 6, NULL),
                       op_on(OP_ADD, "c", 7, NULL)};

    fixture_apply(&w->f, producer_a, ++w->number, ops, 3);
    fixture_commit(&w->f);
    write_events(w, 2);
    assert_int_equal(read_events(w, 1, 5, 1 << 20), ERR_OK); /* inside the first record */
    assert_int_equal(w->reader.count, 4);
    assert_true(w->reader.events[0].at.seq == 2 && w->reader.events[3].at.seq == 5);
    assert_true(slice_eq(w->reader.events[0].resource_id, SLICE("b")));
    assert_true(slice_eq(w->reader.events[0].counter_type, SLICE("like")));
    assert_true(w->reader.events[0].delta == 6 && w->reader.events[0].new_value == 6);
    assert_true(w->reader.events[3].new_value == 7 && w->reader.events[3].count == 1);
}

static void test_a_read_stops_at_the_end_and_at_its_size(void **state) {
    struct world *w = *state;

    write_events(w, 10);
    assert_int_equal(read_events(w, 0, 4, 1 << 20), ERR_OK);
    assert_int_equal(w->reader.count, 4); /* the rest isn't durable yet */
    assert_int_equal(read_events(w, 0, 10, 1), ERR_OK);
    assert_int_equal(w->reader.count, 1);
    assert_int_equal(read_events(w, 10, 10, 1 << 20), ERR_OK);
    assert_int_equal(w->reader.count, 0);
    assert_int_equal(read_events(w, 11, 10, 1 << 20), ERR_INVALID);
}

static void test_what_was_trimmed_is_never_skipped(void **state) {
    struct world *w = *state;

    join(w, NAME);
    write_events(w, 10);
    assert_int_equal(report(w, NAME, 4), ERR_OK);
    tidy(w);
    assert_int_equal(read_events(w, 3, 10, 1 << 20), ERR_TRIMMED);
    assert_int_equal(read_events(w, 0, 10, 1 << 20), ERR_TRIMMED);
    assert_int_equal(read_events(w, 4, 10, 1 << 20), ERR_OK);
    assert_int_equal(w->reader.count, 6);
    assert_int_equal(report(w, NAME, 10), ERR_OK);
    tidy(w);
    assert_int_equal(read_events(w, 9, 10, 1 << 20), ERR_TRIMMED);
}

static void test_a_hole_inside_is_damage(void **state) {
    struct world *w = *state;
    struct buf key = {0};

    write_events(w, 5);
    outbox_key(0, 1, 3, &key);
    sim_kv_tamper(w->f.sim, KV_OUTBOX, buf_slice(&key), (struct slice){NULL, 0});
    buf_release(&key);
    assert_int_equal(read_events(w, 0, 5, 1 << 20), ERR_CORRUPT);
}

static void test_a_damaged_position_is_found_at_open(void **state) {
    struct world *w = *state;
    const char *detail;
    struct applier *again;

    join(w, NAME);
    sim_kv_tamper(w->f.sim, KV_META, SLICE("consumerrelay\0\0\0\0\0"), SLICE("\1nonsense"));
    assert_int_equal(
        applier_open(sim_kv_base(w->f.sim), &w->f.conf, fixture_time(&w->f), &again, &detail),
        ERR_CORRUPT);
    assert_non_null(strstr(detail, "consumers"));
}

int main(void) {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_begins_at_the_oldest_there_is),
        TEST(test_positions_survive_a_restart),
        TEST(test_a_position_never_falls),
        TEST(test_a_report_beyond_the_end_is_refused),
        TEST(test_names),
        TEST(test_only_what_all_have_taken_is_trimmed),
        TEST(test_half_an_entry_is_kept),
        TEST(test_age_doesn_t_matter_with_a_consumer),
        TEST(test_a_full_outbox_refuses_writes_before_anything_changes),
        TEST(test_an_outbox_that_fills_up_says_so_early),
        TEST(test_a_replay_is_answered_though_the_outbox_is_full),
        TEST(test_room_comes_with_a_report),
        TEST(test_reads_what_is_behind_a_position),
        TEST(test_a_read_stops_at_the_end_and_at_its_size),
        TEST(test_what_was_trimmed_is_never_skipped),
        TEST(test_a_hole_inside_is_damage),
        TEST(test_a_damaged_position_is_found_at_open),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
