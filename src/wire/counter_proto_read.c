/* counter_proto_read.c - request messages: what is asked of which counter.
 *
 * protobuf-c sees to the syntax; what a name and a key may hold is checked here.
 */
#include <stdarg.h>
#include <stdio.h>

#include "base/counter_name.h"
#include "counter.pb-c.h"
#include "wire/counter_proto.h"
#include "wire/proto_unpack.h"

#define KEY_MAX_BYTES 255 /* CONTRACT B, as the header Idempotency-Key */

#define NO_INDEX SIZE_MAX

/* The fields of any of the requests, those it doesn't have empty. */
struct raw {
    ProtobufCBinaryData resource_id;
    ProtobufCBinaryData counter_type;
    ProtobufCBinaryData idempotency_key;
    int64_t number;
    bool changes;
};

/* Where a problem is said. */
struct place {
    struct proto_problem *problem;
    size_t index; /* of the item, NO_INDEX outside of a batch */
};

/* ---- problems ---- */

/* "field: sentence", inside a batch "requests[3].field: sentence". */
static enum err PRINTF_LIKE(3, 4)
    bad_field(const struct place *place, const char *field, const char *fmt, ...) {
    char *text = place->problem->text;
    size_t room = sizeof(place->problem->text);
    va_list args;

    /* Field names are ours and short: the name never fills the room. */
    int name = place->index == NO_INDEX
                   ? snprintf(text, room, "%s: ", field)
                   : snprintf(text, room, "requests[%zu].%s: ", place->index, field);
    va_start(args, fmt);
    (void)vsnprintf(text + name, room - (size_t)name, fmt, args);
    va_end(args);
    return ERR_INVALID;
}

static enum err no_memory(struct proto_problem *problem) {
    (void)snprintf(problem->text, sizeof(problem->text),
                   "the message needs more memory than one request may use");
    return ERR_NO_MEMORY;
}

static enum err unpack(const ProtobufCMessageDescriptor *type, struct slice message,
                       struct arena *arena, struct proto_problem *problem, void *out) {
    enum err err = proto_unpack(type, message, arena, out);

    if (err == ERR_NO_MEMORY)
        return no_memory(problem);
    if (err != ERR_OK)
        (void)snprintf(problem->text, sizeof(problem->text), "the message is not a valid %s",
                       type->name);
    return err;
}

/* ---- single fields ---- */

static enum err check_text(const struct place *place, const char *field, struct slice text) {
    if (text.len && memchr(text.ptr, '\0', text.len))
        return bad_field(place, field, "must not contain U+0000"); /* no store key may hold it */
    if (!proto_is_text(text))
        return bad_field(place, field, "must be valid UTF-8");
    return ERR_OK;
}

static enum err read_name(const struct place *place, const char *field, ProtobufCBinaryData data,
                          struct slice *out) {
    *out = proto_slice(data);
    if (out->len == 0)
        return bad_field(place, field, "must not be empty");
    return check_text(place, field, *out);
}

static enum err read_key(const struct place *place, ProtobufCBinaryData data, struct slice *out) {
    *out = (struct slice){NULL, 0};
    if (data.len == 0)
        return ERR_OK;
    if (data.len > KEY_MAX_BYTES)
        return bad_field(place, "idempotency_key", "must have at most %d bytes, found %zu",
                         KEY_MAX_BYTES, data.len);
    *out = proto_slice(data);
    return check_text(place, "idempotency_key", *out);
}

static enum err check_length(const struct place *place, const struct raw *raw) {
    size_t len = raw->resource_id.len + raw->counter_type.len;

    if (!raw->changes || len <= COUNTER_NAME_MAX)
        return ERR_OK;
    return bad_field(place, "resource_id",
                     "must have at most %d bytes together with counter_type, found %zu",
                     COUNTER_NAME_MAX, len);
}

static enum err read_item(const struct place *place, const struct raw *raw,
                          struct proto_item *out) {
    struct proto_item item = {.number = raw->number};
    enum err err = read_name(place, "resource_id", raw->resource_id, &item.resource_id);

    if (err == ERR_OK)
        err = read_name(place, "counter_type", raw->counter_type, &item.counter_type);
    if (err == ERR_OK)
        err = check_length(place, raw);
    if (err == ERR_OK)
        err = read_key(place, raw->idempotency_key, &item.idempotency_key);
    if (err == ERR_OK)
        *out = item;
    return err;
}

/* ---- the messages ---- */

static struct raw raw_increment(const Counter__IncrementRequest *request) {
    return (struct raw){
        .resource_id = request->resource_id,
        .counter_type = request->counter_type,
        .idempotency_key = request->idempotency_key,
        .number = request->delta ? request->delta : 1, /* CONTRACT A and B: 0 means 1 */
        .changes = true,
    };
}

static struct raw raw_get(const Counter__GetCounterRequest *request) {
    return (struct raw){.resource_id = request->resource_id, .counter_type = request->counter_type};
}

enum err proto_read_increment(struct slice message, struct arena *arena, struct proto_item *out,
                              struct proto_problem *problem) {
    Counter__IncrementRequest *request;
    enum err err =
        unpack(&counter__increment_request__descriptor, message, arena, problem, &request);

    if (err != ERR_OK)
        return err;
    struct raw raw = raw_increment(request);
    return read_item(&(struct place){problem, NO_INDEX}, &raw, out);
}

enum err proto_read_get(struct slice message, struct arena *arena, struct proto_item *out,
                        struct proto_problem *problem) {
    Counter__GetCounterRequest *request;
    enum err err =
        unpack(&counter__get_counter_request__descriptor, message, arena, problem, &request);

    if (err != ERR_OK)
        return err;
    struct raw raw = raw_get(request);
    return read_item(&(struct place){problem, NO_INDEX}, &raw, out);
}

enum err proto_read_set(struct slice message, struct arena *arena, struct proto_item *out,
                        struct proto_problem *problem) {
    Counter__SetCounterRequest *request;
    enum err err =
        unpack(&counter__set_counter_request__descriptor, message, arena, problem, &request);

    if (err != ERR_OK)
        return err;
    struct raw raw = {
        .resource_id = request->resource_id,
        .counter_type = request->counter_type,
        .idempotency_key = request->idempotency_key,
        .number = request->value,
        .changes = true,
    };
    return read_item(&(struct place){problem, NO_INDEX}, &raw, out);
}

enum err proto_read_delete(struct slice message, struct arena *arena, struct proto_item *out,
                           struct proto_problem *problem) {
    Counter__DeleteCounterRequest *request;
    enum err err =
        unpack(&counter__delete_counter_request__descriptor, message, arena, problem, &request);

    if (err != ERR_OK)
        return err;
    struct raw raw = {
        .resource_id = request->resource_id,
        .counter_type = request->counter_type,
        .idempotency_key = request->idempotency_key,
        .changes = true,
    };
    return read_item(&(struct place){problem, NO_INDEX}, &raw, out);
}

/* ---- batches ---- */

/* Room for 'count' items; NULL, and why, when there are too many. */
static struct proto_item *new_items(size_t count, size_t max_items, struct arena *arena,
                                    struct proto_problem *problem, enum err *out_err) {
    struct proto_item *items = NULL;

    if (count > max_items) {
        *out_err = bad_field(&(struct place){problem, NO_INDEX}, "requests",
                             "must have at most %zu elements, found %zu", max_items, count);
        return NULL;
    }
    items = arena_alloc(arena, sizeof(*items) * count);
    if (!items)
        *out_err = no_memory(problem);
    return items;
}

enum err proto_read_batch_get(struct slice message, struct arena *arena, size_t max_items,
                              struct proto_item **out_items, size_t *out_count,
                              struct proto_problem *problem) {
    Counter__BatchGetRequest *batch;
    enum err err = unpack(&counter__batch_get_request__descriptor, message, arena, problem, &batch);

    if (err != ERR_OK)
        return err;
    struct proto_item *items = new_items(batch->n_requests, max_items, arena, problem, &err);
    if (!items)
        return err;
    for (size_t i = 0; err == ERR_OK && i < batch->n_requests; i++) {
        struct raw raw = raw_get(batch->requests[i]);

        err = read_item(&(struct place){problem, i}, &raw, &items[i]);
    }
    if (err != ERR_OK)
        return err;
    *out_items = items;
    *out_count = batch->n_requests;
    return ERR_OK;
}

enum err proto_read_batch_increment(struct slice message, struct arena *arena, size_t max_items,
                                    struct proto_item **out_items, size_t *out_count,
                                    struct proto_problem *problem) {
    Counter__BatchIncrementRequest *batch;
    enum err err =
        unpack(&counter__batch_increment_request__descriptor, message, arena, problem, &batch);

    if (err != ERR_OK)
        return err;
    struct proto_item *items = new_items(batch->n_requests, max_items, arena, problem, &err);
    if (!items)
        return err;
    for (size_t i = 0; err == ERR_OK && i < batch->n_requests; i++) {
        struct raw raw = raw_increment(batch->requests[i]);

        err = read_item(&(struct place){problem, i}, &raw, &items[i]);
    }
    if (err != ERR_OK)
        return err;
    *out_items = items;
    *out_count = batch->n_requests;
    return ERR_OK;
}
