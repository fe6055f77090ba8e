/* dns_lookup.h - the instances behind a name, by A, AAAA and SRV records.
 *
 * Blocks, for a bounded time: for a thread that does nothing else. The system's name servers and
 * search list are asked (resolv.conf), or one server; /etc/hosts is not.
 *
 * Threads    Any, each with a struct dns of its own.
 */
#ifndef EDGE_DNS_LOOKUP_H
#define EDGE_DNS_LOOKUP_H

#include <netinet/in.h>
#include <stdbool.h>

#include "base/attr.h"
#include "base/instance.h"
#include "base/slice.h"

struct dns { /* zeroed: the system's servers */
    bool has_server;
    struct sockaddr_in server;
};

/* "dns" or "dns://IPV4:PORT". NULL, or a sentence. */
MUST_CHECK const char *dns_parse(const char *url, struct dns *out);

/* "HOST:PORT": all addresses of the host, weight 1; "_SERVICE._PROTO.DOMAIN": the targets of the
 * SRV records with the lowest priority, by their weights (0 counts as 1). Adds to 'out'. NULL, or a
 * sentence: nothing is said then about who is there. */
MUST_CHECK const char *dns_lookup(const struct dns *dns, struct slice name, struct instances *out);

#endif
