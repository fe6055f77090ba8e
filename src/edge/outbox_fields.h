/* outbox_fields.h - field numbers of api/proto/counter/internal/outbox.proto.
 *
 * Threads    Constants.
 */
#ifndef EDGE_OUTBOX_FIELDS_H
#define EDGE_OUTBOX_FIELDS_H

enum { POSITION_LANE = 1, POSITION_EPOCH, POSITION_SEQ };
enum { REQUEST_OPEN = 1, REQUEST_READ, REQUEST_REPORTED };
enum { ANSWER_OPENED = 1, ANSWER_EVENTS, ANSWER_MORE };
enum { OPENED_STORE_ID = 1, OPENED_REPORTED };
enum { EVENTS_END = 1, EVENTS_ERROR, EVENTS_EVENTS };
enum {
    EVENT_EPOCH = 1,
    EVENT_SEQ,
    EVENT_KIND,
    EVENT_ID,
    EVENT_TYPE,
    EVENT_DELTA,
    EVENT_NEW_VALUE,
    EVENT_COUNT,
    EVENT_TIME_MS
};

#endif
