/* redis_map.h - which node of a Redis Cluster serves which slot, and being sent elsewhere.
 *
 * Threads    One owner.
 * Limits     REDIS_NODES_MAX masters; a Cluster of more doesn't fit.
 */
#ifndef EDGE_REDIS_MAP_H
#define EDGE_REDIS_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "edge/redis_reply.h"
#include "edge/redis_slot.h"
#include "edge/redis_url.h"

#define REDIS_NODES_MAX 128
#define REDIS_NO_NODE   UINT16_MAX

struct redis_map {
    uint16_t owner[REDIS_SLOTS]; /* in 'address'; REDIS_NO_NODE: nobody serves it */
    uint16_t count;
    char address[REDIS_NODES_MAX][REDIS_URL_TEXT_BYTES]; /* "host:port" */
};

/* Nobody serves anything. */
void redis_map_clear(struct redis_map *map);

/* Reads a reply to CLUSTER SLOTS from the node at 'asked', whose host stands for one that the
 * Cluster doesn't know. ERR_CORRUPT: it isn't one; ERR_TOO_LARGE. */
MUST_CHECK enum err redis_map_read(const struct redis_reply *reply, const char *asked,
                                   struct redis_map *out);

/* The number of the node at this address, a new one if need be; REDIS_NO_NODE: too many. */
uint16_t redis_map_node(struct redis_map *map, const char *address);

/* "MOVED 3999 127.0.0.1:6381", "ASK …": where to go with a key of this slot. */
struct redis_redirect {
    bool ask; /* this once, behind ASKING; else from now on */
    uint16_t slot;
    char address[REDIS_URL_TEXT_BYTES];
};

/* False: that is no redirection. 'asked' as above. */
bool redis_redirect_read(struct slice error, const char *asked, struct redis_redirect *out);

#endif
