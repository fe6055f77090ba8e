/* test_redis_url.c - what is an address of Redis, row by row. */
#include "edge/redis_url.h"

#include <stdio.h>

#include "test.h"

/* clang-format off */
static const struct {
    const char *text;
    enum err err;
    bool is_unix;
    const char *address, *user, *password;
    unsigned db;
    const char *name; /* as logged */
} rows[] = {
    {"redis://h:6379", ERR_OK, false, "h:6379", "", "", 0, "redis://h:6379/0"},
    {"redis://h:6379/", ERR_OK, false, "h:6379", "", "", 0, "redis://h:6379/0"},
    {"redis://h:6379/15", ERR_OK, false, "h:6379", "", "", 15, "redis://h:6379/15"},
    {"redis://[::1]:1", ERR_OK, false, "[::1]:1", "", "", 0, "redis://[::1]:1/0"},
    {"redis://:pw@h:1", ERR_OK, false, "h:1", "", "pw", 0, "redis://h:1/0"},
    {"redis://u:p:w@h:1/2", ERR_OK, false, "h:1", "u", "p:w", 2, "redis://h:1/2"},
    {"redis://u:p@w@h:1", ERR_OK, false, "h:1", "u", "p@w", 0, "redis://h:1/0"},
    {"redis://u:p%40%2f%3A@h:1", ERR_OK, false, "h:1", "u", "p@/:", 0, "redis://h:1/0"},
    {"redis+unix:///run/r.sock", ERR_OK, true, "/run/r.sock", "", "", 0, "redis+unix:///run/r.sock?db=0"},
    {"redis+unix:///r%20s?db=3", ERR_OK, true, "/r s", "", "", 3, "redis+unix:///r s?db=3"},
    {"redis://u@h:1", ERR_OK, false, "h:1", "u", "", 0, "redis://h:1/0"},
    {"redis+unix:///s?user=u&db=2", ERR_OK, true, "/s", "u", "", 2, "redis+unix:///s?db=2"},
    {"redis-sentinel://a:1,[::1]:2/main", ERR_OK, false, "a:1,[::1]:2", "", "", 0, "redis-sentinel://a:1,[::1]:2/main/0"},
    {"redis-sentinel://u:p@a:1/main/3", ERR_OK, false, "a:1", "u", "p", 3, "redis-sentinel://a:1/main/3"},
    {"redis-sentinel://a:1", ERR_INVALID, 0, 0, 0, 0, 0, 0},
    {"redis-sentinel://a:1/", ERR_INVALID, 0, 0, 0, 0, 0, 0},
    {"redis-sentinel://a:1,/main", ERR_INVALID, 0, 0, 0, 0, 0, 0},
    {"redis-sentinel://a/main", ERR_INVALID, 0, 0, 0, 0, 0, 0},
    {"redis-sentinel://a:1/main/x", ERR_INVALID, 0, 0, 0, 0, 0, 0},
    {"rediss://u:p@h:1/3", ERR_OK, false, "h:1", "u", "p", 3, "rediss://h:1/3"},
    {"redis-cluster://h:1", ERR_OK, false, "h:1", "", "", 0, "redis-cluster://h:1"},
    {"redis-cluster://u:p@h:1,[::1]:2", ERR_OK, false, "h:1,[::1]:2", "u", "p", 0, "redis-cluster://h:1,[::1]:2"},
    {"redis-cluster://", ERR_INVALID, 0, 0, 0, 0, 0, 0},
    {"redis-cluster://h", ERR_INVALID, 0, 0, 0, 0, 0, 0},
    {"redis-cluster://h:1,", ERR_INVALID, 0, 0, 0, 0, 0, 0},
    {"redis-cluster://h:1,:2", ERR_INVALID, 0, 0, 0, 0, 0, 0},
    {"redis-cluster://h:1/2", ERR_INVALID, 0, 0, 0, 0, 0, 0},
    {"rediss://h", ERR_INVALID, 0, 0, 0, 0, 0, 0},
    {"redis://h", ERR_INVALID, 0, 0, 0, 0, 0, 0},
    {"redis://", ERR_INVALID, 0, 0, 0, 0, 0, 0},
    {"redis://h:1/x", ERR_INVALID, 0, 0, 0, 0, 0, 0},
    {"redis://h:1/65536", ERR_INVALID, 0, 0, 0, 0, 0, 0},
    {"redis://h:1/1/2", ERR_INVALID, 0, 0, 0, 0, 0, 0},
    {"redis://@h:1", ERR_INVALID, 0, 0, 0, 0, 0, 0},
    {"redis+unix:///s?db=1&", ERR_INVALID, 0, 0, 0, 0, 0, 0},
    {"redis+unix:///s?user=", ERR_INVALID, 0, 0, 0, 0, 0, 0},
    {"redis://u:@h:1", ERR_INVALID, 0, 0, 0, 0, 0, 0},
    {"redis://u:%4@h:1", ERR_INVALID, 0, 0, 0, 0, 0, 0},
    {"redis://u:%zz@h:1", ERR_INVALID, 0, 0, 0, 0, 0, 0},
    {"redis://u:%00@h:1", ERR_INVALID, 0, 0, 0, 0, 0, 0},
    {"redis+unix://r.sock", ERR_INVALID, 0, 0, 0, 0, 0, 0},
    {"redis+unix:///s?db=", ERR_INVALID, 0, 0, 0, 0, 0, 0},
    {"redis+unix:///s?timeout=1", ERR_INVALID, 0, 0, 0, 0, 0, 0},
    {"rocksdb:", ERR_INVALID, 0, 0, 0, 0, 0, 0},
};
/* clang-format on */

static void test_rows(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct redis_url url = {.db = 77};
        const char *problem = NULL;
        char name[512];
        enum err err = redis_url_parse(slice_str(rows[i].text), &url, &problem);

        if (err != rows[i].err)
            fail_msg("%s: %s (%s)", rows[i].text, err_name(err), problem ? problem : "");
        if (err != ERR_OK) {
            assert_non_null(problem);
            assert_int_equal(url.db, 77); /* untouched */
            continue;
        }
        redis_url_name(&url, name, sizeof(name));
        assert_string_equal(name, rows[i].name);
        assert_string_equal(url.address, rows[i].address);
        assert_string_equal(url.user, rows[i].user);
        assert_string_equal(url.password, rows[i].password);
        assert_int_equal(url.is_unix, rows[i].is_unix);
        assert_int_equal(url.db, rows[i].db);
    }
}

static void test_limits(void **state) {
    (void)state;
    char text[512];
    struct redis_url url;
    const char *problem = NULL;

    (void)snprintf(text, sizeof(text), "redis+unix:///%0106d", 0);
    assert_int_equal(redis_url_parse(slice_str(text), &url, &problem), ERR_OK);
    (void)snprintf(text, sizeof(text), "redis+unix:///%0107d", 0);
    assert_int_equal(redis_url_parse(slice_str(text), &url, &problem), ERR_INVALID);
    (void)snprintf(text, sizeof(text), "redis://:%0255d@h:1", 0);
    assert_int_equal(redis_url_parse(slice_str(text), &url, &problem), ERR_OK);
    (void)snprintf(text, sizeof(text), "redis://:%0256d@h:1", 0);
    assert_int_equal(redis_url_parse(slice_str(text), &url, &problem), ERR_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_limits)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
