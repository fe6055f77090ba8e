/* gen_docs.c - write, or check, the documents that are made from .def tables.
 *
 *     gen_docs --write ROOT    write the documents below ROOT
 *     gen_docs --check ROOT    exit 1 and name each one that isn't current
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/config.h"
#include "base/err.h"
#include "base/metrics.h"
#include "cli/print_config.h"
#include "cli/role.h"
#include "gen.h"

#define DOC_BYTES_MAX (1024 * 1024)

static void put_config_row(const struct config_row *row, struct buf *out) {
    char variable[CONFIG_NAME_BYTES];
    struct buf allowed = {0};

    config_env_name(row, variable);
    buf_printf(out, "| `%s` | ", row->key);
    if (row->flag)
        buf_printf(out, "`--%s`", row->flag);
    config_print_allowed(row, &allowed);
    buf_printf(out, " | `%s` | ", variable);
    if (row->value[0])
        buf_printf(out, "`%s`", row->value);
    buf_add_str(out, " | ");
    buf_add_slice(out, buf_slice(&allowed));
    buf_printf(out, " | %s%s |\n", row->help,
               config_is_hot(config_find(row->key)) ? " *Hot.*" : "");
    buf_release(&allowed);
}

static void put_rules(struct buf *out) {
    size_t count;
    const struct config_rule *rules = config_rules(&count);

    buf_add_str(out, "\n## Rules between keys\n\n");
    for (size_t i = 0; i < count; i++)
        buf_printf(out, "- `%s` is at least `%s`; otherwise %s.\n", config_row(rules[i].key)->key,
                   config_row(rules[i].least)->key, rules[i].why);
    const struct config_need *needs = config_needs(&count);
    for (size_t i = 0; i < count; i++)
        buf_printf(out, "- `%s` needs `%s`; otherwise %s.\n", config_row(needs[i].key)->key,
                   config_row(needs[i].other)->key, needs[i].why);
    buf_add_str(out, "- `http` and `admin` are different addresses.\n");
}

static void put_config_doc(struct buf *out) {
    const char *title = "";

    buf_add_str(
        out, "# Configuration\n"
             "\n"
             "Made from `src/base/config.def` by `tools/gen_docs`; change it there.\n"
             "\n"
             "A value comes from a flag, else a variable, else Consul's KV\n"
             "(`docs/config-center.md`), else the file of `--config`, else the default. What is\n"
             "marked *Hot* takes effect while the service runs, the rest when it starts again.\n"
             "In the YAML file a dotted key may be nested or written as one.\n"
             "Unknown keys, flags and `HGP_` variables are refused, as are YAML lists,\n"
             "anchors, aliases and tags, and a key that comes twice. Numbers are plain:\n"
             "bytes in `_bytes`, milliseconds in `_ms`, no suffixes.\n"
             "\n"
             "`--check-config` says whether all of it is valid; `--print-config` prints the\n"
             "effective values and where each came from. `configs/{all,gateway,counter,\n"
             "analytics}.yaml` have the keys of each role with their defaults.\n"
             "\n"
             "In Kubernetes set `enableServiceLinks: false` if a service is called `hgp`:\n"
             "its injected `HGP_…` variables would be refused as unknown.\n");
    for (unsigned i = 0; i < CONFIG_KEYS; i++) {
        const struct config_row *row = config_row((enum config_key)i);

        if (config_group_title(row) != title) {
            title = config_group_title(row);
            buf_printf(out,
                       "\n## %s\n\n| key | flag | variable | default | allowed | meaning |\n"
                       "|---|---|---|---|---|---|\n",
                       title);
        }
        put_config_row(row, out);
    }
    put_rules(out);
}

/* One key, with what is to know about it. A key whose mere presence would do something is a comment
 * (role_leaves_out()). */
static void put_key(enum role role, const struct config *cfg, enum config_key key,
                    struct buf *out) {
    const struct config_row *row = config_row(key);
    const char *indent = config_group_len(row) ? "  " : "";
    struct buf allowed = {0};

    config_print_allowed(row, &allowed);
    buf_printf(out, "%s# %s\n%s# Allowed: %.*s.\n", indent, row->help, indent,
               SLICE_ARGS(buf_slice(&allowed)));
    if (role_leaves_out(role, key))
        buf_add_str(out, "# ");
    print_config_row(cfg, key, out);
    buf_add_char(out, '\n');
    buf_release(&allowed);
}

static void put_role_yaml(enum role role, const char *more, struct buf *out) {
    struct config_problems problems = {0};
    struct config cfg;
    const char *title = NULL;

    config_defaults(&cfg);
    role_defaults(role, &cfg, &problems);
    buf_printf(out,
               "# The keys of `highgopress %s`, with their defaults.%s\n"
               "# Made from src/base/config.def by tools/gen_docs; change it there.\n",
               role_name(role), more);
    for (unsigned i = 0; i < CONFIG_KEYS; i++) {
        enum config_key key = (enum config_key)i;
        const struct config_row *row = config_row(key);
        bool first = config_group_title(row) != title;

        if (!role_uses(role, key))
            continue;
        if (!config_group_len(row) || first)
            buf_add_char(out, '\n');
        if (config_group_len(row) && first)
            buf_printf(out, "%.*s:\n", (int)config_group_len(row), row->key);
        title = config_group_title(row);
        put_key(role, &cfg, key, out);
    }
}

static void put_all_yaml(struct buf *out) {
    put_role_yaml(ROLE_ALL, "", out);
}

static void put_gateway_yaml(struct buf *out) {
    put_role_yaml(ROLE_GATEWAY,
                  "\n# With upstream direct those of configs/all.yaml are read as well.", out);
}

static void put_counter_yaml(struct buf *out) {
    put_role_yaml(ROLE_COUNTER, "", out);
}

static void put_analytics_yaml(struct buf *out) {
    put_role_yaml(ROLE_ANALYTICS, "", out);
}

static const char *type_name(enum metric_type type) {
    switch (type) {
    case METRIC_COUNTER:
        return "counter";
    case METRIC_GAUGE:
        return "gauge";
    case METRIC_HISTOGRAM:
        return "histogram";
    }
    return "";
}

static const char *unit_name(enum metric_unit unit) {
    switch (unit) {
    case UNIT_ONE:
        return "";
    case UNIT_BYTES:
        return "bytes";
    case UNIT_SECONDS_FROM_US:
        return "seconds";
    }
    return "";
}

static void put_metrics_doc(struct buf *out) {
    buf_add_str(out,
                "# Metrics\n"
                "\n"
                "Made from `src/base/metrics.def` and `src/wire/prom.def` by `tools/gen_docs`;\n"
                "change them there.\n"
                "\n"
                "`GET /metrics` on the admin listener: OpenMetrics 1.0 for whoever lists it in\n"
                "`Accept`, as Prometheus does, else Prometheus text format 0.0.4. Labels never\n"
                "hold what a client sent: the number of series is fixed at start.\n");
    buf_printf(out,
               "Histograms have %u buckets with the bounds 1, 2, 4 ... %llu (of durations: in\n"
               "microseconds, exposed as seconds) and `+Inf`.\n",
               METRICS_BUCKETS + 1, (unsigned long long)metrics_bound(METRICS_BUCKETS - 1));
    buf_add_str(out, "\n| name | type | unit | labels | meaning |\n|---|---|---|---|---|\n");
    for (unsigned i = 0; i < METRIC_FAMILIES; i++) {
        const struct metric_family *family = metric_family((enum metric)i);

        buf_printf(out, "| `%s` | %s | %s | %s | %s |\n", family->name, type_name(family->type),
                   unit_name(family->unit), family->labels, family->help);
    }
    buf_add_str(out, "\n## The process\n\n| name | type | meaning |\n|---|---|---|\n");
#define PROCESS(field, type, name, help)                                                           \
    buf_printf(out, "| `%s` | %s | %s |\n", name, type_name(type), help);
#include "wire/prom.def"
#undef PROCESS
}

/* Names of grpc/status.md, by number. */
static const char *const grpc_names[] = {
    "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED"};

static void put_errors_doc(struct buf *out) {
    buf_add_str(out, "# Errors\n"
                     "\n"
                     "Made from `src/base/err.def` by `tools/gen_docs`; change it there.\n"
                     "\n"
                     "Retryable means: the same call with the same identity (the same\n"
                     "`Idempotency-Key`) may succeed later.\n"
                     "\n"
                     "| name | HTTP | gRPC | retryable | meaning |\n"
                     "|---|---|---|---|---|\n");
    for (unsigned i = 0; i < ERR_COUNT; i++) {
        enum err err = (enum err)i;

        buf_printf(out, "| `%s` | %d | %d %s | %s | %s |\n", err_name(err), err_http(err),
                   err_grpc(err), grpc_names[err_grpc(err)], err_retryable(err) ? "yes" : "no",
                   err_text(err));
    }
}

static const struct doc {
    const char *path;
    void (*put)(struct buf *out);
} docs[] = {
    {"deploy/completion/_highgopress", put_completion_zsh},
    {"deploy/completion/highgopress.bash", put_completion_bash},
    {"deploy/completion/highgopress.fish", put_completion_fish},
    {"docs/man/highgopress.1", put_man_1},
    {"docs/man/highgopress.yaml.5", put_man_5},
    {"configs/all.yaml", put_all_yaml},
    {"configs/analytics.yaml", put_analytics_yaml},
    {"configs/counter.yaml", put_counter_yaml},
    {"configs/gateway.yaml", put_gateway_yaml},
    {"docs/configuration.md", put_config_doc},
    {"docs/errors.md", put_errors_doc},
    {"docs/metrics.md", put_metrics_doc},
};

static bool write_doc(const char *path, struct slice text) {
    FILE *file = fopen(path, "we");

    if (!file) {
        perror(path);
        return false;
    }
    bool written = fwrite(text.ptr, 1, text.len, file) == text.len;
    if (fclose(file) != 0 || !written) {
        perror(path);
        return false;
    }
    return true;
}

static bool check_doc(const char *path, struct slice text) {
    FILE *file = fopen(path, "re");
    struct buf have = {0};

    if (!file) {
        perror(path);
        return false;
    }
    if (buf_reserve(&have, DOC_BYTES_MAX))
        have.len = fread(have.ptr, 1, DOC_BYTES_MAX, file);
    bool same = slice_eq(buf_slice(&have), text);
    if (!same)
        (void)fprintf(stderr, "%s is not current: run gen_docs --write\n", path);
    (void)fclose(file);
    buf_release(&have);
    return same;
}

static bool do_doc(const struct doc *doc, const char *root, bool writes) {
    struct buf text = {0};
    struct buf path = {0};
    bool done = false;

    doc->put(&text);
    buf_printf(&path, "%s/%s", root, doc->path);
    buf_add_char(&path, '\0');
    if (buf_failed(&text) || buf_failed(&path))
        (void)fprintf(stderr, "out of memory\n");
    else
        done =
            writes ? write_doc(path.ptr, buf_slice(&text)) : check_doc(path.ptr, buf_slice(&text));
    buf_release(&text);
    buf_release(&path);
    return done;
}

int main(int argc, char **argv) {
    bool writes = argc == 3 && strcmp(argv[1], "--write") == 0;
    unsigned failed = 0;

    if (!writes && !(argc == 3 && strcmp(argv[1], "--check") == 0)) {
        (void)fprintf(stderr, "usage: gen_docs --write ROOT | --check ROOT\n");
        return EX_USAGE;
    }
    for (size_t i = 0; i < ARRAY_LEN(docs); i++)
        failed += !do_doc(&docs[i], argv[2], writes);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
