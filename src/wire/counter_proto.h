/* counter_proto.h - the messages of counter.CounterService, in and out (CONTRACT B).
 *
 * Threads    Pure functions, any thread.
 * Ownership  What is read lives in the arena; nothing points into the message.
 * Errors     Reading answers ERR_INVALID, with a sentence that names the field in
 *            'problem', or ERR_NO_MEMORY past the arena's cap. Outputs are
 *            untouched on failure. Unknown fields are ignored, the last of
 *            duplicates wins, and an empty string is an absent one.
 * Limits     proto_unpack.h's. Writing grows the buffer: check buf_failed() at the end.
 */
#ifndef WIRE_COUNTER_PROTO_H
#define WIRE_COUNTER_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

struct proto_problem {
    char text[200]; /* NUL-terminated; "requests[3].resource_id: must not be empty" */
};

struct proto_item {
    struct slice resource_id;     /* never empty, no NUL, valid UTF-8 */
    struct slice counter_type;    /* likewise */
    struct slice idempotency_key; /* {NULL, 0} when absent, else 1 to 255 bytes likewise */
    int64_t number;               /* increments: the delta, never 0; set: the value; else 0 */
};

/* IncrementRequest, GetCounterRequest, SetCounterRequest, DeleteCounterRequest */
MUST_CHECK enum err proto_read_increment(struct slice message, struct arena *arena,
                                         struct proto_item *out, struct proto_problem *problem);
MUST_CHECK enum err proto_read_get(struct slice message, struct arena *arena,
                                   struct proto_item *out, struct proto_problem *problem);
MUST_CHECK enum err proto_read_set(struct slice message, struct arena *arena,
                                   struct proto_item *out, struct proto_problem *problem);
MUST_CHECK enum err proto_read_delete(struct slice message, struct arena *arena,
                                      struct proto_item *out, struct proto_problem *problem);

/* BatchGetRequest and BatchIncrementRequest; one bad item is an error of the whole. */
MUST_CHECK enum err proto_read_batch_get(struct slice message, struct arena *arena,
                                         size_t max_items, struct proto_item **out_items,
                                         size_t *out_count, struct proto_problem *problem);
MUST_CHECK enum err proto_read_batch_increment(struct slice message, struct arena *arena,
                                               size_t max_items, struct proto_item **out_items,
                                               size_t *out_count, struct proto_problem *problem);

/* One counter's state, for the writers, which take all text as valid UTF-8. */
struct proto_counter {
    struct slice resource_id;
    struct slice counter_type;
    int64_t value;
    int64_t time_s; /* Unix seconds */
    enum err err;   /* for a batch increment's item; then value, time and replayed aren't sent */
    bool replayed;
    bool stale;      /* of a read: it is what it was at as_of_s, */
    int64_t as_of_s; /* which is 0 otherwise */
};

/* IncrementResponse; SetCounterResponse and DeleteCounterResponse are the same bytes. */
void proto_write_increment(struct buf *out, const struct proto_counter *counter);

/* GetCounterResponse */
void proto_write_get(struct buf *out, const struct proto_counter *counter);

/* BatchGetResponse */
void proto_write_batch_get(struct buf *out, const struct proto_counter *counters, size_t count);

/* One more counter of a WatchResponse. WatchRequest is the same bytes as BatchGetRequest. */
void proto_write_watch(struct buf *out, const struct proto_counter *counter);

/* BatchIncrementResponse, a failed item with its err as code and message. */
void proto_write_batch_increment(struct buf *out, const struct proto_counter *counters,
                                 size_t count);

#endif
