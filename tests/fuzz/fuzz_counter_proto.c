/* fuzz_counter_proto.c - any bytes as any of the gRPC services' request messages.
 *
 * What is read keeps the rules of counter_proto.h, and survives the way back: a response
 * about it is what protobuf-c unpacks to the same.
 */
#include <stdio.h>
#include <stdlib.h>

#include "counter.pb-c.h"
#include "wire/counter_proto.h"
#include "wire/health_proto.h"
#include "wire/reflection_proto.h"
#include "wire/uri.h"

#define MAX_ITEMS 8
#define ARENA_CAP (1u << 20)

#define CHECK(ok)                                                                                  \
    do {                                                                                           \
        if (!(ok)) {                                                                               \
            (void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #ok);                         \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
    struct slice message;
    struct arena arena;
    struct proto_problem problem;
};

static void check_name(struct slice name) {
    CHECK(name.len > 0);
    CHECK(!memchr(name.ptr, '\0', name.len));
    CHECK(utf8_valid(name));
}

static void check_item(const struct proto_item *item) {
    check_name(item->resource_id);
    check_name(item->counter_type);
    if (item->idempotency_key.ptr) {
        check_name(item->idempotency_key);
        CHECK(item->idempotency_key.len <= 255);
    } else {
        CHECK(item->idempotency_key.len == 0);
    }
}

/* Refused with a sentence, which fits. */
static void check_refusal(const struct run *run, enum err err) {
    size_t len = strnlen(run->problem.text, sizeof(run->problem.text));

    CHECK(err == ERR_INVALID || (err == ERR_NO_MEMORY && arena_overflowed(&run->arena)));
    CHECK(len > 0 && len < sizeof(run->problem.text));
}

static bool same(ProtobufCBinaryData theirs, struct slice ours) {
    return slice_eq(slice_of((const char *)theirs.data, theirs.len), ours);
}

static void check_response(const struct proto_item *item) {
    struct proto_counter counter = {.resource_id = item->resource_id,
                                    .counter_type = item->counter_type,
                                    .value = item->number,
                                    .replayed = true};
    struct buf out = {0};

    proto_write_increment(&out, &counter);
    CHECK(!buf_failed(&out));
    Counter__IncrementResponse *response =
        counter__increment_response__unpack(NULL, out.len, (const uint8_t *)out.ptr);
    CHECK(response && response->success && response->replayed);
    CHECK(same(response->resource_id, item->resource_id));
    CHECK(same(response->counter_type, item->counter_type));
    CHECK(response->current_value == item->number);
    counter__increment_response__free_unpacked(response, NULL);
    buf_release(&out);
}

typedef enum err read_one(struct slice message, struct arena *arena, struct proto_item *out,
                          struct proto_problem *problem);

static void check_one(struct run *run, read_one *read, bool changes) {
    struct proto_item item;
    enum err err = read(run->message, &run->arena, &item, &run->problem);

    if (err == ERR_OK) {
        check_item(&item);
        check_response(&item);
        CHECK(!changes || item.number != 0);
    } else {
        check_refusal(run, err);
    }
    arena_reset(&run->arena, ARENA_CAP);
}

typedef enum err read_many(struct slice message, struct arena *arena, size_t max_items,
                           struct proto_item **out_items, size_t *out_count,
                           struct proto_problem *problem);

static void check_many(struct run *run, read_many *read, bool changes) {
    struct proto_item *items = NULL;
    size_t count = 0;
    enum err err = read(run->message, &run->arena, MAX_ITEMS, &items, &count, &run->problem);

    if (err != ERR_OK)
        check_refusal(run, err);
    CHECK(count <= MAX_ITEMS && !items == (err != ERR_OK));
    for (size_t i = 0; i < count; i++) {
        check_item(&items[i]);
        CHECK((items[i].number != 0) == changes);
    }
    arena_reset(&run->arena, ARENA_CAP);
}

static void check_grpc_services(struct run *run) {
    struct slice service;
    struct reflection_question question;

    if (health_read_request(run->message, &run->arena, &service) == ERR_OK)
        CHECK(service.len == 0 || utf8_valid(service));
    arena_reset(&run->arena, ARENA_CAP);
    if (reflection_read_request(run->message, &run->arena, &question) == ERR_OK) {
        CHECK(question.kind <= REFLECTION_SERVICES);
        CHECK(question.name.len == 0 || utf8_valid(question.name));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct run run = {.message = slice_of((const char *)data, size)};

    arena_init(&run.arena, 4096, ARENA_CAP);
    check_one(&run, proto_read_increment, true);
    check_one(&run, proto_read_get, false);
    check_one(&run, proto_read_set, false);
    check_one(&run, proto_read_delete, false);
    check_many(&run, proto_read_batch_increment, true);
    check_many(&run, proto_read_batch_get, false);
    check_grpc_services(&run);
    arena_release(&run.arena);
    return 0;
}
