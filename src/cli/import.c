/* import.c - the source by SCAN, twice: once to copy, once to compare. */
#include "cli/import.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/log.h"
#include "cli/build_info.h"
#include "cli/import_sink.h"
#include "cli/secure.h"
#include "edge/private_file.h"
#include "edge/redis_client.h"
#include "edge/redis_command.h"
#include "edge/redis_name.h"
#include "edge/redis_text.h"

#define PREFIX      SLICE("counter:")
#define KEY         SLICE("import") /* its scope is the counter: two imports at once are one */
#define PATIENCE_MS 30000
#define TELL_MS     2000
#define NAMED_MAX   100 /* keys that are named; the others are only counted */

static const struct redis_scripts no_scripts;

struct row {
    size_t name; /* in 'names', behind PREFIX */
    size_t name_len;
    size_t resource_len;
    size_t type; /* in 'types' */
    size_t type_len;
    int64_t value;
};

struct import {
    FILE *out;
    FILE *err;
    struct redis_client *source;
    struct import_sink *sink;
    struct secure secure;
    bool copying; /* else comparing */
    struct buf command;
    struct buf keys; /* of one SCAN, each behind its length */
    struct buf names;
    struct buf types;
    struct buf type;
    struct row *rows;
    size_t rows_count;
    size_t rows_cap;
    struct import_question questions[IMPORT_BATCH];
    uint64_t cursor;
    int64_t told_ms;
    struct {
        uint64_t read; /* counters of the source */
        uint64_t copied;
        uint64_t there;   /* with the same value */
        uint64_t differ;  /* with another one */
        uint64_t failed;  /* refused by the store */
        uint64_t foreign; /* no counters: named and left out */
    } count;
};

static int give_up_import(const struct import *im, int code, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

static int give_up_import(const struct import *im, int code, const char *fmt, ...) {
    va_list args;

    (void)fputs(BUILD_NAME " import: ", im->err);
    va_start(args, fmt);
    (void)vfprintf(im->err, fmt, args);
    va_end(args);
    (void)fputc('\n', im->err);
    return code;
}

/* ---- the source ---- */

static enum err take_keys(void *ctx, const struct redis_reply *reply) {
    struct import *im = ctx;
    const struct redis_reply *keys = redis_reply_at(reply, 1);
    int64_t cursor;

    if (!redis_reply_i64(redis_reply_at(reply, 0), &cursor))
        return ERR_CORRUPT;
    im->cursor = (uint64_t)cursor;
    buf_clear(&im->keys);
    for (size_t i = 0; i < redis_reply_count(keys); i++) {
        struct slice key = redis_reply_text(redis_reply_at(keys, i));

        buf_add(&im->keys, &key.len, sizeof(key.len));
        buf_add_slice(&im->keys, key);
    }
    return buf_failed(&im->keys) ? ERR_NO_MEMORY : ERR_OK;
}

static struct slice next_key(struct slice *rest) {
    size_t len;

    memcpy(&len, rest->ptr, sizeof(len));
    struct slice key = slice_of(rest->ptr + sizeof(len), len);
    *rest = slice_skip(*rest, sizeof(len) + len);
    return key;
}

static void no_counter(struct import *im, struct slice key, const char *why) {
    if (im->copying && im->count.foreign < NAMED_MAX)
        (void)give_up_import(im, 0, "%.*s: %s: left out", SLICE_ARGS(key), why);
    im->count.foreign += im->copying;
}

static bool add_row(struct import *im, struct slice key, int64_t value) {
    struct slice name = slice_skip(key, PREFIX.len);
    struct slice resource;

    if (redis_name_read(name, &resource, &im->type) != ERR_OK) {
        no_counter(im, key, "it is no counter:<resource_id>:<counter_type>");
        return true;
    }
    if (im->rows_count == im->rows_cap) {
        size_t cap = im->rows_cap ? 2 * im->rows_cap : IMPORT_BATCH;
        struct row *rows = realloc(im->rows, cap * sizeof(*rows));

        if (!rows)
            return false;
        im->rows = rows;
        im->rows_cap = cap;
    }
    im->rows[im->rows_count++] = (struct row){.name = im->names.len,
                                              .name_len = name.len,
                                              .resource_len = resource.len,
                                              .type = im->types.len,
                                              .type_len = im->type.len,
                                              .value = value};
    buf_add_slice(&im->names, name);
    buf_add_slice(&im->types, buf_slice(&im->type));
    return !buf_failed(&im->names) && !buf_failed(&im->types);
}

/* MGET: nil is a key that has gone, or is no string. */
static enum err take_values(void *ctx, const struct redis_reply *reply) {
    struct import *im = ctx;
    struct slice rest = buf_slice(&im->keys);

    im->rows_count = 0;
    buf_clear(&im->names);
    buf_clear(&im->types);
    for (size_t i = 0; rest.len; i++) {
        struct slice key = next_key(&rest);
        struct slice text = redis_reply_text(redis_reply_at(reply, i));
        int64_t value;

        if (!text.ptr)
            no_counter(im, key, "it is no string, or has gone");
        else if (!redis_take_i64(&text, &value) || text.len)
            no_counter(im, key, "its value is no 64-bit whole number");
        else if (!add_row(im, key, value))
            return ERR_NO_MEMORY;
    }
    return ERR_OK;
}

static int ask_source(struct import *im, redis_take_fn take) {
    enum err err = redis_client_ask(im->source, buf_slice(&im->command), take, im);

    return err == ERR_OK ? EX_OK
                         : give_up_import(im, EX_UNAVAILABLE, "the source can't be read: %s",
                                          err == ERR_NO_MEMORY || err == ERR_CORRUPT
                                              ? err_text(err)
                                              : redis_client_problem(im->source));
}

static int scan(struct import *im) {
    char cursor[24];

    buf_clear(&im->command);
    redis_command_begin(&im->command, 6);
    redis_command_arg(&im->command, SLICE("SCAN"));
    redis_command_arg(&im->command, slice_of(cursor, (size_t)snprintf(cursor, sizeof(cursor),
                                                                      "%" PRIu64, im->cursor)));
    redis_command_arg(&im->command, SLICE("MATCH"));
    redis_command_arg(&im->command, SLICE("counter:*"));
    redis_command_arg(&im->command, SLICE("COUNT"));
    redis_command_arg(&im->command, SLICE("500"));
    int code = ask_source(im, take_keys);
    struct slice rest = buf_slice(&im->keys);
    size_t keys = 0;
    while (rest.len) {
        (void)next_key(&rest);
        keys++;
    }
    im->rows_count = 0;
    if (code != EX_OK || keys == 0)
        return code;
    buf_clear(&im->command);
    redis_command_begin(&im->command, keys + 1);
    redis_command_arg(&im->command, SLICE("MGET"));
    for (rest = buf_slice(&im->keys); rest.len;)
        redis_command_arg(&im->command, next_key(&rest));
    return ask_source(im, take_values);
}

/* ---- the store ---- */

static struct op op_for(const struct import *im, const struct row *row, enum op_kind kind) {
    return (struct op){.kind = kind,
                       .arg = kind == OP_SET ? row->value : 0,
                       .resource_id = slice_of(im->names.ptr + row->name, row->resource_len),
                       .counter_type = slice_of(im->types.ptr + row->type, row->type_len),
                       .key = kind == OP_SET ? KEY : (struct slice){NULL, 0}};
}

static void differs(struct import *im, const struct row *row, const struct answer *answer) {
    if (answer->err != ERR_OK) {
        if (im->count.failed++ < NAMED_MAX)
            (void)give_up_import(im, 0, "counter:%.*s: %s", (int)row->name_len,
                                 im->names.ptr + row->name, err_text(answer->err));
        return;
    }
    if (im->count.differ++ < NAMED_MAX)
        (void)give_up_import(
            im, 0,
            "counter:%.*s: %" PRId64 " in the source, %" PRId64 " in the store: left as it is",
            (int)row->name_len, im->names.ptr + row->name, row->value, answer->value);
}

/* Those that were never written; the others are judged. Gives how many. */
static size_t pick(struct import *im, struct row *rows, size_t count) {
    size_t picked = 0;

    for (size_t i = 0; i < count; i++) {
        const struct answer *answer = &im->questions[i].answer;

        if (answer->err == ERR_OK && answer->value == rows[i].value)
            im->count.there++;
        else if (im->copying && answer->err == ERR_OK && answer->time_ms == 0)
            rows[picked++] = rows[i];
        else
            differs(im, &rows[i], answer);
    }
    return picked;
}

static void handle(struct import *im, struct row *rows, size_t count) {
    for (size_t i = 0; i < count; i++)
        im->questions[i].op = op_for(im, &rows[i], OP_GET);
    import_sink_ask(im->sink, im->questions, count);
    im->count.read += count;
    count = pick(im, rows, count);
    for (size_t i = 0; i < count; i++)
        im->questions[i].op = op_for(im, &rows[i], OP_SET);
    import_sink_ask(im->sink, im->questions, count);
    for (size_t i = 0; i < count; i++) {
        if (im->questions[i].answer.err == ERR_OK)
            im->count.copied++;
        else
            differs(im, &rows[i], &im->questions[i].answer);
    }
}

static void tell(struct import *im, bool now) {
    if (!now && clock_mono_ms() - im->told_ms < TELL_MS)
        return;
    im->told_ms = clock_mono_ms();
    (void)fprintf(im->err,
                  BUILD_NAME " import: %s: %" PRIu64 " counters, %" PRIu64 " copied, %" PRIu64
                             " there%s\n",
                  im->copying ? "copying" : "comparing", im->count.read, im->count.copied,
                  im->count.there, now ? ", all of them" : "");
}

/* One look at all keys. */
static int pass(struct import *im) {
    int code;

    memset(&im->count, 0, sizeof(im->count));
    im->cursor = 0;
    im->told_ms = clock_mono_ms();
    do {
        code = scan(im);
        for (size_t at = 0; code == EX_OK && at < im->rows_count; at += IMPORT_BATCH) {
            size_t left = im->rows_count - at;

            handle(im, im->rows + at, left < IMPORT_BATCH ? left : IMPORT_BATCH);
        }
        tell(im, false);
    } while (code == EX_OK && im->cursor && !im->count.failed);
    if (code == EX_OK && im->count.failed)
        return give_up_import(im, EX_UNAVAILABLE,
                              "the store has refused %" PRIu64
                              " counters: start again when it works",
                              im->count.failed);
    if (code == EX_OK)
        tell(im, true);
    return code;
}

/* ---- the whole ---- */

static int open_source(struct import *im, const struct config *config,
                       const struct tool_options *options) {
    const char *from = options->value[TOOL_FLAG_FROM];
    const char *file = options->value[TOOL_FLAG_FROM_PASSWORD];
    struct redis_url url;
    const char *why = NULL;

    if (!from)
        return give_up_import(im, EX_USAGE, "--from is missing: the Redis that Phase 1 counts in");
    if (redis_url_parse(slice_str(from), &url, &why) != ERR_OK || url.is_cluster)
        return give_up_import(im, EX_USAGE, "--from: %s",
                              why ? why : "Phase 1 counts in a single Redis, not in a Cluster");
    if (file && private_file_line(file, url.password, sizeof(url.password), &why) != ERR_OK)
        return give_up_import(im, EX_CONFIG, "--from-password: %s: %s", file, why);
    if (url.is_tls && (why = secure_open(&im->secure, config, SECURE_REDIS)) != NULL)
        return give_up_import(im, EX_CONFIG, "%s", why);
    enum err err = redis_client_new(&(struct redis_client_conf){.url = &url,
                                                                .tls = im->secure.redis,
                                                                .scripts = &no_scripts,
                                                                .patience_ms = PATIENCE_MS},
                                    &im->source, &why);
    explicit_bzero(&url, sizeof(url));
    return err == ERR_OK ? EX_OK : give_up_import(im, EX_UNAVAILABLE, "the source: %s", why);
}

static int copy_and_compare(struct import *im) {
    im->copying = true;
    int code = pass(im);
    if (code != EX_OK)
        return code;
    uint64_t copied = im->count.copied;
    uint64_t foreign = im->count.foreign;
    im->copying = false;
    code = pass(im);
    if (code != EX_OK)
        return code;
    (void)fprintf(im->out,
                  "%" PRIu64 " counters: %" PRIu64 " copied now, %" PRIu64
                  " as in the source, %" PRIu64 " not; %" PRIu64 " other keys left out\n",
                  im->count.read, copied, im->count.there, im->count.differ, foreign);
    return im->count.differ ? IMPORT_DIFFERS : EX_OK;
}

int import(const struct config *config, const struct tool_options *options, FILE *out, FILE *err) {
    struct import *im = calloc(1, sizeof(*im));

    if (!im)
        return EX_OSERR;
    im->out = out;
    im->err = err;
    log_setup(LOG_WARN, LOG_CONSOLE);
    int code = open_source(im, config, options);
    if (code == EX_OK)
        code = import_sink_open(config, &im->sink);
    if (code == EX_OK)
        code = copy_and_compare(im);
    import_sink_close(im->sink);
    redis_client_free(im->source);
    secure_close(&im->secure);
    buf_release(&im->command);
    buf_release(&im->keys);
    buf_release(&im->names);
    buf_release(&im->types);
    buf_release(&im->type);
    free(im->rows);
    free(im);
    return code;
}
