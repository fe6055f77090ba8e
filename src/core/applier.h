/* applier.h - the counter core over an embedded store: lanes, dedup windows,
 * idempotency records, the numbered outbox (RELIABILITY 3.1 - 3.5).
 *
 * Messages are applied into a group and the group is committed as one atomic
 * write: counters, dedup, outbox together. Answers are true only after the
 * commit: the owner holds them back until applier_commit() returns ERR_OK.
 *
 *     applier_apply(m1) ─ applier_apply(m2) ─ … ─ applier_commit() ─► answers leave
 *
 * Two clocks, as either alone goes wrong when the machine's wall clock is corrected:
 *
 * the store's clock  counts ages: of messages, of silent producers, of idempotency keys. It runs
 *                    with the monotonic clock, so no step of the wall clock makes a message old or
 *                    young, or a producer forgotten early. At open it starts from the wall clock
 *                    or, when that has gone back, from the latest that is stored: it never goes
 *                    back over a restart, so what is issued by it is never taken for a duplicate
 *                    of what was forgotten before. Producers issue by this clock.
 * the wall clock     gives event times, at once right after a correction; per lane they never go
 *                    back (while the wall clock catches up, a lane's event time stands still).
 *
 * Threads    One owner thread.
 * Ownership  Borrows the kv for its lifetime. Messages are borrowed for the call.
 * Limits     struct applier_conf. Memory: the counter cache, a window of
 *            MESSAGE_WINDOW answers per live producer and lane.
 */
#ifndef CORE_APPLIER_H
#define CORE_APPLIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "core/event.h"
#include "core/kv.h"
#include "core/message.h"

struct applier;

#define APPLIER_MAX_LANES 4096

struct applier_conf {
    uint32_t lanes;     /* 0: what the store has */
    uint32_t new_lanes; /* of a store that is made where 'lanes' is 0; 0: one */
    int64_t key_ttl_ms; /* an idempotency record lives this long, at most twice as long */
    /* Over all lanes. Without consumers trimmed beyond, oldest first; with consumers nothing is
     * written beyond (one message may exceed it). */
    uint64_t outbox_max_bytes;
    int64_t outbox_max_age_ms; /* without consumers trimmed beyond */
    size_t cache_counters;     /* how many counters' values are kept in memory */
    bool coalesce;             /* one event per counter and message where the rules allow */
    uint64_t hash_seed[2];     /* random; for tables that clients can fill */
};

struct applier_time {
    int64_t mono_ms; /* any clock that never goes back while the applier is open */
    int64_t wall_ms; /* since the Unix epoch; may step */
};

struct applier_stats {
    uint32_t lanes;
    uint64_t store_id;     /* random, fixed at first start; part of every event_id */
    uint64_t events_total; /* appended to the outbox since open */
    uint64_t operations_total;
    uint64_t replayed_messages_total;
    uint64_t replayed_keys_total;
    uint64_t trimmed_events_total;
    uint64_t refused_full_total; /* operations, as consumers were behind */
    uint32_t consumers;          /* registered */
    uint64_t outbox_bytes;       /* now */
    size_t cached_counters;      /* now */
    uint64_t cache_misses_total;
    size_t producers; /* live, over all lanes */
};

/* Opens what the store holds, or lays out a new one (committed durably).
 * ERR_LAYOUT   it was made with another number of lanes
 * ERR_NEWER    a later version wrote it
 * ERR_CORRUPT  a record of ours doesn't read
 * '*out_detail' is then a sentence for the operator with both figures; it lives
 * in a static buffer until the next call on this thread. */
MUST_CHECK enum err applier_open(struct kv *kv, const struct applier_conf *conf,
                                 struct applier_time now, struct applier **out,
                                 const char **out_detail);
void applier_close(struct applier *applier);

/* Applies one message into the open group: one answer per operation, in order,
 * valid after the commit. A message that was applied before is answered from the window, however
 * late (reads in it are read again). Per-operation refusals are in the answers; a message refused
 * for its age has ERR_TOO_OLD in all of them (ERR_OUTBOX_FULL in those of its writes when
 * consumers are behind by outbox_max_bytes), one refused for its number in those of the lanes
 * concerned, except that a lane's part without writes is read. ERR_NO_MEMORY: nothing of this
 * message was staged, the group is as before. ERR_IO, ERR_CORRUPT or ERR_NEWER: the store failed;
 * drop the group and stop using the applier. */
MUST_CHECK enum err applier_apply(struct applier *applier, const struct message *message,
                                  struct applier_time now, struct answer *out_answers);

/* Writes the group. ERR_IO: the outcome is unknown and the applier must not be
 * used again: close, reopen, recover. A group that staged nothing costs nothing. */
MUST_CHECK enum err applier_commit(struct applier *applier, bool durable);

/* Housekeeping when due (trim, forget silent producers and old keys): stages into the group a
 * bounded piece of work; cheap when nothing is due. Call before a commit. */
MUST_CHECK enum err applier_tidy(struct applier *applier, struct applier_time now);

/* It has more to do than one call did: call again soon, also without messages. */
bool applier_has_chores(const struct applier *applier);

/* ---- consumers of the outbox; staged, stored by the next commit ---- */

/* Registers the consumer, if it isn't yet: then it begins at the oldest event that is there.
 * '*out_at' are its positions by lane, valid until the next call of these.
 * ERR_INVALID, ERR_BUSY (consumers_add()), ERR_NO_MEMORY. */
MUST_CHECK enum err applier_consumer_add(struct applier *applier, struct slice name,
                                         const struct event_position **out_at);

/* The same without registering it; NULL: it isn't. */
const struct event_position *applier_consumer_at(struct applier *applier, struct slice name);

/* What only it needed may go. Without effect when it isn't registered. */
void applier_consumer_remove(struct applier *applier, struct slice name);

/* It is done with everything up to there; lower than before is ignored. ERR_NOT_FOUND: not
 * registered; ERR_INVALID: beyond the lane's end. */
MUST_CHECK enum err applier_consumer_report(struct applier *applier, struct slice name,
                                            uint32_t lane, struct event_position at);

/* The lane's last event, the open group's included. */
struct event_position applier_lane_end(const struct applier *applier, uint32_t lane);

/* The store's clock, as of the last call with a time. */
int64_t applier_clock_ms(const struct applier *applier);

/* The store's clock minus the monotonic one: fixed while the applier is open. */
int64_t applier_ahead_ms(const struct applier *applier);

void applier_stats(const struct applier *applier, struct applier_stats *out);

#endif
