/* test_request_timeout.c - what X-Request-Timeout may say. */
#include <inttypes.h>

#include "test.h"
#include "wire/request_timeout.h"

#define UNTOUCHED (-7)

/* clang-format off */
static const struct {
    const char *text;
    enum err want;
    int64_t ms;
} rows[] = {
    {"2",            ERR_OK, 2000},
    {"2s",           ERR_OK, 2000},
    {"250ms",        ERR_OK, 250},
    {"0",            ERR_OK, 0},
    {"0ms",          ERR_OK, 0},
    {"007",          ERR_OK, 7000},
    {"99999999",     ERR_OK, INT64_C(99999999000)},
    {"99999999ms",   ERR_OK, 99999999},
    {"100000000",    ERR_INVALID, UNTOUCHED},
    {"100000000ms",  ERR_INVALID, UNTOUCHED},
    {"",             ERR_INVALID, UNTOUCHED},
    {"ms",           ERR_INVALID, UNTOUCHED},
    {"s",            ERR_INVALID, UNTOUCHED},
    {"-1",           ERR_INVALID, UNTOUCHED},
    {"+1",           ERR_INVALID, UNTOUCHED},
    {"1.5",          ERR_INVALID, UNTOUCHED},
    {"1e3",          ERR_INVALID, UNTOUCHED},
    {"1 s",          ERR_INVALID, UNTOUCHED},
    {"1m",           ERR_INVALID, UNTOUCHED},
    {"1S",           ERR_INVALID, UNTOUCHED},
    {"250MS",        ERR_INVALID, UNTOUCHED},
    {"1, 2",         ERR_INVALID, UNTOUCHED},
    {"1ms ",         ERR_INVALID, UNTOUCHED},
};
/* clang-format on */

static void test_parse(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t ms = UNTOUCHED;
        enum err got = request_timeout_parse(slice_str(rows[i].text), &ms);

        if (got != rows[i].want || ms != rows[i].ms)
            fail_msg("\"%s\": %s, %" PRId64 " ms", rows[i].text, err_name(got), ms);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
