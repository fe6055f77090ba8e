/* ranking.c - tournament trees in an array: the parent of node n is n / 2, entry i is node
 * cap + i. It needs no power of two: every node but the first has a parent, so node 1 is above
 * all. */
#include "core/ranking.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_CAP 2

/* A better entry; of two without a tally the lower number, as somebody must win. */
static bool better(const struct rankings *rankings, const struct ranking_order *order,
                   enum time_range range, uint32_t a, uint32_t b) {
    const struct tally *x = &rankings->entries[a].in[range];
    const struct tally *y = &rankings->entries[b].in[range];
    bool x_empty = tally_empty(*x) || ranking_hides(order, a);
    bool y_empty = tally_empty(*y) || ranking_hides(order, b);

    if (x_empty || y_empty)
        return x_empty == y_empty ? a < b : y_empty;
    if (x->sum != y->sum)
        return x->sum > y->sum;
    return order->before(order, a, b);
}

static uint32_t winner_at(const struct rankings *rankings, enum time_range range, size_t node) {
    return node >= rankings->cap ? (uint32_t)(node - rankings->cap)
                                 : rankings->nodes[node].winner[range];
}

static void play(struct rankings *rankings, const struct ranking_order *order,
                 enum time_range range, size_t node) {
    uint32_t left = winner_at(rankings, range, 2 * node);
    uint32_t right = winner_at(rankings, range, 2 * node + 1);

    rankings->nodes[node].winner[range] =
        better(rankings, order, range, left, right) ? left : right;
}

static void play_all(struct rankings *rankings, const struct ranking_order *order,
                     enum time_range range) {
    for (size_t node = rankings->cap; node-- > 1;)
        play(rankings, order, range, node);
}

static enum err widen(struct rankings *rankings, const struct ranking_order *order) {
    size_t cap = rankings->cap ? (size_t)rankings->cap + rankings->cap / 2 + 1 : FIRST_CAP;

    if (cap > UINT32_MAX / 2)
        return ERR_NO_MEMORY;
    struct ranking_entry *entries = realloc(rankings->entries, cap * sizeof(*entries));
    if (entries)
        rankings->entries = entries;
    struct ranking_node *nodes = realloc(rankings->nodes, cap * sizeof(*nodes));
    if (nodes)
        rankings->nodes = nodes;
    if (!entries || !nodes)
        return ERR_NO_MEMORY;
    memset(entries + rankings->cap, 0, (cap - rankings->cap) * sizeof(*entries));
    rankings->cap = (uint32_t)cap;
    for (unsigned i = 0; i < RANGES; i++)
        play_all(rankings, order, (enum time_range)i);
    return ERR_OK;
}

void ranking_release(struct rankings *rankings) {
    free(rankings->entries);
    free(rankings->nodes);
    *rankings = (struct rankings){0};
}

enum err ranking_grow(struct rankings *rankings, const struct ranking_order *order) {
    enum err err = rankings->count < rankings->cap ? ERR_OK : widen(rankings, order);

    if (err == ERR_OK)
        rankings->count++;
    return err;
}

/* Where it has won it can't lose then. */
static bool rises(const struct ranking_order *order, uint32_t number, struct tally from,
                  struct tally to) {
    return to.sum >= from.sum && !tally_empty(to) && !ranking_hides(order, number);
}

/* The highest node that it has won, or its leaf. Who has won a node has won all on the way there,
 * so any that it has won is one to go on from. An event counts in several ranges, and mostly it has
 * won the same in all of them: where it came to in the last one is looked at first. */
static size_t highest_won(const struct rankings *rankings, enum time_range range, uint32_t number) {
    size_t won = (size_t)rankings->cap + number;

    if (rankings->rose && winner_at(rankings, range, rankings->rose) == number)
        won = rankings->rose;
    while (won > 1 && rankings->nodes[won / 2].winner[range] == number)
        won /= 2;
    return won;
}

/* It takes what it wins now, too. */
static void climb(struct rankings *rankings, const struct ranking_order *order,
                  enum time_range range, uint32_t number) {
    size_t won = highest_won(rankings, range, number);

    /* Who doesn't win here isn't known further up. */
    while (won > 1 &&
           better(rankings, order, range, number, rankings->nodes[won / 2].winner[range])) {
        won /= 2;
        rankings->nodes[won].winner[range] = number;
    }
    rankings->rose = (uint32_t)won;
}

void ranking_set(struct rankings *rankings, const struct ranking_order *order,
                 enum time_range range, uint32_t number, struct tally tally) {
    struct tally *entry = &rankings->entries[number].in[range];
    bool up = rises(order, number, *entry, tally);

    *entry = tally;
    if (up) {
        climb(rankings, order, range, number);
        return;
    }
    for (size_t node = ((size_t)rankings->cap + number) / 2; node >= 1; node /= 2) {
        uint32_t *winner = &rankings->nodes[node].winner[range];

        if (*winner == number)
            play(rankings, order, range, node);
        else if (better(rankings, order, range, number, *winner))
            *winner = number;
        else
            return; /* who doesn't win here isn't known further up */
    }
}

void ranking_prefetch(const struct rankings *rankings, uint32_t number) {
    const char *entry = (const char *)&rankings->entries[number];
    size_t node = ((size_t)rankings->cap + number) / 2;

    __builtin_prefetch(entry);
    __builtin_prefetch(entry + sizeof(struct ranking_entry) - 1);
    __builtin_prefetch(&rankings->nodes[node]);
    __builtin_prefetch(&rankings->nodes[node / 2]);
}

void ranking_reset(struct rankings *rankings, const struct ranking_order *order,
                   enum time_range range) {
    for (uint32_t i = 0; i < rankings->cap; i++)
        rankings->entries[i].in[range] = (struct tally){0};
    play_all(rankings, order, range);
}

/* ---- the best: a heap of subtrees, each by its winner ---- */

struct contest {
    const struct rankings *rankings;
    const struct ranking_order *order;
    enum time_range range;
    size_t *nodes;
    size_t count;
};

static bool ahead(const struct contest *contest, size_t a, size_t b) {
    return better(contest->rankings, contest->order, contest->range,
                  winner_at(contest->rankings, contest->range, contest->nodes[a]),
                  winner_at(contest->rankings, contest->range, contest->nodes[b]));
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
    for (size_t node = (size_t)contest->rankings->cap + winner; node != top; node /= 2)
        push(contest, node ^ 1);
}

enum err ranking_top(const struct rankings *rankings, const struct ranking_order *order,
                     enum time_range range, size_t max, uint32_t *out, size_t *out_count) {
    size_t depth = 64u - (unsigned)__builtin_clzll(2ull * rankings->cap + 1);
    struct contest contest = {.rankings = rankings, .order = order, .range = range};
    size_t found = 0;

    if (rankings->count && max) {
        contest.nodes = malloc((max + 1) * depth * sizeof(*contest.nodes));
        if (!contest.nodes)
            return ERR_NO_MEMORY;
        push(&contest, 1);
    }
    while (found < max && contest.count) {
        size_t node = pop(&contest);
        uint32_t winner = winner_at(rankings, range, node);

        if (tally_empty(ranking_get(rankings, range, winner)) || ranking_hides(order, winner))
            break;
        out[found++] = winner;
        push_beaten(&contest, node, winner);
    }
    free(contest.nodes);
    *out_count = found;
    return ERR_OK;
}
