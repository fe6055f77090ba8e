/* values_codec.h - a counter's values for an analytics elsewhere: counter.internal.Outbox's Values.
 *
 * The layout is api/proto/counter/internal/outbox.proto, the path in outbox_codec.h.
 *
 * Threads    Pure functions, any thread.
 * Ownership  What is read points into the message; arrays are made in the buffer given.
 * Errors     ERR_INVALID: not such a message; ERR_NO_MEMORY. Writing grows the buffer: check
 *            buf_failed() at the end.
 */
#ifndef EDGE_VALUES_CODEC_H
#define EDGE_VALUES_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

struct values_item {
    struct slice resource_id;
    struct slice counter_type;
    int64_t value;
};

/* ---- ValuesRequest ---- */

struct values_ask {
    uint64_t walk;
    struct slice resource_id; /* of the last one that is known; empty: none */
    struct slice counter_type;
};
void values_write_ask(struct buf *out, const struct values_ask *ask);
MUST_CHECK enum err values_read_ask(struct slice bytes, struct values_ask *out);

/* ---- ValuesResponse: items, then what is said of them ---- */

struct values_page {
    uint64_t store_id;
    uint64_t start;
    bool complete;
    size_t count; /* of struct values_item in the buffer */
};
void values_write_item(struct buf *out, const struct values_item *item);
void values_write_page(struct buf *out, const struct values_page *page);
MUST_CHECK enum err values_read_page(struct slice bytes, struct buf *items,
                                     struct values_page *out);

#endif
