/* test_recount_end.c - how far a topic must be read: what ends, whose, and when that is known. */
#include <stdlib.h>

#include "cli/events.h"
#include "cli/recount_internal.h"
#include "edge/kafka_consumer.h"
#include "test.h"

/* ---- the topic and the store ---- */

#define PARTITIONS_MAX 4

static struct {
    bool configured;
    bool broker; /* answers */
    uint32_t partitions;
    int64_t end[PARTITIONS_MAX];
    bool partition_away; /* its end can't be had */
    unsigned configurations, consumers, asked;
} topic;

static struct {
    enum err err;
    struct event_position shipped[PARTITIONS_MAX];
    unsigned asked;
} relay;

const char *events_url_read(const struct config *config, struct kafka_url *out) {
    (void)config;
    *out = (struct kafka_url){.topic = "t"};
    topic.configurations++;
    return topic.configured ? NULL : "there is no such file";
}

struct kafka_consumer {
    int unused;
};

enum err kafka_consumer_new(const struct kafka_consumer_conf *conf, struct kafka_consumer **out,
                            const char **out_detail) {
    (void)out_detail;
    assert_true(conf->read && !conf->read->others && conf->read->count == 0); /* reads nothing */
    *out = calloc(1, sizeof(**out));
    topic.consumers++;
    return ERR_OK;
}

void kafka_consumer_free(struct kafka_consumer *consumer) {
    free(consumer);
}

enum err kafka_consumer_open(struct kafka_consumer *consumer, int64_t wait_ms) {
    (void)wait_ms;
    assert_non_null(consumer);
    return topic.broker ? ERR_OK : ERR_UNAVAILABLE;
}

uint32_t kafka_consumer_partitions(const struct kafka_consumer *consumer) {
    (void)consumer;
    return topic.partitions;
}

enum err kafka_consumer_end(struct kafka_consumer *consumer, uint32_t partition, int64_t wait_ms,
                            int64_t *out_first, int64_t *out_end) {
    (void)consumer;
    (void)wait_ms;
    topic.asked++;
    *out_first = 0;
    *out_end = topic.end[partition];
    return topic.partition_away && partition + 1 == topic.partitions ? ERR_UNAVAILABLE : ERR_OK;
}

enum err store_consumer_at(const struct store *store, const char *consumer,
                           struct event_position *out_at, uint32_t lanes) {
    (void)store;
    assert_string_equal(consumer, SHIPPER_CONSUMER);
    relay.asked++;
    if (relay.err == ERR_OK)
        memcpy(out_at, relay.shipped, lanes * sizeof(*out_at));
    return relay.err;
}

/* ---- the fixture ---- */

static struct store store;
static struct recount_conf beside_a_store = {.store = &store};
static struct recount_conf alone;

static int up(void **state) {
    struct recount_end *end = calloc(1, sizeof(*end));

    memset(&topic, 0, sizeof(topic));
    memset(&relay, 0, sizeof(relay));
    topic.configured = topic.broker = true;
    topic.partitions = 3;
    for (uint32_t i = 0; i < PARTITIONS_MAX; i++)
        topic.end[i] = 10 * (i + 1);
    end->conf = &alone;
    *state = end;
    return 0;
}

static int down(void **state) {
    recount_end_release(*state);
    free(*state);
    return 0;
}

static struct event_position counted[] = {{1, 5}, {0, 0}, {2, 1}};
static const struct analytics_reached live = {.lanes = 3, .at = counted};

/* ---- known ---- */

/* What this process ships: everything that was counted, of each lane that has an event. */
static void test_what_was_counted_is_in_the_topic(void **state) {
    static const struct {
        const char *name;
        enum err err;
        struct event_position shipped[3];
        bool known;
    } rows[] = {
        {"all of it", ERR_OK, {{1, 5}, {0, 0}, {2, 1}}, true},
        {"more", ERR_OK, {{1, 9}, {1, 1}, {3, 1}}, true},
        {"one event less", ERR_OK, {{1, 4}, {0, 0}, {2, 1}}, false},
        {"an earlier epoch", ERR_OK, {{1, 5}, {0, 0}, {1, 99}}, false},
        {"nobody ships yet", ERR_NOT_FOUND, {{0, 0}}, false},
        {"the store doesn't tell", ERR_UNAVAILABLE, {{0, 0}}, false},
    };
    struct recount_end *end = *state;

    end->conf = &beside_a_store;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        relay.err = rows[i].err;
        memcpy(relay.shipped, rows[i].shipped, sizeof(rows[i].shipped));
        recount_end_forget(end);
        if (recount_end_known(end, &live) != rows[i].known)
            fail_msg("%s", rows[i].name);
        assert_true(rows[i].known == (end->at != NULL));
    }
}

/* It was read from there. */
static void test_without_a_store_all_is_in_the_topic(void **state) {
    struct recount_end *end = *state;

    relay.err = ERR_NOT_FOUND;
    assert_true(recount_end_known(end, &live));
    assert_int_equal(relay.asked, 0);
}

static void test_a_topic_that_does_not_answer(void **state) {
    struct recount_end *end = *state;

    topic.configured = false;
    assert_false(recount_end_known(end, &live));
    topic.configured = true;
    topic.broker = false;
    assert_false(recount_end_known(end, &live));
    topic.broker = true;
    topic.partition_away = true;
    assert_false(recount_end_known(end, &live));
    topic.partition_away = false;
    assert_true(recount_end_known(end, &live));
    assert_int_equal(end->partitions, 3);
}

/* Of one moment: what comes later isn't waited for. Forgotten, it is asked for anew, by the same
 * connection. */
static void test_known_until_it_is_forgotten(void **state) {
    struct recount_end *end = *state;

    assert_true(recount_end_known(end, &live));
    topic.end[0] = 99;
    assert_true(recount_end_known(end, &live));
    assert_int_equal(end->at[0], 10);
    assert_int_equal(topic.asked, 3);
    recount_end_forget(end);
    assert_true(recount_end_known(end, &live));
    assert_int_equal(end->at[0], 99);
    assert_int_equal(topic.configurations, 1);
    assert_int_equal(topic.consumers, 1);
}

/* ---- reached ---- */

static void test_reached(void **state) {
    static const struct {
        const char *name;
        uint32_t partitions;
        int64_t next[3];
        bool reached;
    } rows[] = {
        {"to the end", 3, {10, 20, 30}, true},
        {"behind it", 3, {11, 20, 99}, true},
        {"one is missing in the first", 3, {9, 20, 30}, false},
        {"one is missing in the last", 3, {10, 20, 29}, false},
        {"nothing of one", 3, {10, KAFKA_FROM_FIRST, 30}, false},
        {"one isn't read here", 3, {10, INT64_MAX, 30}, true},
        {"its partitions aren't known yet", 0, {0}, false},
        {"it knows of fewer", 2, {10, 20, 0}, false},
    };
    struct recount_end *end = *state;

    assert_true(recount_end_known(end, &live));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t next[3];
        struct analytics_reached own = {.partitions = rows[i].partitions, .next = next};

        memcpy(next, rows[i].next, sizeof(next));
        if (recount_end_reached(end, &own) != rows[i].reached)
            fail_msg("%s", rows[i].name);
    }
}

static void test_not_reached_before_it_is_known(void **state) {
    struct recount_end *end = *state;
    struct analytics_reached own = {0};

    assert_false(recount_end_reached(end, &own));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_was_counted_is_in_the_topic, up, down),
        cmocka_unit_test_setup_teardown(test_without_a_store_all_is_in_the_topic, up, down),
        cmocka_unit_test_setup_teardown(test_a_topic_that_does_not_answer, up, down),
        cmocka_unit_test_setup_teardown(test_known_until_it_is_forgotten, up, down),
        cmocka_unit_test_setup_teardown(test_reached, up, down),
        cmocka_unit_test_setup_teardown(test_not_reached_before_it_is_known, up, down),
    };

    return cmocka_run_group_tests_name("cli/recount_end", tests, NULL, NULL);
}
