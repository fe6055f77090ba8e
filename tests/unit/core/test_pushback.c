/* test_pushback.c - what a server's word means, and what we say. */
#include <inttypes.h>

#include "base/attr.h"
#include "core/pushback.h"
#include "test.h"

/* clang-format off */
static const struct {
    const char *text;
    int64_t ms;
} rows[] = {
    {"0", 0}, {"1", 1}, {"100", 100}, {"007", 7}, {"999999999", 999999999},
    {"-1", -1}, {"-100", -1}, {"", -1}, {" 5", -1}, {"5 ", -1}, {"+5", -1}, {"1.5", -1}, {"5ms", -1},
    {"1000000000", -1}, {"99999999999999999999999", -1},
};
/* clang-format on */

static void test_parse(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pushback got = pushback_parse(slice_str(rows[i].text));

        if (!got.given || got.ms != rows[i].ms)
            fail_msg("\"%s\": %d, %" PRId64, rows[i].text, got.given, got.ms);
    }
}

/* What we say we understand ourselves. */
static void test_what_is_said(void **state) {
    (void)state;
    assert_true(pushback_parse(pushback_for(ERR_BUSY)).ms > 0);
    assert_true(pushback_parse(pushback_for(ERR_NO_MEMORY)).ms > 0);
    assert_true(pushback_parse(pushback_for(ERR_OUTBOX_FULL)).ms < 0);
    assert_null(pushback_for(ERR_UNAVAILABLE).ptr);
    assert_null(pushback_for(ERR_INVALID).ptr);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_what_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
