/* stream.h - a gateway's call on a connection, and what the gateway may conclude from its end:
 *
 *     answers                         applied, now or before
 *     the counter's own error, when   not applied
 *      its trailer says so
 *     REFUSED_STREAM, beyond GOAWAY   not applied: HTTP/2 guarantees it
 *     anything else                   nobody knows
 *
 * RULE_PEER_SAID_SO lives here, as in the product's gateway/remote_result.c.
 */
#ifndef TESTS_SIM_STREAM_H
#define TESTS_SIM_STREAM_H

#include "conn.h"
#include "core/batcher.h"

#define HELLO NULL /* a stream without a delivery */

struct stream {
    struct list node; /* of the connection */
    uint64_t id;
    struct delivery *delivery; /* or HELLO */
    int64_t sent_ms;
};

struct stream *stream_open(struct conn *conn, struct delivery *delivery);
/* NULL: it has ended. */
struct stream *stream_find(struct conn *conn, uint64_t id);
/* Ends without telling anybody. */
void stream_close(struct stream *stream);

/* It ends by itself after that, when nothing else has ended it. */
void stream_set_deadline(struct conn *conn, const struct stream *stream, int64_t in_ms);

/* The ends that give the delivery back. 'said': the counter or HTTP/2 says that this attempt has
 * changed nothing. 'is_failure': it couldn't serve. */
void stream_answered(struct conn *conn, struct stream *stream, const struct frame *frame);
void stream_failed(struct conn *conn, struct stream *stream, enum err err, bool said,
                   bool is_failure);
/* All from 'first' on. */
void streams_fail(struct conn *conn, uint64_t first, bool said);
/* The gateway dies. */
void streams_abandon(struct conn *conn);

#endif
