/* peers.c - fewest under way, outlier ejection, the retry budget. */
#include "core/peers.h"

#include <assert.h>

/* RELIABILITY 3.9; Envoy's defaults for ejection, Finagle's for the budget. */
#define FAILURES_TO_EJECT 5
#define SERVED_TO_CLOSE   3
#define PROBES_MAX        10
#define EJECT_MIN_MS      30000
#define EJECT_MAX_MS      300000

#define RETRY            1000 /* the budget counts thousandths */
#define BUDGET_PER_FIRST 200
#define BUDGET_PER_MS    10
/* What 10 s without a retry save up: a lost connection's messages, not a storm. */
#define BUDGET_MAX_MS 10000
#define BUDGET_MAX    (BUDGET_MAX_MS * BUDGET_PER_MS)

void peers_init(struct peers *peers, size_t count, int64_t now_ms) {
    assert(count <= PEERS_MAX);
    *peers = (struct peers){.count = count, .budget = BUDGET_MAX, .budget_at_ms = now_ms};
}

void peers_set_usable(struct peers *peers, size_t i, bool usable) {
    assert(i < peers->count);
    peers->peer[i].usable = usable;
}

static bool set_aside(const struct peer *peer, int64_t now_ms) {
    return now_ms < peer->ejected_until_ms;
}

bool peers_ejected(const struct peers *peers, size_t i, int64_t now_ms) {
    assert(i < peers->count);
    return set_aside(&peers->peer[i], now_ms);
}

static bool half_open(const struct peer *peer, int64_t now_ms) {
    return peer->ejected_ms && !set_aside(peer, now_ms);
}

enum peer_state peers_state(const struct peers *peers, size_t i, int64_t now_ms) {
    assert(i < peers->count);
    if (set_aside(&peers->peer[i], now_ms))
        return PEER_OPEN;
    return half_open(&peers->peer[i], now_ms) ? PEER_HALF_OPEN : PEER_CLOSED;
}

/* ---- choosing ---- */

/* Only for who has nobody else. */
static bool passed_over(const struct peer *peer, int64_t now_ms) {
    return set_aside(peer, now_ms) || (half_open(peer, now_ms) && peer->out >= PROBES_MAX);
}

/* A peer that fails at once always has the fewest under way: without the first rule it would get
 * all three attempts of a message before it is ejected. */
static bool better(const struct peer *a, const struct peer *b, bool retry) {
    if (retry && a->failures != b->failures)
        return a->failures < b->failures;
    return a->out < b->out;
}

static size_t choose(const struct peers *peers, bool retry, bool passed, int64_t now_ms) {
    size_t best = PEERS_NONE;

    for (size_t k = 0; k < peers->count; k++) {
        size_t i = (peers->turn + k) % peers->count;
        const struct peer *peer = &peers->peer[i];

        if (!peer->usable || passed_over(peer, now_ms) != passed)
            continue;
        if (best == PEERS_NONE || better(peer, &peers->peer[best], retry))
            best = i;
    }
    return best;
}

static void add_to_budget(struct peers *peers, int64_t thousandths) {
    peers->budget += thousandths;
    if (peers->budget > BUDGET_MAX)
        peers->budget = BUDGET_MAX;
}

static void refill(struct peers *peers, int64_t now_ms) {
    int64_t ms = now_ms - peers->budget_at_ms;

    add_to_budget(peers, (ms < BUDGET_MAX_MS ? ms : BUDGET_MAX_MS) * BUDGET_PER_MS);
    peers->budget_at_ms = now_ms;
}

size_t peers_pick(struct peers *peers, bool retry, int64_t now_ms, bool *out_budget) {
    size_t i = choose(peers, retry, false, now_ms);

    if (i == PEERS_NONE) /* the others are gone */
        i = choose(peers, retry, true, now_ms);
    *out_budget = true;
    if (i == PEERS_NONE)
        return PEERS_NONE;
    refill(peers, now_ms);
    if (retry && peers->budget < RETRY) {
        *out_budget = false;
        return PEERS_NONE;
    }
    add_to_budget(peers, retry ? -RETRY : BUDGET_PER_FIRST);
    peers->peer[i].out++;
    peers->turn = (i + 1) % peers->count;
    return i;
}

/* ---- failing ---- */

static bool is_last(const struct peers *peers, size_t i, int64_t now_ms) {
    for (size_t k = 0; k < peers->count; k++)
        if (k != i && peers->peer[k].usable && !set_aside(&peers->peer[k], now_ms))
            return false;
    return true;
}

static void eject(struct peer *peer, int64_t now_ms) {
    int64_t ms = peer->ejected_ms == 0 ? EJECT_MIN_MS : peer->ejected_ms * 2;

    peer->ejected_ms = ms < EJECT_MAX_MS ? ms : EJECT_MAX_MS;
    peer->ejected_until_ms = now_ms + peer->ejected_ms;
    peer->failures = 0;
    peer->served = 0;
}

static void serves(struct peer *peer) {
    peer->failures = 0;
    if (!peer->ejected_ms || ++peer->served < SERVED_TO_CLOSE)
        return;
    peer->ejected_ms = 0;
    peer->served = 0;
}

void peers_returned(struct peers *peers, size_t i, bool failed, int64_t now_ms) {
    assert(i < peers->count && peers->peer[i].out > 0);
    struct peer *peer = &peers->peer[i];

    peer->out--;
    /* It stays aside for its time: what was under way before says nothing new. */
    if (set_aside(peer, now_ms))
        return;
    if (!failed) {
        serves(peer);
        return;
    }
    if (peer->failures > 0 && peer->failed_at_ms == now_ms)
        return;
    peer->failures++;
    peer->failed_at_ms = now_ms;
    peer->served = 0;
    if (peer->failures >= (peer->ejected_ms ? 1 : FAILURES_TO_EJECT) && !is_last(peers, i, now_ms))
        eject(peer, now_ms);
}
