/* kafka_partitions.h - which partitions of a topic are read.
 *
 * Threads    Plain data.
 */
#ifndef EDGE_KAFKA_PARTITIONS_H
#define EDGE_KAFKA_PARTITIONS_H

#include <stdbool.h>
#include <stdint.h>

#define KAFKA_PARTITIONS_NAMED_MAX 256

struct kafka_partitions {
    bool others; /* those not named are read, else those named */
    uint32_t count;
    uint32_t named[KAFKA_PARTITIONS_NAMED_MAX];
};

static inline bool kafka_partitions_has(const struct kafka_partitions *partitions,
                                        uint32_t number) {
    for (uint32_t i = 0; i < partitions->count; i++)
        if (partitions->named[i] == number)
            return !partitions->others;
    return partitions->others;
}

/* It is read from now on, or isn't. False: no more can be named. */
static inline bool kafka_partitions_set(struct kafka_partitions *partitions, uint32_t number,
                                        bool read) {
    uint32_t at = 0;

    if (kafka_partitions_has(partitions, number) == read)
        return true;
    while (at < partitions->count && partitions->named[at] != number)
        at++;
    if (at < partitions->count)
        partitions->named[at] = partitions->named[--partitions->count];
    else if (at < KAFKA_PARTITIONS_NAMED_MAX)
        partitions->named[partitions->count++] = number;
    return kafka_partitions_has(partitions, number) == read;
}

#endif
