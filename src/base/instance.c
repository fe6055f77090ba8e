/* instance.c */
#include "base/instance.h"

#include <stdio.h>
#include <string.h>

void instances_add(struct instances *to, const char *host, unsigned port, uint32_t weight) {
    struct instance made = {.weight = weight};
    int len = snprintf(made.address, sizeof(made.address), strchr(host, ':') ? "[%s]:%u" : "%s:%u",
                       host, port);

    if (len < 0 || (size_t)len >= sizeof(made.address))
        return; /* no such host: a DNS name has 253 bytes at most */
    for (unsigned i = 0; i < to->count; i++)
        if (strcmp(to->instance[i].address, made.address) == 0)
            return;
    if (to->count == INSTANCES_MAX)
        to->left_out++;
    else
        to->instance[to->count++] = made;
}
