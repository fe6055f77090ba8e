/* welcome.h - what a process says when it serves: where, for whom, and what to try first.
 *
 * Threads    The main thread.
 */
#ifndef CLI_WELCOME_H
#define CLI_WELCOME_H

#include "cli/listen.h"
#include "cli/role.h"
#include "gateway/gateway.h"

struct welcome {
    enum role role;
    struct role_parts parts;
    const struct config *config;
    const struct gateway_backend *backend;
    const struct listen_names *names;
    const char *loop; /* "io_uring" */
    unsigned threads;
    bool https; /* the listeners are under TLS */
    bool grpcs;
};

/* On standard output, ending in "ready", and as a line of the log. */
void welcome_print(const struct welcome *welcome);

#endif
