/* redis_pair_stored.c - what Redis has stored is what core/applier has. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/hash.h"
#include "core/inspect.h"
#include "edge/redis_outbox.h"
#include "redis_pair.h"
#include "test.h"

#define EVENTS_MAX 4096

struct stored { /* of one lane, by the applier */
    struct stored_event {
        struct outbox_entry entry;
        struct outbox_event event;
        char id[64];
        char indexes[256];
    } events[EVENTS_MAX];
    size_t count;
    uint32_t lane;
};

static struct stored stored;

const char *pair_key(struct pair *p, uint32_t lane, const char *what) {
    buf_clear(&p->key);
    redis_lane_key(&p->key, &p->layout, lane, what);
    buf_add_char(&p->key, '\0');
    return p->key.ptr;
}

uint32_t pair_lane_of(struct pair *p, const struct op *op) {
    buf_clear(&p->key);
    buf_add_slice(&p->key, op->resource_id);
    buf_add_char(&p->key, '\0');
    buf_add_slice(&p->key, op->counter_type);
    return hash_lane(buf_slice(&p->key), p->conf.lanes);
}

/* ---- events ---- */

static enum err collect(void *ctx, const struct outbox_entry *entry,
                        const struct outbox_event *event) {
    struct stored *to = ctx;
    struct outbox_event indexes = *event;
    uint32_t index;
    int at = 0;

    if (entry->lane != to->lane)
        return ERR_OK;
    assert_true(to->count < EVENTS_MAX);
    struct stored_event *slot = &to->events[to->count++];
    slot->entry = *entry;
    slot->event = *event;
    assert_true(event->id.len < sizeof(slot->id));
    memcpy(slot->id, event->id.ptr, event->id.len);
    slot->id[event->id.len] = '\0';
    slot->id[strlen(slot->id)] = ':'; /* the zero byte between */
    slot->indexes[0] = '\0';
    while (outbox_next_index(&indexes, &index) == ERR_OK)
        at += snprintf(slot->indexes + at, sizeof(slot->indexes) - (size_t)at, at ? ",%u" : "%u",
                       index);
    return ERR_OK;
}

static void compare_event(const struct pair *p, const struct redis_outbox_entry *entry,
                          const struct redis_outbox_event *got, const struct stored_event *want) {
    if (got->seq != want->event.seq || got->kind != want->event.kind ||
        got->delta != want->event.delta || got->old_value != want->event.old_value ||
        got->new_value != want->event.new_value || got->count != want->event.count ||
        !slice_eq(got->id, slice_str(want->id)) ||
        !slice_eq(got->indexes, slice_str(want->indexes)) || entry->et_ms != want->entry.et_ms ||
        entry->number != want->entry.number || entry->first_seq != want->entry.first_seq ||
        entry->last_seq != want->entry.last_seq || entry->epoch != want->entry.epoch)
        fail_msg("seed %" PRIu64 " lane %u: event %" PRIu64 " kind %d %" PRId64 " -> %" PRId64
                 " of %.*s [%.*s], want %" PRIu64 " kind %d %" PRId64 " -> %" PRId64 " of %s [%s]",
                 p->seed, want->entry.lane, got->seq, (int)got->kind, got->old_value,
                 got->new_value, SLICE_ARGS(got->id), SLICE_ARGS(got->indexes), want->event.seq,
                 (int)want->event.kind, want->event.old_value, want->event.new_value, want->id,
                 want->indexes);
}

/* Redis has a SHA-1; its input is what redis_outbox.h promises. */
static void next_chain(struct pair *p, char *chain, const struct redis_outbox_entry *entry,
                       struct slice indexes) {
    char text[4096];
    int len = snprintf(text, sizeof(text), "%s %.*s %" PRIu64 " %.*s", chain,
                       SLICE_ARGS(entry->producer), entry->number, SLICE_ARGS(indexes));
    redisReply *reply = redis_fixture_do(p->client, "EVAL %s 0 %b", "return redis.sha1hex(ARGV[1])",
                                         text, (size_t)len);

    (void)snprintf(chain, 17, "%s", reply->str);
    freeReplyObject(reply);
}

static void compare_entry(struct pair *p, const redisReply *from, size_t *at, char *chain) {
    struct redis_outbox_entry entry;
    struct redis_outbox_event event;
    struct slice fields[16];
    struct buf indexes = {0};
    const redisReply *pairs = from->element[1];
    bool behind_trimmed = *at == 0;
    enum err err;

    assert_in_range(pairs->elements, 1, 16);
    for (size_t i = 0; i < pairs->elements; i++)
        fields[i] = slice_of(pairs->element[i]->str, (size_t)pairs->element[i]->len);
    assert_int_equal(
        redis_outbox_decode(slice_str(from->element[0]->str), fields, pairs->elements, &entry),
        ERR_OK);
    while ((err = redis_outbox_next(&entry, &event)) == ERR_OK) {
        if (*at >= stored.count)
            fail_msg("seed %" PRIu64 " lane %u: too many events", p->seed, stored.lane);
        compare_event(p, &entry, &event, &stored.events[(*at)++]);
        if (indexes.len)
            buf_add_char(&indexes, ',');
        buf_add_slice(&indexes, event.indexes);
    }
    assert_int_equal(err, ERR_NOT_FOUND);
    if (behind_trimmed && entry.first_seq > 1) /* what its chain begins with is gone */
        (void)snprintf(chain, 17, "%.*s", SLICE_ARGS(entry.chain));
    else
        next_chain(p, chain, &entry, buf_slice(&indexes));
    assert_memory_equal(entry.chain.ptr, chain, 16);
    buf_release(&indexes);
}

static void compare_meta(struct pair *p, uint32_t number, const char *chain) {
    struct lane lane;
    redisReply *reply = redis_fixture_do(p->client, "HMGET %s seq et chain forgotten bytes",
                                         pair_key(p, number, "m"));

    assert_int_equal(inspect_lane(p->kv, number, &lane), ERR_OK);
    int64_t forgotten_ms = lane.forgotten_ms == INT64_MIN ? -1 : lane.forgotten_ms;
    if (strtoull(reply->element[0]->str, NULL, 10) != lane.seq ||
        strtoll(reply->element[1]->str, NULL, 10) != lane.last_et_ms ||
        strtoll(reply->element[3]->str, NULL, 10) != forgotten_ms)
        fail_msg("seed %" PRIu64 " lane %u: seq %s et %s forgotten %s, want %" PRIu64 " %" PRId64
                 " %" PRId64,
                 p->seed, number, reply->element[0]->str, reply->element[1]->str,
                 reply->element[3]->str, lane.seq, lane.last_et_ms, forgotten_ms);
    p->trimmed += lane.seq - stored.count;
    if (stored.count || !lane.seq)
        assert_string_equal(reply->element[2]->str, chain);
    /* Full is decided by them. */
    assert_int_equal(strtoll(reply->element[4]->str, NULL, 10) > 0, stored.count > 0);
    freeReplyObject(reply);
}

static void compare_consumers(struct pair *p) {
    for (int i = 0; i < PAIR_CONSUMERS; i++) {
        const struct event_position *at;

        if (!p->joined[i])
            continue;
        assert_int_equal(applier_consumer_add(p->applier, pair_consumers[i], &at), ERR_OK);
        for (uint32_t lane = 0; lane < p->conf.lanes; lane++)
            pair_compare_position(p, i, lane, at[lane]);
    }
}

static void compare_lane(struct pair *p, uint32_t lane) {
    char chain[17] = "0000000000000000";
    size_t at = 0;

    stored.count = 0;
    stored.lane = lane;
    assert_int_equal(inspect_outbox(p->kv, collect, &stored), ERR_OK);
    redisReply *reply = redis_fixture_do(p->client, "XRANGE %s - +", pair_key(p, lane, "o"));
    for (size_t i = 0; i < reply->elements; i++)
        compare_entry(p, reply->element[i], &at, chain);
    freeReplyObject(reply);
    if (at != stored.count)
        fail_msg("seed %" PRIu64 " lane %u: %zu events, want %zu", p->seed, lane, at, stored.count);
    compare_meta(p, lane, chain);
}

static redisReply *get_counter(struct pair *p, const struct inspect_counter *counter) {
    struct op op = {.resource_id = counter->resource_id, .counter_type = counter->counter_type};
    uint32_t lane = pair_lane_of(p, &op);
    struct buf *text = &p->command;

    buf_clear(text);
    redis_counter_id(text, counter->resource_id, counter->counter_type);
    if (!p->layout.tags)
        return redis_fixture_do(p->client, "GET counter:%b", text->ptr, text->len);
    buf_clear(&p->key);
    redis_counter_home(&p->key, &p->layout, lane, buf_slice(text));
    return redis_fixture_do(p->client, "HGET %b %b", p->key.ptr, p->key.len, text->ptr, text->len);
}

static enum err compare_counter(void *ctx, const struct inspect_counter *counter) {
    struct pair *p = ctx;
    redisReply *reply = get_counter(p, counter);

    if (reply->type != REDIS_REPLY_STRING || strtoll(reply->str, NULL, 10) != counter->value)
        fail_msg("seed %" PRIu64 ": a counter is %s, want %" PRId64, p->seed, reply->str,
                 counter->value);
    freeReplyObject(reply);
    p->counters++;
    return ERR_OK;
}

void pair_compare(struct pair *p) {
    for (uint32_t lane = 0; lane < p->conf.lanes; lane++)
        compare_lane(p, lane);
    compare_consumers(p);
    assert_int_equal(inspect_counters(p->kv, compare_counter, p), ERR_OK);
}
