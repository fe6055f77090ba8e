/* tally_store.c - a tally as it is stored. */
#include "core/tally_store.h"

#include "core/bytes.h"

void tally_encode(struct tally tally, char out[TALLY_BYTES]) {
    uint64_t sum = htobe64((uint64_t)tally.sum);
    uint64_t increments = htobe64(tally.increments);

    memcpy(out, &sum, sizeof(sum));
    memcpy(out + sizeof(sum), &increments, sizeof(increments));
}

enum err tally_decode(struct slice record, struct tally *out) {
    struct bytes_reader in = bytes_reader(record);
    struct tally tally = {.sum = (int64_t)bytes_be64(&in)};

    tally.increments = bytes_be64(&in);
    if (!bytes_done(&in))
        return ERR_CORRUPT;
    *out = tally;
    return ERR_OK;
}
