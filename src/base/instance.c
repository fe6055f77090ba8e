/* instance.c */
#include "base/instance.h"

#include <stdio.h>
#include <string.h>

bool instances_have(const struct instances *set, const char *address) {
    for (unsigned i = 0; i < set->count; i++)
        if (strcmp(set->instance[i].address, address) == 0)
            return true;
    return false;
}

void instances_add(struct instances *to, const char *host, unsigned port, uint32_t weight) {
    struct instance made = {.weight = weight};
    int len = snprintf(made.address, sizeof(made.address), strchr(host, ':') ? "[%s]:%u" : "%s:%u",
                       host, port);

    if (len < 0 || (size_t)len >= sizeof(made.address))
        return; /* no such host: a DNS name has 253 bytes at most */
    if (instances_have(to, made.address))
        return;
    if (to->count == INSTANCES_MAX)
        to->left_out++;
    else
        to->instance[to->count++] = made;
}
