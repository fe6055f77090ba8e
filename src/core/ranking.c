/* ranking.c - a tournament tree in an array: the parent of node n is n / 2, entry i is node
 * cap + i. It needs no power of two: every node but the first has a parent, so node 1 is above
 * all. */
#include "core/ranking.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_CAP 2

/* A better entry; of two without a tally the lower number, as somebody must win. */
static bool better(const struct ranking *ranking, const struct ranking_order *order, uint32_t a,
                   uint32_t b) {
    const struct tally *x = &ranking->entries[a];
    const struct tally *y = &ranking->entries[b];
    bool x_empty = tally_empty(*x) || ranking_hides(order, a);
    bool y_empty = tally_empty(*y) || ranking_hides(order, b);

    if (x_empty || y_empty)
        return x_empty == y_empty ? a < b : y_empty;
    if (x->sum != y->sum)
        return x->sum > y->sum;
    return order->before(order, a, b);
}

static uint32_t winner_at(const struct ranking *ranking, size_t node) {
    return node >= ranking->cap ? (uint32_t)(node - ranking->cap) : ranking->winners[node];
}

static void play(struct ranking *ranking, const struct ranking_order *order, size_t node) {
    uint32_t left = winner_at(ranking, 2 * node);
    uint32_t right = winner_at(ranking, 2 * node + 1);

    ranking->winners[node] = better(ranking, order, left, right) ? left : right;
}

static void play_all(struct ranking *ranking, const struct ranking_order *order) {
    for (size_t node = ranking->cap; node-- > 1;)
        play(ranking, order, node);
}

static enum err widen(struct ranking *ranking, const struct ranking_order *order) {
    size_t cap = ranking->cap ? (size_t)ranking->cap + ranking->cap / 2 + 1 : FIRST_CAP;

    if (cap > UINT32_MAX / 2)
        return ERR_NO_MEMORY;
    struct tally *entries = realloc(ranking->entries, cap * sizeof(*entries));
    if (entries)
        ranking->entries = entries;
    uint32_t *winners = realloc(ranking->winners, cap * sizeof(*winners));
    if (winners)
        ranking->winners = winners;
    if (!entries || !winners)
        return ERR_NO_MEMORY;
    memset(entries + ranking->cap, 0, (cap - ranking->cap) * sizeof(*entries));
    ranking->cap = (uint32_t)cap;
    play_all(ranking, order);
    return ERR_OK;
}

void ranking_release(struct ranking *ranking) {
    free(ranking->entries);
    free(ranking->winners);
    *ranking = (struct ranking){0};
}

enum err ranking_grow(struct ranking *ranking, const struct ranking_order *order) {
    enum err err = ranking->count < ranking->cap ? ERR_OK : widen(ranking, order);

    if (err == ERR_OK)
        ranking->count++;
    return err;
}

void ranking_set(struct ranking *ranking, const struct ranking_order *order, uint32_t number,
                 struct tally tally) {
    ranking->entries[number] = tally;
    for (size_t node = ((size_t)ranking->cap + number) / 2; node >= 1; node /= 2) {
        if (ranking->winners[node] == number)
            play(ranking, order, node); /* it may have lost */
        else if (better(ranking, order, number, ranking->winners[node]))
            ranking->winners[node] = number;
        else
            return; /* who doesn't win here isn't known further up */
    }
}

void ranking_reset(struct ranking *ranking, const struct ranking_order *order) {
    if (!ranking->cap)
        return;
    memset(ranking->entries, 0, ranking->cap * sizeof(*ranking->entries));
    play_all(ranking, order);
}

/* ---- the best: a heap of subtrees, each by its winner ---- */

struct contest {
    const struct ranking *ranking;
    const struct ranking_order *order;
    size_t *nodes;
    size_t count;
};

static bool ahead(const struct contest *contest, size_t a, size_t b) {
    return better(contest->ranking, contest->order, winner_at(contest->ranking, contest->nodes[a]),
                  winner_at(contest->ranking, contest->nodes[b]));
}

static void swap(struct contest *contest, size_t a, size_t b) {
    size_t node = contest->nodes[a];

    contest->nodes[a] = contest->nodes[b];
    contest->nodes[b] = node;
}

static void push(struct contest *contest, size_t node) {
    size_t at = contest->count++;

    contest->nodes[at] = node;
    for (; at > 0 && ahead(contest, at, (at - 1) / 2); at = (at - 1) / 2)
        swap(contest, at, (at - 1) / 2);
}

static size_t pop(struct contest *contest) {
    size_t best = contest->nodes[0];
    size_t at = 0;

    contest->nodes[0] = contest->nodes[--contest->count];
    for (;;) {
        size_t child = 2 * at + 1;

        if (child + 1 < contest->count && ahead(contest, child + 1, child))
            child++;
        if (child >= contest->count || !ahead(contest, child, at))
            return best;
        swap(contest, at, child);
        at = child;
    }
}

/* Whom the winner of this subtree beat on its way: they are the next candidates. */
static void push_beaten(struct contest *contest, size_t top, uint32_t winner) {
    for (size_t node = (size_t)contest->ranking->cap + winner; node != top; node /= 2)
        push(contest, node ^ 1);
}

enum err ranking_top(const struct ranking *ranking, const struct ranking_order *order, size_t max,
                     uint32_t *out, size_t *out_count) {
    size_t depth = 64u - (unsigned)__builtin_clzll(2ull * ranking->cap + 1);
    struct contest contest = {.ranking = ranking, .order = order};
    size_t found = 0;

    if (ranking->count && max) {
        contest.nodes = malloc((max + 1) * depth * sizeof(*contest.nodes));
        if (!contest.nodes)
            return ERR_NO_MEMORY;
        push(&contest, 1);
    }
    while (found < max && contest.count) {
        size_t node = pop(&contest);
        uint32_t winner = winner_at(ranking, node);

        if (tally_empty(ranking->entries[winner]) || ranking_hides(order, winner))
            break;
        out[found++] = winner;
        push_beaten(&contest, node, winner);
    }
    free(contest.nodes);
    *out_count = found;
    return ERR_OK;
}
