/* secure.h - the TLS of a process's listeners and connections, as its configuration wants it.
 *
 * Threads    The main thread; the contexts themselves are for all loops.
 * Ownership  Outlives every connection.
 */
#ifndef CLI_SECURE_H
#define CLI_SECURE_H

#include "base/attr.h"
#include "base/config.h"

struct tls;

/* NULL: plain. */
struct secure {
    struct tls *http;     /* the listener for HTTP clients */
    struct tls *grpc;     /* the listener of the role counter */
    struct tls *upstream; /* a gateway's connections to counters */
    struct tls *redis;    /* connections to a Redis */
};

/* Which of them a role has. */
enum { SECURE_HTTP = 1, SECURE_GRPC = 2, SECURE_UPSTREAM = 4, SECURE_REDIS = 8 };

/* Reads the files and logs what they are. NULL, or a sentence that names what can't be used; it
 * lives until the next call. */
MUST_CHECK const char *secure_open(struct secure *secure, const struct config *config,
                                   unsigned which);
void secure_close(struct secure *secure);

/* Reads them again, and logs what came of it: a file that can't be used changes nothing. */
void secure_reload(struct secure *secure);

#endif
