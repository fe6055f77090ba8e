/* gateway.h - one gateway loop: its batcher, its turns, its pauses and restarts. */
#ifndef TESTS_SIM_GATEWAY_H
#define TESTS_SIM_GATEWAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "core/batcher.h"
#include "core/peers.h"
#include "history.h"
#include "line.h"

struct world;

#define COUNTERS_MAX 3

struct gateway {
    struct world *world;
    unsigned index;
    unsigned incarnation;
    struct upstream upstream;
    struct batcher *batcher; /* NULL: not running */
    struct producer_id producer;
    int64_t paused_until_ms;
    int64_t store_ahead_ms; /* the store's clock minus ours, as best known */
    bool clock_known;       /* at all: before that nothing may be sent */
    int64_t wake_ms;
    struct list calls;               /* profile without split: network.h */
    struct peers peers;              /* with it: the counters, */
    struct line lines[COUNTERS_MAX]; /* the way to each, */
    int64_t lost_ms;                 /* when the last usable one went */
    struct list conns;               /* all connections, those that drain included */
    const struct facts *facts;       /* of the reply being handed over */
    bool dying; /* clients see their connection break, whatever the batcher says */
};

struct gateway *gateway_new(struct world *world, unsigned index);
void gateway_free(struct gateway *gateway);

/* Takes the operation now. ERR_UNAVAILABLE: not running. ERR_UNREACHABLE: no counter so far. */
enum err gateway_add(struct gateway *gateway, const struct op *op, struct waiter *waiter);

void gateway_delivered(struct gateway *gateway, struct delivery *delivery, int64_t sent_ms,
                       const struct facts *facts);

/* A turn now or a moment later. */
void gateway_turn_soon(struct gateway *gateway);

/* The store read its clock somewhere between our sending and hearing. */
void gateway_learn_clock(struct gateway *gateway, int64_t store_now_ms, int64_t sent_ms);

/* Runs nothing until then. */
void gateway_pause(struct gateway *gateway, int64_t until_ms);

/* Dies with everything it had in hand; comes back as a new producer. */
void gateway_restart(struct gateway *gateway, int64_t back_ms);

#endif
