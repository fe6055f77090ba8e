/* discovery.h - who is there, and telling others that we are: a thread beside the loops.
 *
 *     check ─► start ─► join (once we serve) ─► leave (first thing of the end) ─► stop
 *
 * consul   Blocking queries tell a gateway's fleets who its counters and analytics are; the process
 * registers itself, and again where the agent has forgotten it. Another one watches the
 *          configuration.
 * dns      The names of --counter and --analytics are looked up again and again.
 * static   There is no thread.
 *
 * What was found last stays true for as long as nobody says otherwise, and an answer without any
 * instance doesn't say it: whom we know may still be there, and if not, a connection finds out.
 *
 * Threads    All by the main thread.
 */
#ifndef CLI_DISCOVERY_H
#define CLI_DISCOVERY_H

#include "base/attr.h"
#include "base/config.h"
#include "base/metrics.h"
#include "cli/listen.h"
#include "cli/role.h"
#include "gateway/analytics_remote.h"
#include "gateway/remote.h"

struct discovery;

struct discovery_conf {
    const struct config *config;
    const char *version;
    struct remote_fleet *fleet;        /* whose counters are to be found; NULL: nobody's */
    struct analytics_fleet *analytics; /* likewise, whose analytics */
    const char *kv;                    /* the key of the configuration in Consul; borrowed */
    /* What that key has now, on the thread of discovery; {NULL, 0}: nothing. */
    void (*configured)(void *ctx, struct slice text);
    void *ctx;
    struct metrics *metrics;
    unsigned shard;
};

/* What config.c can't know: names, addresses, and what goes with what. */
void discovery_check(const struct config *config, struct config_problems *problems);

/* EX_OK, also with '*out' NULL: nothing is to be done; or the process's exit code. */
MUST_CHECK int discovery_start(const struct discovery_conf *conf, struct discovery **out);

/* We serve here: from now on others may find us. 'up': the store can be used. NULL is fine. */
void discovery_join(struct discovery *discovery, enum role role, struct role_parts parts,
                    const struct listen_names *names, bool up);

/* Leaves Consul, for at most two seconds. True: others had found us; false: nobody has. NULL is
 * fine. */
bool discovery_leave(struct discovery *discovery);

/* Before the fleet goes. NULL is fine. */
void discovery_stop(struct discovery *discovery);

#endif
