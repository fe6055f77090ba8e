/* forwarded.h - who asks, when proxies stand between: X-Forwarded-For, believed only as far as
 * trusted proxies have written it.
 *
 * Each proxy appends the address of its own peer, so that the list is read from its end: as long as
 * an address is a trusted proxy's, what that one has written before it is believed too. The first
 * other address is the client; what stands before it is the client's own invention.
 *
 * Threads    Pure, any thread.
 */
#ifndef WIRE_FORWARDED_H
#define WIRE_FORWARDED_H

#include <stddef.h>

#include "base/network.h"
#include "wire/http1.h"

/* 'peer' is who is connected. Where the list has something that isn't an address (or ends) the last
 * address that was believed is the answer. */
struct in6_addr forwarded_client(const struct http1_request *request, struct in6_addr peer,
                                 const struct network *trusted, size_t count);

#endif
