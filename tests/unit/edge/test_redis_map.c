/* test_redis_map.c - CLUSTER SLOTS as a Cluster sends it, MOVED and ASK; and what isn't one. */
#include <hiredis/hiredis.h>
#include <stdio.h>

#include "edge/redis_map.h"
#include "test.h"

static struct redis_map map;

static enum err read_map(const char *wire, const char *asked) {
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;

    assert_int_equal(redisReaderFeed(reader, wire, strlen(wire)), REDIS_OK);
    assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
    assert_non_null(reply);
    enum err err = redis_map_read(reply, asked, &map);
    freeReplyObject(reply);
    redisReaderFree(reader);
    return err;
}

#define NODE(host, port)   "*3\r\n" host "\r\n:" port "\r\n$2\r\nid\r\n"
#define RANGE(first, last) ":" first "\r\n:" last "\r\n"
#define HOST_A             "$8\r\n10.0.0.1"

static void assert_owner(unsigned slot, const char *address) {
    uint16_t owner = map.owner[slot];

    if (!address)
        assert_int_equal(owner, REDIS_NO_NODE);
    else
        assert_string_equal(map.address[owner], address);
}

static void test_slots(void **state) {
    (void)state;
    /* A master with a replica, and again behind a gap; an unknown host; IPv6. */
    assert_int_equal(read_map("*4\r\n"
                              "*4\r\n" RANGE("0", "99") NODE(HOST_A, "7001")
                                  NODE("$8\r\n10.0.0.9", "7009") "*3\r\n" RANGE("200", "200")
                                      NODE(HOST_A, "7001") "*3\r\n" RANGE("201", "300")
                                          NODE("$-1", "7002") "*3\r\n" RANGE("16383", "16383")
                                              NODE("$3\r\n::1", "7003"),
                              "seed:1"),
                     ERR_OK);
    assert_int_equal(map.count, 3);
    assert_owner(0, "10.0.0.1:7001");
    assert_owner(99, "10.0.0.1:7001");
    assert_owner(100, NULL);
    assert_owner(200, "10.0.0.1:7001");
    assert_owner(300, "seed:7002");
    assert_owner(16382, NULL);
    assert_owner(16383, "[::1]:7003");
}

static void test_what_is_no_map(void **state) {
    (void)state;
    static const char *const wires[] = {
        "+OK\r\n",
        "*1\r\n:1\r\n",
        "*1\r\n*2\r\n:0\r\n:1\r\n",
        "*1\r\n*3\r\n:0\r\n:16384\r\n" NODE(HOST_A, "1"),
        "*1\r\n*3\r\n:-1\r\n:3\r\n" NODE(HOST_A, "1"),
        "*1\r\n*3\r\n:0\r\n:3\r\n" NODE(HOST_A, "0"),
        "*1\r\n*3\r\n:0\r\n:3\r\n" NODE(HOST_A, "65536"),
        "*1\r\n*3\r\n:0\r\n:3\r\n*1\r\n" HOST_A "\r\n",
    };

    for (size_t i = 0; i < sizeof(wires) / sizeof(wires[0]); i++) {
        if (read_map(wires[i], "seed:1") != ERR_CORRUPT)
            fail_msg("taken: %s", wires[i]);
    }
}

/* clang-format off */
static const struct {
    const char *text;
    bool is, ask;
    uint16_t slot;
    const char *address;
} redirects[] = {
    {"MOVED 3999 127.0.0.1:6381", true,  false, 3999, "127.0.0.1:6381"},
    {"ASK 0 host:1",              true,  true,  0,    "host:1"},
    {"MOVED 1 :7000",             true,  false, 1,    "seed:7000"},
    {"MOVED 1 ?:7000",            true,  false, 1,    "seed:7000"},
    {"ASK 1 2001:db8::1:7000",    true,  true,  1,    "[2001:db8::1]:7000"},
    {"MOVED 16384 h:1",           false, false, 0,    NULL},
    {"MOVED -1 h:1",              false, false, 0,    NULL},
    {"MOVED 1 h",                 false, false, 0,    NULL},
    {"MOVED 1 h:1x",              false, false, 0,    NULL},
    {"MOVED 1",                   false, false, 0,    NULL},
    {"MOVED 1 h:70000",           false, false, 0,    NULL},
    {"ASKING",                    false, false, 0,    NULL},
    {"TRYAGAIN Multiple keys",    false, false, 0,    NULL},
};
/* clang-format on */

static void test_redirects(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(redirects) / sizeof(redirects[0]); i++) {
        struct redis_redirect to;
        bool is = redis_redirect_read(slice_str(redirects[i].text), "seed:1", &to);

        if (is != redirects[i].is)
            fail_msg("%s: %d", redirects[i].text, is);
        if (!is)
            continue;
        assert_int_equal(to.ask, redirects[i].ask);
        assert_int_equal(to.slot, redirects[i].slot);
        assert_string_equal(to.address, redirects[i].address);
    }
}

static void test_too_many_nodes(void **state) {
    (void)state;
    char address[32];

    redis_map_clear(&map);
    for (int i = 0; i < REDIS_NODES_MAX; i++) {
        (void)snprintf(address, sizeof(address), "h:%d", i + 1);
        assert_int_equal(redis_map_node(&map, address), i);
    }
    assert_int_equal(redis_map_node(&map, "h:1"), 0);
    assert_int_equal(redis_map_node(&map, "h:9999"), REDIS_NO_NODE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slots),
        cmocka_unit_test(test_what_is_no_map),
        cmocka_unit_test(test_redirects),
        cmocka_unit_test(test_too_many_nodes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
