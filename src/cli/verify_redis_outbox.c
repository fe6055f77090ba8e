/* verify_redis_outbox.c - the lanes' streams, from their first entry on. */
#include <sysexits.h>

#include "cli/verify_redis.h"
#include "edge/redis_command.h"
#include "edge/redis_name.h"
#include "edge/redis_outbox.h"

#define OUTBOX_COUNT  SLICE("200")
#define OUTBOX_FIELDS 32

static enum err take_entry(struct redis_reading *r, const struct redis_reply *reply) {
    const struct redis_reply *list = redis_reply_at(reply, 1);
    struct slice fields[OUTBOX_FIELDS];
    size_t count = redis_reply_count(list);
    struct redis_outbox_entry entry;
    struct redis_outbox_event from;
    struct event event = {.lane = r->lane};

    if (count > ARRAY_LEN(fields))
        return ERR_CORRUPT;
    for (size_t i = 0; i < count; i++)
        fields[i] = redis_reply_text(redis_reply_at(list, i));
    struct slice id = redis_reply_text(redis_reply_at(reply, 0));
    enum err err = redis_outbox_decode(id, fields, count, &entry);
    if (err == ERR_OK)
        (void)snprintf(r->last, sizeof(r->last), "(%.*s", SLICE_ARGS(id));
    while (err == ERR_OK && (err = redis_outbox_next(&entry, &from)) == ERR_OK) {
        event.at = (struct event_position){entry.epoch, from.seq};
        event.kind = from.kind;
        event.delta = from.delta;
        event.new_value = from.new_value;
        event.count = from.count;
        event.et_ms = entry.et_ms;
        err = redis_name_read(from.id, &event.resource_id, &r->type);
        event.counter_type = buf_slice(&r->type);
        if (err == ERR_OK)
            err = r->event(r->event_ctx, &event);
    }
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

static enum err take_entries(void *ctx, const struct redis_reply *reply) {
    struct redis_reading *r = ctx;
    enum err err = ERR_OK;

    r->entries = redis_reply_count(reply);
    for (size_t i = 0; err == ERR_OK && i < r->entries; i++)
        err = take_entry(r, redis_reply_at(reply, i));
    return err;
}

int reading_outbox(struct redis_reading *r, reading_event_fn take, void *ctx) {
    int code = EX_OK;

    r->event = take;
    r->event_ctx = ctx;
    for (r->lane = 0; code == EX_OK && r->lane < r->layout.lanes; r->lane++) {
        struct redis_client *client = reading_client_of_lane(r, r->lane);

        (void)snprintf(r->last, sizeof(r->last), "-");
        do {
            reading_command(r, 6, (const struct slice[]){SLICE("XRANGE")}, 1);
            reading_add_lane_key(r, r->lane, "o");
            redis_command_arg(&r->command, slice_str(r->last));
            redis_command_arg(&r->command, SLICE("+"));
            redis_command_arg(&r->command, SLICE("COUNT"));
            redis_command_arg(&r->command, OUTBOX_COUNT);
            code = reading_ask(r, client, take_entries);
        } while (code == EX_OK && r->entries);
    }
    return code;
}
