/* hash.c - the file that includes xxHash. */
#include "core/hash.h"

#include <endian.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t hash64(struct slice bytes) {
    return XXH3_64bits(bytes.ptr, bytes.len);
}

uint32_t hash_lane(struct slice id, uint32_t lanes) {
    return (uint32_t)(hash64(id) % lanes);
}

uint64_t hash_chain(uint64_t chain, const struct producer_id *producer, uint64_t number,
                    uint32_t index) {
    /* Big endian and without padding, so that every machine gets the same chain. */
    uint64_t words[5] = {htobe64(chain), htobe64(producer->hi), htobe64(producer->lo),
                         htobe64(number), htobe64(index)};

    return XXH3_64bits(words, sizeof(words));
}
