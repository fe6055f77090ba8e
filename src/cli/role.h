/* role.h - what a process can be, and what follows from it.
 *
 * Threads    Any.
 */
#ifndef CLI_ROLE_H
#define CLI_ROLE_H

#include <stdbool.h>

#include "base/config.h"

enum role {
    ROLE_ALL,       /* HTTP gateway and counter core */
    ROLE_GATEWAY,   /* the HTTP gateway, in front of counters */
    ROLE_COUNTER,   /* the counter core, over gRPC */
    ROLE_ANALYTICS, /* rankings and series of a counter's events, over gRPC */
    ROLES
};

const char *role_name(enum role role);

/* One sentence. */
const char *role_about(enum role role);

/* ROLES: there is none of that name. */
enum role role_find(const char *name);

/* "all, gateway, counter or analytics" */
const char *role_names(void);

/* Sets what this role does by default unlike the others. */
void role_defaults(enum role role, struct config *cfg, struct config_problems *problems);

/* Does the role read this key at all? A gateway with upstream direct reads what `all` reads. */
bool role_uses(enum role role, enum config_key key);

/* Is a value set for this key, be it the default's, more than none? Then a file of defaults must
 * leave it out. */
bool role_leaves_out(enum role role, enum config_key key);

/* What a process of this role, configured so, is made of. */
struct role_parts {
    bool http;     /* the public HTTP API */
    bool grpc;     /* the public gRPC API */
    bool core;     /* the counter core with its store, */
    bool counters; /* or the way to counters elsewhere; with upstream canary both */
};
struct role_parts role_parts(enum role role, const struct config *config);

#endif
