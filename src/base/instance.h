/* instance.h - where an instance of a service can be reached, as discovery found it.
 *
 * Threads    Plain data.
 */
#ifndef BASE_INSTANCE_H
#define BASE_INSTANCE_H

#include <stdbool.h>
#include <stdint.h>

#define INSTANCE_ADDRESS_BYTES 264 /* a DNS name, a port, a NUL */
#define INSTANCES_MAX          64

struct instance {
    char address[INSTANCE_ADDRESS_BYTES]; /* "host:port", "[v6]:port" */
    uint32_t weight;                      /* against the others' */
};

/* Several, each address once. */
struct instances {
    struct instance instance[INSTANCES_MAX];
    unsigned count;
    unsigned left_out; /* beyond INSTANCES_MAX */
};

/* Adds "host:port", an IPv6 host in brackets; one that is there already isn't added. */
void instances_add(struct instances *to, const char *host, unsigned port, uint32_t weight);

/* By its whole address. */
bool instances_have(const struct instances *set, const char *address);

#endif
