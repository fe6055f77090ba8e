/* tally_group.c - entries in order of their numbers. */
#include "core/tally_group.h"

#include "core/bytes.h"

#define SETS        0x40 /* beside the number */
#define ENTRY_BYTES (1 + 2 * BYTES_VARINT_MAX)
_Static_assert(TALLY_GROUP <= SETS, "a number and SETS are one byte");

static uint64_t bit(uint32_t number) {
    return UINT64_C(1) << number;
}

void tally_group_add(struct tally_group *group, uint32_t number, struct tally more) {
    if (!(group->has & bit(number))) {
        group->sets &= ~bit(number);
        group->tallies[number] = (struct tally){0};
    }
    group->has |= bit(number);
    tally_add(&group->tallies[number], more);
}

void tally_group_set(struct tally_group *group, uint32_t number, struct tally tally) {
    group->has |= bit(number);
    group->sets |= bit(number);
    group->tallies[number] = tally;
}

void tally_group_encode(const struct tally_group *group, struct buf *out) {
    size_t entries = (size_t)__builtin_popcountll(group->has);

    if (!buf_reserve(out, entries * ENTRY_BYTES))
        return;
    for (uint64_t left = group->has; left; left &= left - 1) {
        uint32_t number = (uint32_t)__builtin_ctzll(left);

        buf_add_char(out, (char)(number | (group->sets & bit(number) ? SETS : 0)));
        bytes_add_zigzag(out, group->tallies[number].sum);
        bytes_add_varint(out, group->tallies[number].increments);
    }
}

/* False: there is none, or it is broken. */
static bool next(struct bytes_reader *in, uint32_t *out_number, bool *out_sets,
                 struct tally *out_tally) {
    if (in->at == in->end)
        return false;
    uint8_t head = bytes_u8(in);
    *out_number = head & (TALLY_GROUP - 1);
    *out_sets = head & SETS;
    out_tally->sum = bytes_zigzag(in);
    out_tally->increments = bytes_varint(in);
    in->failed |= head >= 2 * SETS;
    return !in->failed;
}

enum err tally_group_fold(struct tally_group *group, struct slice record) {
    struct bytes_reader in = bytes_reader(record);
    struct tally tally;
    uint32_t number;
    bool sets;

    while (next(&in, &number, &sets, &tally)) {
        if (sets)
            tally_group_set(group, number, tally);
        else
            tally_group_add(group, number, tally);
    }
    return in.failed ? ERR_CORRUPT : ERR_OK;
}

enum err tally_group_find(struct slice record, uint32_t number, struct tally *out) {
    struct bytes_reader in = bytes_reader(record);
    struct tally found = {0};
    struct tally tally;
    uint32_t at;
    bool sets;

    while (next(&in, &at, &sets, &tally))
        if (at == number)
            found = tally;
    if (in.failed)
        return ERR_CORRUPT;
    *out = found;
    return ERR_OK;
}
