/* test_http1_rules.c - the rules alone, without llhttp before them.
 *
 * llhttp refuses most of these first; ours must hold by themselves, whatever
 * the installed llhttp lets pass.
 */
#include "http1_check.h"
#include "wire/http1_head.h"

#define LENGTH(value)                                                                              \
    {                                                                                              \
        {"Content-Length", 14}, {                                                                  \
            "" value, sizeof(value) - 1                                                            \
        }                                                                                          \
    }
#define CODING(value)                                                                              \
    {                                                                                              \
        {"transfer-encoding", 17}, {                                                               \
            "" value, sizeof(value) - 1                                                            \
        }                                                                                          \
    }

/* clang-format off */
static const struct {
    const char *name;
    struct http1_header headers[2];
    size_t count;
    int minor_version;
    enum err want;
    struct http1_framing framing;
} rows[] = {
    {"nothing",           {{{0}, {0}}},                      0, 1, ERR_OK, {0}},
    {"a length",          {LENGTH("17")},                    1, 1, ERR_OK, {.content_length = 17}},
    {"the longest",       {LENGTH("999999999999999999")},    1, 1, ERR_OK,
        {.content_length = 999999999999999999}},
    {"one digit more",    {LENGTH("1000000000000000000")},   1, 1, ERR_INVALID, {0}},
    {"zero",              {LENGTH("0")},                     1, 1, ERR_OK, {0}},
    {"two zeros",         {LENGTH("00")},                    1, 1, ERR_INVALID, {0}},
    {"an octal",          {LENGTH("017")},                   1, 1, ERR_INVALID, {0}},
    {"empty",             {LENGTH("")},                      1, 1, ERR_INVALID, {0}},
    {"a sign",            {LENGTH("+1")},                    1, 1, ERR_INVALID, {0}},
    {"negative",          {LENGTH("-1")},                    1, 1, ERR_INVALID, {0}},
    {"a list",            {LENGTH("5, 5")},                  1, 1, ERR_INVALID, {0}},
    {"hex",               {LENGTH("0x5")},                   1, 1, ERR_INVALID, {0}},
    {"a space inside",    {LENGTH("1 0")},                   1, 1, ERR_INVALID, {0}},
    {"two lengths",       {LENGTH("5"), LENGTH("6")},        2, 1, ERR_INVALID, {0}},
    {"two equal lengths", {LENGTH("5"), LENGTH("5")},        2, 1, ERR_INVALID, {0}},
    {"both",              {LENGTH("5"), CODING("chunked")},  2, 1, ERR_INVALID, {0}},
    {"both, turned",      {CODING("chunked"), LENGTH("5")},  2, 1, ERR_INVALID, {0}},
    {"both, one unknown", {CODING("xchunked"), LENGTH("5")}, 2, 1, ERR_INVALID, {0}},
    {"chunked",           {CODING("chunked")},               1, 1, ERR_OK, {.chunked = true}},
    {"in capitals",       {CODING("CHUNKED")},               1, 1, ERR_OK, {.chunked = true}},
    {"in HTTP/1.0",       {CODING("chunked")},               1, 0, ERR_INVALID, {0}},
    {"two codings",       {CODING("gzip"), CODING("chunked")}, 2, 1, ERR_INVALID, {0}},
    {"not final",         {CODING("chunked, gzip")},         1, 1, ERR_INVALID, {0}},
    {"twice",             {CODING("chunked,chunked")},       1, 1, ERR_INVALID, {0}},
    {"no coding",         {CODING("")},                      1, 1, ERR_INVALID, {0}},
    {"comma first",       {CODING(", chunked")},             1, 1, ERR_INVALID, {0}},
    {"comma last",        {CODING("chunked,")},              1, 1, ERR_INVALID, {0}},
    {"comma last, unknown", {CODING("gzip,")},               1, 1, ERR_INVALID, {0}},
    {"a parameter",       {CODING("chunked;a=b")},           1, 1, ERR_INVALID, {0}},
    {"two without chunked", {CODING("gzip, br")},            1, 1, ERR_INVALID, {0}},
    {"unknown",           {CODING("gzip")},                  1, 1, ERR_NOT_IMPL, {0}},
    {"unknown below",     {CODING("gzip , chunked")},        1, 1, ERR_NOT_IMPL, {0}},
};
/* clang-format on */

static void test_framing(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct http1_header headers[2] = {rows[i].headers[0], rows[i].headers[1]};
        struct http1_head head = {.method = HTTP_POST,
                                  .minor_version = rows[i].minor_version,
                                  .headers = headers,
                                  .count = rows[i].count};
        struct http1_request request = {0};
        struct http1_framing got = {0};
        struct http1_problem problem = {0};

        if (http1_rules_read(&head, &request, &got, &problem) != (rows[i].want == ERR_OK) ||
            problem.err != rows[i].want)
            fail_msg("%s: %s", rows[i].name, err_name(problem.err));
        if (problem.err == ERR_OK && (got.chunked != rows[i].framing.chunked ||
                                      got.content_length != rows[i].framing.content_length))
            fail_msg("%s: another framing", rows[i].name);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_framing)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
