/* test_print_config.c - what is printed reads back as the same configuration,
 * and configs/ROLE.yaml is the role's defaults. The argument is the folder configs/. */
#include "cli/print_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/role.h"
#include "test.h"
#include "wire/config_yaml.h"

static const char *configs;

static const struct config_source by_flag = {.layer = CONFIG_FLAG};

static void assert_same_values(const struct config *a, const struct config *b) {
    for (unsigned i = 0; i < CONFIG_KEYS; i++) {
        const struct config_row *row = config_row((enum config_key)i);
        struct buf left = {0};
        struct buf right = {0};

        config_print_value(a, (enum config_key)i, &left);
        config_print_value(b, (enum config_key)i, &right);
        if (!slice_eq(buf_slice(&left), buf_slice(&right)))
            fail_msg("%s: \"%.*s\" and \"%.*s\"", row->key, SLICE_ARGS(buf_slice(&left)),
                     SLICE_ARGS(buf_slice(&right)));
        buf_release(&left);
        buf_release(&right);
    }
}

/* Every row at a value that isn't its default. */
static void fill_unusual(struct config *cfg) {
    struct config_problems problems = {0};

    config_defaults(cfg);
    for (unsigned i = 0; i < CONFIG_KEYS; i++) {
        const struct config_row *row = config_row((enum config_key)i);
        char number[32];

        if (row->kind < CONFIG_COUNT)
            continue;
        (void)snprintf(number, sizeof(number), "%lld", (long long)row->min + 1);
        assert_true(config_set(cfg, row->key, number, by_flag, &problems));
    }
    assert_true(config_set(cfg, "http", "[::1]:0", by_flag, &problems));
    assert_true(config_set(cfg, "data", "a \"b\" \\ # c: \xc3\xa9", by_flag, &problems));
    assert_true(config_set(cfg, "loop", "epoll", by_flag, &problems));
    assert_true(config_set(cfg, "durability.mode", "fast", by_flag, &problems));
    assert_true(config_set(cfg, "log.level", "error", by_flag, &problems));
    assert_true(config_set(cfg, "events.coalesce", "false", by_flag, &problems));
    assert_true(config_set(cfg, "idempotency.required", "true", by_flag, &problems));
}

static void test_reads_back(void **state) {
    struct config cfg;
    struct config again;
    struct config_problems problems = {0};
    struct buf text = {0};

    (void)state;
    fill_unusual(&cfg);
    print_config(&cfg, &text);
    config_defaults(&again);
    config_yaml_read(&again, buf_slice(&text), CONFIG_FILE, "printed", &problems);
    assert_string_equal(problems.text, "");
    assert_same_values(&cfg, &again);
    for (unsigned i = 0; i < CONFIG_KEYS; i++)
        assert_int_equal(again.source[i].layer, CONFIG_FILE);
    buf_release(&text);
}

static void test_says_where_from(void **state) {
    static const struct config_source by_file = {CONFIG_FILE, 7, "x.yaml"};
    static const struct config_source by_env = {.layer = CONFIG_ENVIRONMENT};
    struct config cfg;
    struct config_problems problems = {0};
    struct buf text = {0};

    (void)state;
    config_defaults(&cfg);
    assert_true(config_set(&cfg, "http", ":1", by_flag, &problems));
    assert_true(config_set(&cfg, "log.level", "warn", by_file, &problems));
    assert_true(config_set(&cfg, "lanes", "4", by_env, &problems));
    print_config(&cfg, &text);
    buf_add_char(&text, '\0');
    assert_non_null(strstr(text.ptr, "http: \":1\"                              # --http\n"));
    assert_non_null(
        strstr(text.ptr, "\nlog:\n  level: warn                           # x.yaml:7\n"));
    assert_non_null(strstr(text.ptr, "\nlanes: 4                                # HGP_LANES\n"));
    assert_non_null(strstr(text.ptr, "\nthreads: 0                              # default\n"));
    buf_release(&text);
}

static void test_redacts(void **state) {
    struct config cfg;
    struct buf text = {0};

    (void)state;
    config_defaults(&cfg);
    (void)snprintf(cfg.store, sizeof(cfg.store), "redis://user:s3cret@host:6379/0");
    print_config(&cfg, &text);
    buf_add_char(&text, '\0');
    assert_null(strstr(text.ptr, "s3cret"));
    assert_non_null(strstr(text.ptr, "store: \"redis://user:***@host:6379/0\""));
    buf_release(&text);
}

/* Each role's file has the keys that it uses, no others, at its defaults. */
static void check_shipped(enum role role) {
    static char text[CONFIG_YAML_BYTES_MAX];
    char path[4096];
    struct config defaults;
    struct config shipped;
    struct config_problems problems = {0};

    (void)snprintf(path, sizeof(path), "%s/%s.yaml", configs, role_name(role));
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t len = fread(text, 1, sizeof(text), file);
    (void)fclose(file);
    config_defaults(&defaults);
    role_defaults(role, &defaults, &problems);
    shipped = defaults;
    config_yaml_read(&shipped, slice_of(text, len), CONFIG_FILE, path, &problems);
    config_validate(&shipped, &problems);
    assert_string_equal(problems.text, "");
    assert_same_values(&defaults, &shipped);
    for (unsigned i = 0; i < CONFIG_KEYS; i++) {
        enum config_key key = (enum config_key)i;
        bool wanted = role_uses(role, key) && !role_leaves_out(role, key);

        if ((shipped.source[i].layer == CONFIG_FILE) != wanted)
            fail_msg("%s %s %s", config_row(key)->key, wanted ? "isn't in" : "is in", path);
    }
}

static void test_shipped_files_are_the_defaults(void **state) {
    (void)state;
    for (unsigned role = 0; role < ROLES; role++)
        check_shipped((enum role)role);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_back),
        cmocka_unit_test(test_says_where_from),
        cmocka_unit_test(test_redacts),
        cmocka_unit_test(test_shipped_files_are_the_defaults),
    };

    configs = argc == 2 ? argv[1] : "configs";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
