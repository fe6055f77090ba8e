/* tally_group.h - the tallies of neighbouring counters in one record, which grows without being
 * read.
 *
 *     number of the counter in its group | SETS, sum, increments · the next one …
 *
 * An entry adds to what the record had for the counter, or takes its place: any run of records
 * folds to one, from either end. What changes together is stored together: a store's row costs more
 * than what is in it, and of counters with neighbouring numbers many change between two commits.
 *
 * Threads    Plain data.
 */
#ifndef CORE_TALLY_GROUP_H
#define CORE_TALLY_GROUP_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "core/tally.h"

#define TALLY_GROUP 64 /* counters */

/* One whose 'has' is 0 is empty. */
struct tally_group {
    uint64_t has;  /* a bit for each counter that it has */
    uint64_t sets; /* of these, ones that take the place of what was there */
    struct tally tallies[TALLY_GROUP];
};

static inline uint32_t tally_group_of(uint32_t counter) {
    return counter / TALLY_GROUP;
}

/* The counter's own, by its number in the group. */
void tally_group_add(struct tally_group *group, uint32_t number, struct tally more);
void tally_group_set(struct tally_group *group, uint32_t number, struct tally tally);

/* The lowest number that it has, which it must; and without that one. */
static inline uint32_t tally_group_first(const struct tally_group *group) {
    return (uint32_t)__builtin_ctzll(group->has);
}
static inline void tally_group_drop_first(struct tally_group *group) {
    group->has &= group->has - 1;
}

/* Behind what is in 'out', whose failure says that memory ran out. */
void tally_group_encode(const struct tally_group *group, struct buf *out);

/* What the record has, on top of what 'group' has. ERR_CORRUPT: 'group' has some of it. */
MUST_CHECK enum err tally_group_fold(struct tally_group *group, struct slice record);

/* What the record has of one counter; {0}: nothing. ERR_CORRUPT. */
MUST_CHECK enum err tally_group_find(struct slice record, uint32_t number, struct tally *out);

#endif
