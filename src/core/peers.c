/* peers.c - fewest under way, turns by weight, slow start, the breaker, the retry budget. */
#include "core/peers.h"

#include <assert.h>

/* RELIABILITY 3.9; Envoy's defaults for ejection, Finagle's for the budget. */
#define FAILURES_TO_EJECT 5
#define SERVED_TO_CLOSE   3
#define PROBES_MAX        10
#define EJECT_MIN_MS      30000
#define EJECT_MAX_MS      300000
/* Slowness passes sooner than failures, and to be wrong about it costs what an instance can do. */
#define EJECT_SLOW_MS     10000
#define LATE_TO_EJECT     5
#define LATE_SPAN_MS      1000
#define LATE_TO_OPEN      3 /* again, while half open */
#define PROBES_SLOW       1
#define PROBE_MS          200 /* of silence, from one that is or was set aside for being slow */
#define SLOW_START_MS     5000
#define SLOW_START_TENTHS 1    /* of its share, at the beginning */
#define SHARE             1000 /* of a weight of 1; slow ones have less */

#define RETRY            1000 /* the budget counts thousandths */
#define BUDGET_PER_FIRST 200
#define BUDGET_PER_MS    10
/* What 10 s without a retry save up: a lost connection's messages, not a storm. */
#define BUDGET_MAX_MS 10000
#define BUDGET_MAX    (BUDGET_MAX_MS * BUDGET_PER_MS)

void peers_init(struct peers *peers, size_t count, int64_t now_ms) {
    assert(count <= PEERS_MAX);
    *peers = (struct peers){.budget = BUDGET_MAX, .budget_at_ms = now_ms};
    for (size_t i = 0; i < count; i++)
        peers_add(peers, i, 1);
}

void peers_set_weight(struct peers *peers, size_t i, uint32_t weight) {
    assert(i < peers->count);
    if (weight > PEERS_WEIGHT_MAX)
        weight = PEERS_WEIGHT_MAX;
    peers->peer[i].weight = weight ? weight : 1;
}

void peers_add(struct peers *peers, size_t i, uint32_t weight) {
    assert(i < PEERS_MAX && peers->peer[i].weight == 0);
    if (i >= peers->count)
        peers->count = i + 1;
    peers->peer[i] = (struct peer){0};
    peers_set_weight(peers, i, weight);
}

void peers_remove(struct peers *peers, size_t i) {
    assert(i < peers->count && peers->peer[i].out == 0);
    peers->peer[i] = (struct peer){0};
    while (peers->count && peers->peer[peers->count - 1].weight == 0)
        peers->count--;
}

static void starts(struct peer *peer, int64_t now_ms) {
    peer->since_ms = now_ms;
    peer->credit = 0;
}

void peers_set_usable(struct peers *peers, size_t i, bool usable, int64_t now_ms) {
    assert(i < peers->count);
    struct peer *peer = &peers->peer[i];

    if (usable && !peer->usable) {
        starts(peer, now_ms);
        outlier_forget(&peer->outlier);
    }
    peer->usable = usable;
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

static bool is_slow(const struct peer *peer, int64_t now_ms) {
    return now_ms - peer->since_ms < SLOW_START_MS;
}

/* Of the messages, in relation to the others' shares. */
static int64_t share(const struct peer *peer, int64_t now_ms) {
    int64_t full = (int64_t)peer->weight * SHARE;
    int64_t least = full * SLOW_START_TENTHS / 10;

    if (!is_slow(peer, now_ms))
        return full;
    return least + (full - least) * (now_ms - peer->since_ms) / SLOW_START_MS;
}

/* How gladly: one of a lower rank only for who has nobody else. */
enum rank { RANK_SET_ASIDE, RANK_SILENT, RANK_SLOW, RANK_FULL };

/* It may be frozen, or cut off: what is under way to it tells, no more messages have to. */
static int64_t silent_at_ms(const struct peer *peer) {
    return peer->heard_ms + (peer->slow ? PROBE_MS : OUTLIER_SILENT_MS);
}

static bool is_silent(const struct peer *peer, int64_t now_ms) {
    return peer->out > 0 && now_ms >= silent_at_ms(peer);
}

static bool probed_enough(const struct peer *peer) {
    return peer->out >= (peer->slow ? PROBES_SLOW : PROBES_MAX);
}

static enum rank rank(const struct peer *peer, int64_t now_ms) {
    if (set_aside(peer, now_ms) || (half_open(peer, now_ms) && probed_enough(peer)))
        return RANK_SET_ASIDE;
    if (is_silent(peer, now_ms))
        return RANK_SILENT;
    /* It has had its share, however little is under way to it. */
    return is_slow(peer, now_ms) && peer->credit < 0 ? RANK_SLOW : RANK_FULL;
}

/* The one with less under way for its weight, and of equals the one that is owed more. A peer that
 * fails at once always has the fewest under way: without the rule for retries it would get all
 * three attempts of a message before it is ejected. */
static bool better(const struct peer *a, const struct peer *b, bool retry, int64_t now_ms) {
    enum rank rank_a = rank(a, now_ms);
    enum rank rank_b = rank(b, now_ms);

    if (rank_a != rank_b)
        return rank_a > rank_b;
    if (retry && a->failures != b->failures)
        return a->failures < b->failures;
    uint64_t load_a = (uint64_t)a->out * b->weight;
    uint64_t load_b = (uint64_t)b->out * a->weight;

    return load_a != load_b ? load_a < load_b : a->credit > b->credit;
}

static size_t choose(const struct peers *peers, bool retry, int64_t now_ms) {
    size_t best = PEERS_NONE;

    for (size_t i = 0; i < peers->count; i++) {
        const struct peer *peer = &peers->peer[i];

        if (peer->usable && (best == PEERS_NONE || better(peer, &peers->peer[best], retry, now_ms)))
            best = i;
    }
    return best;
}

/* Everybody who may be chosen is owed its share of this message. Returns all shares together. */
static int64_t credit_all(struct peers *peers, int64_t now_ms) {
    int64_t total = 0;

    for (size_t i = 0; i < peers->count; i++) {
        struct peer *peer = &peers->peer[i];

        if (!peer->usable || set_aside(peer, now_ms))
            continue;
        peer->credit += share(peer, now_ms);
        total += share(peer, now_ms);
    }
    return total;
}

/* And who gets it pays for it. No debt or claim beyond one round is remembered: one that was
 * loaded for a while must not get all the next ones. */
static void settle(struct peers *peers, size_t chosen, int64_t total) {
    peers->peer[chosen].credit -= total;
    for (size_t i = 0; i < peers->count; i++) {
        struct peer *peer = &peers->peer[i];

        if (peer->credit > total)
            peer->credit = total;
        if (peer->credit < -total)
            peer->credit = -total;
    }
}

/* ---- setting aside ---- */

static bool is_last(const struct peers *peers, size_t i, int64_t now_ms) {
    for (size_t k = 0; k < peers->count; k++)
        if (k != i && peers->peer[k].usable && !set_aside(&peers->peer[k], now_ms))
            return false;
    return true;
}

static void eject(struct peers *peers, size_t i, enum peer_fault fault, int64_t now_ms) {
    struct peer *peer = &peers->peer[i];
    int64_t first_ms = fault == PEER_SLOW ? EJECT_SLOW_MS : EJECT_MIN_MS;
    int64_t ms = peer->ejected_ms * 2;

    ms = ms > first_ms ? ms : first_ms;
    peer->ejected_ms = ms < EJECT_MAX_MS ? ms : EJECT_MAX_MS;
    peer->ejected_until_ms = now_ms + peer->ejected_ms;
    peer->slow = fault == PEER_SLOW;
    peer->failures = 0;
    peer->served = 0;
    outlier_forget(&peer->outlier);
    peers->ejections[fault]++;
}

/* At least half of them stay: when most are slow, it isn't they. */
static void eject_slow(struct peers *peers, size_t i, int64_t now_ms) {
    size_t usable = 0;
    size_t stay = 0;

    for (size_t k = 0; k < peers->count; k++) {
        if (!peers->peer[k].usable)
            continue;
        usable++;
        stay += k != i && !set_aside(&peers->peer[k], now_ms);
    }
    if (stay * 2 >= usable)
        eject(peers, i, PEER_SLOW, now_ms);
}

/* Of those that take part, when somebody other than 'i' has answered last. */
static int64_t others_answered_ms(const struct peers *peers, size_t i, int64_t now_ms) {
    int64_t last_ms = INT64_MIN;

    for (size_t k = 0; k < peers->count; k++) {
        const struct peer *peer = &peers->peer[k];

        if (k != i && peer->usable && !set_aside(peer, now_ms) && peer->outlier.timed &&
            peer->outlier.answered_ms > last_ms)
            last_ms = peer->outlier.answered_ms;
    }
    return last_ms;
}

static void look_for_silent(struct peers *peers, int64_t now_ms) {
    for (size_t i = 0; i < peers->count; i++) {
        struct peer *peer = &peers->peer[i];
        bool silent = peer->usable && !set_aside(peer, now_ms) && is_silent(peer, now_ms);

        outlier_look(&peer->outlier, silent, now_ms);
        if (outlier_is_silent(&peer->outlier, now_ms) &&
            others_answered_ms(peers, i, now_ms) > peer->outlier.silent_ms)
            eject_slow(peers, i, now_ms);
    }
}

static bool is_late(const struct peers *peers, size_t i, int64_t took_ms, int64_t now_ms) {
    int64_t latencies_ms[PEERS_MAX];
    size_t count = 0;

    if (took_ms <= OUTLIER_LATE_MS)
        return false;
    for (size_t k = 0; k < peers->count; k++) {
        const struct peer *peer = &peers->peer[k];

        if (k != i && peer->usable && !set_aside(peer, now_ms) && peer->outlier.timed)
            latencies_ms[count++] = peer->outlier.latency_ms;
    }
    return took_ms > outlier_bound_ms(latencies_ms, count);
}

/* ---- a message ---- */

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

static bool anybody(const struct peers *peers) {
    for (size_t i = 0; i < peers->count; i++)
        if (peers->peer[i].usable)
            return true;
    return false;
}

size_t peers_pick(struct peers *peers, bool retry, int64_t now_ms, bool *out_budget) {
    *out_budget = true;
    if (!anybody(peers))
        return PEERS_NONE;
    refill(peers, now_ms);
    if (retry && peers->budget < RETRY) {
        *out_budget = false;
        return PEERS_NONE;
    }
    look_for_silent(peers, now_ms);
    int64_t total = credit_all(peers, now_ms);
    size_t i = choose(peers, retry, now_ms);

    settle(peers, i, total);
    add_to_budget(peers, retry ? -RETRY : BUDGET_PER_FIRST);
    if (peers->peer[i].out++ == 0)
        peers->peer[i].heard_ms = now_ms;
    return i;
}

static bool another_speaks(const struct peers *peers, size_t i, int64_t now_ms) {
    for (size_t k = 0; k < peers->count; k++)
        if (k != i && peers->peer[k].usable && rank(&peers->peer[k], now_ms) > RANK_SILENT)
            return true;
    return false;
}

int64_t peers_lost_ms(struct peers *peers, size_t i, int64_t now_ms) {
    assert(i < peers->count && peers->peer[i].out > 0);
    const struct peer *peer = &peers->peer[i];

    look_for_silent(peers, now_ms);
    if (!is_silent(peer, now_ms))
        return silent_at_ms(peer);
    bool sure = set_aside(peer, now_ms) || outlier_is_silent(&peer->outlier, now_ms);

    return sure && another_speaks(peers, i, now_ms) ? now_ms : now_ms + OUTLIER_SURE_MS;
}

static void serves(struct peer *peer, int64_t now_ms) {
    if (!peer->ejected_ms || ++peer->served < SERVED_TO_CLOSE)
        return;
    peer->ejected_ms = 0;
    peer->served = 0;
    peer->slow = false;
    starts(peer, now_ms);
}

/* True: it was late, which isn't serving. */
static bool was_late(struct peers *peers, size_t i, int64_t took_ms, int64_t now_ms) {
    struct peer *peer = &peers->peer[i];
    bool late = is_late(peers, i, took_ms, now_ms);

    if (outlier_answered(&peer->outlier, took_ms, late,
                         peer->ejected_ms ? LATE_TO_OPEN : LATE_TO_EJECT,
                         peer->ejected_ms ? 0 : LATE_SPAN_MS, now_ms))
        eject_slow(peers, i, now_ms);
    return late;
}

void peers_returned(struct peers *peers, size_t i, bool failed, int64_t took_ms, int64_t now_ms) {
    assert(i < peers->count && peers->peer[i].out > 0);
    struct peer *peer = &peers->peer[i];

    peer->out--;
    if (!failed)
        peer->heard_ms = now_ms;
    /* It stays aside for its time: what was under way before says nothing new. */
    if (set_aside(peer, now_ms))
        return;
    if (!failed) {
        peer->failures = 0;
        if (took_ms == PEERS_UNTIMED || !was_late(peers, i, took_ms, now_ms))
            serves(peer, now_ms);
        return;
    }
    if (peer->failures > 0 && peer->failed_at_ms == now_ms)
        return;
    peer->failures++;
    peer->failed_at_ms = now_ms;
    peer->served = 0;
    if (peer->failures >= (peer->ejected_ms ? 1 : FAILURES_TO_EJECT) && !is_last(peers, i, now_ms))
        eject(peers, i, PEER_FAILING, now_ms);
}
