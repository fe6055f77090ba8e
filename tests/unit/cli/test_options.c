/* test_options.c - a command line in, an exit code and two texts out. */
#include "cli/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "cli/help.h"
#include "test.h"

#define ARGS_MAX 8
#define RUNS     (-1) /* options_begin() said to go on */

static struct config cfg;
static struct options options;
static char *answer;
static char *complaint;

/* Runs with these arguments and, if not NULL, this one variable. */
static int run(const char *const *arguments, const char *variable) {
    char *argv[ARGS_MAX + 2] = {(char *)"highgopress"};
    char *environment[] = {(char *)(variable ? variable : "A=b"), NULL};
    size_t out_len;
    size_t err_len;
    int argc = 1;
    int exit_code = RUNS;

    free(answer);
    free(complaint);
    for (; arguments[argc - 1]; argc++)
        argv[argc] = (char *)arguments[argc - 1];
    struct invocation invocation = {argc, argv, environment, open_memstream(&answer, &out_len),
                                    open_memstream(&complaint, &err_len)};
    assert_non_null(invocation.out);
    assert_non_null(invocation.err);
    bool runs = options_begin(&invocation, &cfg, &options, &exit_code);
    (void)fclose(invocation.out);
    (void)fclose(invocation.err);
    assert_int_equal(runs, exit_code == RUNS);
    return exit_code;
}

static char file_path[] = "/tmp/hgp-test-options-XXXXXX";

static int make_file(void **state) {
    static const char text[] = "threads: 1\nhttp: ':1'\nlanes: 5\n";
    int fd = mkstemp(file_path);

    (void)state;
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        return -1;
    return close(fd);
}

static int remove_file(void **state) {
    (void)state;
    free(answer);
    free(complaint);
    return unlink(file_path);
}

/* clang-format off */
static const struct {
    const char *arguments[ARGS_MAX];
    const char *variable;
    int exit_code;
    const char *out; /* how it begins */
    const char *err; /* how it begins */
} rows[] = {
    {{NULL},                          NULL, RUNS, "", ""},
    {{"all"},                         NULL, RUNS, "", ""},
    {{"all", "--http", ":1"},         NULL, RUNS, "", ""},
    {{"gateway", "--counter", "a:1"}, NULL, RUNS, "", ""},
    {{"gateway", "--upstream=direct"},NULL, RUNS, "", ""},
    {{"healthcheck"},                 NULL, RUNS, "", ""},
    {{"healthcheck", "counter", "--admin=:1"}, NULL, RUNS, "", ""},
    {{"counter", "--check-config"},   NULL, EX_OK, "configuration ok\n", ""},
    {{"--check-config"},              NULL, EX_OK, "configuration ok\n", ""},
    {{"all", "--check-config"},       NULL, EX_OK, "configuration ok\n", ""},
    {{"--help"},                      NULL, EX_OK, "Usage: highgopress [ROLE] [flags]\n", ""},
    {{"-h"},                          NULL, EX_OK, "Usage: ", ""},
    {{"--bogus", "--help", "--more"}, NULL, EX_OK, "Usage: ", ""},
    {{"--help"},                      "HGP_BOGUS=1", EX_OK, "Usage: ", ""},
    {{"--version"},                   NULL, EX_OK, "highgopress 0.", ""},
    {{"--print-config"},              NULL, EX_OK, "http: \":8080\"  ", ""},
    {{"--print-config", "--http=:9"}, NULL, EX_OK, "http: \":9\"  ", ""},

    {{"gatway"},                      NULL, EX_USAGE, "", "there is no role \"gatway\"; it is one of all, gateway, counter or analytics\nTry"},
    {{""},                            NULL, EX_USAGE, "", "there is no role \"\""},
    {{"healthcheck", "healthcheck"},  NULL, EX_USAGE, "", "there is no role \"healthcheck\""},
    {{"all", "healthcheck"},          NULL, EX_USAGE, "", "healthcheck: unexpected argument\n"},
    {{"all", "all"},                  NULL, EX_USAGE, "", "all: unexpected argument\n"},
    {{"--http", ":1", "all"},         NULL, EX_USAGE, "", "all: unexpected argument\n"},
    {{"-x"},                          NULL, EX_USAGE, "", "-x: unexpected argument\n"},
    {{"--"},                          NULL, EX_USAGE, "", "--: there is no such flag\n"},
    {{"--htpp", "--check-config"},    NULL, EX_USAGE, "", "--htpp: there is no such flag; did you mean --http\n"},
    {{"--stroe", "redis://u:pw@h"},   NULL, EX_USAGE, "", "--stroe: there is no such flag; did you mean --store\nTry"},
    {{"--chek-config"},               NULL, EX_USAGE, "", "--chek-config: there is no such flag; did you mean --check-config\n"},
    {{"--lanes", "4"},                NULL, EX_USAGE, "", "--lanes: there is no such flag\n"},
    {{"--HTTP", ":1"},                NULL, EX_USAGE, "", "--HTTP: there is no such flag\n"},
    {{"--http"},                      NULL, EX_USAGE, "", "--http: needs a value\n"},
    {{"--data", "--http", ":1"},      NULL, EX_USAGE, "", "--data: needs a value\nTry"},
    {{"--config"},                    NULL, EX_USAGE, "", "--config: needs a value\n"},
    {{"--check-config=yes"},          NULL, EX_USAGE, "", "--check-config: takes no value\n"},
    {{"--http="},                     NULL, EX_USAGE, "", "--http: http is \"\", but must be HOST:PORT"},
    {{"--threads", "257"},            NULL, EX_USAGE, "", "--threads: threads is \"257\", but must be a whole number from 0 to 256\n"},
    {{"--threads=-1"},                NULL, EX_USAGE, "", "--threads: threads is \"-1\""},
    {{"--counter", "a"},              NULL, EX_USAGE, "", "--counter: counter is \"a\", but must be 1 to 64 of HOST:PORT with commas between"},
    {{"--upstream", "both"},          NULL, EX_USAGE, "", "--upstream: gateway.upstream is \"both\", but must be grpc, direct or canary\n"},
    {{"gateway", "--upstream", "canary"}, NULL, EX_CONFIG, "", "gateway.upstream (--upstream): canary counts here and through counters on one and the same Redis"},
    {{"gateway", "--upstream", "canary", "--store", "redis://a:1"}, NULL, RUNS, "", ""},
    {{"--store", "redi://u:pw@h"},    NULL, EX_USAGE, "", "--store: store is \"redi://u:***@h\""},
    {{"--store", "redis://u:pw@h"},   NULL, EX_CONFIG, "", "store (--store): the place is host:port\n"},
    {{"--store", "redis://u@h:1"},    NULL, EX_CONFIG, "", "store (--store): it has a user and no password; redis.password_file names a file with it\n"},
    {{"--store", "redis://u:pw@h:1", "--check-config"}, NULL, EX_OK, "configuration ok\n", ""},
    {{"--store=redis+unix:///s"},     "HGP_REDIS_PASSWORD_FILE=/nowhere/pw", RUNS, "", ""},
    {{"--store=redis://:pw@h:1"},     "HGP_REDIS_PASSWORD_FILE=/nowhere/pw", EX_CONFIG, "", "store (--store): it has a password, and so has redis.password_file\n"},
    {{"--durability=replicated"},     NULL, EX_CONFIG, "", "durability.mode (--durability): a store in the data folder has no replicas"},
    {{"--durability=replicated", "--store=redis://h:1", "--check-config"}, NULL, EX_OK, "configuration ok\n", ""},
    {{"counter", "--store=redis+unix://s"}, NULL, EX_CONFIG, "", "store (--store): a socket's path is absolute"},
    {{"gateway", "--store=redis+unix://s"}, NULL, RUNS, "", ""},
    {{"gateway", "--upstream=direct", "--store=redis+unix://s"}, NULL, EX_CONFIG, "", "store (--store): a socket's path is absolute"},

    {{"--config", "/nowhere/x"},      NULL, EX_CONFIG, "", "/nowhere/x: No such file or directory\n"},
    {{"--config", "/"},               NULL, EX_CONFIG, "", "/: Is a directory\n"},
    {{"--check-config"},              "HGP_THREADS=x", EX_CONFIG, "", "HGP_THREADS: threads is \"x\", but must be a whole number from 0 to 256\n"},
    {{"--check-config"},              "HGP_TREADS=1", EX_CONFIG, "", "HGP_TREADS: there is no such variable; did you mean HGP_THREADS\n"},
    {{"--print-config"},              "HGP_BATCH_QUEUE=1", EX_CONFIG, "", "batch.queue (1, HGP_BATCH_QUEUE) must be at least limits.batch_items (1000, default): "},
    {{"--admin", ":8080"},            NULL, EX_CONFIG, "", "http (:8080, default) must differ from admin (:8080, --admin): "},
};
/* clang-format on */

static void test_rows(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int got = run(rows[i].arguments, rows[i].variable);
        const char *first = rows[i].arguments[0] ? rows[i].arguments[0] : "";

        if (got != rows[i].exit_code)
            fail_msg("%zu, %s: exit %d: %s", i, first, got, complaint);
        if (strncmp(answer, rows[i].out, strlen(rows[i].out)) != 0 ||
            (!rows[i].out[0] && answer[0]))
            fail_msg("%zu, %s: out: %s", i, first, answer);
        if (strncmp(complaint, rows[i].err, strlen(rows[i].err)) != 0 ||
            (!rows[i].err[0] && complaint[0]))
            fail_msg("%zu, %s: err: %s", i, first, complaint);
    }
}

static void test_layers(void **state) {
    (void)state;
    const char *all[] = {"--config", file_path, "--threads=3", NULL};
    const char *no_flag[] = {"--config", file_path, NULL};

    assert_int_equal(run(all, "HGP_THREADS=2"), RUNS);
    assert_int_equal(cfg.threads, 3);
    assert_int_equal(cfg.lanes, 5);
    assert_string_equal(cfg.http, ":1");
    assert_string_equal(cfg.admin, "127.0.0.1:2112");
    assert_int_equal(run(no_flag, "HGP_THREADS=2"), RUNS);
    assert_int_equal(cfg.threads, 2);
    assert_int_equal(run(no_flag, NULL), RUNS);
    assert_int_equal(cfg.threads, 1);
    assert_string_equal(options.config_file, file_path);
    assert_string_equal(role_name(options.role), "all");
}

/* The health check asks where its role listens. */
static void test_healthcheck(void **state) {
    const char *all[] = {"healthcheck", NULL};
    const char *counter[] = {"healthcheck", "counter", NULL};

    (void)state;
    assert_int_equal(run(all, NULL), RUNS);
    assert_int_equal(options.action, ACTION_TOOL);
    assert_int_equal(options.tool.tool, TOOL_HEALTHCHECK);
    assert_string_equal(cfg.admin, "127.0.0.1:2112");
    assert_int_equal(run(counter, NULL), RUNS);
    assert_int_equal(options.action, ACTION_TOOL);
    assert_int_equal(options.tool.tool, TOOL_HEALTHCHECK);
    assert_string_equal(cfg.admin, "127.0.0.1:2113");
    assert_int_equal(run(counter, "HGP_ADMIN=:7"), RUNS);
    assert_string_equal(cfg.admin, ":7");
}

static void test_full_disk(void **state) {
    char *argv[] = {(char *)"highgopress", (char *)"--print-config", NULL};
    char *environment[] = {NULL};
    FILE *full = fopen("/dev/full", "w");
    int exit_code = 0;

    (void)state;
    assert_non_null(full);
    struct invocation invocation = {2, argv, environment, full, stderr};
    assert_false(options_begin(&invocation, &cfg, &options, &exit_code));
    assert_int_equal(exit_code, EX_IOERR);
    (void)fclose(full);
}

/* Every key is there, and no line is wider than the terminal. */
static void test_help(void **state) {
    struct buf help = {0};

    (void)state;
    help_print(&help);
    buf_add_char(&help, '\0');
    for (unsigned i = 0; i < CONFIG_KEYS; i++) {
        const struct config_row *row = config_row((enum config_key)i);
        char want[CONFIG_NAME_BYTES + 8];

        (void)snprintf(want, sizeof(want), row->flag ? "\n  --%s " : "\n  %s\n",
                       row->flag ? row->flag : row->key);
        if (!strstr(help.ptr, want))
            fail_msg("no %s in --help", row->key);
    }
    for (const char *line = help.ptr; *line;) {
        size_t len = strcspn(line, "\n");

        if (len > HELP_COLUMNS)
            fail_msg("%zu columns: %.*s", len, (int)len, line);
        line += len + 1;
    }
    buf_release(&help);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),        cmocka_unit_test(test_layers),
        cmocka_unit_test(test_healthcheck), cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_help),
    };

    return cmocka_run_group_tests(tests, make_file, remove_file);
}
