/* address.h - "host:port" as people write it, to what the kernel wants.
 *
 * Private to src/loop. No name service here.
 *
 * Threads    Pure functions, any thread.
 */
#ifndef LOOP_ADDRESS_H
#define LOOP_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "base/attr.h"
#include "base/slice.h"

struct address {
    struct sockaddr_storage sa;
    socklen_t len;
};

/* At the last colon; the host may be empty. The port in network order. */
MUST_CHECK bool address_split(struct slice text, struct slice *out_host, in_port_t *out_port);

/* "[::1]" is IPv6, "127.0.0.1" IPv4; false: neither. */
MUST_CHECK bool address_numeric(struct slice host, in_port_t port, struct address *out);

void address_v4(struct address *out, struct in_addr host, in_port_t port);
void address_v6(struct address *out, struct in6_addr host, in_port_t port);

#endif
