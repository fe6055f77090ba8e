/* listen.h - the listening sockets of a role, opened, inherited or taken over before any thread
 * starts.
 *
 * Each worker has a socket of its own on the public ports: the kernel spreads the connections. The
 * admin listener is the first worker's. Sockets that were another process's may be more than there
 * are workers, or fewer: all of them are served, some by several workers or some workers with
 * several.
 *
 * Threads    The main thread; listen_share() any, before listen_close().
 * Ownership  The sockets stay here, for a process that takes over; workers get descriptors of their
 * own. Errors     Logged, and returned as the process's exit code.
 */
#ifndef CLI_LISTEN_H
#define CLI_LISTEN_H

#include "base/attr.h"
#include "base/config.h"
#include "cli/role.h"

#define LISTEN_NAME_BYTES  64
#define LISTEN_SOCKETS_MAX 256

enum listener_kind { LISTEN_HTTP, LISTEN_GRPC, LISTEN_ADMIN, LISTEN_KINDS };

struct listeners {
    unsigned workers;
    struct listen_sockets {
        int fds[LISTEN_SOCKETS_MAX];
        unsigned count; /* 0: not served */
    } of[LISTEN_KINDS];
    struct listen_names { /* the addresses as bound; "": not served */
        char http[LISTEN_NAME_BYTES];
        char grpc[LISTEN_NAME_BYTES];
        char admin[LISTEN_NAME_BYTES];
    } names;
};

/* "http", "grpc", "admin" */
const char *listen_kind_name(enum listener_kind kind);
/* LISTEN_KINDS: there is none of this name. */
enum listener_kind listen_kind_find(const char *name);

/* Takes over a listening socket of elsewhere. False: there are too many; it is closed. */
MUST_CHECK bool listen_add(struct listeners *listeners, enum listener_kind kind, int fd);

/* Takes over what systemd holds for us (sd_listen_fds(3)), if anything. */
MUST_CHECK int listen_inherit(struct listeners *listeners, struct role_parts parts);

bool listen_any(const struct listeners *listeners);

/* Opens what the role needs and doesn't have; closes what it doesn't need. What is open after a
 * failure is closed by listen_close(). */
MUST_CHECK int listen_open(struct listeners *listeners, const struct config *config,
                           struct role_parts parts, unsigned workers);

/* The nth socket that a worker serves, as a descriptor of its own. -1: there is none, and errno is
 * 0; or descriptors ran out. */
int listen_share(const struct listeners *listeners, enum listener_kind kind, unsigned worker,
                 unsigned nth);

void listen_close(struct listeners *listeners);

#endif
