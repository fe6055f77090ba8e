/* listen.h - the sockets of a role, opened before any thread starts.
 *
 * Each worker has a socket of its own on the public ports: the kernel spreads the connections. The
 * admin listener is the first worker's.
 *
 * Threads    The main thread.
 * Ownership  Sockets go into the workers, which take them over when they start.
 * Errors     Logged, and returned as the process's exit code.
 */
#ifndef CLI_LISTEN_H
#define CLI_LISTEN_H

#include "cli/role.h"
#include "cli/worker.h"

#define LISTEN_NAME_BYTES 64

/* The addresses as bound; "": not served. */
struct listen_names {
    char http[LISTEN_NAME_BYTES];
    char grpc[LISTEN_NAME_BYTES];
    char admin[LISTEN_NAME_BYTES];
};

/* What is open after a failure is closed by listen_close(). */
MUST_CHECK int listen_open(const struct config *config, struct role_parts parts,
                           struct worker *workers, unsigned count, struct listen_names *out);

/* Of the workers that never started. */
void listen_close(struct worker *workers, unsigned count);

#endif
