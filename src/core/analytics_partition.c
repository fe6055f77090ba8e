/* analytics_partition.c - which partitions are here, and which counters are shown. */
#include "core/analytics_partition.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/analytics_internal.h"

#define VEIL_LOOKED  65536 /* counters, in a step; */
#define VEIL_CHANGED 4096  /* each of these costs five matches and more */
#define WORD         64

/* ---- records ---- */

const struct analytics_partition *analytics_partitions(const struct analytics *a,
                                                       uint32_t *out_count) {
    *out_count = a->partitions.count;
    return a->partitions.all;
}

struct analytics_partition analytics_partition(const struct analytics *a, uint32_t number) {
    for (uint32_t i = 0; i < a->partitions.count; i++)
        if (a->partitions.all[i].number == number)
            return a->partitions.all[i];
    return (struct analytics_partition){.number = number};
}

void analytics_mark_lanes(struct analytics *a) {
    analytics_still_end_all(a); /* they may show whom they mustn't */
    for (uint32_t i = 0; i < a->partitions.count; i++) {
        const struct analytics_partition *partition = &a->partitions.all[i];

        for (uint32_t lane = partition->number; lane < a->lanes_count; lane += partition->of)
            a->lanes[lane].partition = partition->state;
    }
    analytics_find_since(a);
}

bool analytics_elsewhere(const struct analytics *a, uint32_t lane) {
    return analytics_hides(a->lanes[lane].partition);
}

bool analytics_shows(const struct analytics *a, uint32_t number, uint32_t of) {
    for (uint32_t lane = number; lane < a->lanes_count; lane += of)
        if (a->lanes[lane].at.epoch && !analytics_elsewhere(a, lane))
            return true;
    return false;
}

static enum err set(struct analytics *a, const struct analytics_partition *partition) {
    struct partitions *partitions = &a->partitions;
    uint32_t at = 0;

    while (at < partitions->count && partitions->all[at].number != partition->number)
        at++;
    if (at == ANALYTICS_PARTITIONS_MAX)
        return ERR_RANGE;
    if (at == partitions->count)
        partitions->all[partitions->count++] = (struct analytics_partition){0};
    if (analytics_hides(partitions->all[at].state) != analytics_hides(partition->state))
        a->veiled = 0;
    partitions->all[at] = *partition;
    partitions->dirty = true;
    analytics_mark_lanes(a);
    return ERR_OK;
}

/* ---- steps ---- */

static enum err go(struct analytics *a, struct analytics_partition partition,
                   enum partition_state state) {
    if (partition.state == state)
        return ERR_OK;
    partition.state = state;
    return set(a, &partition);
}

static bool is_peer(const struct analytics_partition *partition, struct slice peer) {
    return slice_eq(slice_str(partition->peer), peer);
}

static void name_peer(struct analytics_partition *partition, struct slice peer) {
    (void)snprintf(partition->peer, sizeof(partition->peer), "%.*s", SLICE_ARGS(peer));
}

enum err analytics_leave(struct analytics *a, uint32_t number, uint32_t of, struct slice peer) {
    struct analytics_partition partition = analytics_partition(a, number);
    bool on_its_way = partition.state == PARTITION_LEAVING || partition.state == PARTITION_GONE;

    if (on_its_way)
        return is_peer(&partition, peer) ? ERR_OK : ERR_LOCKED;
    if (partition.state > PARTITION_HERE)
        return ERR_LOCKED;
    partition.of = of;
    name_peer(&partition, peer);
    return go(a, partition, PARTITION_LEAVING);
}

enum err analytics_arrive(struct analytics *a, const struct analytics_partition *from,
                          struct slice peer) {
    struct analytics_partition partition = analytics_partition(a, from->number);

    if (partition.state == PARTITION_HERE || partition.state == PARTITION_LEAVING)
        return ERR_LOCKED;
    if (partition.moves > from->moves)
        return ERR_TOO_OLD;
    partition.of = from->of;
    partition.moves = from->moves;
    partition.state = PARTITION_ARRIVING;
    name_peer(&partition, peer);
    return set(a, &partition);
}

enum err analytics_ready(struct analytics *a, uint32_t number) {
    struct analytics_partition partition = analytics_partition(a, number);

    return partition.state == PARTITION_ARRIVING || partition.state == PARTITION_READY
               ? go(a, partition, PARTITION_READY)
               : ERR_LOCKED;
}

enum err analytics_release(struct analytics *a, uint32_t number, struct slice peer) {
    struct analytics_partition partition = analytics_partition(a, number);
    bool on_its_way = partition.state == PARTITION_LEAVING || partition.state == PARTITION_GONE;

    return on_its_way && is_peer(&partition, peer) ? go(a, partition, PARTITION_GONE) : ERR_LOCKED;
}

enum err analytics_own(struct analytics *a, uint32_t number) {
    struct analytics_partition partition = analytics_partition(a, number);

    if (partition.state != PARTITION_READY)
        return partition.state == PARTITION_HERE ? ERR_OK : ERR_LOCKED;
    partition.moves++;
    return go(a, partition, PARTITION_HERE);
}

enum err analytics_keep(struct analytics *a, uint32_t number) {
    struct analytics_partition partition = analytics_partition(a, number);

    if (partition.state == PARTITION_LEAVING)
        return go(a, partition, PARTITION_HERE);
    if (partition.state == PARTITION_ARRIVING || partition.state == PARTITION_READY)
        return go(a, partition, PARTITION_GONE);
    return partition.state == PARTITION_GONE ? ERR_LOCKED : ERR_OK;
}

/* ---- counters ---- */

bool analytics_hidden(const struct analytics *a, uint32_t counter) {
    const struct tracked *tracked = &a->counters[counter];

    return !analytics_is_rest(tracked) &&
           ranking_hides(&a->types[tracked->type]->order, tracked->entry);
}

/* A ranking has room for up to half as many entries more than it has, and looks at all. */
static bool widen_hidden(struct counter_type *type, uint32_t entry) {
    uint32_t cap = (entry + 1) / WORD * 2 * WORD + 2 * WORD;

    if (cap <= type->hidden_cap)
        return true;
    uint64_t *hidden = realloc(type->order.hidden, cap / 8);
    if (!hidden)
        return false;
    memset(hidden + type->hidden_cap / WORD, 0, (cap - type->hidden_cap) / 8);
    type->order.hidden = hidden;
    type->hidden_cap = cap;
    return true;
}

static void flip(struct analytics *a, uint32_t counter) {
    const struct tracked *tracked = &a->counters[counter];
    struct counter_type *type = a->types[tracked->type];

    type->order.hidden[tracked->entry / WORD] ^= UINT64_C(1) << tracked->entry % WORD;
    for (unsigned i = 0; i < RANGES; i++)
        analytics_rank(a, counter, (enum time_range)i,
                       analytics_tally(a, counter, (enum time_range)i));
}

enum err analytics_veil(struct analytics *a, uint32_t counter) {
    const struct tracked *tracked = &a->counters[counter];
    struct counter_type *type = a->types[tracked->type];
    bool hides = tracked->lane && analytics_elsewhere(a, tracked->lane - 1);

    if ((hides || type->order.hidden) && !widen_hidden(type, type->rankings.count))
        return ERR_NO_MEMORY;
    if (hides != ranking_hides(&type->order, tracked->entry))
        flip(a, counter);
    return ERR_OK;
}

bool analytics_veil_some(struct analytics *a) {
    uint32_t changed = 0;

    for (uint32_t i = 0; i < VEIL_LOOKED && a->veiled < a->ids.count && changed < VEIL_CHANGED;
         i++) {
        uint32_t counter = a->veiled;
        bool hidden = analytics_hidden(a, counter);

        if (!analytics_is_rest(&a->counters[counter]) && analytics_veil(a, counter) != ERR_OK)
            return true; /* when there is memory again */
        changed += hidden != analytics_hidden(a, counter);
        a->veiled++;
    }
    if (a->veiled < a->ids.count)
        return true;
    a->veiled = UINT32_MAX;
    analytics_still_end_all(a); /* of while it was under way */
    return false;
}

/* While one is READY nobody may have it. */
bool analytics_moving(const struct analytics *a) {
    for (uint32_t i = 0; i < a->partitions.count; i++)
        if (a->partitions.all[i].state == PARTITION_LEAVING ||
            a->partitions.all[i].state == PARTITION_READY)
            return true;
    return a->veiled != UINT32_MAX;
}
