/* counter_json_read.c - request bodies: what is asked of which counter.
 *
 * Fields are collected as tokens first and looked at when their object is
 * complete: the last of duplicate names wins, and an overridden one costs no
 * arena. A wrong type is an error even when a later duplicate has the right one.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/counter_name.h"
#include "wire/counter_json.h"
#include "wire/json.h"

#define KEY_MAX_BYTES 255 /* CONTRACT B, as the header Idempotency-Key */

/* No item is shorter, so a body can't hold more items than its bytes over this. */
#define ITEM_MIN_BYTES (sizeof("{\"resource_id\":\"a\",\"counter_type\":\"b\"},") - 1)

#define NO_INDEX SIZE_MAX

/* One body being read. */
struct reading {
    struct json_reader json;
    struct arena *arena;
    struct json_problem *problem;
    size_t index; /* of the item, NO_INDEX outside of a batch */
    bool changes; /* delta and idempotency_key mean something */
    bool keyed;
};

static struct reading reading_of(struct slice body, struct arena *arena,
                                 struct json_problem *problem) {
    struct reading reading = {.arena = arena, .problem = problem, .index = NO_INDEX};

    json_reader_init(&reading.json, body);
    return reading;
}

/* ---- problems ---- */

/* "field: sentence", inside a batch "items[3].field: sentence". */
static enum err PRINTF_LIKE(3, 4)
    bad_field(const struct reading *reading, const char *field, const char *fmt, ...) {
    char *text = reading->problem->text;
    size_t room = sizeof(reading->problem->text);
    va_list args;

    /* Field names are ours and short: the name never fills the room. */
    int name = reading->index == NO_INDEX ? snprintf(text, room, "%s: ", field)
                                          : snprintf(text, room, "items[%zu]%s%s: ", reading->index,
                                                     *field ? "." : "", field);
    va_start(args, fmt);
    (void)vsnprintf(text + name, room - (size_t)name, fmt, args);
    va_end(args);
    return ERR_INVALID;
}

static enum err bad_type(const struct reading *reading, const char *field, const char *wanted,
                         enum json_type found) {
    return bad_field(reading, field, "must be %s, found %s", wanted, json_type_name(found));
}

static enum err bad_syntax(const struct reading *reading) {
    (void)snprintf(reading->problem->text, sizeof(reading->problem->text),
                   "invalid JSON at byte %zu: %s", reading->json.error.at,
                   reading->json.error.what);
    return ERR_INVALID;
}

static enum err bad_body(const struct reading *reading, const char *what) {
    (void)snprintf(reading->problem->text, sizeof(reading->problem->text),
                   "the body must be a JSON object, found %s", what);
    return ERR_INVALID;
}

static enum err no_memory(const struct reading *reading) {
    (void)snprintf(reading->problem->text, sizeof(reading->problem->text),
                   "the body needs more memory than one request may use");
    return ERR_NO_MEMORY;
}

/* ---- single fields ---- */

/* A required id: never empty, and without NUL, which no store key may hold. */
static enum err read_id(const struct reading *reading, const char *field,
                        const struct json_token *token, struct slice *out) {
    struct slice text;

    if (token->type == JSON_NULL)
        return bad_field(reading, field, "is required");
    if (json_text(token, reading->arena, &text) != ERR_OK)
        return no_memory(reading);
    if (text.len == 0)
        return bad_field(reading, field, "must not be empty");
    if (token->escaped && memchr(text.ptr, '\0', text.len))
        return bad_field(reading, field, "must not contain U+0000");
    *out = text;
    return ERR_OK;
}

static enum err check_name(const struct reading *reading, const struct json_item *item) {
    size_t len = item->resource_id.len + item->counter_type.len;

    if (!reading->changes || len <= COUNTER_NAME_MAX)
        return ERR_OK;
    return bad_field(reading, "resource_id",
                     "must have at most %d bytes together with counter_type, found %zu",
                     COUNTER_NAME_MAX, len);
}

static enum err read_key(const struct reading *reading, const struct json_token *token,
                         struct slice *out) {
    struct slice text;

    *out = (struct slice){NULL, 0};
    if (token->type == JSON_NULL)
        return ERR_OK;
    if (json_text(token, reading->arena, &text) != ERR_OK)
        return no_memory(reading);
    if (text.len == 0 || text.len > KEY_MAX_BYTES)
        return bad_field(reading, "idempotency_key", "must have 1 to %d bytes, found %zu",
                         KEY_MAX_BYTES, text.len);
    if (token->escaped && memchr(text.ptr, '\0', text.len))
        return bad_field(reading, "idempotency_key", "must not contain U+0000");
    *out = text;
    return ERR_OK;
}

static enum err read_i64(const struct reading *reading, const char *field,
                         const struct json_token *token, int64_t *out) {
    if (json_i64(token, out))
        return ERR_OK;
    return bad_field(reading, field,
                     "must be a 64-bit signed integer without fraction or exponent, found %.*s%s",
                     token->raw.len < 40 ? (int)token->raw.len : 40, token->raw.ptr,
                     token->raw.len > 40 ? "..." : "");
}

static enum err read_delta(const struct reading *reading, const struct json_token *token,
                           int64_t *out) {
    *out = 0;
    if (token->type == JSON_NUMBER) {
        enum err err = read_i64(reading, "delta", token, out);

        if (err != ERR_OK)
            return err;
    }
    if (*out == 0)
        *out = 1; /* CONTRACT A: absent or 0 means 1 */
    return ERR_OK;
}

/* ---- objects ---- */

/* A field this body knows: its name, its type, and where its last value goes
 * (type JSON_NULL while absent). */
struct field {
    const char *name;
    size_t name_len;
    enum json_type type;
    struct json_token *value;
    bool wanted;
};

#define FIELD(literal, json, where, on)                                                            \
    {                                                                                              \
        .name = (literal), .name_len = sizeof(literal) - 1, .type = (json), .value = (where),      \
        .wanted = (on)                                                                             \
    }

static const char *wanted_name(enum json_type type) {
    return type == JSON_NUMBER ? "a 64-bit signed integer" : json_type_name(type);
}

static const struct field *find_field(const struct field *fields, size_t count,
                                      const struct json_token *key) {
    for (size_t i = 0; i < count; i++)
        if (fields[i].wanted && json_text_is(key, slice_of(fields[i].name, fields[i].name_len)))
            return &fields[i];
    return NULL;
}

/* One member's value. */
static enum err read_member(struct reading *reading, const struct field *field) {
    struct json_token value;

    if (json_next(&reading->json, &value) == JSON_ERROR)
        return bad_syntax(reading);
    if (field && value.type != JSON_NULL && value.type != field->type)
        return bad_type(reading, field->name, wanted_name(field->type), value.type);
    if (!json_skip(&reading->json, &value))
        return bad_syntax(reading);
    if (field)
        *field->value = value;
    return ERR_OK;
}

/* The members of an object whose '{' has been read. */
static enum err read_members(struct reading *reading, const struct field *fields, size_t count) {
    struct json_token key;

    for (;;) {
        enum json_type type = json_next(&reading->json, &key);

        if (type == JSON_OBJECT_END)
            return ERR_OK;
        if (type == JSON_ERROR)
            return bad_syntax(reading);
        enum err err = read_member(reading, find_field(fields, count, &key));
        if (err != ERR_OK)
            return err;
    }
}

/* An item whose '{' has been read. */
static enum err read_item(struct reading *reading, struct json_item *out) {
    const struct json_token absent = {.type = JSON_NULL};
    struct json_token id = absent;
    struct json_token type = absent;
    struct json_token delta = absent;
    struct json_token key = absent;
    const struct field fields[] = {
        FIELD("resource_id", JSON_STRING, &id, true),
        FIELD("counter_type", JSON_STRING, &type, true),
        FIELD("delta", JSON_NUMBER, &delta, reading->changes),
        FIELD("idempotency_key", JSON_STRING, &key, reading->keyed),
    };
    struct json_item item = {0};
    enum err err = read_members(reading, fields, ARRAY_LEN(fields));

    if (err == ERR_OK)
        err = read_id(reading, "resource_id", &id, &item.resource_id);
    if (err == ERR_OK)
        err = read_id(reading, "counter_type", &type, &item.counter_type);
    if (err == ERR_OK)
        err = check_name(reading, &item);
    if (err == ERR_OK)
        err = read_delta(reading, &delta, &item.delta);
    if (err == ERR_OK)
        err = read_key(reading, &key, &item.idempotency_key);
    if (err == ERR_OK)
        *out = item;
    return err;
}

/* The '{' that every body begins with. */
static enum err open_body(struct reading *reading) {
    struct json_token token;

    if (reading->json.now == reading->json.end)
        return bad_body(reading, "nothing");
    if (json_next(&reading->json, &token) == JSON_ERROR)
        return bad_syntax(reading);
    return token.type == JSON_OBJECT ? ERR_OK : bad_body(reading, json_type_name(token.type));
}

static enum err close_body(struct reading *reading) {
    struct json_token token;

    return json_next(&reading->json, &token) == JSON_END ? ERR_OK : bad_syntax(reading);
}

enum err json_read_increment(struct slice body, struct arena *arena, struct json_item *out,
                             struct json_problem *problem) {
    struct reading reading = reading_of(body, arena, problem);
    struct json_item item;

    reading.changes = true;
    enum err err = open_body(&reading);
    if (err == ERR_OK)
        err = read_item(&reading, &item);
    if (err == ERR_OK)
        err = close_body(&reading);
    if (err == ERR_OK)
        *out = item;
    return err;
}

enum err json_read_value(struct slice body, struct arena *arena, int64_t *out_value,
                         struct json_problem *problem) {
    struct reading reading = reading_of(body, arena, problem);
    struct json_token number = {.type = JSON_NULL};
    const struct field fields[] = {FIELD("value", JSON_NUMBER, &number, true)};
    int64_t value = 0;

    enum err err = open_body(&reading);
    if (err == ERR_OK)
        err = read_members(&reading, fields, ARRAY_LEN(fields));
    if (err == ERR_OK)
        err = close_body(&reading);
    if (err == ERR_OK && number.type == JSON_NULL)
        err = bad_field(&reading, "value", "is required");
    if (err == ERR_OK)
        err = read_i64(&reading, "value", &number, &value);
    if (err == ERR_OK)
        *out_value = value;
    return err;
}

/* ---- batches ---- */

struct batch {
    struct json_item *items; /* NULL until "items" was seen, and after its null */
    size_t count;
    size_t max;
};

/* Room for every item this body can hold, at most max of them. */
static struct json_item *items_new(const struct reading *reading, size_t max_items) {
    size_t bytes = (size_t)(reading->json.end - reading->json.begin);
    size_t room = bytes / ITEM_MIN_BYTES + 1;

    return arena_alloc(reading->arena,
                       sizeof(struct json_item) * (room < max_items ? room : max_items));
}

/* The elements of "items" whose '[' has been read. */
static enum err read_items(struct reading *reading, struct batch *batch) {
    struct json_token token;

    for (batch->count = 0;; batch->count++) {
        enum json_type type = json_next(&reading->json, &token);

        if (type == JSON_ARRAY_END)
            return ERR_OK;
        if (type == JSON_ERROR)
            return bad_syntax(reading);
        if (batch->count == batch->max)
            return bad_field(reading, "items", "must have at most %zu elements", batch->max);
        reading->index = batch->count;
        if (type != JSON_OBJECT)
            return bad_type(reading, "", "an object", type);
        enum err err = read_item(reading, &batch->items[batch->count]);
        if (err != ERR_OK)
            return err;
        reading->index = NO_INDEX;
    }
}

/* The value of "items". */
static enum err read_items_member(struct reading *reading, struct batch *batch) {
    struct json_token value;

    batch->count = 0;
    switch (json_next(&reading->json, &value)) {
    case JSON_ERROR:
        return bad_syntax(reading);
    case JSON_NULL:
        batch->items = NULL;
        return ERR_OK;
    case JSON_ARRAY:
        break;
    default:
        return bad_type(reading, "items", "an array", value.type);
    }
    /* A duplicate reuses the room of the one before. */
    if (!batch->items)
        batch->items = items_new(reading, batch->max);
    return batch->items ? read_items(reading, batch) : no_memory(reading);
}

static enum err read_batch_members(struct reading *reading, struct batch *batch) {
    struct json_token key;

    for (;;) {
        enum json_type type = json_next(&reading->json, &key);

        if (type == JSON_OBJECT_END)
            return ERR_OK;
        if (type == JSON_ERROR)
            return bad_syntax(reading);
        enum err err = json_text_is(&key, SLICE("items")) ? read_items_member(reading, batch)
                                                          : read_member(reading, NULL);
        if (err != ERR_OK)
            return err;
    }
}

static enum err read_batch(struct reading *reading, size_t max_items, struct json_item **out_items,
                           size_t *out_count) {
    struct batch batch = {.max = max_items};

    enum err err = open_body(reading);
    if (err == ERR_OK)
        err = read_batch_members(reading, &batch);
    if (err == ERR_OK)
        err = close_body(reading);
    if (err == ERR_OK && !batch.items)
        err = bad_field(reading, "items", "is required");
    if (err != ERR_OK)
        return err;
    *out_items = batch.items;
    *out_count = batch.count;
    return ERR_OK;
}

enum err json_read_batch_get(struct slice body, struct arena *arena, size_t max_items,
                             struct json_item **out_items, size_t *out_count,
                             struct json_problem *problem) {
    struct reading reading = reading_of(body, arena, problem);

    return read_batch(&reading, max_items, out_items, out_count);
}

enum err json_read_batch_increment(struct slice body, struct arena *arena, size_t max_items,
                                   struct json_item **out_items, size_t *out_count,
                                   struct json_problem *problem) {
    struct reading reading = reading_of(body, arena, problem);

    reading.changes = true;
    reading.keyed = true;
    return read_batch(&reading, max_items, out_items, out_count);
}
