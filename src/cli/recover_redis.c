/* recover_redis.c - a lane's counters as they are, and the one call that changes it. */
#include <inttypes.h>
#include <stdio.h>
#include <sysexits.h>

#include "cli/recover_internal.h"
#include "edge/redis_command.h"
#include "edge/redis_text.h"
#include "wire/counter_json.h"

#define ENTRY_EVENTS 100 /* in one entry of the outbox */

/* ---- counters ---- */

static enum err take_value(void *ctx, const struct redis_reply *reply) {
    struct recover *recover = CONTAINER_OF(ctx, struct recover, redis);
    struct slice text = redis_reply_text(reply);

    recover->there = text.ptr != NULL;
    recover->value = 0;
    if (redis_reply_is_error(reply) || redis_reply_is_array(reply) ||
        (text.ptr && (!redis_take_i64(&text, &recover->value) || text.len)))
        return ERR_CORRUPT;
    return ERR_OK;
}

/* A key, and its field of a hash, "" where it is a string: into 'key' and 'field'. */
static void name_counter(struct recover *recover, uint32_t lane,
                         const struct rewind_counter *counter) {
    struct redis_reading *r = &recover->redis;

    buf_clear(&recover->key);
    buf_clear(&recover->field);
    if (!r->url.is_cluster) {
        redis_counter_key(&recover->key, counter->resource_id, counter->counter_type);
        return;
    }
    redis_counter_id(&recover->field, counter->resource_id, counter->counter_type);
    redis_counter_home(&recover->key, &r->layout, lane, buf_slice(&recover->field));
}

/* What it has now: recover->there, recover->value. */
static int ask_value(struct recover *recover, uint32_t lane, const struct rewind_counter *counter) {
    struct redis_reading *r = &recover->redis;

    name_counter(recover, lane, counter);
    struct slice key = buf_slice(&recover->key);
    struct slice field = buf_slice(&recover->field);
    if (field.len)
        reading_command(r, 3, (const struct slice[]){SLICE("HGET"), key, field}, 3);
    else
        reading_command(r, 2, (const struct slice[]){SLICE("GET"), key}, 2);
    return reading_ask(r, reading_client_of_lane(r, lane), take_value);
}

/* As a JSON string: names hold anything, and a terminal obeys some of it. */
static void tell_counter(struct recover *recover, const struct rewind_counter *counter,
                         int64_t becomes) {
    struct buf text = {0};

    buf_add_str(&text, "  ");
    json_add_string(&text, counter->resource_id);
    buf_add_char(&text, ' ');
    json_add_string(&text, counter->counter_type);
    buf_printf(&text, " %" PRId64 " -> %" PRId64 "\n", recover->value, becomes);
    (void)fwrite(text.ptr, 1, text.len, recover->tool.out);
    buf_release(&text);
}

int recover_look(struct recover *recover, uint32_t lane, bool *out_good) {
    struct rewind_counter counter;
    uint32_t at = 0;
    int code = EX_OK;

    *out_good = true;
    while (code == EX_OK && rewind_next_counter(recover->rewind, lane, &at, &counter)) {
        int64_t becomes = 0;

        code = ask_value(recover, lane, &counter);
        if (code == EX_OK &&
            rewind_value(recover->rewind, counter.number, recover->value, &becomes) != ERR_OK)
            *out_good = false;
        else if (code == EX_OK && recover->tool.options->given[TOOL_FLAG_EACH])
            tell_counter(recover, &counter, becomes);
        recover->changed++;
    }
    return code;
}

/* ---- the call ---- */

/* KEYS and ARGV are made by turns, and joined. */
struct call {
    struct buf keys;
    size_t keys_count;
    struct buf counters;
    size_t counters_count;
    struct buf entries;
    size_t entries_count;
};

static void release(struct call *call) {
    buf_release(&call->keys);
    buf_release(&call->counters);
    buf_release(&call->entries);
}

static void add_number(struct buf *out, int64_t number) {
    char text[24];

    redis_command_arg(out,
                      slice_of(text, (size_t)snprintf(text, sizeof(text), "%" PRId64, number)));
}

static void add_lane_key(struct recover *recover, uint32_t lane, const char *what,
                         struct call *call) {
    buf_clear(&recover->key);
    redis_lane_key(&recover->key, &recover->redis.layout, lane, what);
    redis_command_arg(&call->keys, buf_slice(&recover->key));
    call->keys_count++;
}

static void add_keys(struct recover *recover, uint32_t lane, struct call *call) {
    add_lane_key(recover, lane, "m", call);
    add_lane_key(recover, lane, "o", call);
    if (recover->redis.url.is_cluster) {
        add_lane_key(recover, lane, "m", call); /* has the clock as well */
        return;
    }
    redis_command_arg(&call->keys, SLICE("hgp:meta"));
    call->keys_count++;
}

static int add_counters(struct recover *recover, uint32_t lane, struct call *call) {
    struct rewind_counter counter;
    uint32_t at = 0;
    int code = EX_OK;

    while (code == EX_OK && rewind_next_counter(recover->rewind, lane, &at, &counter)) {
        int64_t becomes = 0;

        code = ask_value(recover, lane, &counter);
        if (code != EX_OK)
            return code;
        if (rewind_value(recover->rewind, counter.number, recover->value, &becomes) != ERR_OK)
            return verify_give_up(&recover->tool, EX_DATAERR,
                                  "lane %" PRIu32 " was changed meanwhile", lane);
        redis_command_arg(&call->keys, buf_slice(&recover->key));
        redis_command_arg(&call->counters, buf_slice(&recover->field));
        if (recover->there)
            add_number(&call->counters, recover->value);
        else
            redis_command_arg(&call->counters, SLICE(""));
        add_number(&call->counters, becomes);
        call->keys_count++;
        call->counters_count++;
    }
    return code;
}

/* As lua/apply.lua writes it (redis_outbox.h). Which operations of which message it was isn't kept.
 */
static void add_event(struct buf *out, const struct event *event) {
    static const char letters[] = {[OP_ADD] = 'a', [OP_SET] = 's', [OP_RESET] = 'r'};
    int64_t before = (int64_t)((uint64_t)event->new_value - (uint64_t)event->delta);

    buf_printf(out, "%c%" PRId64 " %" PRId64 " ", letters[event->kind],
               event->kind == OP_ADD ? event->delta : before, event->new_value);
    for (uint64_t i = 0; i < event->count; i++)
        buf_printf(out, i ? ",%" PRIu64 : "%" PRIu64, i);
    buf_add_char(out, ' ');
    redis_counter_id(out, event->resource_id, event->counter_type);
    buf_add_char(out, '\0');
}

/* Events of one time each. */
static void add_entries(struct recover *recover, uint32_t lane, uint64_t count, struct call *call) {
    uint64_t n = 1;

    while (n <= count) {
        struct event event;
        uint64_t in_entry = 0;
        int64_t et_ms = 0;

        buf_clear(&recover->key);
        for (; n + in_entry <= count && in_entry < ENTRY_EVENTS; in_entry++) {
            rewind_event(recover->rewind, lane, n + in_entry, &event);
            if (in_entry && event.et_ms != et_ms)
                break;
            et_ms = event.et_ms;
            add_event(&recover->key, &event);
        }
        n += in_entry;
        add_number(&call->entries, (int64_t)n - 1);
        add_number(&call->entries, et_ms);
        add_number(&call->entries, (int64_t)in_entry);
        redis_command_arg(&call->entries, buf_slice(&recover->key));
        call->entries_count++;
    }
}

static void join(struct recover *recover, const struct rewind_lane *lane, const struct call *call) {
    struct buf *out = &recover->redis.command;

    buf_clear(out);
    redis_command_begin(out, 3 + call->keys_count + 7 + 3 * call->counters_count +
                                 4 * call->entries_count);
    redis_command_arg(out, SLICE("EVALSHA"));
    redis_command_arg(out, slice_str(redis_script_recover.sha1));
    add_number(out, (int64_t)call->keys_count);
    buf_add_slice(out, buf_slice(&call->keys));
    add_number(out, (int64_t)lane->store.epoch);
    add_number(out, (int64_t)lane->store.seq);
    add_number(out, (int64_t)lane->shared.seq);
    add_number(out, (int64_t)lane->epoch);
    add_number(out, (int64_t)lane->again);
    add_number(out, lane->et_ms);
    add_number(out, (int64_t)call->counters_count);
    buf_add_slice(out, buf_slice(&call->counters));
    buf_add_slice(out, buf_slice(&call->entries));
    out->failed |= buf_failed(&call->keys) || buf_failed(&call->counters) ||
                   buf_failed(&call->entries) || buf_failed(&recover->key) ||
                   buf_failed(&recover->field);
}

static enum err take_done(void *ctx, const struct redis_reply *reply) {
    int64_t done;

    (void)ctx;
    return redis_reply_i64(reply, &done) ? ERR_OK : ERR_CORRUPT;
}

int recover_lane(struct recover *recover, uint32_t number) {
    struct rewind_lane lane;
    struct call call = {0};

    rewind_lane(recover->rewind, number, &lane);
    add_keys(recover, number, &call);
    int code = add_counters(recover, number, &call);
    if (code == EX_OK) {
        struct redis_client *client = reading_client_of_lane(&recover->redis, number);

        add_entries(recover, number, lane.again, &call);
        join(recover, &lane, &call);
        code = reading_ask(&recover->redis, client, take_done);
    }
    release(&call);
    return code;
}
