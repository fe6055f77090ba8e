/* json_oracle.c - CONTRACT A and B said a second time, over jansson's tree. */
#include "json_oracle.h"

#include <jansson.h>
#include <stdlib.h>

#define KEY_MAX_BYTES 255

struct oracle {
    json_t *root; /* NULL unless accepted */
    enum oracle_verdict verdict;
    bool duplicates;
};

static enum oracle_verdict verdict_of(enum json_error_code code) {
    return code == json_error_numeric_overflow || code == json_error_null_byte_in_key
               ? ORACLE_PASSES
               : ORACLE_REJECTS;
}

struct oracle *oracle_new(const void *bytes, size_t len) {
    static const size_t flags = JSON_DECODE_ANY | JSON_ALLOW_NUL;
    struct oracle *oracle = calloc(1, sizeof(*oracle));
    json_error_t error;

    if (!oracle)
        abort();
    /* No JSON text holds a raw NUL. jansson 2.14 loses one behind a number or a
     * word, where it looks a byte ahead and puts it back. */
    if (len && memchr(bytes, '\0', len)) {
        oracle->verdict = ORACLE_REJECTS;
        return oracle;
    }
    oracle->root = json_loadb(len ? bytes : "", len, flags, &error);
    if (!oracle->root) {
        oracle->verdict = verdict_of(json_error_code(&error));
        return oracle;
    }
    json_t *strict = json_loadb(len ? bytes : "", len, flags | JSON_REJECT_DUPLICATES, &error);
    oracle->duplicates = !strict;
    json_decref(strict);
    return oracle;
}

void oracle_free(struct oracle *oracle) {
    json_decref(oracle->root);
    free(oracle);
}

enum oracle_verdict oracle_verdict(const struct oracle *oracle) {
    return oracle->verdict;
}

bool oracle_has_duplicates(const struct oracle *oracle) {
    return oracle->duplicates;
}

/* Recursion is fine here: jansson itself refuses more than 2,048 levels. */
static size_t depth_of(json_t *value) {
    size_t deepest = 0;
    size_t i;
    const char *name;
    json_t *inner;

    if (!json_is_array(value) && !json_is_object(value))
        return 0;
    json_array_foreach(value, i, inner) {
        size_t depth = depth_of(inner);
        deepest = depth > deepest ? depth : deepest;
    }
    json_object_foreach(value, name, inner) {
        size_t depth = depth_of(inner);
        deepest = depth > deepest ? depth : deepest;
    }
    return deepest + 1;
}

size_t oracle_depth(const struct oracle *oracle) {
    return depth_of(oracle->root);
}

/* A member, NULL when absent or null. */
static json_t *member(json_t *object, const char *name) {
    json_t *value = json_object_get(object, name);

    return json_is_null(value) ? NULL : value;
}

static struct slice text_of(json_t *string) {
    return slice_of(json_string_value(string), json_string_length(string));
}

static bool has_nul(struct slice s) {
    return memchr(s.ptr, '\0', s.len) != NULL;
}

static bool read_id(json_t *value, struct slice *out) {
    if (!json_is_string(value))
        return false;
    *out = text_of(value);
    return out->len > 0 && !has_nul(*out);
}

static bool read_key(json_t *value, struct slice *out) {
    *out = (struct slice){NULL, 0};
    return !value || (read_id(value, out) && out->len <= KEY_MAX_BYTES);
}

static bool read_delta(json_t *value, int64_t *out) {
    if (value && !json_is_integer(value))
        return false;
    *out = value && json_integer_value(value) ? json_integer_value(value) : 1;
    return true;
}

static bool read_item(json_t *object, struct oracle_item *out) {
    *out = (struct oracle_item){.delta = 1};
    return json_is_object(object) && read_id(member(object, "resource_id"), &out->resource_id) &&
           read_id(member(object, "counter_type"), &out->counter_type) &&
           read_delta(member(object, "delta"), &out->delta);
}

bool oracle_increment(const struct oracle *oracle, struct oracle_item *out) {
    return read_item(oracle->root, out);
}

bool oracle_batch(const struct oracle *oracle, size_t *out_count) {
    json_t *items = member(oracle->root, "items");

    *out_count = json_array_size(items);
    return json_is_array(items);
}

bool oracle_batch_item(const struct oracle *oracle, size_t i, struct oracle_item *out) {
    json_t *item = json_array_get(member(oracle->root, "items"), i);

    return read_item(item, out) && read_key(member(item, "idempotency_key"), &out->idempotency_key);
}

bool oracle_value(const struct oracle *oracle, int64_t *out) {
    json_t *value = member(oracle->root, "value");

    *out = json_integer_value(value);
    return json_is_integer(value);
}

struct slice oracle_data_text(const struct oracle *oracle, const char *name) {
    json_t *value = member(member(oracle->root, "data"), name);

    return json_is_string(value) ? text_of(value) : (struct slice){NULL, 0};
}
