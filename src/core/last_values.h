/* last_values.h - what counters were last known to be, for when nobody can be asked.
 *
 *     young ─ full ─► old ─ next time ─► forgotten
 *       ▲──── put again ──┘
 *
 * Threads    One owner (a loop).
 * Ownership  Names are copied.
 * Limits     'bytes_max' of memory, names included; what isn't put again while half of that fills
 *            is forgotten. Allocates only until that much is there.
 * Time       now_ms is monotonic.
 */
#ifndef CORE_LAST_VALUES_H
#define CORE_LAST_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"

struct last_values;

struct last_value {
    int64_t value;
    int64_t time_ms; /* of its last change, by the store's clock; 0: never */
    int64_t at_ms;   /* when it was so (now_ms) */
};

/* NULL when memory runs out. 'seed' is random. */
struct last_values *last_values_new(size_t bytes_max, const uint64_t seed[2]);
/* NULL is fine. */
void last_values_free(struct last_values *last);

/* A value from before a change that is known already is no news. Forgotten when memory runs out. */
void last_values_put(struct last_values *last, struct slice resource_id, struct slice counter_type,
                     const struct last_value *value);

/* false: it isn't known, or only from more than 'max_age_ms' ago. */
MUST_CHECK bool last_values_find(struct last_values *last, struct slice resource_id,
                                 struct slice counter_type, int64_t now_ms, int64_t max_age_ms,
                                 struct last_value *out);

/* Memory in use. */
size_t last_values_bytes(const struct last_values *last);

#endif
