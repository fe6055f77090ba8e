/* test_network.c - networks as a configuration says them, and who is in. */
#include "base/network.h"

#include "base/attr.h"
#include "test.h"

static const struct {
    const char *network;
    const char *address;
    bool has;
} rows[] = {
    {"10.0.0.0/8", "10.255.0.1", true},
    {"10.0.0.0/8", "11.0.0.0", false},
    {"10.0.0.0/8", "::ffff:10.1.2.3", true},
    {"192.0.2.1", "192.0.2.1", true},
    {"192.0.2.1", "192.0.2.0", false},
    {"192.0.2.128/25", "192.0.2.129", true},
    {"192.0.2.128/25", "192.0.2.127", false},
    {"0.0.0.0/0", "203.0.113.9", true},
    {"0.0.0.0/0", "2001:db8::1", false},
    {"::/0", "2001:db8::1", true},
    {"::/0", "203.0.113.9", true},
    {"2001:db8::/33", "2001:db8:7fff::1", true},
    {"2001:db8::/33", "2001:db8:8000::1", false},
    {"::1", "::1", true},
};

/* clang-format off */
static const char *const bad[] = {
    "",           "/8",           "10.0.0.0/",     "10.0.0.0/33", "10.0.0.0/08",  "10.0.0.0/-1",
    "10.0.0.1/8", "2001:db8::/129", "2001:db8::1/64", "localhost",   "10.0.0",      "10.0.0.0/8/8",
    "[::1]",      "::1%lo",       " ::1",          "10.0.0.0/8 ", "::1:2:3:4:5:6:7:8:9",
};
/* clang-format on */

static void test_has(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct network network;
        struct in6_addr address;

        if (!network_parse(slice_str(rows[i].network), &network) ||
            !network_address(slice_str(rows[i].address), &address) ||
            network_has(&network, &address) != rows[i].has)
            fail_msg("%s, %s", rows[i].network, rows[i].address);
    }
}

static void test_bad(void **state) {
    (void)state;
    struct network network;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (network_parse(slice_str(bad[i]), &network))
            fail_msg("\"%s\" was accepted", bad[i]);
}

/* Who is one client. */
static void test_client(void **state) {
    static const char *const pairs[][2] = {
        {"192.0.2.77", "192.0.2.77"},
        {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"},
        {"::1", "::"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        struct in6_addr got, want;

        assert_true(network_address(slice_str(pairs[i][0]), &got));
        assert_true(network_address(slice_str(pairs[i][1]), &want));
        network_client(&got);
        assert_memory_equal(&got, &want, sizeof(got));
    }
}

static void test_list(void **state) {
    struct network list[2];
    struct in6_addr in, out;

    (void)state;
    assert_int_equal(network_list("", list, 2), 0);
    assert_int_equal(network_list("nonsense,10.0.0.0/8,::1,192.0.2.1", list, 2), 2);
    assert_true(network_address(SLICE("::1"), &in) && network_address(SLICE("192.0.2.1"), &out));
    assert_true(network_list_has(list, 2, &in));
    assert_false(network_list_has(list, 2, &out));
    assert_false(network_list_has(list, 0, &in));
}

static void test_next(void **state) {
    (void)state;
    struct slice list = SLICE("a,,b");

    assert_true(slice_eq(network_next(&list), SLICE("a")));
    assert_int_equal(network_next(&list).len, 0);
    assert_true(slice_eq(network_next(&list), SLICE("b")));
    assert_int_equal(list.len, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_has),  cmocka_unit_test(test_bad),  cmocka_unit_test(test_client),
        cmocka_unit_test(test_list), cmocka_unit_test(test_next),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
