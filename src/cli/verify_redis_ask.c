/* verify_redis_ask.c - one command at a time, to the node that has the key. */
#include <inttypes.h>
#include <sysexits.h>

#include "cli/verify_redis.h"
#include "edge/redis_command.h"

static int lost(struct redis_reading *r, const struct redis_client *client, enum err err) {
    return verify_give_up(r->verify, err == ERR_CORRUPT ? EX_DATAERR : EX_UNAVAILABLE,
                          "%s can't be read: %s", r->verify->store,
                          err == ERR_CORRUPT ? err_text(err) : redis_client_problem(client));
}

int reading_ask(struct redis_reading *r, struct redis_client *client, redis_take_fn take) {
    if (!client)
        return verify_give_up(r->verify, EX_UNAVAILABLE, "%s: a slot has no master",
                              r->verify->store);
    if (buf_failed(&r->command))
        return verify_give_up(r->verify, EX_OSERR, "out of memory");
    enum err err = redis_client_ask(client, buf_slice(&r->command), take, r);
    return err == ERR_OK ? EX_OK : lost(r, client, err);
}

void reading_command(struct redis_reading *r, size_t args, const struct slice *words,
                     size_t count) {
    buf_clear(&r->command);
    redis_command_begin(&r->command, args);
    for (size_t i = 0; i < count; i++)
        redis_command_arg(&r->command, words[i]);
}

void reading_add_number(struct buf *out, uint64_t number) {
    char text[24];

    redis_command_arg(out,
                      slice_of(text, (size_t)snprintf(text, sizeof(text), "%" PRIu64, number)));
}

void reading_add_lane_key(struct redis_reading *r, uint32_t lane, const char *what) {
    buf_clear(&r->scratch);
    redis_lane_key(&r->scratch, &r->layout, lane, what);
    redis_command_arg(&r->command, buf_slice(&r->scratch));
}

struct redis_client *reading_client_of(const struct redis_reading *r, struct slice key) {
    uint16_t node = r->url.is_cluster ? r->map.owner[redis_slot(key)] : 0;

    return node == REDIS_NO_NODE ? NULL : r->nodes[node];
}

struct redis_client *reading_client_of_lane(struct redis_reading *r, uint32_t lane) {
    buf_clear(&r->scratch);
    redis_lane_key(&r->scratch, &r->layout, lane, "m");
    return reading_client_of(r, buf_slice(&r->scratch));
}

bool reading_u64(const struct redis_reply *reply, uint64_t *out) {
    int64_t value;

    if (!redis_reply_i64(reply, &value) || value < 0)
        return false;
    *out = (uint64_t)value;
    return true;
}

bool reading_position(const struct redis_reply *reply, struct event_position *out) {
    return reading_u64(redis_reply_at(reply, 0), &out->epoch) &&
           reading_u64(redis_reply_at(reply, 1), &out->seq);
}
