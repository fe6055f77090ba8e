/* redis_slot.h - a Redis Cluster's hash slots, and the tag that puts a lane's keys into one.
 *
 * A key's slot is CRC16 of what stands between its first '{' and the next '}', modulo 16384 (Redis
 * Cluster specification, "Key distribution model"). Lane i of n gets slot i * 16384 / n, so that
 * any contiguous share of the slots is the same share of the lanes.
 *
 * Threads    Plain functions.
 */
#ifndef EDGE_REDIS_SLOT_H
#define EDGE_REDIS_SLOT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/slice.h"

#define REDIS_SLOTS     16384
#define REDIS_TAG_BYTES 8

struct redis_tag {
    char text[REDIS_TAG_BYTES]; /* NUL-terminated, without the braces */
};

uint16_t redis_slot(struct slice key);

/* The slot of a lane's keys; 'lanes' is 1 ... REDIS_SLOTS. */
uint16_t redis_lane_slot(uint32_t lane, uint32_t lanes);

/* A tag for each lane: the lowest decimal number that hashes to its slot. The same ones forever:
 * stored data depends on them. False when memory runs out. */
MUST_CHECK bool redis_tags_make(uint32_t lanes, struct redis_tag *out);

#endif
