/* hash.h - the one hash that stored data depends on: XXH3_64, never seeded.
 *
 * It fixes a counter's lane and a lane's chain, so it may not change while a
 * store lives. Tables in memory use base/siphash.h instead.
 *
 * Threads    Pure, any thread.
 */
#ifndef CORE_HASH_H
#define CORE_HASH_H

#include <stdint.h>

#include "base/slice.h"
#include "core/message.h"

uint64_t hash64(struct slice bytes);

/* RELIABILITY 3.1: 'id' is resource_id, a zero byte, counter_type. */
uint32_t hash_lane(struct slice id, uint32_t lanes);

/* RELIABILITY 3.3: chain = hash(chain, op-id). */
uint64_t hash_chain(uint64_t chain, const struct producer_id *producer, uint64_t number,
                    uint32_t index);

#endif
