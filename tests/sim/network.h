/* network.h - requests and replies between gateways and the owner as a hostile network would carry
 * single packets: late, lost, doubled, out of order, each for itself. No connection behaves so
 * badly (line.h has those); what holds here holds for any upstream, the one in process included.
 *
 * Every delivery that network_send() took comes back to its gateway exactly
 * once: by the first reply, or by an error when the connection is given up.
 */
#ifndef TESTS_SIM_NETWORK_H
#define TESTS_SIM_NETWORK_H

#include "base/err.h"
#include "base/list.h"
#include "core/batcher.h"
#include "job.h"

struct world;
struct gateway;

/* One delivery's way. Freed when nothing that may still arrive refers to it. */
struct call {
    struct job job;
    struct list node; /* of the gateway, until it came back */
    struct world *world;
    struct gateway *gateway; /* NULL: came back, or the gateway died */
    struct delivery *delivery;
    unsigned gateway_index;
    unsigned refs;
    int64_t sent_ms;
    struct message message; /* a copy: what is on the wire doesn't change */
    struct op ops[];
};

enum err network_send(struct gateway *gateway, struct delivery *delivery);

/* The gateway dies: whatever comes for it is dropped. */
void network_forget(struct call *call);

#endif
