/* config.c - the table, the layers and the rules between keys. */
#include "base/config.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/config_value.h"
#include "base/similar.h"

#define SHOWN_BYTES 80 /* of a refused value, in its problem */
#define ENV_PREFIX  "HGP_"

/* clang-format off */
static const struct config_row rows[CONFIG_KEYS] = {
#define GROUP(prefix, title)
#define ROW(field, kind, ctype, key, flag, value, min, max, choices, help)                         \
    {key, flag, value, min, max, choices, help, CONFIG_##kind,                                     \
     offsetof(struct config, field), sizeof(((struct config *)0)->field)},
#define AT_LEAST(field, than, why)
#define NEEDS(field, other, why)
#define HOT(field)
#include "base/config.def"
#undef HOT
#undef NEEDS
#undef AT_LEAST
#undef ROW
#undef GROUP
};

static const struct {
    const char *prefix;
    const char *title;
} groups[] = {
#define GROUP(prefix, title) {prefix, title},
#define ROW(field, kind, ctype, key, flag, value, min, max, choices, help)
#define AT_LEAST(field, than, why)
#define NEEDS(field, other, why)
#define HOT(field)
#include "base/config.def"
#undef HOT
#undef NEEDS
#undef AT_LEAST
#undef ROW
#undef GROUP
};

static const struct config_need needs[] = {
#define GROUP(prefix, title)
#define ROW(field, kind, ctype, key, flag, value, min, max, choices, help)
#define AT_LEAST(field, than, why)
#define NEEDS(field, other, why) {CONFIG_KEY_##field, CONFIG_KEY_##other, why},
#define HOT(field)
#include "base/config.def"
#undef HOT
#undef NEEDS
#undef AT_LEAST
#undef ROW
#undef GROUP
};

static const enum config_key hot[] = {
#define GROUP(prefix, title)
#define ROW(field, kind, ctype, key, flag, value, min, max, choices, help)
#define AT_LEAST(field, than, why)
#define NEEDS(field, other, why)
#define HOT(field) CONFIG_KEY_##field,
#include "base/config.def"
#undef HOT
#undef NEEDS
#undef AT_LEAST
#undef ROW
#undef GROUP
};

static const struct config_rule rules[] = {
#define GROUP(prefix, title)
#define ROW(field, kind, ctype, key, flag, value, min, max, choices, help)
#define AT_LEAST(field, than, why) {CONFIG_KEY_##field, CONFIG_KEY_##than, why},
#define NEEDS(field, other, why)
#define HOT(field)
#include "base/config.def"
#undef HOT
#undef NEEDS
#undef AT_LEAST
#undef ROW
#undef GROUP
};
/* clang-format on */

const struct config_rule *config_rules(size_t *out_count) {
    *out_count = ARRAY_LEN(rules);
    return rules;
}

const struct config_need *config_needs(size_t *out_count) {
    *out_count = ARRAY_LEN(needs);
    return needs;
}

const struct config_row *config_row(enum config_key key) {
    return &rows[key];
}

static void *field_of(struct config *cfg, const struct config_row *row) {
    return (char *)cfg + row->offset;
}

static const void *field_in(const struct config *cfg, const struct config_row *row) {
    return (const char *)cfg + row->offset;
}

void config_defaults(struct config *cfg) {
    memset(cfg, 0, sizeof(*cfg));
    for (unsigned i = 0; i < CONFIG_KEYS; i++) {
        bool allowed = config_value_parse(&rows[i], rows[i].value, field_of(cfg, &rows[i]));

        assert(allowed);
        (void)allowed;
    }
}

enum config_key config_find(const char *key) {
    unsigned i = 0;

    while (i < CONFIG_KEYS && strcmp(rows[i].key, key) != 0)
        i++;
    return (enum config_key)i;
}

enum config_key config_find_flag(const char *flag) {
    unsigned i = 0;

    while (i < CONFIG_KEYS && !(rows[i].flag && strcmp(rows[i].flag, flag) == 0))
        i++;
    return (enum config_key)i;
}

size_t config_group_len(const struct config_row *row) {
    const char *dot = strchr(row->key, '.');

    return dot ? (size_t)(dot - row->key) : 0;
}

const char *config_group_title(const struct config_row *row) {
    size_t len = config_group_len(row);

    for (size_t i = 0; i < ARRAY_LEN(groups); i++)
        if (strlen(groups[i].prefix) == len && memcmp(groups[i].prefix, row->key, len) == 0)
            return groups[i].title;
    return "";
}

void config_env_name(const struct config_row *row, char out[CONFIG_NAME_BYTES]) {
    (void)snprintf(out, CONFIG_NAME_BYTES, ENV_PREFIX "%s", row->flag ? row->flag : row->key);
    for (char *c = out; *c; c++)
        *c = *c == '.' || *c == '-' ? '_' : (char)toupper((unsigned char)*c);
}

void config_print_value(const struct config *cfg, enum config_key key, struct buf *out) {
    config_value_print(&rows[key], field_in(cfg, &rows[key]), out);
}

void config_print_source(const struct config_row *row, struct config_source source,
                         struct buf *out) {
    char name[CONFIG_NAME_BYTES];

    switch (source.layer) {
    case CONFIG_DEFAULT:
        buf_add_str(out, "default");
        return;
    case CONFIG_FILE:
    case CONFIG_KV:
        buf_printf(out, "%s:%u", source.file, source.line);
        return;
    case CONFIG_ENVIRONMENT:
        config_env_name(row, name);
        buf_add_str(out, name);
        return;
    case CONFIG_FLAG:
        buf_printf(out, "--%s", row->flag);
        return;
    }
}

/* Bytes of the control character that 'c' begins, in UTF-8: C0 and DEL have
 * one, C1 has two, anything else none. */
static size_t control_len(const unsigned char *c) {
    if (*c < 0x20 || *c == 0x7f)
        return 1;
    return *c == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f ? 2 : 0;
}

void config_problem(struct config_problems *problems, const char *fmt, ...) {
    size_t room = sizeof(problems->text) - problems->len;
    char *line = problems->text + problems->len;
    va_list args;

    problems->count++;
    va_start(args, fmt);
    int len = vsnprintf(line, room, fmt, args);
    va_end(args);
    if (len < 0 || (size_t)len + 2 > room) {
        *line = '\0'; /* no room left: counted only */
        return;
    }
    /* Names and values come from outside and end up on a terminal. */
    for (char *c = line; *c; c++)
        memset(c, '?', control_len((const unsigned char *)c));
    line[len] = '\n';
    line[len + 1] = '\0';
    problems->len += (size_t)len + 1;
}

static void refuse_value(const struct config_row *row, const char *value,
                         struct config_source source, struct config_problems *problems) {
    struct buf shown = {0};
    struct buf from = {0};
    struct buf allowed = {0};

    config_value_redact(row, value, &shown);
    config_print_source(row, source, &from);
    config_print_allowed(row, &allowed);
    config_problem(problems, "%.*s: %s is \"%.*s\"%s, but must be %.*s",
                   SLICE_ARGS(buf_slice(&from)), row->key,
                   shown.len < SHOWN_BYTES ? (int)shown.len : SHOWN_BYTES,
                   shown.len ? shown.ptr : "", shown.len < SHOWN_BYTES ? "" : " (cut)",
                   SLICE_ARGS(buf_slice(&allowed)));
    buf_release(&shown);
    buf_release(&from);
    buf_release(&allowed);
}

static bool set_row(struct config *cfg, enum config_key key, const char *value,
                    struct config_source source, struct config_problems *problems) {
    const struct config_row *row = &rows[key];
    struct config checked;

    if (!config_value_parse(row, value, field_of(&checked, row))) {
        refuse_value(row, value, source, problems);
        return false;
    }
    if (source.layer < cfg->source[key].layer)
        return true;
    memcpy(field_of(cfg, row), field_of(&checked, row), row->size);
    cfg->source[key] = source;
    return true;
}

static void refuse_key(const char *key, struct config_source source,
                       struct config_problems *problems) {
    struct similar near = similar_to(key);

    for (unsigned i = 0; i < CONFIG_KEYS; i++)
        similar_offer(&near, rows[i].key);
    if (source.file)
        config_problem(problems, "%s:%u: there is no key \"%s\"%s%s", source.file, source.line, key,
                       near.found[0] ? "; did you mean " : "", near.found);
    else
        config_problem(problems, "there is no key \"%s\"%s%s", key,
                       near.found[0] ? "; did you mean " : "", near.found);
}

/* Where a process listens and keeps its data, and how it finds others, is its own affair: a
 * document that all of a role share would give them all the same, and Consul can't say where Consul
 * is. */
static bool is_own(enum config_key key) {
    const char *name = rows[key].key;

    return rows[key].kind == CONFIG_ADDRESS || key == CONFIG_KEY_data || key == CONFIG_KEY_store ||
           strncmp(name, "discovery.", 10) == 0 || strncmp(name, "consul.", 7) == 0;
}

bool config_set(struct config *cfg, const char *key, const char *value, struct config_source source,
                struct config_problems *problems) {
    enum config_key found = config_find(key);

    if (found != CONFIG_KEYS && source.layer == CONFIG_KV && is_own(found)) {
        config_problem(problems, "%s:%u: %s can't be set in Consul, only for each process",
                       source.file, source.line, key);
        return false;
    }
    if (found != CONFIG_KEYS)
        return set_row(cfg, found, value, source, problems);
    refuse_key(key, source, problems);
    return false;
}

/* 'name' ends at the '='. */
static enum config_key find_variable(const char *name, struct similar *near) {
    char known[CONFIG_NAME_BYTES];

    for (unsigned i = 0; i < CONFIG_KEYS; i++) {
        config_env_name(&rows[i], known);
        if (strcmp(known, name) == 0)
            return (enum config_key)i;
        similar_offer(near, known);
    }
    return CONFIG_KEYS;
}

static void load_variable(struct config *cfg, const char *entry, struct config_problems *problems) {
    char name[CONFIG_NAME_BYTES];
    const char *equals = strchrnul(entry, '=');

    /* A longer name than any of ours is unknown by its first part already. */
    (void)snprintf(name, sizeof(name), "%.*s", (int)(equals - entry), entry);
    struct similar near = similar_to(name);
    enum config_key key = find_variable(name, &near);
    if (key == CONFIG_KEYS) {
        config_problem(problems, "%s: there is no such variable%s%s", name,
                       near.found[0] ? "; did you mean " : "", near.found);
        return;
    }
    struct config_source source = {.layer = CONFIG_ENVIRONMENT};
    (void)set_row(cfg, key, *equals ? equals + 1 : equals, source, problems);
}

void config_load_env(struct config *cfg, char *const environment[],
                     struct config_problems *problems) {
    for (; *environment; environment++)
        if (strncmp(*environment, ENV_PREFIX, strlen(ENV_PREFIX)) == 0)
            load_variable(cfg, *environment, problems);
}

static int64_t number_of(const struct config *cfg, enum config_key key) {
    return config_value_number(&rows[key], field_in(cfg, &rows[key]));
}

/* "limits.body_bytes (65536, default)" */
static void print_setting(const struct config *cfg, enum config_key key, struct buf *out) {
    buf_printf(out, "%s (", rows[key].key);
    config_print_value(cfg, key, out);
    buf_add_str(out, ", ");
    config_print_source(&rows[key], cfg->source[key], out);
    buf_add_char(out, ')');
}

static void refuse_pair(const struct config *cfg, enum config_key a, const char *rule,
                        enum config_key b, const char *why, struct config_problems *problems) {
    struct buf text = {0};

    print_setting(cfg, a, &text);
    buf_printf(&text, " %s ", rule);
    print_setting(cfg, b, &text);
    config_problem(problems, "%.*s: %s", SLICE_ARGS(buf_slice(&text)), why);
    buf_release(&text);
}

/* Same port, and the same host or one that is every host. */
static bool same_listener(const char *a, const char *b) {
    const char *a_port = strrchr(a, ':');
    const char *b_port = strrchr(b, ':');

    return strcmp(a_port, b_port) == 0 && strcmp(a_port, ":0") != 0 &&
           (a_port == a || b_port == b || strcmp(a, b) == 0);
}

/* Only texts need one another. */
static bool is_set(const struct config *cfg, enum config_key key) {
    return *(const char *)field_in(cfg, &rows[key]) != '\0';
}

static void check_needs(const struct config *cfg, struct config_problems *problems) {
    for (size_t i = 0; i < ARRAY_LEN(needs); i++) {
        const struct config_row *row = &rows[needs[i].key];
        struct buf source = {0};

        if (!is_set(cfg, needs[i].key) || is_set(cfg, needs[i].other))
            continue;
        config_print_source(row, cfg->source[needs[i].key], &source);
        config_problem(problems, "%s (%.*s) needs %s: %s", row->key, SLICE_ARGS(buf_slice(&source)),
                       rows[needs[i].other].key, needs[i].why);
        buf_release(&source);
    }
}

void config_validate(const struct config *cfg, struct config_problems *problems) {
    check_needs(cfg, problems);
    for (size_t i = 0; i < ARRAY_LEN(rules); i++)
        if (number_of(cfg, rules[i].key) < number_of(cfg, rules[i].least))
            refuse_pair(cfg, rules[i].key, "must be at least", rules[i].least, rules[i].why,
                        problems);
    if (same_listener(cfg->http, cfg->admin))
        refuse_pair(cfg, CONFIG_KEY_http, "must differ from", CONFIG_KEY_admin,
                    "one address can't be two listeners", problems);
}

/* ---- while the service runs ---- */

bool config_is_hot(enum config_key key) {
    for (size_t i = 0; i < ARRAY_LEN(hot); i++)
        if (hot[i] == key)
            return true;
    return false;
}

bool config_differs(const struct config *a, const struct config *b, enum config_key key) {
    const struct config_row *row = &rows[key];

    /* Of a text only what is before its end. */
    if (row->size == sizeof(config_text))
        return strcmp(field_in(a, row), field_in(b, row)) != 0;
    return memcmp(field_in(a, row), field_in(b, row), row->size) != 0;
}

void config_take(struct config *running, const struct config *from, enum config_key key) {
    void *to = field_of(running, &rows[key]);
    const void *value = field_in(from, &rows[key]);

    assert(config_is_hot(key));
    if (rows[key].size == sizeof(bool))
        __atomic_store_n((bool *)to, *(const bool *)value, __ATOMIC_RELAXED);
    else if (rows[key].size == sizeof(config_text))
        memcpy(to, value, sizeof(config_text));
    else if (rows[key].size == sizeof(uint32_t))
        __atomic_store_n((uint32_t *)to, *(const uint32_t *)value, __ATOMIC_RELAXED);
    else
        __atomic_store_n((uint64_t *)to, *(const uint64_t *)value, __ATOMIC_RELAXED);
    running->source[key] = from->source[key];
}
