/* network.h - addresses of peers, and lists of networks such as "10.0.0.0/8,::1".
 *
 * An address is an IPv6 one; an IPv4 address is its mapped form (::ffff:a.b.c.d, RFC 4291 2.5.5.2),
 * so that both are compared in one way.
 *
 * Threads    Pure, any thread.
 */
#ifndef BASE_NETWORK_H
#define BASE_NETWORK_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/slice.h"

/* "192.0.2.1", "2001:db8::1"; no port, no brackets. */
MUST_CHECK bool network_address(struct slice text, struct in6_addr *out);

struct network {
    struct in6_addr address;
    unsigned bits; /* of the prefix, of 128 */
};

/* "10.0.0.0/8", or an address, which is a network of itself. The bits behind the prefix are 0. */
MUST_CHECK bool network_parse(struct slice text, struct network *out);

bool network_has(const struct network *network, const struct in6_addr *address);

/* The first 'bits' of an address, the others 0. */
void network_mask(struct in6_addr *address, unsigned bits);

/* Who is counted as one client: an IPv4 address, or the /64 of an IPv6 one, the smallest network
 * that a customer gets. */
void network_client(struct in6_addr *address);

/* The networks of "a,b,c", at most 'max'; what doesn't parse is left out. Returns how many. */
size_t network_list(const char *text, struct network *out, size_t max);
bool network_list_has(const struct network *list, size_t count, const struct in6_addr *address);

/* The next of "a,b,c", taken off the front of '*list'. */
struct slice network_next(struct slice *list);

#endif
