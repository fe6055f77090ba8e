/* redis_tidy.c - a call of lua/tidy.lua, and what it said: the same from every loop, for every kind
 * of Redis. */
#include <inttypes.h>
#include <stdio.h>

#include "base/log.h"
#include "core/outbox_alarm.h"
#include "counter/redis_internal.h"
#include "edge/redis_command.h"

#define REPLY_FIELDS 5

void redis_add_number(struct buf *out, int64_t number) {
    char text[32];
    int len = snprintf(text, sizeof(text), "%" PRId64, number);

    redis_command_arg(out, slice_of(text, (size_t)len));
}

void redis_lane_script(const struct redis_layout *layout, uint32_t lane,
                       const struct redis_script *script, const char *keys, size_t args,
                       struct buf *out) {
    size_t count = layout->tags ? strlen(keys) : 0; /* else none has to be declared */
    struct buf key = {0};

    buf_clear(out);
    redis_command_begin(out, 3 + count + 2 + args);
    redis_command_arg(out, SLICE("EVALSHA"));
    redis_command_arg(out, slice_str(script->sha1));
    redis_add_number(out, (int64_t)count);
    for (size_t i = 0; i < count; i++) {
        const char what[2] = {keys[i], '\0'};

        buf_clear(&key);
        redis_lane_key(&key, layout, lane, what);
        redis_command_arg(out, buf_slice(&key));
    }
    if (layout->tags)
        redis_command_arg(out, slice_str(layout->tags[lane].text));
    else
        redis_add_number(out, lane);
    redis_add_number(out, (int64_t)layout->epochs[lane]);
    out->failed |= buf_failed(&key);
    buf_release(&key);
}

void redis_tidy_command(const struct redis_fleet *fleet, uint32_t lane,
                        const struct redis_report *report, struct buf *out) {
    redis_lane_script(&fleet->layout, lane, &redis_script_tidy, "mwo", report ? 5 : 2, out);
    redis_add_number(out, (int64_t)fleet->layout.outbox_max_bytes);
    redis_add_number(out, fleet->conf.outbox_max_age_ms);
    if (!report)
        return;
    redis_command_arg(out, slice_str(report->consumer));
    redis_add_number(out, (int64_t)report->at.epoch);
    redis_add_number(out, (int64_t)report->at.seq);
}

/* ---- what it said ---- */

static void warn_early(struct redis_fleet *fleet, unsigned shard, uint32_t lane, uint64_t bytes,
                       uint64_t consumers) {
    uint64_t max_bytes = fleet->layout.outbox_max_bytes;
    bool was = atomic_load(&fleet->filling[lane]);
    bool filling = outbox_filling(was, consumers, bytes, max_bytes);

    if (filling == was || !atomic_compare_exchange_strong(&fleet->filling[lane], &was, filling))
        return;
    metrics_add(fleet->conf.metrics, shard, fleet->series.filling, filling ? 1 : -UINT64_C(1));
    log_line(filling ? LOG_WARN : LOG_INFO,
             filling ? "a lane's outbox fills up: consumers are behind; at its share of "
                       "outbox.max_bytes its writes will be refused"
                     : "a lane's outbox has room again",
             LOG_INT("lane", lane), LOG_INT("bytes", bytes), LOG_INT("max_bytes", max_bytes));
}

/* Counters of all shards together are the whole: each adds what it has learnt anew. */
static void count(struct redis_fleet *fleet, unsigned shard, uint32_t lane, const int64_t *said) {
    struct metrics *m = fleet->conf.metrics;
    uint64_t bytes = (uint64_t)said[1];
    uint64_t consumers = (uint64_t)said[4];

    metrics_add(m, shard, fleet->series.trimmed, (uint64_t)said[0]);
    metrics_add(m, shard, fleet->series.outbox_bytes,
                bytes - atomic_exchange(&fleet->outbox_bytes[lane], bytes));
    metrics_add(m, shard, fleet->series.consumers,
                consumers - atomic_exchange(&fleet->consumers, consumers));
}

bool redis_tidy_heard(struct redis_fleet *fleet, unsigned shard, uint32_t lane,
                      const struct redis_outcome *outcome, bool *out_more) {
    int64_t said[REPLY_FIELDS];

    *out_more = false;
    if (outcome->err != ERR_OK || redis_reply_count(outcome->reply) != REPLY_FIELDS)
        return false;
    for (size_t i = 0; i < REPLY_FIELDS; i++) {
        if (!redis_reply_i64(redis_reply_at(outcome->reply, i), &said[i]) || said[i] < 0)
            return false;
    }
    count(fleet, shard, lane, said);
    warn_early(fleet, shard, lane, (uint64_t)said[1], (uint64_t)said[4]);
    *out_more = said[3] != 0;
    return true;
}
