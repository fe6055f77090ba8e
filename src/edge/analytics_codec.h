/* analytics_codec.h - the messages of analytics.AnalyticsService, for both of its sides.
 *
 * The layout is api/proto/analytics/analytics.proto.
 *
 * Threads    Pure functions, any thread.
 * Ownership  What is read of a request points into it; what is read of an answer is copied into the
 *            answer's own buffers.
 * Errors     ERR_INVALID with a sentence that names the field, ERR_NO_MEMORY. Outputs are untouched
 *            on failure, except an answer's, which is to be released. Writing grows the buffer:
 * check buf_failed() at the end.
 */
#ifndef EDGE_ANALYTICS_CODEC_H
#define EDGE_ANALYTICS_CODEC_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "core/analytics_ask.h"
#include "wire/counter_proto.h"

#define ANALYTICS_SERVICE    "analytics.AnalyticsService"
#define ANALYTICS_TOP_PATH   "/" ANALYTICS_SERVICE "/GetTopCounters"
#define ANALYTICS_STATS_PATH "/" ANALYTICS_SERVICE "/GetCounterStats"

/* ---- the answering side ---- */

MUST_CHECK enum err analytics_decode_top(struct slice bytes, struct top_query *out,
                                         struct proto_problem *problem);
/* 'out_metrics' is a set of enum stats_metric. */
MUST_CHECK enum err analytics_decode_stats(struct slice bytes, struct stats_query *out,
                                           unsigned *out_metrics, struct proto_problem *problem);

void analytics_encode_top_answer(struct buf *out, const struct analytics_ask *ask);
void analytics_encode_stats_answer(struct buf *out, const struct analytics_ask *ask,
                                   unsigned metrics);

/* ---- the asking side; every metric is asked for ---- */

void analytics_encode_top(struct buf *out, const struct top_query *query);
void analytics_encode_stats(struct buf *out, const struct stats_query *query);

/* Into the ask's answer, its as_of_ms and its lag. */
MUST_CHECK enum err analytics_decode_top_answer(struct slice bytes, struct analytics_ask *ask);
MUST_CHECK enum err analytics_decode_stats_answer(struct slice bytes, struct analytics_ask *ask);

#endif
