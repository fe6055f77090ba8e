/* analytics_merge.h - one answer made of the answers of several instances, each of which counts
 * other lanes.
 *
 * Exact where they are: a counter lives in one lane, so its ranking by its own instance is its
 * ranking; each was asked for as many rows as are wanted in the end.
 *
 * Threads    Pure functions, any thread.
 */
#ifndef CORE_ANALYTICS_MERGE_H
#define CORE_ANALYTICS_MERGE_H

#include <stddef.h>

#include "base/attr.h"
#include "core/analytics_ask.h"

/* 'parts' have answers to 'ask', err ERR_OK. Of a ranking each has been asked for all that is
 * wanted, from the same offset on: that of 'ask' where there is one part, else 0 and to the page's
 * end. Fills the ask's answer, as_of_ms and lag. ERR_NO_MEMORY. */
MUST_CHECK enum err analytics_merge(struct analytics_ask *ask, struct analytics_ask *const *parts,
                                    size_t count);

#endif
