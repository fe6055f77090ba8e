/* test_config.c - the table is sound, every edge holds, the layers keep order. */
#include "base/config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/similar.h"
#include "test.h"

static struct config cfg;
static struct config_problems problems;

static int fresh(void **state) {
    (void)state;
    config_defaults(&cfg);
    problems = (struct config_problems){0};
    return 0;
}

static const struct config_source from_default = {.layer = CONFIG_DEFAULT};
static const struct config_source from_file = {.layer = CONFIG_FILE, .line = 3, .file = "f.yaml"};
static const struct config_source from_env = {.layer = CONFIG_ENVIRONMENT};
static const struct config_source from_flag = {.layer = CONFIG_FLAG};

static const char *value_of(enum config_key key) {
    static char text[CONFIG_TEXT_BYTES];
    struct buf out = {0};

    config_print_value(&cfg, key, &out);
    (void)snprintf(text, sizeof(text), "%.*s", SLICE_ARGS(buf_slice(&out)));
    buf_release(&out);
    return text;
}

static void test_defaults(void **state) {
    (void)state;
    assert_string_equal(cfg.http, ":8080");
    assert_string_equal(cfg.admin, "127.0.0.1:2112");
    assert_string_equal(cfg.data, "highgopress-data");
    assert_string_equal(cfg.store, "rocksdb:");
    assert_int_equal(cfg.loop, CONFIG_LOOP_AUTO);
    assert_int_equal(cfg.threads, 0);
    assert_int_equal(cfg.durability_mode, CONFIG_DURABILITY_LOCAL);
    assert_int_equal(cfg.limits_body_bytes, 65536);
    assert_int_equal(cfg.outbox_max_bytes, UINT64_C(1) << 30);
    assert_int_equal(cfg.outbox_max_age_ms, INT64_C(7) * 24 * 3600 * 1000);
    assert_int_equal(cfg.idempotency_ttl_ms, INT64_C(24) * 3600 * 1000);
    assert_true(cfg.events_coalesce);
    assert_false(cfg.idempotency_required);
    assert_int_equal(cfg.log_level, LOG_INFO);
    assert_int_equal(cfg.log_format, CONFIG_LOG_AUTO);
    config_validate(&cfg, &problems);
    assert_int_equal(problems.count, 0);
}

/* Printing a default gives back the text it was made from. */
static void test_table(void **state) {
    (void)state;
    for (unsigned i = 0; i < CONFIG_KEYS; i++) {
        const struct config_row *row = config_row((enum config_key)i);
        size_t help = strlen(row->help);

        assert_string_equal(value_of((enum config_key)i), row->value);
        assert_int_equal(config_find(row->key), i);
        assert_true(help > 10 && row->help[help - 1] == '.');
        assert_string_not_equal(config_group_title(row), "");
        if (row->kind == CONFIG_MS)
            assert_string_equal(row->key + strlen(row->key) - 3, "_ms");
        if (row->kind == CONFIG_BYTES)
            assert_string_equal(row->key + strlen(row->key) - 6, "_bytes");
        if (row->flag)
            assert_int_equal(config_find_flag(row->flag), i);
    }
    assert_int_equal(config_find("nothing"), CONFIG_KEYS);
    assert_int_equal(config_find_flag("lanes"), CONFIG_KEYS);
}

static void test_variables_differ(void **state) {
    (void)state;
    char a[CONFIG_NAME_BYTES];
    char b[CONFIG_NAME_BYTES];

    for (unsigned i = 0; i < CONFIG_KEYS; i++)
        for (unsigned j = 0; j < i; j++) {
            config_env_name(config_row((enum config_key)i), a);
            config_env_name(config_row((enum config_key)j), b);
            assert_string_not_equal(a, b);
        }
    config_env_name(config_row(CONFIG_KEY_durability_mode), a);
    assert_string_equal(a, "HGP_DURABILITY");
    config_env_name(config_row(CONFIG_KEY_limits_body_bytes), a);
    assert_string_equal(a, "HGP_LIMITS_BODY_BYTES");
}

static bool set_number(const struct config_row *row, int64_t value) {
    char text[32];

    (void)snprintf(text, sizeof(text), "%" PRId64, value);
    return config_set(&cfg, row->key, text, from_file, &problems);
}

static void test_number_edges(void **state) {
    unsigned numbers = 0;

    for (unsigned i = 0; i < CONFIG_KEYS; i++) {
        const struct config_row *row = config_row((enum config_key)i);
        char text[32];

        if (row->kind < CONFIG_COUNT)
            continue;
        fresh(state);
        assert_true(set_number(row, row->min));
        assert_true(set_number(row, row->max));
        (void)snprintf(text, sizeof(text), "%" PRId64, row->max);
        assert_string_equal(value_of((enum config_key)i), text);
        assert_false(set_number(row, row->min - 1));
        assert_false(set_number(row, row->max + 1));
        assert_string_equal(value_of((enum config_key)i), text);
        assert_int_equal(problems.count, 2);
        numbers++;
    }
    assert_true(numbers > 20);
}

static void test_text_edges(void **state) {
    char longest[CONFIG_TEXT_BYTES + 1];

    (void)state;
    memset(longest, 'd', sizeof(longest));
    longest[CONFIG_TEXT_BYTES] = '\0';
    assert_false(config_set(&cfg, "data", longest, from_file, &problems));
    longest[CONFIG_TEXT_BYTES - 1] = '\0';
    assert_true(config_set(&cfg, "data", longest, from_file, &problems));
    assert_string_equal(cfg.data, longest);
    assert_false(config_set(&cfg, "data", "", from_file, &problems));
    assert_string_equal(cfg.data, longest);
}

/* clang-format off */
static const struct {
    const char *key;
    const char *value;
    bool allowed;
} values[] = {
    {"http", ":8080", true},            {"http", "0.0.0.0:0", true},
    {"http", "[::1]:65535", true},      {"http", "localhost:80", true},
    {"http", "8080", false},            {"http", ":", false},
    {"http", ":65536", false},          {"http", ":-1", false},
    {"http", ":080", false},            {"http", "example.com:80", false},
    {"http", "::1:80", false},          {"http", "[::1:80", false},
    {"http", "[]:80", false},           {"http", "1.2.3:80", false},
    {"http", "", false},                {"http", " :80", false},

    {"counter", "127.0.0.1:1", true},   {"counter", "[::1]:65535", true},
    {"counter", "a.b-c_d:80", true},    {"counter", "a:1,b:2,[::]:3", true},
    {"counter", "", false},             {"counter", ",", false},
    {"rate_limit.trusted_proxies", "", true},
    {"rate_limit.trusted_proxies", "127.0.0.1,10.0.0.0/8,fd00::/8", true},
    {"rate_limit.trusted_proxies", "10.0.0.1/8", false},
    {"rate_limit.trusted_proxies", "127.0.0.1,", false},
    {"rate_limit.trusted_proxies", "proxy.example", false},
    {"counter", "a:1,", false},         {"counter", ",a:1", false},
    {"counter", "a:1,,b:1", false},     {"counter", "a:0", false},
    {"counter", "a:65536", false},      {"counter", "a", false},
    {"counter", ":1", false},           {"counter", "a:1 ,b:1", false},
    {"counter", "a/b:1", false},        {"counter", "[::1:1", false},
    {"counter", "[]:1", false},         {"counter", "::1:1", false},
    {"counter", "a:000000000001", false},
    {"data", "/var/lib/x", true},       {"data", "a\nb", false},
    {"store", "rocksdb:", true},        {"store", "rocksdb", false},
    {"store", "redis://h:1", true},     {"store", "", false},
    {"store", "redis://", false},       {"store", "rocksdb:x", false},
    {"store", "redis+unix:///s", true}, {"store", "redis://...", true},
    {"store", "memcached://h", false},  {"store", "rocksdb:|redis://...", false},
    {"loop", "epoll", true},            {"loop", "Epoll", false},
    {"loop", "auto|io_uring", false},   {"loop", "", false},
    {"loop", "io_urin", false},         {"loop", "epollx", false},
    {"durability.mode", "fast", true},  {"durability.mode", "replicate", false},
    {"events.coalesce", "false", true}, {"events.coalesce", "no", false},
    {"events.coalesce", "True", false}, {"events.coalesce", "1", false},
    {"threads", "4", true},             {"threads", "04", false},
    {"threads", "+4", false},           {"threads", "-0", false},
    {"threads", "4 ", false},           {"threads", " 4", false},
    {"threads", "0x4", false},          {"threads", "4.0", false},
    {"threads", "1e1", false},          {"threads", "", false},
    {"threads", "99999999999999999999999", false},
    {"limits.body_bytes", "64KiB", false},
    {"timeouts.idle_ms", "60s", false},
};
/* clang-format on */

static void test_values(void **state) {
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        fresh(state);
        if (config_set(&cfg, values[i].key, values[i].value, from_file, &problems) !=
            values[i].allowed)
            fail_msg("%s \"%s\": not %s", values[i].key, values[i].value,
                     values[i].allowed ? "allowed" : "refused");
        assert_int_equal(problems.count, !values[i].allowed);
    }
}

/* clang-format off */
/* 'threads' set by these layers, in this order of calls: whose value counts. */
static const struct {
    const struct config_source *calls[4];
    const char *values[4];
    const char *want;
    enum config_layer layer;
} orders[] = {
    {{&from_file},                       {"1"},           "1", CONFIG_FILE},
    {{&from_file, &from_env},            {"1", "2"},      "2", CONFIG_ENVIRONMENT},
    {{&from_env, &from_file},            {"2", "1"},      "2", CONFIG_ENVIRONMENT},
    {{&from_file, &from_env, &from_flag},{"1", "2", "3"}, "3", CONFIG_FLAG},
    {{&from_flag, &from_env, &from_file},{"3", "2", "1"}, "3", CONFIG_FLAG},
    {{&from_flag, &from_file},           {"3", "1"},      "3", CONFIG_FLAG},
    {{&from_flag, &from_env},            {"3", "2"},      "3", CONFIG_FLAG},
    {{&from_flag, &from_default},        {"3", "0"},      "3", CONFIG_FLAG},
    {{&from_flag, &from_flag},           {"3", "4"},      "4", CONFIG_FLAG},
};
/* clang-format on */

static void test_precedence(void **state) {
    for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
        fresh(state);
        for (size_t call = 0; call < 4 && orders[i].calls[call]; call++)
            assert_true(config_set(&cfg, "threads", orders[i].values[call], *orders[i].calls[call],
                                   &problems));
        if (strcmp(value_of(CONFIG_KEY_threads), orders[i].want) != 0 ||
            cfg.source[CONFIG_KEY_threads].layer != orders[i].layer)
            fail_msg("order %zu: got %s of layer %d", i, value_of(CONFIG_KEY_threads),
                     (int)cfg.source[CONFIG_KEY_threads].layer);
    }
}

/* A bad value is refused also where a higher layer would win. */
static void test_checks_what_is_overridden(void **state) {
    (void)state;
    assert_true(config_set(&cfg, "threads", "3", from_flag, &problems));
    assert_false(config_set(&cfg, "threads", "many", from_file, &problems));
    assert_int_equal(cfg.threads, 3);
}

static void test_environment(void **state) {
    (void)state;
    char *environment[] = {"PATH=/bin",           "HGP_HTTP=:1",      "HGP_LIMITS_BODY_BYTES=2048",
                           "HGP_DURABILITY=fast", "XHGP_THREADS=bad", NULL};

    config_load_env(&cfg, environment, &problems);
    assert_int_equal(problems.count, 0);
    assert_string_equal(cfg.http, ":1");
    assert_int_equal(cfg.limits_body_bytes, 2048);
    assert_int_equal(cfg.durability_mode, CONFIG_DURABILITY_FAST);
    assert_int_equal(cfg.source[CONFIG_KEY_http].layer, CONFIG_ENVIRONMENT);
    assert_int_equal(cfg.source[CONFIG_KEY_threads].layer, CONFIG_DEFAULT);
}

/* clang-format off */
static const struct {
    char *variable;
    const char *want;
} variables[] = {
    {"HGP_HTPP=:1",            "HGP_HTPP: there is no such variable; did you mean HGP_HTTP\n"},
    {"HGP_DURABILITY_MODE=fast", "HGP_DURABILITY_MODE: there is no such variable; did you mean HGP_DURABILITY\n"},
    {"HGP_=1",                 "HGP_: there is no such variable\n"},
    {"HGP_http=:1",            "HGP_http: there is no such variable\n"},
    {"HGP_SERVICE_PORT=80",    "HGP_SERVICE_PORT: there is no such variable\n"},
    {"HGP_THREADS",            "HGP_THREADS: threads is \"\", but must be a whole number from 0 to 256\n"},
    {"HGP_LOOP=kqueue",        "HGP_LOOP: loop is \"kqueue\", but must be auto, io_uring or epoll\n"},
    {"HGP_HTTP=a\nb",          "HGP_HTTP: http is \"a?b\", but must be HOST:PORT, where HOST is empty, localhost, IPv4 or [IPv6]\n"},
    {"HGP_STORE=reddis://u:secret@h", "HGP_STORE: store is \"reddis://u:***@h\", but must be rocksdb:, redis://..., rediss://..., redis+unix://..., redis-sentinel://... or redis-cluster://...\n"},
    {"HGP_STORE=reddis://secret@h", "HGP_STORE: store is \"reddis://***@h\", but must be rocksdb:, redis://..., rediss://..., redis+unix://..., redis-sentinel://... or redis-cluster://...\n"},
    {"HGP_STORE=reddis://u:a@b:c@h", "HGP_STORE: store is \"reddis://u:***@h\", but must be rocksdb:, redis://..., rediss://..., redis+unix://..., redis-sentinel://... or redis-cluster://...\n"},
    {"HGP_STORE=redis:u:secret@h", "HGP_STORE: store is \"redis:***@h\", but must be rocksdb:, redis://..., rediss://..., redis+unix://..., redis-sentinel://... or redis-cluster://...\n"},
};
/* clang-format on */

static void test_refused_variables(void **state) {
    for (size_t i = 0; i < ARRAY_LEN(variables); i++) {
        char *environment[] = {variables[i].variable, NULL};

        fresh(state);
        config_load_env(&cfg, environment, &problems);
        assert_int_equal(problems.count, 1);
        assert_string_equal(problems.text, variables[i].want);
    }
}

static void test_unknown_key(void **state) {
    (void)state;
    assert_false(config_set(&cfg, "limits.body_byte", "1", from_file, &problems));
    assert_string_equal(problems.text,
                        "f.yaml:3: there is no key \"limits.body_byte\"; did you mean "
                        "limits.body_bytes\n");
}

/* clang-format off */
static const struct {
    const char *key;
    const char *value;
    const char *key2;
    const char *value2;
    const char *want; /* in the problem; NULL: allowed */
} wholes[] = {
    {"http", ":0", "admin", ":0", NULL},
    {"http", ":1", "admin", ":2", NULL},
    {"http", "127.0.0.1:1", "admin", "127.0.0.2:1", NULL},
    {"http", "127.0.0.1:1", "admin", "127.0.0.1:1", "must differ from"},
    {"http", ":1", "admin", "127.0.0.1:1", "http (:1, f.yaml:3) must differ from admin"},
    {"limits.body_bytes", "2048", "limits.batch_body_bytes", "2048", NULL},
    {"limits.body_bytes", "2049", "limits.batch_body_bytes", "2048", "limits.batch_body_bytes (2048, f.yaml:3) must be at least limits.body_bytes (2049, f.yaml:3)"},
    {"limits.connections", "3", "threads", "4", "limits.connections"},
    {"limits.connections", "4", "threads", "4", NULL},
    {"batch.queue", "999", "batch.operations", "1", "limits.batch_items (1000, default)"},
    {"batch.queue", "1000", "batch.operations", "1000", NULL},
    {"batch.queue", "4095", "threads", "1", "batch.operations"},
    {"timeouts.drain_ms", "1999", "threads", "1", "timeouts.request_ms"},
    {"timeouts.drain_ms", "2000", "threads", "1", NULL},
    {"http_tls.cert_file", "a.pem", "http_tls.key_file", "a.key", NULL},
    {"http_tls.cert_file", "a.pem", "http_tls.key_file", "", "http_tls.cert_file (f.yaml:3) needs http_tls.key_file: a certificate is no use without its key"},
    {"http_tls.cert_file", "", "http_tls.key_file", "a.key", "http_tls.key_file (f.yaml:3) needs http_tls.cert_file"},
    {"grpc_tls.cert_file", "a.pem", "http_tls.key_file", "", "needs grpc_tls.key_file"},
    {"grpc_tls.key_file", "a.key", "http_tls.key_file", "", "needs grpc_tls.cert_file"},
    {"grpc_tls.names", "a", "grpc_tls.ca_file", "", "grpc_tls.names (f.yaml:3) needs grpc_tls.ca_file"},
    {"grpc_tls.names", "a", "grpc_tls.ca_file", "ca.pem", NULL},
    {"grpc_tls.names", "", "grpc_tls.ca_file", "ca.pem", NULL},
};
/* clang-format on */

static void test_whole(void **state) {
    for (size_t i = 0; i < ARRAY_LEN(wholes); i++) {
        fresh(state);
        assert_true(config_set(&cfg, wholes[i].key, wholes[i].value, from_file, &problems));
        assert_true(config_set(&cfg, wholes[i].key2, wholes[i].value2, from_file, &problems));
        config_validate(&cfg, &problems);
        if (problems.count != (wholes[i].want ? 1u : 0u))
            fail_msg("%s %s: %u problems: %s", wholes[i].key, wholes[i].value, problems.count,
                     problems.text);
        if (wholes[i].want && !strstr(problems.text, wholes[i].want))
            fail_msg("%s: %s", wholes[i].key, problems.text);
    }
}

static void test_problems_are_bounded(void **state) {
    (void)state;
    for (int i = 0; i < 1000; i++)
        config_problem(&problems, "problem %d", i);
    assert_int_equal(problems.count, 1000);
    assert_true(problems.len < sizeof(problems.text));
    assert_int_equal(strlen(problems.text), problems.len);
    assert_int_equal(problems.text[problems.len - 1], '\n');
}

/* clang-format off */
static const struct {
    const char *wanted;
    const char *want;
} nears[] = {
    {"http", "http"}, {"htpp", "http"}, {"hhtp", "http"}, {"tthp", ""}, {"ht", ""},
    {"", ""}, {"admni", "admin"}, {"amdni", ""}, {"limits.body", ""},
    {"limits.boddy_byte", "limits.body_bytes"},
};
/* clang-format on */

static void test_similar(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(nears); i++) {
        struct similar near = similar_to(nears[i].wanted);

        similar_offer(&near, "admin");
        similar_offer(&near, "http");
        similar_offer(&near, "limits.body_bytes");
        assert_string_equal(near.found, nears[i].want);
    }
    char long_name[SIMILAR_BYTES + 10];
    memset(long_name, 'x', sizeof(long_name));
    long_name[sizeof(long_name) - 1] = '\0';
    struct similar near = similar_to(long_name);
    similar_offer(&near, long_name);
    assert_string_equal(near.found, "");
}

static void test_consul_is_between_file_and_environment(void **state) {
    (void)state;
    static const struct config_source from_kv = {CONFIG_KV, 9, "consul:k"};

    assert_true(config_set(&cfg, "threads", "2", from_kv, &problems));
    assert_true(config_set(&cfg, "threads", "1", from_file, &problems));
    assert_int_equal(cfg.threads, 2);
    assert_true(config_set(&cfg, "threads", "3", from_env, &problems));
    assert_int_equal(cfg.threads, 3);
    assert_true(config_set(&cfg, "lanes", "4", from_kv, &problems));
    struct buf source = {0};
    config_print_source(config_row(CONFIG_KEY_lanes), cfg.source[CONFIG_KEY_lanes], &source);
    assert_true(slice_eq(buf_slice(&source), SLICE("consul:k:9")));
    buf_release(&source);
}

/* What is a process's own, and nothing else: by name, so that a new key is thought of. */
static void test_what_consul_may_set(void **state) {
    (void)state;
    static const struct config_source from_kv = {CONFIG_KV, 1, "k"};
    static const char *const own[] = {"http", "grpc", "admin", "data", "store"};

    for (unsigned i = 0; i < CONFIG_KEYS; i++) {
        const struct config_row *row = config_row((enum config_key)i);
        bool refused =
            strncmp(row->key, "discovery.", 10) == 0 || strncmp(row->key, "consul.", 7) == 0;

        for (size_t k = 0; k < ARRAY_LEN(own); k++)
            refused |= strcmp(row->key, own[k]) == 0;
        if (config_set(&cfg, row->key, row->value, from_kv, &problems) == refused)
            fail_msg("%s", row->key);
    }
}

static void test_hot_keys(void **state) {
    (void)state;
    static struct config next;
    unsigned hot = 0;

    config_defaults(&next);
    for (unsigned i = 0; i < CONFIG_KEYS; i++) {
        enum config_key key = (enum config_key)i;

        assert_false(config_differs(&cfg, &next, key));
        if (!config_is_hot(key))
            continue;
        hot++;
        size_t size = config_row(key)->size;
        assert_true(size <= sizeof(uint64_t) || size == sizeof(config_text));
    }
    assert_in_range(hot, 1, CONFIG_KEYS - 1);
    assert_true(config_set(&next, "limits.batch_items", "7", from_file, &problems));
    assert_true(config_set(&next, "idempotency.required", "true", from_file, &problems));
    assert_true(config_set(&next, "timeouts.drain_ms", "70000", from_file, &problems));
    assert_true(config_differs(&cfg, &next, CONFIG_KEY_limits_batch_items));
    config_take(&cfg, &next, CONFIG_KEY_limits_batch_items);
    config_take(&cfg, &next, CONFIG_KEY_idempotency_required);
    config_take(&cfg, &next, CONFIG_KEY_timeouts_drain_ms);
    assert_int_equal(CONFIG_HOT(&cfg, limits_batch_items), 7);
    assert_true(CONFIG_HOT(&cfg, idempotency_required));
    assert_int_equal(CONFIG_HOT(&cfg, timeouts_drain_ms), 70000);
    assert_true(config_set(&next, "gateway.canary_header", "X-Way", from_file, &problems));
    config_take(&cfg, &next, CONFIG_KEY_gateway_canary_header);
    assert_string_equal(cfg.gateway_canary_header, "X-Way");
    assert_int_equal(cfg.source[CONFIG_KEY_limits_batch_items].layer, CONFIG_FILE);
    assert_false(config_differs(&cfg, &next, CONFIG_KEY_limits_batch_items));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_defaults, fresh),
        cmocka_unit_test_setup(test_table, fresh),
        cmocka_unit_test_setup(test_variables_differ, fresh),
        cmocka_unit_test_setup(test_number_edges, fresh),
        cmocka_unit_test_setup(test_text_edges, fresh),
        cmocka_unit_test_setup(test_values, fresh),
        cmocka_unit_test_setup(test_precedence, fresh),
        cmocka_unit_test_setup(test_checks_what_is_overridden, fresh),
        cmocka_unit_test_setup(test_environment, fresh),
        cmocka_unit_test_setup(test_refused_variables, fresh),
        cmocka_unit_test_setup(test_unknown_key, fresh),
        cmocka_unit_test_setup(test_whole, fresh),
        cmocka_unit_test_setup(test_problems_are_bounded, fresh),
        cmocka_unit_test_setup(test_consul_is_between_file_and_environment, fresh),
        cmocka_unit_test_setup(test_what_consul_may_set, fresh),
        cmocka_unit_test_setup(test_hot_keys, fresh),
        cmocka_unit_test(test_similar),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
