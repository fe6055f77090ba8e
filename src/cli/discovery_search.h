/* discovery_search.h - the instances of one service: how they are found, and what is believed of
 * that.
 *
 * Threads    That of discovery.
 * Ownership  Borrows what it is told.
 */
#ifndef CLI_DISCOVERY_SEARCH_H
#define CLI_DISCOVERY_SEARCH_H

#include <stdbool.h>

#include "base/config.h"
#include "base/instance.h"
#include "cli/discovery_self.h"
#include "edge/consul.h"
#include "edge/dns_lookup.h"

struct search {
    const struct config *config; /* these are set, */
    struct consul *consul;
    const struct dns *dns;
    bool on; /* false: nobody is searched for */
    enum discovery_service service;
    bool (*set)(void *fleet, const struct instances *found);
    void *fleet;
    const char *names; /* DNS: "HOST:PORT,…" */
    bool up;           /* DNS: the last look-up succeeded; true at first */

    struct instances found; /* zeroed */
    bool unplaced;          /* not all of them have found a place */
    bool told_empty;
    struct consul_watch watch;
    char path[CONSUL_URL_BYTES];
};

/* What was found last, once more: not all of it has had a place. */
void search_place(struct search *search);

/* In Consul, from now on; until consul_watch_stop(&search->watch). */
void search_watch(struct search *search);

/* By DNS, now; blocks. False: not all names could be looked up, and what was found last stays. */
bool search_look_up(struct search *search);

#endif
