/* relay.c - a read under way for each lane that may have more, as long as there is room. */
#include "core/relay.h"

#include <stdlib.h>

#define READ_BYTES    (64u << 10)
#define BEHIND_EVENTS 512 /* about what READ_BYTES hold */

struct lane_relay {
    struct feed_read read;
    struct relay *relay;
    struct event_position confirmed;
    struct event_position sent;
    struct relay_slot *first; /* in flight, oldest first */
    struct relay_slot **last;
    bool mine; /* else another instance ships it */
    bool reading;
    bool asleep; /* the last read came back empty */
    bool stopped;
};

struct relay {
    struct feed *feed;
    struct relay_sink sink;
    struct lane_relay *lanes;
    uint32_t count;
    bool running;
    struct relay_slot *slots;
    struct relay_slot *free;
    uint32_t in_flight;
    uint32_t in_flight_max;
    uint32_t lanes_stopped;
    uint64_t shipped_total;
};

struct relay *relay_new(struct feed *feed, const struct relay_sink *sink, uint32_t in_flight_max) {
    struct relay *relay = calloc(1, sizeof(*relay));

    if (!relay)
        return NULL;
    relay->feed = feed;
    relay->sink = *sink;
    relay->in_flight_max = in_flight_max;
    relay->slots = calloc(in_flight_max, sizeof(*relay->slots));
    if (!relay->slots) {
        free(relay);
        return NULL;
    }
    for (uint32_t i = 0; i < in_flight_max; i++) {
        relay->slots[i].next = relay->free;
        relay->free = &relay->slots[i];
    }
    return relay;
}

void relay_free(struct relay *relay) {
    if (!relay)
        return;
    free(relay->lanes);
    free(relay->slots);
    free(relay);
}

/* ---- reading ---- */

static bool has_room(const struct relay *relay) {
    return relay->in_flight <= relay->in_flight_max / 2;
}

static void read_lane(struct lane_relay *lane) {
    lane->reading = true;
    lane->read.after = lane->sent;
    feed_read(lane->relay->feed, &lane->read);
}

void relay_pump(struct relay *relay) {
    if (!relay->running || !has_room(relay))
        return;
    for (uint32_t i = 0; i < relay->count; i++) {
        struct lane_relay *lane = &relay->lanes[i];

        if (lane->mine && !lane->reading && !lane->asleep && !lane->stopped)
            read_lane(lane);
    }
}

static void stop_lane(struct lane_relay *lane, enum err err) {
    struct relay *relay = lane->relay;

    lane->stopped = true;
    relay->lanes_stopped++;
    relay->sink.stopped(relay->sink.ctx, lane->read.lane, lane->sent, err);
}

/* True: it is on its way. */
static bool ship(struct lane_relay *lane, const struct event *event) {
    struct relay *relay = lane->relay;
    struct relay_slot *slot = relay->free;

    if (!slot || !relay->sink.produce(relay->sink.ctx, event, slot))
        return false;
    relay->free = slot->next;
    *slot = (struct relay_slot){.lane = event->lane, .at = event->at, .et_ms = event->et_ms};
    *lane->last = slot;
    lane->last = &slot->next;
    lane->sent = event->at;
    relay->in_flight++;
    return true;
}

static bool at_same(struct event_position a, struct event_position b) {
    return a.epoch == b.epoch && a.seq == b.seq;
}

static void on_read(struct feed_read *read, enum err err, const struct event *events,
                    size_t count) {
    struct lane_relay *lane = CONTAINER_OF(read, struct lane_relay, read);
    struct relay *relay = lane->relay;
    size_t i = 0;

    lane->reading = false;
    /* Asked for before a pause: what is wanted now is something else. */
    if (!relay->running || !lane->mine || !at_same(lane->sent, read->after)) {
        if (relay->running && lane->mine)
            relay->sink.work(relay->sink.ctx);
        return;
    }
    lane->asleep = err == ERR_UNAVAILABLE || (err == ERR_OK && count == 0);
    if (err != ERR_OK && err != ERR_UNAVAILABLE && err != ERR_NO_MEMORY) {
        stop_lane(lane, err);
        return;
    }
    while (i < count && relay->running && ship(lane, &events[i]))
        i++;
    if (!lane->asleep && has_room(relay))
        relay->sink.work(relay->sink.ctx);
}

static void on_more(void *ctx) {
    struct relay *relay = ctx;

    for (uint32_t i = 0; i < relay->count; i++)
        relay->lanes[i].asleep = false;
    if (relay->running)
        relay->sink.work(relay->sink.ctx);
}

static void rise(struct event_position *at, struct event_position to) {
    if (event_position_less(*at, to))
        *at = to;
}

/* What is in flight of a lane that is lost is confirmed as ever: whoever has the lane now may have
 * sent it, too. When the lane comes back, it may have been carried on meanwhile. */
static void on_assigned(void *ctx, uint32_t number, const struct event_position *at) {
    struct relay *relay = ctx;
    struct lane_relay *lane = &relay->lanes[number];

    lane->mine = at != NULL;
    if (!at)
        return;
    rise(&lane->confirmed, *at);
    rise(&lane->sent, *at);
    lane->asleep = false;
    if (relay->running)
        relay->sink.work(relay->sink.ctx);
}

/* ---- the sink ---- */

bool relay_acked(struct relay *relay, struct relay_slot *slot) {
    struct lane_relay *lane = &relay->lanes[slot->lane];

    if (lane->first != slot)
        return false;
    lane->first = slot->next;
    if (!lane->first)
        lane->last = &lane->first;
    rise(&lane->confirmed, slot->at);
    slot->next = relay->free;
    relay->free = slot;
    relay->in_flight--;
    relay->shipped_total++;
    feed_report(relay->feed, slot->lane, lane->confirmed);
    if (relay->running && relay->in_flight == relay->in_flight_max / 2)
        relay->sink.work(relay->sink.ctx);
    return true;
}

static void forget_in_flight(struct relay *relay, struct lane_relay *lane) {
    *lane->last = relay->free;
    relay->free = lane->first;
    lane->first = NULL;
    lane->last = &lane->first;
    lane->sent = lane->confirmed;
    lane->asleep = false;
}

void relay_pause(struct relay *relay) {
    relay->running = false;
    for (uint32_t i = 0; i < relay->count; i++)
        forget_in_flight(relay, &relay->lanes[i]);
    relay->in_flight = 0;
}

void relay_drain(struct relay *relay) {
    relay->running = false;
}

void relay_resume(struct relay *relay) {
    relay->running = true;
    relay->sink.work(relay->sink.ctx);
}

/* ---- open ---- */

static bool make_lanes(struct relay *relay, const struct feed_info *info) {
    relay->lanes = calloc(info->lanes, sizeof(*relay->lanes));
    if (!relay->lanes)
        return false;
    for (uint32_t i = 0; i < info->lanes; i++) {
        struct lane_relay *lane = &relay->lanes[i];

        lane->relay = relay;
        lane->mine = !info->shared;
        lane->read = (struct feed_read){.lane = i, .max_bytes = READ_BYTES, .done = on_read};
        lane->confirmed = lane->sent = info->reported[i];
        lane->last = &lane->first;
    }
    relay->count = info->lanes;
    return true;
}

static void on_opened(void *ctx, enum err err, const struct feed_info *info) {
    struct relay *relay = ctx;

    if (err == ERR_OK && !make_lanes(relay, info))
        err = ERR_NO_MEMORY;
    relay->sink.opened(relay->sink.ctx, err, info);
}

void relay_open(struct relay *relay) {
    struct feed_user user = {
        .ctx = relay, .opened = on_opened, .more = on_more, .assigned = on_assigned};

    feed_open(relay->feed, &user);
}

/* ---- figures ---- */

static uint64_t distance(struct event_position from, struct event_position to) {
    if (!event_position_less(from, to))
        return 0;
    return from.epoch == to.epoch ? to.seq - from.seq : to.seq;
}

bool relay_behind(const struct relay *relay) {
    uint64_t unsent = 0;

    for (uint32_t i = 0; i < relay->count && unsent < BEHIND_EVENTS; i++)
        if (relay->lanes[i].mine && !relay->lanes[i].stopped)
            unsent += distance(relay->lanes[i].sent, feed_end(relay->feed, i));
    return unsent >= BEHIND_EVENTS;
}

void relay_stats(const struct relay *relay, struct relay_stats *out) {
    *out = (struct relay_stats){
        .shipped_total = relay->shipped_total,
        .in_flight = relay->in_flight,
        .oldest_ms = INT64_MAX,
        .lanes_stopped = relay->lanes_stopped,
    };
    for (uint32_t i = 0; i < relay->count; i++) {
        const struct lane_relay *lane = &relay->lanes[i];

        if (lane->mine)
            out->lag_events += distance(lane->confirmed, feed_end(relay->feed, i));
        if (lane->first && lane->first->et_ms < out->oldest_ms)
            out->oldest_ms = lane->first->et_ms;
    }
}
