/* test_config_yaml.c - what of YAML is taken, and what is refused with which words. */
#include "wire/config_yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

static struct config cfg;
static struct config_problems problems;

static void read_text(const char *text, size_t len) {
    config_defaults(&cfg);
    problems = (struct config_problems){0};
    config_yaml_read(&cfg, slice_of(text, len), CONFIG_FILE, "f", &problems);
}

/* clang-format off */
static const struct {
    const char *name;
    const char *text;
    const char *want; /* the problems; "" for none */
} rows[] = {
    {"empty",              "", ""},
    {"only comments",      "# nothing\n\n", ""},
    {"empty document",     "---\n...\n", ""},
    {"empty map",          "{}\n", ""},
    {"nested",             "limits:\n  body_bytes: 2048\n", ""},
    {"dotted",             "limits.body_bytes: 2048\n", ""},
    {"flow",               "{limits: {body_bytes: 2048}}", ""},
    {"quoted number",      "limits: {body_bytes: '2048'}", ""},
    {"group without keys", "limits:\n  # body_bytes: 1\nthreads: 1\n", ""},
    {"CRLF",               "threads: 1\r\nlimits:\r\n  body_bytes: 2048\r\n", ""},
    {"BOM",                "\xef\xbb\xbfthreads: 1\n", ""},

    {"unknown key",        "threats: 1\n", "f:1: there is no key \"threats\"; did you mean threads\n"},
    {"unknown in group",   "limits:\n  bodybytes: 1\n", "f:2: there is no key \"limits.bodybytes\"; did you mean limits.body_bytes\n"},
    {"unknown group",      "limit:\n  body_bytes: 1\nthreads: x\n", "f:1: there is no key \"limit\"; did you mean limits\nf:3: threads is \"x\", but must be a whole number from 0 to 256\n"},
    {"unknown list",       "zzzzzz: [1, {a: [b]}]\nthreads: x\n", "f:1: there is no key \"zzzzzz\"\nf:2: threads is \"x\", but must be a whole number from 0 to 256\n"},
    {"merge key",          "<<: {threads: 1}\n", "f:1: there is no key \"<<\"\n"},
    {"control in a key",   "\"a\\e[2J\": 1\n", "f:1: there is no key \"a?[2J\"\n"},
    {"unsafe C1 in a key", "\"a\\u009b\": 1\n", "f:1: there is no key \"a??\"\n"},
    {"list for a value",   "threads: [1]\n", "f:1: threads needs one value, not a list\n"},
    {"list for a group",   "limits: [1]\n", "f:1: limits needs a map, not a list\n"},
    {"map for a value",    "threads: {a: 1}\n", "f:1: threads needs one value, not a map\n"},
    {"value for a group",  "limits: 3\n", "f:1: a group of keys needs a map, not a value\n"},
    {"text for a group",   "limits: ''\n", "f:1: a group of keys needs a map, not a value\n"},
    {"twice",              "threads: 1\nlanes: 1\nthreads: 2\n", "f:3: threads is there twice, first in line 1\n"},
    {"twice, two ways",    "limits:\n  body_bytes: 2048\nlimits.body_bytes: 2048\n", "f:3: limits.body_bytes is there twice, first in line 2\n"},
    {"group twice",        "log:\n  level: info\nlog:\n  format: json\n", "f:3: log is there twice, first in line 1\n"},
    {"null",               "threads: null\n", "f:1: threads is \"\", but must be a whole number from 0 to 256\n"},
    {"null path",          "data: ~\n", "f:1: data is \"\", but must be a path of 1 to 1023 bytes\n"},
    {"YAML 1.1 yes",       "events.coalesce: yes\n", "f:1: events.coalesce is \"yes\", but must be true or false\n"},
    {"octal",              "threads: 010\n", "f:1: threads is \"010\", but must be a whole number from 0 to 256\n"},
    {"NUL",                "data: \"a\\0b\"\n", "f:1: a value has a NUL in it\n"},
    {"NUL in a key",       "\"thr\\0\": 1\n", "f:1: a key is empty, too long or has a NUL in it\n"},
    {"empty key",          "'': 1\n", "f:1: a key is empty, too long or has a NUL in it\n"},
    {"map as a key",       "{{a: 1}: 1}\n", "f:1: a key must be plain text\n"},
    {"root list",          "- threads\n", "f:1: the file must be a map of keys\n"},
    {"root text",          "threads\n", "f:1: the file must be a map of keys\n"},
    {"two documents",      "threads: 1\n---\nlanes: 1\n", "f:2: the file must be one document\n"},
    {"anchor",             "http: &a ':1'\n", "f:1: anchors and aliases are not allowed\n"},
    {"alias",              "http: *a\n", "f:1: anchors and aliases are not allowed\n"},
    {"anchored map",       "limits: &a {}\n", "f:1: anchors and aliases are not allowed\n"},
    {"anchored list",      "zzzzzz: [&a [x]]\n", "f:1: there is no key \"zzzzzz\"\nf:1: anchors and aliases are not allowed\n"},
    {"tag",                "threads: !!int '1'\n", "f:1: tags are not allowed\n"},
    {"tab",                "limits:\n\tbody_bytes: 1\n", "f:2: not YAML: found character that cannot start any token\n"},
    {"open brace",         "{threads: 1", "f:2: not YAML: did not find expected ',' or '}'\n"},
    {"not UTF-8",          "data: \xff\n", "f:1: not YAML: invalid leading UTF-8 octet\n"},
    {"a secret in bad YAML", "store: \"redis://u:pw@h\nx", "f:2: not YAML: found unexpected end of stream\n"},
};
/* clang-format on */

static void test_rows(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        read_text(rows[i].text, strlen(rows[i].text));
        if (strcmp(problems.text, rows[i].want) != 0)
            fail_msg("%s: %s", rows[i].name, problems.text);
    }
}

static void test_a_password_is_not_repeated(void **state) {
    (void)state;
    static const char text[] = "store: mysql://u:secret@h\n";

    read_text(text, sizeof(text) - 1);
    assert_non_null(strstr(problems.text, "f:1: store is \"mysql://u:***@h\", but must be "));
    assert_null(strstr(problems.text, "secret"));
}

static void test_values_arrive(void **state) {
    static const char text[] = "http: \":1\"\n"
                               "threads: 3\n"
                               "limits:\n"
                               "  body_bytes: 2048\n"
                               "  batch_items: 7\n"
                               "log.format: json\n"
                               "events: {coalesce: false}\n"
                               "data: /a b/c\n";

    (void)state;
    read_text(text, strlen(text));
    assert_string_equal(problems.text, "");
    assert_string_equal(cfg.http, ":1");
    assert_int_equal(cfg.threads, 3);
    assert_int_equal(cfg.limits_body_bytes, 2048);
    assert_int_equal(cfg.limits_batch_items, 7);
    assert_int_equal(cfg.log_format, CONFIG_LOG_JSON);
    assert_false(cfg.events_coalesce);
    assert_string_equal(cfg.data, "/a b/c");
    assert_int_equal(cfg.source[CONFIG_KEY_limits_batch_items].layer, CONFIG_FILE);
    assert_int_equal(cfg.source[CONFIG_KEY_limits_batch_items].line, 5);
    assert_string_equal(cfg.source[CONFIG_KEY_limits_batch_items].file, "f");
    assert_int_equal(cfg.source[CONFIG_KEY_lanes].layer, CONFIG_DEFAULT);
}

static void test_size_cap(void **state) {
    size_t len = CONFIG_YAML_BYTES_MAX + 1;
    char *text = malloc(len);

    (void)state;
    assert_non_null(text);
    memset(text, '\n', len);
    read_text(text, len);
    assert_string_equal(problems.text, "f: larger than 262144 bytes\n");
    read_text(text, len - 1);
    assert_int_equal(problems.count, 0);
    free(text);
}

/* As deep as the size allows: refused early (reading all of it takes libyaml a
 * minute, more than a test may take). */
static void test_depth(void **state) {
    static const char *const opens[] = {"{a: ", "[",     "limits: {",   "- ",
                                        "? ",   "{a: [", "zzzzzz: [\n["};
    char *text = malloc(CONFIG_YAML_BYTES_MAX);

    (void)state;
    assert_non_null(text);
    for (size_t i = 0; i < ARRAY_LEN(opens); i++) {
        size_t each = strlen(opens[i]);
        size_t len = 0;

        for (; len + each <= CONFIG_YAML_BYTES_MAX; len += each)
            memcpy(text + len, opens[i], each);
        read_text(text, len);
        assert_true(problems.count >= 1 && problems.count <= 2);
    }
    free(text);
}

/* Every cut and every flipped byte of a good file: never a crash, never a leak. */
static void test_damaged(void **state) {
    static const char good[] = "limits: {body_bytes: 2048, \"batch_items\": '7'}\n"
                               "store: \"rocksdb:\" # why\nlog:\n  level: info\n";
    char text[sizeof(good)];
    unsigned refused = 0;

    (void)state;
    for (size_t cut = 0; cut < sizeof(good) - 1; cut++)
        read_text(good, cut);
    for (size_t i = 0; i < sizeof(good) - 1; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            memcpy(text, good, sizeof(good));
            text[i] = (char)(text[i] ^ (1 << bit));
            read_text(text, sizeof(good) - 1);
            refused += problems.count != 0;
        }
    }
    assert_true(refused > 300);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),          cmocka_unit_test(test_a_password_is_not_repeated),
        cmocka_unit_test(test_values_arrive), cmocka_unit_test(test_size_cap),
        cmocka_unit_test(test_depth),         cmocka_unit_test(test_damaged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
