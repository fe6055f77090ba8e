/* last_values.c - two generations of one table each. */
#include "core/last_values.h"

#include <stdlib.h>

#include "base/siphash.h"
#include "core/bytes_table.h"

/* Of a row in a table: itself, its two slots, its value. */
#define ROW_BYTES (sizeof(struct bytes_row) + 2 * sizeof(uint32_t) + sizeof(struct last_value))

struct generation {
    struct bytes_table names; /* resource_id, 0x00, counter_type: ids never have a 0 in them */
    struct last_value *values;
    uint32_t cap; /* of values */
};

struct last_values {
    struct generation young;
    struct generation old;
    size_t generation_max; /* bytes */
    uint64_t seed[2];
    struct buf name; /* scratch */
};

struct last_values *last_values_new(size_t bytes_max, const uint64_t seed[2]) {
    struct last_values *last = calloc(1, sizeof(*last));

    if (!last)
        return NULL;
    last->generation_max = bytes_max / 2;
    last->seed[0] = seed[0];
    last->seed[1] = seed[1];
    return last;
}

static void generation_release(struct generation *generation) {
    bytes_table_release(&generation->names);
    free(generation->values);
}

void last_values_free(struct last_values *last) {
    if (!last)
        return;
    generation_release(&last->young);
    generation_release(&last->old);
    buf_release(&last->name);
    free(last);
}

static size_t generation_bytes(const struct generation *generation) {
    return generation->names.cap * ROW_BYTES + generation->names.bytes.cap;
}

size_t last_values_bytes(const struct last_values *last) {
    return generation_bytes(&last->young) + generation_bytes(&last->old);
}

/* Both arrays double when they grow. */
static size_t bytes_with(const struct generation *generation, size_t name_len) {
    const struct bytes_table *names = &generation->names;
    size_t rows = names->count == names->cap ? (size_t)names->cap * 2 : names->cap;
    size_t bytes = names->bytes.cap;

    if (names->bytes.len + name_len > bytes)
        bytes = names->bytes.len + name_len > bytes * 2 ? names->bytes.len + name_len : bytes * 2;
    return rows * ROW_BYTES + bytes;
}

static struct slice name_of(struct last_values *last, struct slice resource_id,
                            struct slice counter_type) {
    buf_clear(&last->name);
    buf_add_slice(&last->name, resource_id);
    buf_add_char(&last->name, '\0');
    buf_add_slice(&last->name, counter_type);
    return buf_failed(&last->name) ? (struct slice){NULL, 0} : buf_slice(&last->name);
}

static struct last_value *find(struct generation *generation, uint64_t hash, struct slice name) {
    uint32_t number = bytes_table_find(&generation->names, hash, name);

    return number == BYTES_TABLE_NONE ? NULL : &generation->values[number];
}

static void turn(struct last_values *last) {
    struct generation dropped = last->old;

    last->old = last->young;
    last->young = dropped;
    bytes_table_clear(&last->young.names);
}

/* NULL: it finds no room. */
static struct last_value *add(struct last_values *last, uint64_t hash, struct slice name) {
    struct generation *young = &last->young;

    if (bytes_with(young, name.len) > last->generation_max)
        turn(last);
    if (bytes_with(young, name.len) > last->generation_max)
        return NULL;
    uint32_t number = bytes_table_add(&young->names, hash, name);
    if (number == BYTES_TABLE_NONE)
        return NULL;
    if (young->cap < young->names.cap) {
        struct last_value *values = realloc(young->values, young->names.cap * sizeof(*values));

        if (!values) { /* a name without a place for its value */
            bytes_table_clear(&young->names);
            return NULL;
        }
        young->values = values;
        young->cap = young->names.cap;
    }
    return &young->values[number];
}

void last_values_put(struct last_values *last, struct slice resource_id, struct slice counter_type,
                     const struct last_value *value) {
    struct slice name = name_of(last, resource_id, counter_type);
    uint64_t hash = siphash(last->seed, name);
    struct last_value *known = find(&last->young, hash, name);
    struct last_value *before = known ? known : find(&last->old, hash, name);

    if (!name.ptr || (before && value->time_ms < before->time_ms))
        return;
    if (!known)
        known = add(last, hash, name);
    if (known)
        *known = *value;
}

bool last_values_find(struct last_values *last, struct slice resource_id, struct slice counter_type,
                      int64_t now_ms, int64_t max_age_ms, struct last_value *out) {
    struct slice name = name_of(last, resource_id, counter_type);
    uint64_t hash = siphash(last->seed, name);
    const struct last_value *known = find(&last->young, hash, name);

    if (!known)
        known = find(&last->old, hash, name);
    if (!name.ptr || !known || now_ms - known->at_ms > max_age_ms)
        return false;
    *out = *known;
    return true;
}
