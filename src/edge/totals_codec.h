/* totals_codec.h - the messages between `verify` and analytics: analytics.internal.Totals.
 *
 * The layout is api/proto/analytics/internal/totals.proto.
 *
 * Threads    Pure functions, any thread.
 * Ownership  What is read points into the message; arrays are made in the buffer given.
 * Errors     ERR_INVALID: not such a message; ERR_NO_MEMORY. Writing grows the buffer: check
 *            buf_failed() at the end.
 */
#ifndef EDGE_TOTALS_CODEC_H
#define EDGE_TOTALS_CODEC_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "core/analytics_ask.h"

#define TOTALS_SERVICE   "analytics.internal.Totals"
#define TOTALS_HOLD_PATH "/" TOTALS_SERVICE "/Hold"
#define TOTALS_GET_PATH  "/" TOTALS_SERVICE "/GetTotals"

void totals_write_hold_answer(struct buf *out, const struct hold_ask *hold);
MUST_CHECK enum err totals_read_hold_answer(struct slice bytes, struct hold_ask *out);

void totals_write_question(struct buf *out, const struct totals_ask *ask);
/* '*out' points into 'items', of struct total. */
MUST_CHECK enum err totals_read_question(struct slice bytes, struct buf *items,
                                         struct totals_ask *out);

void totals_write_answer(struct buf *out, const struct totals_ask *ask);
/* States and values of the totals that were asked for. */
MUST_CHECK enum err totals_read_answer(struct slice bytes, const struct totals_ask *ask);

#endif
