/* store_reading.c - as `verify` reads it. */
#include "cli/store_reading.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/log.h"
#include "cli/store_url.h"
#include "cli/verify_redis.h"
#include "edge/redis_command.h"
#include "edge/redis_text.h"

#define PATIENCE_MS 10000

struct look {
    struct verify verify;
    struct redis_reading reading;
    struct tool_options options;
    char said[512]; /* what went wrong */
    store_reading_fn take;
    void *ctx;
    enum err err; /* what 'take' said */
    const char *consumer;
    struct event_position *out_at;
};

static int open_look(struct look *look, const struct store *store) {
    struct verify *verify = &look->verify;

    verify->config = store->config;
    look->options.tool = TOOL_RECOUNT;
    verify->options = &look->options;
    verify->wait_ms = PATIENCE_MS;
    verify->err = fmemopen(look->said, sizeof(look->said), "w");
    if (!verify->err)
        return EX_OSERR;
    store_name(store->config, verify->store, sizeof(verify->store));
    look->reading.verify = verify;
    look->reading.scripts = &reading_scripts;
    look->reading.tls = store->redis_tls;
    return reading_open(&look->reading);
}

static enum err failed(struct look *look, int code) {
    (void)fflush(look->verify.err);
    look->said[strcspn(look->said, "\n")] = '\0';
    log_line(LOG_ERROR, "the store can't be read beside those that count in it",
             LOG_STR("detail", look->said));
    return code == EX_OSERR ? ERR_NO_MEMORY : code == EX_DATAERR ? ERR_CORRUPT : ERR_UNREACHABLE;
}

/* 'code' of what was done behind open_look(). */
static enum err close_look(struct look *look, int code) {
    enum err err = look->err;

    if (err == ERR_OK && code != EX_OK)
        err = failed(look, code);
    reading_close(&look->reading);
    if (look->verify.err)
        (void)fclose(look->verify.err);
    free(look);
    return err;
}

/* ---- counters ---- */

static enum err take_counter(void *ctx, struct slice resource_id, struct slice counter_type,
                             int64_t value) {
    struct look *look = ctx;

    look->err = look->take(look->ctx, resource_id, counter_type, value);
    return look->err;
}

enum err store_reading_counters(const struct store *store, store_reading_fn take, void *ctx) {
    struct look *look = calloc(1, sizeof(*look));

    if (!look)
        return ERR_NO_MEMORY;
    look->take = take;
    look->ctx = ctx;
    look->verify.take = take_counter;
    look->verify.take_ctx = look;
    int code = open_look(look, store);
    if (code == EX_OK)
        code = reading_scan(&look->reading);
    if (code == EX_OK && look->reading.url.is_cluster)
        code = reading_check_map(&look->reading);
    return close_look(look, code);
}

/* ---- a consumer ---- */

/* "<epoch> <number>", as lua/consumer.lua wrote it. */
static enum err take_position(void *ctx, const struct redis_reply *reply) {
    struct look *look = CONTAINER_OF(ctx, struct look, reading);
    struct slice text = redis_reply_text(reply);
    int64_t epoch;
    int64_t seq;

    if (!text.ptr) {
        look->err = ERR_NOT_FOUND;
        return ERR_OK;
    }
    if (!redis_take_i64(&text, &epoch) || text.len < 2 || text.ptr[0] != ' ')
        return ERR_CORRUPT;
    text = slice_skip(text, 1);
    if (!redis_take_i64(&text, &seq) || text.len)
        return ERR_CORRUPT;
    look->out_at[look->reading.lane] = (struct event_position){(uint64_t)epoch, (uint64_t)seq};
    return ERR_OK;
}

static int ask_position(struct look *look, uint32_t lane) {
    struct redis_reading *r = &look->reading;
    char field[64];

    (void)snprintf(field, sizeof(field), "c:%s", look->consumer);
    struct redis_client *client = reading_client_of_lane(r, lane);
    r->lane = lane;
    reading_command(r, 3, (const struct slice[]){SLICE("HGET")}, 1);
    reading_add_lane_key(r, lane, "m");
    redis_command_arg(&r->command, slice_str(field));
    return reading_ask(r, client, take_position);
}

enum err store_reading_consumer(const struct store *store, const char *consumer,
                                struct event_position *out_at, uint32_t lanes) {
    struct look *look = calloc(1, sizeof(*look));

    if (!look)
        return ERR_NO_MEMORY;
    look->consumer = consumer;
    look->out_at = out_at;
    int code = open_look(look, store);
    if (code == EX_OK && look->reading.layout.lanes != lanes)
        look->err = ERR_LAYOUT;
    for (uint32_t i = 0; code == EX_OK && look->err == ERR_OK && i < lanes; i++)
        code = ask_position(look, i);
    return close_look(look, code);
}
