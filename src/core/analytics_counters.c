/* analytics_counters.c - counters and their types, and where each stands. */
#include <stdlib.h>

#include "base/siphash.h"
#include "core/analytics_internal.h"

#define FIRST_CAP 64

/* ---- types ---- */

static bool id_before(const struct ranking_order *order, uint32_t a, uint32_t b) {
    const struct counter_type *type = CONTAINER_OF(order, struct counter_type, order);
    struct slice x = bytes_table_key(&type->owner->ids, type->members[a]);
    struct slice y = bytes_table_key(&type->owner->ids, type->members[b]);
    /* Both end in the same type, behind a zero byte that is in no id: this is the order of the
     * resource_ids. */
    int order_of_bytes = memcmp(x.ptr, y.ptr, x.len < y.len ? x.len : y.len);

    return order_of_bytes ? order_of_bytes < 0 : x.len < y.len;
}

static uint64_t hash_of(const struct analytics *a, struct slice bytes) {
    return siphash(a->conf.hash_seed, bytes);
}

static uint32_t find_type(const struct analytics *a, struct slice name) {
    return bytes_table_find(&a->type_names, hash_of(a, name), name);
}

struct counter_type *analytics_type(const struct analytics *a, struct slice name) {
    uint32_t number = find_type(a, name);

    return number == BYTES_TABLE_NONE ? NULL : a->types[number];
}

static bool widen_types(struct analytics *a) {
    if (a->type_names.count < a->types_cap)
        return true;
    uint32_t cap = a->types_cap ? a->types_cap * 2 : FIRST_CAP;
    struct counter_type **types = realloc(a->types, cap * sizeof(*types));
    if (!types)
        return false;
    a->types = types;
    a->types_cap = cap;
    return true;
}

static enum err add_type(struct analytics *a, struct slice name, uint32_t *out) {
    struct counter_type *type = widen_types(a) ? calloc(1, sizeof(*type)) : NULL;
    uint32_t number =
        type ? bytes_table_add(&a->type_names, hash_of(a, name), name) : BYTES_TABLE_NONE;

    if (number == BYTES_TABLE_NONE) {
        free(type);
        return ERR_NO_MEMORY;
    }
    type->order.before = id_before;
    type->owner = a;
    type->number = number;
    a->types[number] = type;
    *out = number;
    return ERR_OK;
}

enum err analytics_make_rest(struct analytics *a) {
    uint32_t number;

    return add_type(a, SLICE(""), &number);
}

static void release_type(struct counter_type *type) {
    ranking_release(&type->rankings);
    for (unsigned i = 0; i < RANGE_WINDOWS; i++)
        free(type->stills[i].rows);
    free(type->members);
    free(type->order.hidden);
    free(type->groups);
    free(type);
}

/* ---- counters ---- */

static bool widen_counters(struct analytics *a) {
    if (a->ids.count < a->counters_cap)
        return true;
    uint32_t cap = a->counters_cap ? a->counters_cap + a->counters_cap / 2 : FIRST_CAP;
    struct tracked *counters = realloc(a->counters, cap * sizeof(*counters));
    if (!counters)
        return false;
    a->counters = counters;
    a->counters_cap = cap;
    return true;
}

static bool widen_members(struct counter_type *type) {
    if (type->rankings.count < type->members_cap)
        return true;
    uint32_t cap = type->members_cap + type->members_cap / 2 + 2;
    uint32_t *members = realloc(type->members, cap * sizeof(*members));
    if (!members)
        return false;
    type->members = members;
    type->members_cap = cap;
    return true;
}

/* An entry in each of the type's rankings. */
static enum err add_entry(struct analytics *a, struct counter_type *type, uint32_t counter) {
    uint32_t entry = type->rankings.count;

    if (!widen_members(type))
        return ERR_NO_MEMORY;
    type->members[entry] = counter;
    enum err err = ranking_grow(&type->rankings, &type->order);
    if (err != ERR_OK)
        return err;
    a->counters[counter].entry = entry;
    return analytics_veil(a, counter);
}

/* The number of the type of this name, made if it is new. ERR_NO_MEMORY. */
MUST_CHECK static enum err make_type(struct analytics *a, struct slice name, uint32_t *out) {
    *out = find_type(a, name);
    return *out == BYTES_TABLE_NONE ? add_type(a, name, out) : ERR_OK;
}

/* Where the counter of this id belongs: its type, and of a group its number. */
static enum err parse_id(struct analytics *a, struct slice id, struct tracked *out) {
    const char *zero = memchr(id.ptr, '\0', id.len);
    struct slice name;

    if (!zero)
        return ERR_CORRUPT;
    if (zero == id.ptr) {
        enum err err = analytics_rest_parse(id, &name, &out->entry);
        if (err != ERR_OK)
            return err;
    } else {
        name = slice_skip(id, (size_t)(zero - id.ptr) + 1);
    }
    return make_type(a, name, &out->type);
}

static enum err place(struct analytics *a, uint32_t counter) {
    if (analytics_is_rest(&a->counters[counter]))
        return analytics_rest_place(a, counter);
    a->held++;
    return add_entry(a, a->types[a->counters[counter].type], counter);
}

enum err analytics_add_counter(struct analytics *a, struct slice id, uint32_t lane, uint32_t *out) {
    struct tracked counter = {.lane = lane};
    enum err err = parse_id(a, id, &counter);

    if (err == ERR_OK && !widen_counters(a))
        err = ERR_NO_MEMORY;
    if (err != ERR_OK)
        return err;
    uint32_t number = bytes_table_add(&a->ids, hash_of(a, id), id);
    if (number == BYTES_TABLE_NONE)
        return ERR_NO_MEMORY;
    a->counters[number] = counter;
    *out = number;
    return place(a, number);
}

struct slice analytics_id(struct buf *out, struct slice resource_id, struct slice counter_type) {
    buf_clear(out);
    buf_add_slice(out, resource_id);
    buf_add_char(out, '\0');
    buf_add_slice(out, counter_type);
    return buf_slice(out);
}

uint32_t analytics_find(struct analytics *a, struct slice resource_id, struct slice counter_type) {
    struct slice id = analytics_id(&a->scratch, resource_id, counter_type);

    return buf_failed(&a->scratch) ? NO_COUNTER : bytes_table_find(&a->ids, hash_of(a, id), id);
}

void analytics_look(const struct analytics *a, struct slice id, struct lookup *out) {
    *out = (struct lookup){id, hash_of(a, id), BYTES_TABLE_NONE};
    bytes_table_prefetch_slot(&a->ids, out->hash);
}

void analytics_look_row(const struct analytics *a, struct lookup *lookup) {
    lookup->guess = bytes_table_prefetch_row(&a->ids, lookup->hash);
    if (lookup->guess != BYTES_TABLE_NONE)
        __builtin_prefetch(&a->counters[lookup->guess]);
}

void analytics_look_key(const struct analytics *a, const struct lookup *lookup) {
    const struct tally_pending *pending = &a->generations[a->open].pending;

    if (lookup->guess == BYTES_TABLE_NONE)
        return;
    const struct tracked *tracked = &a->counters[lookup->guess];
    bytes_table_prefetch_key(&a->ids, lookup->guess);
    if (tracked->hint[a->open] < pending->counters_count)
        __builtin_prefetch(&pending->counters[tracked->hint[a->open]]);
    if (!analytics_is_rest(tracked))
        ranking_prefetch(&a->types[tracked->type]->rankings, tracked->entry);
}

enum err analytics_counter(struct analytics *a, const struct lookup *lookup, uint32_t lane,
                           uint32_t *out) {
    *out = bytes_table_find(&a->ids, lookup->hash, lookup->id);
    if (*out != BYTES_TABLE_NONE)
        return ERR_OK;
    if (!a->full && a->held < a->conf.counters_max)
        return analytics_add_counter(a, lookup->id, lane, out);
    return analytics_rest_counter(a, lookup->id, out);
}

/* ---- where it stands ---- */

struct tally analytics_tally(const struct analytics *a, uint32_t counter, enum time_range range) {
    const struct tracked *tracked = &a->counters[counter];
    struct counter_type *type = a->types[tracked->type];

    return analytics_is_rest(tracked) ? *analytics_rest_tally(type, tracked->entry, range)
                                      : ranking_get(&type->rankings, range, tracked->entry);
}

void analytics_rank(struct analytics *a, uint32_t counter, enum time_range range,
                    struct tally tally) {
    const struct tracked *tracked = &a->counters[counter];
    struct counter_type *type = a->types[tracked->type];

    if (analytics_is_rest(tracked))
        *analytics_rest_tally(type, tracked->entry, range) = tally;
    else
        ranking_set(&type->rankings, &type->order, range, tracked->entry, tally);
}

void analytics_counters_release(struct analytics *a) {
    for (uint32_t i = 0; i < a->type_names.count; i++)
        release_type(a->types[i]);
    free(a->types);
    free(a->counters);
    bytes_table_release(&a->type_names);
    bytes_table_release(&a->ids);
}
