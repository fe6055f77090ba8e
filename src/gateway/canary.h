/* canary.h - which requests go through counters elsewhere, the others counting here: the canary.
 *
 *     header rule fits ──yes──────────────────────────────┐
 *         no └─► a die: under percent ──yes───────────────┴─► gRPC, if any counter can be used
 *                    no └─► direct                                   else direct: a fallback
 *
 * Both ways end in the same store, so a request may take either. Requests that one HTTP/1
 * connection has sent without waiting for answers keep together, so that each reads what those
 * before it have written.
 *
 * Threads    canary_choose() and canary_replied() on a gateway's loop; canary_changed() on one
 *            thread, also while loops run.
 */
#ifndef GATEWAY_CANARY_H
#define GATEWAY_CANARY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/config.h"
#include "base/metrics.h"
#include "edge/http_server.h"

struct canary;

enum canary_arm { CANARY_NONE, CANARY_DIRECT, CANARY_GRPC, CANARY_ARMS };

/* A loop's own. Zeroed, but for 'random'. */
struct canary_view {
    uint64_t random;  /* see random_next() */
    uint64_t changes; /* of the rule that it knows: */
    char name[256];   /* "": there is none */
    char value[256];  /* "": any */
};

/* Before the loops start. NULL when memory runs out. */
struct canary *canary_new(const struct config *config, struct metrics *metrics);
/* NULL is fine. */
void canary_free(struct canary *canary);

/* The rule of the configuration has changed. */
void canary_changed(struct canary *canary, const struct config *config);

/* For a request behind no other one of its connection. 'usable': there is a counter to be asked. */
enum canary_arm canary_choose(struct canary *canary, struct canary_view *view,
                              const struct http1_request *http, bool usable, unsigned shard);

void canary_replied(struct canary *canary, enum canary_arm arm, int status, int64_t duration_us,
                    unsigned shard);

#endif
