/* counter.h - a counter process: takes connections, hands messages to the store's owner, and is
 * killed, drained and restarted.
 *
 * With an embedded store process and owner are one and die together. Over a shared store (Redis)
 * there are two of them, without any state of their own: a message may come by either, and one
 * dying leaves the store alone. The last one of a run may have another store: it greets, and
 * would count.
 */
#ifndef TESTS_SIM_COUNTER_H
#define TESTS_SIM_COUNTER_H

#include "conn.h"

#define SIM_STORE_ID UINT64_C(0x5109)

struct counter {
    struct world *world;
    unsigned index;
    unsigned incarnation;
    bool running;
    bool draining;
    bool foreign;
    struct list conns;
};

struct counter *counter_new(struct world *world, unsigned index, bool foreign);
void counter_free(struct counter *counter);

bool counter_accepts(const struct counter *counter);

/* A frame arrives. */
void counter_receive(struct conn *conn, const struct frame *frame);

/* Killed; comes back by itself. */
void counter_kill(struct counter *counter);

/* GOAWAY in two steps, then the end (RELIABILITY 2, row 23); comes back by itself. */
void counter_drain(struct counter *counter);

/* The owner has died, alone or ('power') with its machine, and is back. */
void counters_store_died(struct world *world, bool power);
void counters_store_back(struct world *world);

#endif
