/* test_outbox.c - what is in an entry, what coalesces, what is trimmed and when. */
#include <stdlib.h>

#include "core_fixture.h"

struct seen {
    struct outbox_event events[64];
    struct outbox_entry entries[64];
    size_t count;
};

static enum err on_event(void *ctx, const struct outbox_entry *entry,
                         const struct outbox_event *event) {
    struct seen *seen = ctx;

    assert_true(seen->count < ARRAY_LEN(seen->events));
    seen->entries[seen->count] = *entry;
    seen->events[seen->count++] = *event; /* its slices die with the record: not looked at */
    return ERR_OK;
}

static struct seen see(struct fixture *f) {
    struct seen seen = {.count = 0};

    assert_int_equal(inspect_outbox(sim_kv_base(f->sim), on_event, &seen), ERR_OK);
    return seen;
}

/* One message of up to six operations on counter "a" (and "b") starting at 'start', and the
 * events it must become: kind, delta, new value, count. */
static const struct {
    const char *name;
    int64_t start;
    struct op ops[6];
    struct {
        enum op_kind kind;
        int64_t delta;
        int64_t new_value;
        uint64_t count;
    } events[6];
} rows[] = {
/* clang-format off */
#define ON(kind, arg, id) {kind, arg, {id, 1}, {"like", 4}, {NULL, 0}}
#define ON_KEY(kind, arg, id) {kind, arg, {id, 1}, {"like", 4}, {"k", 1}}
    {"one sign is one event", 0,
     {ON(OP_ADD, 1, "a"), ON(OP_ADD, 2, "a"), ON(OP_ADD, 3, "a")},
     {{OP_ADD, 6, 6, 3}}},
    {"another counter between doesn't matter", 0,
     {ON(OP_ADD, 1, "a"), ON(OP_ADD, 9, "b"), ON(OP_ADD, 1, "a")},
     {{OP_ADD, 2, 2, 2}, {OP_ADD, 9, 9, 1}}},
    {"the other sign begins another", 0,
     {ON(OP_ADD, 5, "a"), ON(OP_ADD, -1, "a"), ON(OP_ADD, 2, "a")},
     {{OP_ADD, 5, 5, 1}, {OP_ADD, -1, 4, 1}, {OP_ADD, 2, 6, 1}}},
    {"a key stays alone", 0,
     {ON(OP_ADD, 1, "a"), ON_KEY(OP_ADD, 1, "a"), ON(OP_ADD, 1, "a")},
     {{OP_ADD, 1, 1, 1}, {OP_ADD, 1, 2, 1}, {OP_ADD, 1, 3, 1}}},
    {"a set stays alone", 0,
     {ON(OP_ADD, 1, "a"), ON(OP_SET, 50, "a"), ON(OP_ADD, 1, "a")},
     {{OP_ADD, 1, 1, 1}, {OP_SET, 49, 50, 1}, {OP_ADD, 1, 51, 1}}},
    {"a reset is an event with its delta", 7,
     {ON(OP_RESET, 0, "a")},
     {{OP_RESET, -7, 0, 1}}},
    {"a set to the same value too", 7,
     {ON(OP_SET, 7, "a")},
     {{OP_SET, 0, 7, 1}}},
    {"what overflows is left out, alone", INT64_MAX - 3,
     {ON(OP_ADD, 2, "a"), ON(OP_ADD, 2, "a"), ON(OP_ADD, 1, "a")},
     {{OP_ADD, 3, INT64_MAX, 2}}},
    {"a read between doesn't matter", 0,
     {ON(OP_ADD, 1, "a"), ON(OP_GET, 0, "a"), ON(OP_ADD, 1, "a")},
     {{OP_ADD, 2, 2, 2}}},
    {"a sum past int64 begins another", INT64_MIN,
     {ON(OP_ADD, INT64_MAX, "a"), ON(OP_ADD, INT64_MAX, "a")},
     {{OP_ADD, INT64_MAX, -1, 1}, {OP_ADD, INT64_MAX, INT64_MAX - 1, 1}}},
    {"a set across int64 wraps its delta", INT64_MIN,
     {ON(OP_SET, INT64_MAX, "a")},
     {{OP_SET, -1, INT64_MAX, 1}}},
    /* clang-format on */
};

static void check_row(size_t row, const struct seen *seen) {
    size_t want = 0;

    while (want < 6 && rows[row].events[want].count)
        want++;
    if (seen->count != want)
        fail_msg("%s: %zu events", rows[row].name, seen->count);
    for (size_t i = 0; i < want; i++) {
        const struct outbox_event *event = &seen->events[i];

        if (event->kind != rows[row].events[i].kind || event->delta != rows[row].events[i].delta ||
            event->new_value != rows[row].events[i].new_value ||
            event->count != rows[row].events[i].count)
            fail_msg("%s: event %zu is kind %d delta %lld new %lld count %llu", rows[row].name, i,
                     (int)event->kind, (long long)event->delta, (long long)event->new_value,
                     (unsigned long long)event->count);
    }
}

static void test_events(void **state) {
    (void)state;
    for (size_t row = 0; row < ARRAY_LEN(rows); row++) {
        struct fixture f;
        size_t count = 0;

        fixture_init(&f, 1);
        f.conf.outbox_max_age_ms = 0;
        fixture_reopen(&f);
        if (rows[row].start)
            (void)fixture_one(&f, 1, op_on(OP_SET, "a", rows[row].start, NULL));
        assert_int_equal(applier_tidy(f.applier, fixture_time(&f)),
                         ERR_OK); /* only the row's stay */
        fixture_commit(&f);
        while (count < 6 && rows[row].ops[count].resource_id.ptr)
            count++;
        fixture_apply(&f, producer_a, 2, rows[row].ops, count);
        fixture_commit(&f);
        struct seen seen = see(&f);
        check_row(row, &seen);
        fixture_release(&f);
    }
}

static void test_wrapped_delta_keeps_both_values(void **state) {
    (void)state;
    struct fixture f;

    fixture_init(&f, 1);
    (void)fixture_one(&f, 1, op_on(OP_SET, "a", INT64_MIN, NULL));
    (void)fixture_one(&f, 2, op_on(OP_SET, "a", INT64_MAX, NULL));
    struct seen seen = see(&f);
    assert_false(outbox_delta_wrapped(&seen.events[0]));
    assert_true(outbox_delta_wrapped(&seen.events[1]));
    assert_true(seen.events[1].old_value == INT64_MIN && seen.events[1].new_value == INT64_MAX);
    uint64_t sum = (uint64_t)seen.events[0].delta + (uint64_t)seen.events[1].delta;
    assert_true((int64_t)sum == INT64_MAX);
    fixture_release(&f);
}

static void test_one_entry_per_message_and_lane(void **state) {
    (void)state;
    struct fixture f;
    struct op ops[] = {op_on(OP_ADD, "a", 1, NULL), op_on(OP_ADD, "b", 1, NULL),
                       op_on(OP_ADD, "c", 1, NULL)};

    fixture_init(&f, 1);
    fixture_apply(&f, producer_a, 1, ops, 3);
    fixture_apply(&f, producer_b, 1, ops, 2);
    fixture_commit(&f);
    assert_int_equal(sim_kv_count(f.sim, KV_OUTBOX), 2);
    struct seen seen = see(&f);
    assert_int_equal(seen.count, 5);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(seen.events[i].seq, i + 1);
    assert_int_equal(seen.entries[0].last_seq, 3);
    assert_int_equal(seen.entries[4].first_seq, 4);
    assert_int_equal(seen.entries[4].producer.lo, producer_b.lo);
    fixture_release(&f);
}

/* ---- trimming ---- */

static void fill(struct fixture *f, uint64_t from, uint64_t to, int64_t step_ms) {
    for (uint64_t number = from; number <= to; number++) {
        f->now_ms += step_ms;
        (void)fixture_one(f, number, op_on(OP_ADD, number % 2 ? "a" : "b", 1, NULL));
    }
}

static struct applier_stats tidy(struct fixture *f) {
    struct applier_stats stats;

    assert_int_equal(applier_tidy(f->applier, fixture_time(f)), ERR_OK);
    fixture_commit(f);
    applier_stats(f->applier, &stats);
    return stats;
}

static void add_bytes(void *ctx, struct slice key, struct slice value) {
    *(uint64_t *)ctx += key.len + value.len;
}

static uint64_t stored_bytes(const struct fixture *f) {
    uint64_t bytes = 0;

    sim_kv_each(f->sim, KV_OUTBOX, add_bytes, &bytes);
    return bytes;
}

static void test_trims_by_age(void **state) {
    (void)state;
    struct fixture f;

    fixture_init(&f, 4);
    f.conf.outbox_max_age_ms = 1000;
    fixture_reopen(&f);
    fill(&f, 1, 20, 100);
    struct applier_stats stats = tidy(&f);
    /* Exactly 1,000 ms old is due. */
    assert_int_equal(stats.trimmed_events_total, 10);
    assert_int_equal(sim_kv_count(f.sim, KV_OUTBOX), 10);
    assert_int_equal(stats.outbox_bytes, stored_bytes(&f));
    f.now_ms += 5000;
    fixture_reopen(&f);
    assert_int_equal(tidy(&f).trimmed_events_total, 10);
    assert_int_equal(stored_bytes(&f), 0);
    fill(&f, 21, 22, 1);
    assert_int_equal(see(&f).count, 2);
    f.now_ms += 5000;
    assert_int_equal(tidy(&f).outbox_bytes, 0);
    fixture_release(&f);
}

static void test_trims_by_bytes_oldest_first(void **state) {
    (void)state;
    struct fixture f;

    fixture_init(&f, 4);
    fill(&f, 1, 20, 100);
    uint64_t all = stored_bytes(&f);
    f.conf.outbox_max_bytes = all / 2;
    fixture_reopen(&f);
    struct applier_stats stats = tidy(&f);
    assert_in_range(stats.outbox_bytes, all / 2 - all / 20 - 8, all / 2);
    assert_int_equal(stats.outbox_bytes, stored_bytes(&f));
    struct seen seen = see(&f);
    assert_int_equal(seen.count + stats.trimmed_events_total, 20);
    for (size_t i = 0; i < seen.count; i++)
        assert_true(seen.entries[i].et_ms >
                    f.now_ms - 100 * (int64_t)(seen.count)); /* the newest stayed */
    fixture_release(&f);
}

static void test_trims_a_bounded_piece(void **state) {
    (void)state;
    struct fixture f;
    uint64_t before = 0;

    fixture_init(&f, 1);
    fill(&f, 1, 200, 1);
    f.conf.outbox_max_bytes = 0;
    fixture_reopen(&f);
    while (stored_bytes(&f)) {
        uint64_t now = tidy(&f).trimmed_events_total;

        assert_in_range(now - before, 1, 64);
        before = now;
    }
    assert_int_equal(before, 200);
    assert_int_equal(sim_kv_count(f.sim, KV_OUTBOX), 0);
    fixture_release(&f);
}

/* Entries of the open group can't be read yet: only those before are trimmed with it. */
static void test_trims_within_the_group(void **state) {
    (void)state;
    struct fixture f;
    struct op op = op_on(OP_ADD, "a", 1, NULL);

    fixture_init(&f, 1);
    f.conf.outbox_max_bytes = 0;
    fixture_reopen(&f);
    for (uint64_t number = 1; number <= 3; number++)
        fixture_apply(&f, producer_a, number, &op, 1);
    (void)tidy(&f);
    assert_int_equal(sim_kv_count(f.sim, KV_OUTBOX), 2);
    assert_int_equal(tidy(&f).outbox_bytes, 0);
    assert_int_equal(sim_kv_count(f.sim, KV_OUTBOX), 0);
    fixture_reopen(&f);
    (void)fixture_one(&f, 4, op);
    assert_int_equal(see(&f).events[0].seq, 4);
    fixture_release(&f);
}

/* ---- decoding ---- */

static void decode_all(struct slice key, struct slice value) {
    struct outbox_entry entry;
    struct outbox_event event;
    uint32_t index;

    if (outbox_decode(key, value, &entry) != ERR_OK)
        return;
    while (outbox_next(&entry, &event) == ERR_OK) {
        while (outbox_next_index(&event, &index) == ERR_OK)
            continue;
    }
}

struct damage {
    bool complete_read;
    size_t tried;
};

/* Each prefix and each flipped byte of an entry reads as damage or as something, never past it
 * (the copy is exact, for the sanitizer). */
static void damage_entry(void *ctx, struct slice key, struct slice value) {
    struct damage *damage = ctx;
    struct outbox_entry entry;
    struct outbox_event event;
    enum err err = outbox_decode(key, value, &entry);

    while (err == ERR_OK)
        err = outbox_next(&entry, &event);
    damage->complete_read = err == ERR_NOT_FOUND;
    for (size_t len = 0; len < value.len; len++) {
        char *copy = malloc(len + 1);

        assert_non_null(copy);
        memcpy(copy, value.ptr, len);
        err = outbox_decode(key, slice_of(copy, len), &entry);
        while (err == ERR_OK)
            err = outbox_next(&entry, &event);
        assert_int_equal(err, ERR_CORRUPT);
        memcpy(copy, value.ptr, len + 1);
        copy[len] ^= (char)0xff;
        decode_all(key, slice_of(copy, len + 1));
        free(copy);
        damage->tried++;
    }
}

static void test_damaged_entries(void **state) {
    (void)state;
    struct fixture f;
    struct damage damage = {.tried = 0};
    struct op ops[] = {op_on(OP_ADD, "a", 1, NULL), op_on(OP_SET, "b", -5, NULL),
                       op_on(OP_ADD, "a", 1, NULL)};

    fixture_init(&f, 1);
    fixture_apply(&f, producer_a, 1, ops, 3);
    fixture_commit(&f);
    sim_kv_each(f.sim, KV_OUTBOX, damage_entry, &damage);
    assert_true(damage.complete_read);
    assert_true(damage.tried > 50);
    fixture_release(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_wrapped_delta_keeps_both_values),
        cmocka_unit_test(test_one_entry_per_message_and_lane),
        cmocka_unit_test(test_trims_by_age),
        cmocka_unit_test(test_trims_by_bytes_oldest_first),
        cmocka_unit_test(test_trims_a_bounded_piece),
        cmocka_unit_test(test_trims_within_the_group),
        cmocka_unit_test(test_damaged_entries),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
