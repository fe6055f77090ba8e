/* analytics_rest.c - counters beyond the limit: in groups, by a hash that never changes.
 *
 * A group is counted like a counter: in buckets and windows, stored, with its increases only. So
 * what it says of those in it stays right through decrements, crashes and clocks.
 */
#include <stdlib.h>

#include "core/analytics_internal.h"
#include "core/hash.h"

/* The lane is of the same hash: other bits. */
#define GROUP_SHIFT 40

static uint32_t group_of(struct slice id) {
    return (uint32_t)(hash64(id) >> GROUP_SHIFT) % REST_GROUPS;
}

/* A zero byte, the type, and, since version 3, a zero byte and the group. */
static struct slice group_id(struct buf *out, struct slice counter_type, uint32_t group) {
    analytics_id(out, SLICE(""), counter_type);
    buf_add_char(out, '\0');
    bytes_add_be32(out, group);
    return buf_slice(out);
}

enum err analytics_rest_parse(struct slice id, struct slice *out_type, uint32_t *out_entry) {
    struct slice rest = slice_skip(id, 1);
    const char *zero = rest.len ? memchr(rest.ptr, '\0', rest.len) : NULL;

    if (!zero) {
        *out_type = rest;
        *out_entry = REST_ENTRY | REST_GROUPS;
        return ERR_OK;
    }
    struct slice name = slice_of(rest.ptr, (size_t)(zero - rest.ptr));
    struct bytes_reader in = bytes_reader(slice_skip(rest, name.len + 1));
    uint32_t group = bytes_be32(&in);
    if (!bytes_done(&in) || group >= REST_GROUPS)
        return ERR_CORRUPT;
    *out_type = name;
    *out_entry = REST_ENTRY | group;
    return ERR_OK;
}

/* Made if there are none; NULL: no memory. */
static struct rest_groups *groups_of(struct analytics *a, struct counter_type *type) {
    struct rest_groups *groups = type->groups ? type->groups : calloc(1, sizeof(*groups));

    if (!groups || type->groups)
        return groups;
    for (uint32_t i = 0; i < REST_GROUPS; i++)
        groups->counters[i] = NO_COUNTER;
    type->groups = groups;
    a->rest_types += type->number != 0;
    return groups;
}

enum err analytics_rest_place(struct analytics *a, uint32_t counter) {
    const struct tracked *tracked = &a->counters[counter];
    struct counter_type *type = a->types[tracked->type];
    uint32_t group = tracked->entry - REST_ENTRY;

    a->full = true;
    if (group == REST_GROUPS)
        return ERR_OK;
    struct rest_groups *groups = groups_of(a, type);
    if (!groups)
        return ERR_NO_MEMORY;
    groups->counters[group] = counter;
    return ERR_OK;
}

/* A type nobody knows yet stays unknown, and one more than may have groups has none: they are in
 * number 0's. */
static uint32_t type_with_groups(const struct analytics *a, struct slice name) {
    const struct counter_type *type = analytics_type(a, name);

    if (!type || (!type->groups && a->rest_types >= REST_TYPES_MAX))
        return 0;
    return type->number;
}

enum err analytics_rest_counter(struct analytics *a, struct slice id, uint32_t *out) {
    struct slice counter_type = slice_skip(id, strnlen(id.ptr, id.len) + 1);
    uint32_t group = group_of(id);
    uint32_t type = type_with_groups(a, counter_type);
    const struct rest_groups *groups = a->types[type]->groups;

    if (groups && groups->counters[group] != NO_COUNTER) {
        *out = groups->counters[group];
        return ERR_OK;
    }
    struct slice own = group_id(&a->scratch, type ? counter_type : SLICE(""), group);
    return buf_failed(&a->scratch) ? ERR_NO_MEMORY : analytics_add_counter(a, own, 0, out);
}

/* ---- what is missing ---- */

struct bound {
    bool any;
    int64_t most;
};

static void consider(struct bound *bound, struct tally tally) {
    bound->any |= !tally_empty(tally);
    if (tally.sum > bound->most)
        bound->most = tally.sum;
}

static int64_t add_up_to_max(int64_t a, int64_t b) {
    int64_t sum;

    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

/* Of those whose groups are this type's; 'group' REST_GROUPS: of all. */
static struct bound bound_of(const struct counter_type *type, uint32_t group,
                             enum time_range range) {
    struct bound before = {0};
    struct bound since = {0};

    consider(&before, type->rest_before[range]);
    if (type->groups && group != REST_GROUPS)
        consider(&since, type->groups->tallies[range][group]);
    for (uint32_t i = 0; type->groups && group == REST_GROUPS && i < REST_GROUPS; i++)
        consider(&since, type->groups->tallies[range][i]);
    return (struct bound){before.any || since.any, add_up_to_max(before.most, since.most)};
}

bool analytics_rest_bound(struct analytics *a, const struct counter_type *type,
                          const struct stats_query *one, enum time_range range, int64_t *out) {
    uint32_t group = REST_GROUPS;

    if (one)
        group = group_of(analytics_id(&a->scratch, one->resource_id, one->counter_type));
    struct bound own = bound_of(type, group, range);
    struct bound others = bound_of(a->types[0], group, range);
    *out = own.most > others.most ? own.most : others.most;
    return own.any || others.any;
}
