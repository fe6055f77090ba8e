/* coverage.c - sets of partitions, put together. */
#include "core/coverage.h"

void coverage_merge(struct coverage *all, const struct coverage *one) {
    bool known = all->of && one->of;

    all->unlike |= all->by_partitions != one->by_partitions || (known && all->of != one->of);
    all->by_partitions |= one->by_partitions;
    all->moving |= one->moving;
    all->of = !known ? 0 : all->of > one->of ? all->of : one->of;
    for (unsigned i = 0; i < COVERAGE_WORDS; i++) {
        all->doubled[i] |= (all->counted[i] | all->stale[i]) & (one->counted[i] | one->stale[i]);
        all->counted[i] |= one->counted[i];
        all->stale[i] |= one->stale[i];
    }
}

uint32_t coverage_missing(const struct coverage *coverage) {
    uint32_t missing = 0;

    for (uint32_t i = 0; i < coverage->of; i++)
        missing += coverage_is_missing(coverage, i);
    return missing;
}

uint32_t coverage_doubled(const struct coverage *coverage) {
    uint32_t doubled = 0;

    for (unsigned i = 0; i < COVERAGE_WORDS; i++)
        doubled += (uint32_t)__builtin_popcountll(coverage->doubled[i]);
    return doubled;
}

bool coverage_whole(const struct coverage *coverage) {
    return !coverage->unlike && coverage_missing(coverage) == 0 && coverage_doubled(coverage) == 0;
}
