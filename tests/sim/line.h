/* line.h - a gateway's connections to the counters: connect, Hello, messages out, what became of
 * them back (stream.h). In the product: gateway/remote*.c over edge/grpc_channel.h.
 *
 *     DOWN ─► GREETING ─► USABLE
 *               └───────► REFUSED   another store's
 *
 * RULE_SAME_STORE lives here, as in the product's remote.
 *
 * Every delivery that lines_send() took comes back to its gateway exactly once: answered, refused,
 * with its connection, or when its call's deadline has passed.
 */
#ifndef TESTS_SIM_LINE_H
#define TESTS_SIM_LINE_H

#include "conn.h"
#include "core/batcher.h"

struct line {
    struct gateway *gateway;
    unsigned counter;  /* its index, and the peer's */
    struct conn *conn; /* the one for new calls; NULL: DOWN */
    bool connecting;
};

/* A gateway process begins: connects to all. */
void lines_open(struct gateway *gateway);

/* It dies: every delivery that is still out comes back. */
void lines_close(struct gateway *gateway);

/* It is stopped: part of what it has sent may still be in its sockets. */
void lines_pause(struct gateway *gateway, int64_t until_ms);

enum err lines_send(struct gateway *gateway, struct delivery *delivery);

/* As struct upstream has it. */
int64_t lines_wait_until_ms(const struct gateway *gateway);
int64_t lines_lost_ms(struct gateway *gateway, const struct delivery *delivery);

/* A frame arrives at the gateway. */
void line_hear(struct conn *conn, struct frame *frame);

#endif
