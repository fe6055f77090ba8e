/* inspect.h - reads a store as it is, for checkers, tests and tools; changes nothing.
 *
 * Committed state only. A callback that returns anything but ERR_OK ends the
 * walk, which then returns that.
 *
 * Threads    The kv's owner.
 * Ownership  What a callback is given lives until it returns.
 */
#ifndef CORE_INSPECT_H
#define CORE_INSPECT_H

#include "core/kv.h"
#include "core/lane.h"
#include "core/layout.h"
#include "core/outbox.h"

/* Every event of every lane, by lane, epoch and seq. 'entry' is what it came in. */
typedef enum err (*inspect_event_fn)(void *ctx, const struct outbox_entry *entry,
                                     const struct outbox_event *event);
MUST_CHECK enum err inspect_outbox(struct kv *kv, inspect_event_fn fn, void *ctx);

/* Every counter, in order of its id. */
struct inspect_counter {
    struct slice id; /* resource_id, a zero byte, counter_type */
    struct slice resource_id;
    struct slice counter_type;
    int64_t value;
    int64_t time_ms;
};
typedef enum err (*inspect_counter_fn)(void *ctx, const struct inspect_counter *counter);
MUST_CHECK enum err inspect_counters(struct kv *kv, inspect_counter_fn fn, void *ctx);

/* Those whose id isn't less than 'from'. */
MUST_CHECK enum err inspect_counters_from(struct kv *kv, struct slice from, inspect_counter_fn fn,
                                          void *ctx);

/* ERR_NOT_FOUND: not laid out; ERR_CORRUPT, ERR_NEWER. */
MUST_CHECK enum err inspect_layout(struct kv *kv, struct layout *out);
MUST_CHECK enum err inspect_lane(struct kv *kv, uint32_t number, struct lane *out);

#endif
