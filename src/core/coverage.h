/* coverage.h - which partitions of a topic are in an answer: each once, as it should be, or not.
 *
 * Instances of analytics share a topic's partitions as each is told, and none knows what the others
 * were told: that a partition is nobody's, or two have it, shows where their answers meet.
 *
 * Threads    Plain data.
 */
#ifndef CORE_COVERAGE_H
#define CORE_COVERAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As many as a store has lanes: what is behind them has no events. */
#define COVERAGE_PARTITIONS_MAX 4096
#define COVERAGE_WORDS          (COVERAGE_PARTITIONS_MAX / 64)

struct coverage {
    bool by_partitions; /* events come so; else nothing below says anything */
    bool moving;        /* one is on its way: what is missing or doubled may be that one */
    bool unlike;        /* of a merged one: the instances don't have the same topic */
    uint32_t of;        /* partitions of the topic; 0: not known yet */
    uint64_t counted[COVERAGE_WORDS];
    uint64_t stale[COVERAGE_WORDS]; /* there as of when they were counted, which they aren't now */
    uint64_t doubled[COVERAGE_WORDS]; /* of a merged one: there more than once */
};

static inline bool coverage_in(const uint64_t set[COVERAGE_WORDS], uint32_t partition) {
    return set[partition / 64] >> partition % 64 & 1;
}

/* Below COVERAGE_PARTITIONS_MAX. */
static inline void coverage_put(uint64_t set[COVERAGE_WORDS], uint32_t partition) {
    set[partition / 64] |= UINT64_C(1) << partition % 64;
}

/* '*all' is the first instance's, then also 'one's. */
void coverage_merge(struct coverage *all, const struct coverage *one);

static inline bool coverage_is_missing(const struct coverage *coverage, uint32_t partition) {
    return partition < coverage->of && !coverage_in(coverage->counted, partition);
}

static inline bool coverage_is_doubled(const struct coverage *coverage, uint32_t partition) {
    return coverage_in(coverage->doubled, partition);
}

/* How many of the topic's; 0 while they aren't known. */
uint32_t coverage_missing(const struct coverage *coverage);
uint32_t coverage_doubled(const struct coverage *coverage);

/* Nothing is known to be missing or doubled. */
bool coverage_whole(const struct coverage *coverage);

#endif
