/* ack.h - mode replicated: an answer is held until the replicas have what it speaks of
 * (RELIABILITY 3.4).
 *
 *     calls of a tick ─► call … call … WAIT    on one connection
 *     replies         ◄─ answers: held   ◄─ how many replicas have it: released, or unknown
 *
 * From Redis 7.2 on WAIT covers what this very connection has written, and nothing else: so every
 * call writes, a duplicate and one that only reads, too, and what they saw can't be lost after it
 * was shown (lua/apply.lua). One WAIT for all calls of a tick. As replies come in order, what is
 * held when a WAIT's reply comes was asked before it, and is what it speaks of.
 *
 * Threads    One owner.
 * Ownership  Links nodes that are embedded in the caller's calls.
 */
#ifndef CORE_ACK_H
#define CORE_ACK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/list.h"

/* Of one connection. */
struct ack {
    unsigned replicas; /* that have to have it; 0: nothing is ever held */
    struct list held;
    bool unwaited; /* calls went out behind the last WAIT */
};

void ack_init(struct ack *ack, unsigned replicas);

/* A call goes out. */
void ack_sent(struct ack *ack);

/* The end of a tick: does a WAIT have to go out behind its calls? */
MUST_CHECK bool ack_due(struct ack *ack);

/* A call's answer has come. True: it is held; false: it may leave. */
MUST_CHECK bool ack_hold(struct ack *ack, struct list *node);

/* 'count' replicas have it, says WAIT: are these enough? Then what is held may leave; otherwise
 * nobody knows what becomes of it, and it is to be repeated under its number. */
MUST_CHECK bool ack_enough(const struct ack *ack, int64_t count);

/* Moves what is held to 'out', which is a list's head: initialised here. */
void ack_take(struct ack *ack, struct list *out);

#endif
