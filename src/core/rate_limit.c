/* rate_limit.c */
#include "core/rate_limit.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/siphash.h"

#define TOKEN 1000 /* a bucket counts thousandths: 'per_second' of them come in a millisecond */

struct place {
    struct rate_limit_key client;
    int64_t at_ms; /* of 'level' */
    int32_t level; /* thousandths */
    bool used;
};

struct rate_limit {
    struct rate_limit_conf conf;
    int64_t full; /* thousandths */
    size_t mask;  /* number of sets - 1 */
    struct place places[];
};

struct rate_limit *rate_limit_new(const struct rate_limit_conf *conf) {
    size_t sets = 1;

    assert(conf->per_second >= 1 && conf->per_second <= RATE_LIMIT_MAX);
    assert(conf->burst >= 1 && conf->burst <= RATE_LIMIT_MAX);
    while (sets * RATE_LIMIT_WAYS < conf->clients)
        sets *= 2;
    struct rate_limit *limit =
        calloc(1, sizeof(*limit) + sets * RATE_LIMIT_WAYS * sizeof(struct place));
    if (!limit)
        return NULL;
    limit->conf = *conf;
    limit->full = (int64_t)conf->burst * TOKEN;
    limit->mask = sets - 1;
    return limit;
}

void rate_limit_free(struct rate_limit *limit) {
    free(limit);
}

void rate_limit_set(struct rate_limit *limit, uint32_t per_second, uint32_t burst) {
    assert(per_second >= 1 && per_second <= RATE_LIMIT_MAX);
    assert(burst >= 1 && burst <= RATE_LIMIT_MAX);
    limit->conf.per_second = per_second;
    limit->conf.burst = burst;
    limit->full = (int64_t)burst * TOKEN;
}

size_t rate_limit_bytes(const struct rate_limit *limit) {
    return sizeof(*limit) + (limit->mask + 1) * RATE_LIMIT_WAYS * sizeof(struct place);
}

static int64_t level_at(const struct rate_limit *limit, const struct place *place, int64_t now_ms) {
    int64_t ms = now_ms - place->at_ms;
    int64_t missing = limit->full - place->level;

    if (!place->used || missing < 0 || ms > missing / limit->conf.per_second)
        return limit->full;
    return place->level + (ms > 0 ? ms * limit->conf.per_second : 0);
}

/* The client's place, or the one that it gets. */
static struct place *find(struct rate_limit *limit, const struct rate_limit_key *client,
                          int64_t now_ms, bool *out_evicted) {
    struct slice key = slice_of((const char *)client->bytes, sizeof(client->bytes));
    struct place *set =
        &limit->places[(siphash(limit->conf.seed, key) & limit->mask) * RATE_LIMIT_WAYS];
    struct place *fullest = set;
    int64_t most = -1;

    for (size_t i = 0; i < RATE_LIMIT_WAYS; i++) {
        int64_t level = level_at(limit, &set[i], now_ms);

        if (set[i].used && memcmp(&set[i].client, client, sizeof(*client)) == 0)
            return &set[i];
        if (level > most) {
            most = level;
            fullest = &set[i];
        }
    }
    *out_evicted = most < limit->full;
    *fullest = (struct place){
        .client = *client, .at_ms = now_ms, .level = (int32_t)limit->full, .used = true};
    return fullest;
}

static uint32_t seconds(const struct rate_limit_conf *conf, int64_t thousandths) {
    int64_t a_second = (int64_t)conf->per_second * TOKEN;

    return (uint32_t)((thousandths + a_second - 1) / a_second);
}

uint32_t rate_limit_window_s(const struct rate_limit_conf *conf) {
    return seconds(conf, (int64_t)conf->burst * TOKEN);
}

struct rate_limit_verdict rate_limit_take(struct rate_limit *limit,
                                          const struct rate_limit_key *client, int64_t now_ms) {
    struct rate_limit_verdict verdict = {.evicted = false};
    struct place *place = find(limit, client, now_ms, &verdict.evicted);
    int64_t level = level_at(limit, place, now_ms);

    verdict.allowed = level >= TOKEN;
    if (verdict.allowed)
        level -= TOKEN;
    place->level = (int32_t)level;
    if (now_ms > place->at_ms)
        place->at_ms = now_ms;
    verdict.remaining = (uint32_t)(level / TOKEN);
    verdict.retry_s = level >= TOKEN ? 0 : seconds(&limit->conf, TOKEN - level);
    verdict.reset_s = seconds(&limit->conf, limit->full - level);
    return verdict;
}
