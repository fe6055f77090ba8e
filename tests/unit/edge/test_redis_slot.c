/* test_redis_slot.c - slots as Redis counts them, and the lanes' tags, which stored data hangs on.
 */
#include <stdio.h>

#include "edge/redis_slot.h"
#include "test.h"

#define LANES_MAX 4096

/* The Redis Cluster specification's, and CLUSTER KEYSLOT's answers. */
static void test_slot_of_a_key(void **state) {
    (void)state;
    static const struct {
        const char *key;
        uint16_t slot;
    } rows[] = {
        {"123456789", 0x31c3},
        {"somekey", 11058},
        {"foo{hash_tag}", 2515},
        {"bar{hash_tag}", 2515},
        {"hash_tag", 2515},
        {"foo{}{bar}", 8363}, /* an empty tag is none */
        {"foo{{bar}}zap", 4015},
        {"{bar", 4015},
        {"foo{bar}{zap}", 5061},
        {"bar", 5061},
        {"", 0},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint16_t got = redis_slot(slice_str(rows[i].key));

        if (got != rows[i].slot)
            fail_msg("%s: got %u, want %u", rows[i].key, got, rows[i].slot);
    }
}

static void check_tags(uint32_t lanes) {
    static struct redis_tag tags[LANES_MAX];

    assert_true(redis_tags_make(lanes, tags));
    for (uint32_t lane = 0; lane < lanes; lane++) {
        char key[32];
        int len = snprintf(key, sizeof(key), "hgp:{%s}:c:1f", tags[lane].text);

        assert_int_equal(redis_slot(slice_of(key, (size_t)len)), redis_lane_slot(lane, lanes));
    }
}

static void test_a_lanes_keys_share_its_slot(void **state) {
    (void)state;
    check_tags(1);
    check_tags(3);
    check_tags(1024);
    check_tags(LANES_MAX);
}

/* A third of the slots is a third of the lanes, wherever it begins. */
static void test_lanes_are_spread_evenly(void **state) {
    (void)state;
    uint32_t first = 0;

    for (uint32_t lane = 0; lane < 1024; lane++)
        first += redis_lane_slot(lane, 1024) <= 5460;
    assert_in_range(first, 341, 342);
}

/* Never to change: what is stored is found by them. */
static void test_tags_are_pinned(void **state) {
    (void)state;
    static struct redis_tag tags[1024];

    assert_true(redis_tags_make(1024, tags));
    assert_string_equal(tags[0].text, "3560");
    assert_string_equal(tags[1].text, "4883");
    assert_string_equal(tags[1023].text, "430");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slot_of_a_key),
        cmocka_unit_test(test_a_lanes_keys_share_its_slot),
        cmocka_unit_test(test_lanes_are_spread_evenly),
        cmocka_unit_test(test_tags_are_pinned),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
