/* totals_fields.h - field numbers of api/proto/analytics/internal/totals.proto.
 *
 * Threads    Constants.
 */
#ifndef EDGE_TOTALS_FIELDS_H
#define EDGE_TOTALS_FIELDS_H

enum { HELD_STORE_ID = 1, HELD_NUMBER };
enum { TOTALS_HOLD = 1, TOTALS_MORE, TOTALS_COUNTERS };
enum { COUNTER_ID = 1, COUNTER_TYPE, COUNTER_LANE, COUNTER_EPOCH, COUNTER_SEQ };
enum { ANSWER_TOTALS = 1 };
enum { TOTAL_STATE = 1, TOTAL_VALUE };

#endif
