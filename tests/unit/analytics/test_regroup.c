/* A folder of version 4, in which each counter of a bucket had a record of its own: it is opened,
 * and all is there, in groups, now and the next time; counting goes on. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/analytics.h"
#include "core/bytes.h"
#include "edge/rocks_tally.h"
#include "test.h"

#define START_MS  (INT64_C(1790000000) * 1000)
#define MINUTE_MS INT64_C(60000)
#define COUNTERS  1200u /* not whole groups */
#define MINUTES   60    /* together more rows than are moved at once */
#define LATER     700u  /* counters with a value behind the one they began with */

struct rig {
    char folder[64];
    struct rocks_tally *rocks;
    struct analytics *analytics;
};

static void open_store(struct rig *rig) {
    struct rocks_tally_conf conf = {1 << 20, 1 << 20};
    const char *detail = NULL;

    assert_int_equal(rocks_tally_open(rig->folder, &conf, &rig->rocks, &detail), ERR_OK);
}

static void start(struct rig *rig) {
    struct analytics_conf conf = {
        .counters_max = COUNTERS + 1, .pending_max = 4096, .hash_seed = {3, 5}};

    assert_int_equal(analytics_open(rocks_tally_view(rig->rocks), &conf, START_MS, &rig->analytics),
                     ERR_OK);
}

static void stop(struct rig *rig) {
    analytics_close(rig->analytics);
    rocks_tally_close(rig->rocks);
}

/* ---- as version 4 wrote it ---- */

static struct slice key_of(struct buf *out, char space, uint32_t number) {
    buf_clear(out);
    buf_add_char(out, space);
    bytes_add_be32(out, number);
    return buf_slice(out);
}

/* Of each counter in each minute: as many as its number. */
static void fill_row(struct tally_store *store, struct buf *key, enum bucket_width width,
                     int64_t bucket, uint32_t counter) {
    struct tally tally = {counter, 1};
    char record[TALLY_BYTES];

    buf_clear(key);
    buf_add_char(key, TALLY_ALONE);
    buf_add_char(key, (char)width);
    bytes_add_be32(key, (uint32_t)bucket);
    bytes_add_be32(key, counter);
    tally_encode(tally, record);
    store->ops->merge(store, buf_slice(key), slice_of(record, sizeof(record)));
}

static void fill_counter(struct tally_store *store, struct buf *key, struct buf *record,
                         uint32_t i) {
    char name[32];
    int len = snprintf(name, sizeof(name), "r%05u", i);

    buf_clear(record);
    bytes_add_zigzag(record, i < LATER ? 1 : (int64_t)i * MINUTES);
    bytes_add_zigzag(record, 1);
    bytes_add_varint(record, i < LATER ? 1 : MINUTES);
    buf_add(record, name, (size_t)len);
    buf_add_slice(record, SLICE("\0like"));
    store->ops->put(store, key_of(key, 'C', i), buf_slice(record));
    buf_clear(record);
    bytes_add_zigzag(record, (int64_t)i * MINUTES);
    bytes_add_varint(record, MINUTES);
    if (i < LATER)
        store->ops->put(store, key_of(key, 'V', i), buf_slice(record));
}

static enum err fill_version_4(struct tally_batch *batch, struct tally_store *store) {
    static const char meta[] = "\4"
                               "\0\0\0\0\0\0\0\x4d"
                               "\0\0\0\1"
                               "\4";
    static const char lane[] = "\0\0\0\0\0\0\0\1"
                               "\0\0\0\0\0\0\0\7"
                               "\0\0";
    struct buf key = {0};
    struct buf record = {0};

    (void)batch;
    store->ops->put(store, SLICE("M\0\0\0\0"), slice_of(meta, sizeof(meta) - 1));
    store->ops->put(store, SLICE("L\0\0\0\0"), slice_of(lane, sizeof(lane) - 1));
    for (uint32_t i = 0; i < COUNTERS; i++) {
        fill_counter(store, &key, &record, i);
        for (unsigned minute = 0; minute < MINUTES; minute++) {
            int64_t et_ms = START_MS - minute * MINUTE_MS;

            for (unsigned width = 0; width < BUCKET_WIDTHS; width++)
                fill_row(store, &key, (enum bucket_width)width,
                         time_bucket_of((enum bucket_width)width, et_ms), i);
        }
    }
    buf_release(&key);
    buf_release(&record);
    return ERR_OK;
}

static void ended(struct tally_batch *batch) {
    (void)batch;
}

/* ---- what is there ---- */

static bool count_record(void *ctx, struct slice key, struct slice value) {
    (void)key, (void)value;
    ++*(unsigned *)ctx;
    return true;
}

static unsigned records(const struct rig *rig, const char *from, const char *to) {
    struct tally_store *store = rocks_tally_view(rig->rocks);
    unsigned count = 0;

    assert_int_equal(store->ops->scan(store, slice_str(from), slice_str(to), count_record, &count),
                     ERR_OK);
    return count;
}

static void check_version(const struct rig *rig, char version) {
    struct tally_store *store = rocks_tally_view(rig->rocks);
    struct buf record = {0};

    assert_int_equal(store->ops->get(store, SLICE("M\0\0\0\0"), &record), ERR_OK);
    assert_int_equal(record.ptr[0], version);
    buf_release(&record);
}

/* 'more' of counter 'one' beside what was there. */
static void check_counter(const struct rig *rig, uint32_t i, int64_t more) {
    static struct stats_answer answer;
    char name[32];
    int len = snprintf(name, sizeof(name), "r%05u", i);

    for (unsigned range = 0; range < RANGES; range++) {
        struct stats_query query = {slice_of(name, (size_t)len), SLICE("like"),
                                    (enum time_range)range};
        int64_t sum = 0;

        assert_int_equal(analytics_series(rig->analytics, &query, &answer), ERR_OK);
        assert_int_equal(answer.total.sum, (int64_t)i * MINUTES + more);
        assert_int_equal(answer.total.increments, MINUTES + (more != 0));
        for (size_t p = 0; p < answer.count; p++)
            sum += answer.points[p].tally.sum;
        assert_int_equal(sum, answer.total.sum);
    }
}

static void check_all(const struct rig *rig, uint32_t one, int64_t more) {
    for (uint32_t i = 0; i < COUNTERS; i += 11) /* 77 is one of them */
        check_counter(rig, i, i == one ? more : 0);
}

static void count_one(const struct rig *rig) {
    struct event event = {.lane = 0,
                          .at = {1, 8},
                          .kind = OP_ADD,
                          .resource_id = SLICE("r00077"),
                          .counter_type = SLICE("like"),
                          .delta = 5,
                          .new_value = 77 * MINUTES + 5,
                          .count = 1,
                          .et_ms = START_MS};

    assert_int_equal(analytics_apply(rig->analytics, &event, 1), ERR_OK);
    assert_int_equal(analytics_commit(rig->analytics), ERR_OK);
}

static void test_version_4_goes_on_in_groups(void **state) {
    struct tally_batch batch = {fill_version_4, ended};
    struct rig rig = {.folder = "/tmp/hgp-regroup-XXXXXX"};

    (void)state;
    assert_non_null(mkdtemp(rig.folder));
    open_store(&rig);
    struct tally_store *store = rocks_tally_view(rig.rocks);
    store->ops->begin(store, &batch);
    assert_int_equal(store->ops->end(store, true), ERR_OK);
    assert_true(records(&rig, "B", "C") > 65536);

    start(&rig);
    assert_int_equal(records(&rig, "B", "C"), 0);
    assert_in_range(records(&rig, "G", "H"), COUNTERS / 64 * MINUTES, COUNTERS * 3);
    check_version(&rig, 5);
    check_all(&rig, 0, 0);
    count_one(&rig);
    check_all(&rig, 77, 5);
    stop(&rig);

    open_store(&rig);
    start(&rig);
    check_all(&rig, 77, 5);
    stop(&rig);
    assert_int_equal(rocks_tally_remove(rig.folder), ERR_OK);
    (void)rmdir(rig.folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version_4_goes_on_in_groups),
    };

    return cmocka_run_group_tests_name("analytics/regroup", tests, NULL, NULL);
}
