/* relay.h - ships a feed's events to a sink, in order and without a gap (RELIABILITY 3.6).
 *
 * For each lane:
 *
 *     confirmed ──── in flight ────► sent ──── not read yet ────► end
 *         └ reported to the feed        └ where the next read begins
 *
 * An event is confirmed when the sink says so and all before it in its lane are. When the sink
 * fails, everything in flight is shipped again from the confirmed position: duplicates carry
 * their number and are dropped downstream. Nothing is ever skipped: a lane whose next event can't
 * be had stops, and says so.
 *
 * Threads    The feed's loop.
 * Limits     'in_flight_max' events of all lanes between produce() and relay_acked().
 * Order      relay_new() ─ relay_open() ─ opened() ─ { relay_resume() … relay_pause() } ─ the
 *            owner closes the feed ─ relay_free().
 */
#ifndef CORE_RELAY_H
#define CORE_RELAY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "core/feed.h"

struct relay;

/* One event on its way. */
struct relay_slot {
    uint32_t lane;
    struct event_position at;
    int64_t et_ms;
    struct relay_slot *next; /* of the lane, or the free list */
};

struct relay_sink {
    void *ctx;
    /* The feed is open (ERR_OK) or can't be had. */
    void (*opened)(void *ctx, enum err err, const struct feed_info *info);
    /* Takes the event on its way; relay_acked() with 'slot' when it has arrived. False: not now,
     * relay_pump() when there is room. */
    bool (*produce)(void *ctx, const struct event *event, struct relay_slot *slot);
    /* A lane stops behind 'at': ERR_TRIMMED, ERR_INVALID, ERR_CORRUPT, ERR_NEWER, ERR_IO. */
    void (*stopped)(void *ctx, uint32_t lane, struct event_position at, enum err err);
    /* There may be events to read: relay_pump() soon. */
    void (*work)(void *ctx);
};

struct relay_stats {
    uint64_t shipped_total; /* events confirmed */
    uint64_t lag_events;    /* readable and not confirmed, of the lanes that are this relay's */
    uint64_t in_flight;
    int64_t oldest_ms; /* event time of the oldest in flight; INT64_MAX: none */
    uint32_t lanes_stopped;
};

/* NULL when memory runs out. Feed and sink are borrowed. */
struct relay *relay_new(struct feed *feed, const struct relay_sink *sink, uint32_t in_flight_max);

/* The feed must be closed, or never opened. NULL is fine. */
void relay_free(struct relay *relay);

void relay_open(struct relay *relay);

/* The sink is ready for events: ships from the confirmed positions. */
void relay_resume(struct relay *relay);

/* The sink has forgotten what is in flight, or no more shall be read. */
void relay_pause(struct relay *relay);

/* No more is read; what is in flight may still be confirmed. */
void relay_drain(struct relay *relay);

/* Reads where there may be something and room for it. */
void relay_pump(struct relay *relay);

/* As much as a read gives is there already: to wait for more gains nothing. */
bool relay_behind(const struct relay *relay);

/* False: the sink confirmed out of order, as if one before it was lost: pause, and resume with
 * a new sink. */
MUST_CHECK bool relay_acked(struct relay *relay, struct relay_slot *slot);

void relay_stats(const struct relay *relay, struct relay_stats *out);

#endif
