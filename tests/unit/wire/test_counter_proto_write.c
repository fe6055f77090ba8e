/* test_counter_proto_write.c - our encoder writes what protobuf-c packs, byte for byte. */
#include <stdlib.h>

#include "counter.pb-c.h"
#include "test.h"
#include "wire/counter_proto.h"

#define A10  "aaaaaaaaaa"
#define A130 A10 A10 A10 A10 A10 A10 A10 A10 A10 A10 A10 A10 A10

#define BYTES(literal)                                                                             \
    { (literal), sizeof(literal) - 1 }

/* clang-format off */
static const struct proto_counter counters[] = {
    {.resource_id = BYTES("r"), .counter_type = BYTES("c")},
    {.resource_id = BYTES("r"), .counter_type = BYTES("c"), .value = 1, .time_s = 1732290000},
    {.resource_id = BYTES("r"), .counter_type = BYTES("c"), .value = -1, .time_s = 1, .replayed = true},
    {.resource_id = BYTES("r"), .counter_type = BYTES("c"), .value = 127, .time_s = -1},
    {.resource_id = BYTES("r"), .counter_type = BYTES("c"), .value = 128, .time_s = INT64_MAX},
    {.resource_id = BYTES("r"), .counter_type = BYTES("c"), .value = INT64_MAX, .time_s = INT64_MIN},
    {.resource_id = BYTES("r"), .counter_type = BYTES("c"), .value = INT64_MIN, .replayed = true},
    {.resource_id = BYTES(A130), .counter_type = BYTES("\xF0\x9F\x91\x8D"), .value = 5, .time_s = 7},
    {.resource_id = BYTES("r"), .counter_type = BYTES(A130 A130), .value = 5, .time_s = 7},
};

/* What can happen to an item. */
static const struct proto_counter mixed[] = {
    {.resource_id = BYTES("a"), .counter_type = BYTES("c"), .value = 3, .time_s = 1732290000},
    {.resource_id = BYTES("b"), .counter_type = BYTES("c"), .err = ERR_RANGE, .value = 9, .time_s = 9, .replayed = true},
    {.resource_id = BYTES(A130), .counter_type = BYTES("c"), .err = ERR_MISMATCH},
    {.resource_id = BYTES("d"), .counter_type = BYTES("c"), .value = -4, .time_s = 5, .replayed = true},
    {.resource_id = BYTES("e"), .counter_type = BYTES("c"), .err = ERR_TOO_OLD},
    {.resource_id = BYTES("f"), .counter_type = BYTES("c"), .err = ERR_UNKNOWN},
};
/* clang-format on */

static ProtobufCBinaryData data_of(struct slice s) {
    return (ProtobufCBinaryData){s.len, (uint8_t *)(uintptr_t)s.ptr};
}

static void assert_packs(const ProtobufCMessage *message, const struct buf *ours) {
    size_t len = protobuf_c_message_get_packed_size(message);
    uint8_t *packed = malloc(len ? len : 1);

    (void)protobuf_c_message_pack(message, packed);
    assert_false(buf_failed(ours));
    assert_int_equal(ours->len, len);
    if (len)
        assert_memory_equal(ours->ptr, packed, len);
    free(packed);
}

static Counter__IncrementResult result_of(const struct proto_counter *counter) {
    Counter__IncrementResult result = COUNTER__INCREMENT_RESULT__INIT;

    result.resource_id = data_of(counter->resource_id);
    result.counter_type = data_of(counter->counter_type);
    if (counter->err != ERR_OK) {
        result.code = err_grpc(counter->err);
        result.message = data_of(slice_str(err_text(counter->err)));
        return result;
    }
    result.success = 1;
    result.current_value = counter->value;
    result.timestamp = counter->time_s;
    result.replayed = counter->replayed;
    return result;
}

static Counter__GetCounterResponse get_of(const struct proto_counter *counter) {
    Counter__GetCounterResponse response = COUNTER__GET_COUNTER_RESPONSE__INIT;

    response.success = 1;
    response.current_value = counter->value;
    response.resource_id = data_of(counter->resource_id);
    response.counter_type = data_of(counter->counter_type);
    response.updated_at = counter->time_s;
    return response;
}

/* The three messages of a change differ in nothing but their name. */
static void test_changes(void **state) {
    (void)state;
    struct buf out = {0};

    for (size_t i = 0; i < ARRAY_LEN(counters); i++) {
        const struct proto_counter *counter = &counters[i];
        Counter__IncrementResponse increment = COUNTER__INCREMENT_RESPONSE__INIT;
        Counter__SetCounterResponse set = COUNTER__SET_COUNTER_RESPONSE__INIT;
        Counter__DeleteCounterResponse reset = COUNTER__DELETE_COUNTER_RESPONSE__INIT;

#define FILL(response)                                                                             \
    (response).success = 1;                                                                        \
    (response).current_value = counter->value;                                                     \
    (response).resource_id = data_of(counter->resource_id);                                        \
    (response).counter_type = data_of(counter->counter_type);                                      \
    (response).timestamp = counter->time_s;                                                        \
    (response).replayed = counter->replayed
        FILL(increment);
        FILL(set);
        FILL(reset);
#undef FILL
        buf_clear(&out);
        proto_write_increment(&out, counter);
        assert_packs(&increment.base, &out);
        assert_packs(&set.base, &out);
        assert_packs(&reset.base, &out);
    }
    buf_release(&out);
}

static void test_get(void **state) {
    (void)state;
    struct buf out = {0};

    for (size_t i = 0; i < ARRAY_LEN(counters); i++) {
        Counter__GetCounterResponse response = get_of(&counters[i]);

        buf_clear(&out);
        proto_write_get(&out, &counters[i]);
        assert_packs(&response.base, &out);
    }
    buf_release(&out);
}

static void test_batch_get(void **state) {
    (void)state;
    Counter__GetCounterResponse responses[ARRAY_LEN(counters)];
    Counter__GetCounterResponse *pointers[ARRAY_LEN(counters)];
    struct buf out = {0};

    for (size_t i = 0; i < ARRAY_LEN(counters); i++) {
        responses[i] = get_of(&counters[i]);
        pointers[i] = &responses[i];
    }
    for (size_t count = 0; count <= ARRAY_LEN(counters); count++) {
        Counter__BatchGetResponse batch = COUNTER__BATCH_GET_RESPONSE__INIT;

        batch.n_counters = count;
        batch.counters = pointers;
        buf_clear(&out);
        proto_write_batch_get(&out, counters, count);
        assert_packs(&batch.base, &out);
    }
    buf_release(&out);
}

/* One message grows by a counter at a time; a stale one says so. */
static void test_watch(void **state) {
    (void)state;
    Counter__GetCounterResponse responses[ARRAY_LEN(counters)];
    Counter__GetCounterResponse *pointers[ARRAY_LEN(counters)];
    struct buf out = {0};

    for (size_t i = 0; i < ARRAY_LEN(counters); i++) {
        Counter__WatchResponse message = COUNTER__WATCH_RESPONSE__INIT;
        struct proto_counter counter = counters[i];

        counter.stale = i % 2;
        counter.as_of_s = i % 2 ? 1732290000 : 0;
        responses[i] = get_of(&counter);
        responses[i].stale = counter.stale;
        responses[i].as_of = counter.as_of_s;
        pointers[i] = &responses[i];
        message.n_counters = i + 1;
        message.counters = pointers;
        proto_write_watch(&out, &counter);
        assert_packs(&message.base, &out);
    }
    buf_release(&out);
}

static void test_batch_increment(void **state) {
    (void)state;
    Counter__IncrementResult results[ARRAY_LEN(mixed)];
    Counter__IncrementResult *pointers[ARRAY_LEN(mixed)];
    Counter__BatchIncrementResponse batch = COUNTER__BATCH_INCREMENT_RESPONSE__INIT;
    struct buf out = {0};

    for (size_t i = 0; i < ARRAY_LEN(mixed); i++) {
        results[i] = result_of(&mixed[i]);
        pointers[i] = &results[i];
    }
    assert_int_equal(results[1].code, 11); /* OUT_OF_RANGE, as err.def has it */
    batch.n_results = ARRAY_LEN(mixed);
    batch.results = pointers;
    proto_write_batch_increment(&out, mixed, ARRAY_LEN(mixed));
    assert_packs(&batch.base, &out);
    buf_release(&out);
}

/* Behind what is there already, as a frame's header will be. */
static void test_appends(void **state) {
    (void)state;
    struct buf plain = {0};
    struct buf out = {0};

    proto_write_batch_increment(&plain, mixed, ARRAY_LEN(mixed));
    buf_add_str(&out, "12345");
    proto_write_batch_increment(&out, mixed, ARRAY_LEN(mixed));
    assert_int_equal(out.len, plain.len + 5);
    assert_memory_equal(out.ptr, "12345", 5);
    assert_memory_equal(out.ptr + 5, plain.ptr, plain.len);
    buf_release(&plain);
    buf_release(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changes),   cmocka_unit_test(test_get),
        cmocka_unit_test(test_batch_get), cmocka_unit_test(test_batch_increment),
        cmocka_unit_test(test_watch),     cmocka_unit_test(test_appends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
