/* config.h - the configuration: one table of keys, five layers of sources.
 *
 * A value comes from a flag, else the environment, else Consul's KV, else the
 * file, else the default; config_set() keeps that order whatever order the layers are read
 * in. Every value is checked when it is set, also one that a higher layer
 * overrides; config_validate() then checks the configuration as a whole.
 *
 * Threads    Filled before the threads start, then only read, but for the
 *            keys marked HOT: one thread changes them by config_take(), the
 *            others read numbers by CONFIG_HOT(), and texts never: that
 *            thread hands them on.
 * Ownership  A struct config owns nothing and may be copied. The file name of
 *            a config_source is borrowed for as long as the config lives.
 * Limits     Texts up to CONFIG_TEXT_BYTES; problems up to
 *            CONFIG_PROBLEMS_BYTES, then only counted.
 */
#ifndef BASE_CONFIG_H
#define BASE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/slice.h"

#define CONFIG_TEXT_BYTES     1024
#define CONFIG_PROBLEMS_BYTES 8192
#define CONFIG_UPSTREAMS_MAX  64
#define CONFIG_NAME_BYTES     64 /* a key, a flag or a variable, with its NUL */

typedef char config_text[CONFIG_TEXT_BYTES];

/* In the order of the choices in config.def. */
enum config_loop { CONFIG_LOOP_AUTO, CONFIG_LOOP_IO_URING, CONFIG_LOOP_EPOLL };
enum config_upstream { CONFIG_UPSTREAM_GRPC, CONFIG_UPSTREAM_DIRECT, CONFIG_UPSTREAM_CANARY };
enum config_durability {
    CONFIG_DURABILITY_FAST,
    CONFIG_DURABILITY_LOCAL,
    CONFIG_DURABILITY_REPLICATED
};
enum config_events_format { CONFIG_EVENTS_JSON, CONFIG_EVENTS_PROTOBUF };
enum config_sasl { CONFIG_SASL_SCRAM_SHA_512, CONFIG_SASL_SCRAM_SHA_256, CONFIG_SASL_PLAIN };
enum config_log_format { CONFIG_LOG_AUTO, CONFIG_LOG_JSON, CONFIG_LOG_CONSOLE };

enum config_kind {
    CONFIG_ADDRESS,   /* HOST:PORT to listen on, config_text */
    CONFIG_UPSTREAMS, /* HOST:PORT,... to connect to, config_text */
    CONFIG_PATH,      /* config_text */
    CONFIG_NAMES,     /* separated by commas, config_text */
    CONFIG_NETWORKS,  /* addresses and networks, separated by commas, config_text */
    CONFIG_URL,       /* one of the choices, or what begins as one that ends in "...";
                         config_text; printed without passwords */
    CONFIG_ENUM,      /* one of the choices */
    CONFIG_BOOL,
    CONFIG_COUNT, /* uint32_t */
    CONFIG_BYTES, /* size_t */
    CONFIG_MS,    /* int64_t, milliseconds */
};

enum config_key {
#define GROUP(prefix, title)
#define ROW(field, kind, ctype, key, flag, value, min, max, choices, help) CONFIG_KEY_##field,
#define AT_LEAST(field, than, why)
#define NEEDS(field, other, why)
#define HOT(field)
#include "base/config.def"
#undef HOT
#undef NEEDS
#undef AT_LEAST
#undef ROW
#undef GROUP
    CONFIG_KEYS
};

/* One row of config.def. */
struct config_row {
    const char *key;   /* "limits.body_bytes" */
    const char *flag;  /* without the dashes; NULL: none */
    const char *value; /* the default, as a file would say it */
    int64_t min;
    int64_t max;
    const char *choices; /* "fast|local", or NULL */
    const char *help;
    enum config_kind kind;
    size_t offset; /* of the field in struct config */
    size_t size;
};

/* Lowest first. */
enum config_layer { CONFIG_DEFAULT, CONFIG_FILE, CONFIG_KV, CONFIG_ENVIRONMENT, CONFIG_FLAG };

struct config_source {
    enum config_layer layer;
    unsigned line;    /* of 'file', from 1 */
    const char *file; /* CONFIG_FILE and CONFIG_KV only */
};

struct config {
#define GROUP(prefix, title)
#define ROW(field, kind, ctype, key, flag, value, min, max, choices, help) ctype field;
#define AT_LEAST(field, than, why)
#define NEEDS(field, other, why)
#define HOT(field)
#include "base/config.def"
#undef HOT
#undef NEEDS
#undef AT_LEAST
#undef ROW
#undef GROUP
    struct config_source source[CONFIG_KEYS]; /* where each value came from */
};

/* What is wrong, a line each. A zeroed one is empty. */
struct config_problems {
    unsigned count;
    size_t len;
    char text[CONFIG_PROBLEMS_BYTES]; /* ends in a NUL */
};

void config_defaults(struct config *cfg);

/* False, with a problem added and 'cfg' unchanged, when there is no such key
 * or the value is not allowed, or not from there. True without effect when a higher layer has set
 * the key before. */
bool config_set(struct config *cfg, const char *key, const char *value, struct config_source source,
                struct config_problems *problems);

/* Every HGP_… of 'environment' (as environ); one that names no key is a problem. */
void config_load_env(struct config *cfg, char *const environment[],
                     struct config_problems *problems);

/* The rules between keys. */
void config_validate(const struct config *cfg, struct config_problems *problems);

/* The rules "this number is at least that one" that config_validate() checks. */
struct config_rule {
    enum config_key key;
    enum config_key least;
    const char *why;
};
const struct config_rule *config_rules(size_t *out_count);

/* And "a value of this text demands one of that". */
struct config_need {
    enum config_key key;
    enum config_key other;
    const char *why;
};
const struct config_need *config_needs(size_t *out_count);

/* Adds a line, without control characters. */
void config_problem(struct config_problems *problems, const char *fmt, ...) PRINTF_LIKE(2, 3);

const struct config_row *config_row(enum config_key key);

/* CONFIG_KEYS when there is none. 'flag' is without its dashes. */
enum config_key config_find(const char *key);
enum config_key config_find_flag(const char *flag);

/* "limits" of "limits.body_bytes", "" of "http": its length and its title. */
size_t config_group_len(const struct config_row *row);
const char *config_group_title(const struct config_row *row);

/* HGP_ and the flag's name, or else the key, in upper case. */
void config_env_name(const struct config_row *row, char out[CONFIG_NAME_BYTES]);

/* The next of a list of upstreams, "HOST:PORT", taken off the front of '*list'; empty: that was
 * all. */
struct slice config_next_upstream(struct slice *list);

/* "HOST:PORT,HOST:PORT": is every one of them an upstream, and are they not too many? */
bool config_are_upstreams(struct slice list);

/* The effective value as a file would say it, without quotes or passwords. */
void config_print_value(const struct config *cfg, enum config_key key, struct buf *out);

/* "default", "configs/all.yaml:7", "HGP_HTTP" or "--http". */
void config_print_source(const struct config_row *row, struct config_source source,
                         struct buf *out);

/* What a hot key is now, on any thread. */
#define CONFIG_HOT(config, field) __atomic_load_n(&(config)->field, __ATOMIC_RELAXED)

/* Takes effect while the service runs; the others wait for its next start. */
bool config_is_hot(enum config_key key);
bool config_differs(const struct config *a, const struct config *b, enum config_key key);
/* The hot 'key' of 'running' becomes that of 'from', while other threads may read it. */
void config_take(struct config *running, const struct config *from, enum config_key key);

/* What the row accepts: "a whole number from 1 to 32". */
void config_print_allowed(const struct config_row *row, struct buf *out);

#endif
