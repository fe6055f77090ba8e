/* test_counter_proto_read.c - request messages: what is taken, and what is said of the rest. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/counter_name.h"
#include "base/slice.h"
#include "counter.pb-c.h"
#include "test.h"
#include "wire/counter_proto.h"

#define A10  "aaaaaaaaaa"
#define A50  A10 A10 A10 A10 A10
#define A250 A50 A50 A50 A50 A50

/* A constant slice of a literal that may hold NULs. */
#define BYTES(literal)                                                                             \
    { (literal), sizeof(literal) - 1 }

/* Fields by hand: R and C are resource_id "r" and counter_type "c". */
#define R "\x0A\x01r"
#define C                                                                                          \
    "\x12\x01"                                                                                     \
    "c"
#define IDS  R C
#define MIN  "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"
#define MAX  "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F"
#define LAST "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"

static struct arena arena;
static struct proto_problem problem;

static bool says(const char *wanted) {
    return strncmp(problem.text, wanted, strlen(wanted)) == 0;
}

/* ---- one item ---- */

/* clang-format off */
static const struct {
    const char *name;
    struct slice message;
    struct slice key;
    int64_t delta;
} increments[] = {
    {"no delta",            BYTES(IDS),                                       {NULL, 0},   1},
    {"delta 0",             BYTES(IDS "\x18\x00"),                            {NULL, 0},   1},
    {"delta 300",           BYTES(IDS "\x18\xAC\x02"),                        {NULL, 0},   300},
    {"delta -1",            BYTES(IDS "\x18" LAST),                           {NULL, 0},   -1},
    {"the least delta",     BYTES(IDS "\x18" MIN),                            {NULL, 0},   INT64_MIN},
    {"the greatest delta",  BYTES(IDS "\x18" MAX),                            {NULL, 0},   INT64_MAX},
    {"the last delta wins", BYTES("\x18\x05" IDS "\x18\x07"),                 {NULL, 0},   7},
    {"the last name wins",  BYTES("\x0A\x02no" IDS),                          {NULL, 0},   1},
    {"any order",           BYTES("\x22\x01k\x18\x02" C R),                   BYTES("k"),  2},
    {"an empty key",        BYTES(IDS "\x22\x00"),                            {NULL, 0},   1},
    {"a key in UTF-8",      BYTES(IDS "\x22\x02\xC3\xA9"),                    BYTES("\xC3\xA9"), 1},
    {"a key of 255 bytes",  BYTES(IDS "\x22\xFF\x01" A250 "aaaaa"),           BYTES(A250 "aaaaa"), 1},
    {"unknown varint",      BYTES(IDS "\x28\x05"),                            {NULL, 0},   1},
    {"unknown 64 bits",     BYTES("\x29" "12345678" IDS),                     {NULL, 0},   1},
    {"unknown text",        BYTES("\x2A\x03xyz" IDS),                         {NULL, 0},   1},
    {"unknown 32 bits",     BYTES("\x2D" "1234" IDS),                         {NULL, 0},   1},
    {"a large field",       BYTES("\xF8\xFF\xFF\xFF\x0F\x01" IDS),            {NULL, 0},   1},
};
/* clang-format on */

static void test_increments(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(increments); i++) {
        struct proto_item item = {0};
        enum err err = proto_read_increment(increments[i].message, &arena, &item, &problem);

        if (err != ERR_OK)
            fail_msg("%s: %s", increments[i].name, problem.text);
        if (!slice_eq(item.resource_id, SLICE("r")) || !slice_eq(item.counter_type, SLICE("c")) ||
            item.number != increments[i].delta)
            fail_msg("%s: %.*s/%.*s %" PRId64, increments[i].name, SLICE_ARGS(item.resource_id),
                     SLICE_ARGS(item.counter_type), item.number);
        if (!slice_eq(item.idempotency_key, increments[i].key) ||
            !item.idempotency_key.ptr != !increments[i].key.ptr)
            fail_msg("%s: key \"%.*s\"", increments[i].name, SLICE_ARGS(item.idempotency_key));
    }
}

#define MALFORMED "the message is not a valid counter.IncrementRequest"

/* clang-format off */
static const struct {
    const char *name;
    struct slice message;
    const char *says;
} refused[] = {
    {"nothing",                  BYTES(""),                       "resource_id: must not be empty"},
    {"no resource_id",           BYTES(C),                        "resource_id: must not be empty"},
    {"an empty resource_id",     BYTES("\x0A\x00" C),             "resource_id: must not be empty"},
    {"no counter_type",          BYTES(R),                        "counter_type: must not be empty"},
    {"an emptied counter_type",  BYTES(IDS "\x12\x00"),           "counter_type: must not be empty"},
    {"only a NUL",               BYTES("\x0A\x01\x00" C),         "resource_id: must not contain U+0000"},
    {"a NUL inside",             BYTES("\x0A\x03r\x00s" C),       "resource_id: must not contain U+0000"},
    {"a NUL at the end",         BYTES(R "\x12\x02" "c\x00"),     "counter_type: must not contain U+0000"},
    {"a NUL in the key",         BYTES(IDS "\x22\x02k\x00"),      "idempotency_key: must not contain U+0000"},
    {"a lone continuation",      BYTES("\x0A\x01\x80" C),         "resource_id: must be valid UTF-8"},
    {"an overlong slash",        BYTES("\x0A\x02\xC0\xAF" C),     "resource_id: must be valid UTF-8"},
    {"a surrogate",              BYTES(R "\x12\x03\xED\xA0\x80"), "counter_type: must be valid UTF-8"},
    {"a sequence cut short",     BYTES(R "\x12\x02\xE2\x82"),     "counter_type: must be valid UTF-8"},
    {"a key that isn't UTF-8",   BYTES(IDS "\x22\x01\xFF"),       "idempotency_key: must be valid UTF-8"},
    {"a key of 256 bytes",       BYTES(IDS "\x22\x80\x02" A250 "aaaaaa"),
                                              "idempotency_key: must have at most 255 bytes, found 256"},
    {"a field cut short",        BYTES(IDS "\x0A\x05" "ab"),      MALFORMED},
    {"a length without bytes",   BYTES(IDS "\x0A"),               MALFORMED},
    {"a length past any memory", BYTES("\x0A\xFF\xFF\xFF\xFF\x0F" "a"), MALFORMED},
    {"a negative length",        BYTES("\x0A" LAST "a"),          MALFORMED},
    {"a number without end",     BYTES(IDS "\x18\x80"),           MALFORMED},
    {"a number of 11 bytes",     BYTES(IDS "\x18\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), MALFORMED},
    {"field 0",                  BYTES(IDS "\x00\x01"),           MALFORMED},
    {"a group",                  BYTES(IDS "\x2B\x2C"),           MALFORMED},
    {"a reserved wire type",     BYTES(IDS "\x2E\x01"),           MALFORMED},
    {"resource_id as a number",  BYTES("\x08\x01" C),             MALFORMED},
    {"delta as text",            BYTES(IDS "\x1A\x01" "1"),       MALFORMED},
    {"JSON",                     BYTES("{\"resource_id\":\"r\"}"), MALFORMED},
};
/* clang-format on */

static void test_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        struct proto_item item = {.number = 42};
        enum err err = proto_read_increment(refused[i].message, &arena, &item, &problem);

        if (err != ERR_INVALID || item.number != 42 || !says(refused[i].says))
            fail_msg("%s: %s, \"%s\"", refused[i].name, err_name(err), problem.text);
        if (arena_overflowed(&arena))
            fail_msg("%s: asked for more than the arena has", refused[i].name);
    }
}

/* Each prefix of a good message is refused or is a message of fewer fields; none is misread. */
static void test_truncated(void **state) {
    (void)state;
    struct slice whole = SLICE(IDS "\x18\xAC\x02\x22\x03key");

    for (size_t len = 0; len < whole.len; len++) {
        struct proto_item item = {0};
        char *exact = malloc(len + 1);
        enum err err;

        memcpy(exact, whole.ptr, len);
        err = proto_read_increment(slice_of(exact, len), &arena, &item, &problem);
        free(exact);
        bool complete = len == 6 || len == 9; /* behind the names, behind the delta */
        if ((err == ERR_OK) != complete)
            fail_msg("%zu bytes: %s", len, err_name(err));
    }
}

/* ---- the other single requests ---- */

static void test_get_has_names_only(void **state) {
    (void)state;
    struct proto_item item;

    /* What would be a delta and a key there are unknown fields here. */
    assert_int_equal(proto_read_get(SLICE(IDS "\x18\x07\x22\x01\x00"), &arena, &item, &problem),
                     ERR_OK);
    assert_true(slice_eq(item.resource_id, SLICE("r")));
    assert_true(slice_eq(item.counter_type, SLICE("c")));
    assert_int_equal(item.number, 0);
    assert_null(item.idempotency_key.ptr);
    assert_int_equal(proto_read_get(SLICE(R), &arena, &item, &problem), ERR_INVALID);
    assert_true(says("counter_type: must not be empty"));
}

static void test_set(void **state) {
    (void)state;
    struct proto_item item;

    assert_int_equal(proto_read_set(SLICE(IDS), &arena, &item, &problem), ERR_OK);
    assert_int_equal(item.number, 0); /* a value, so 0 means 0 */
    assert_int_equal(proto_read_set(SLICE(IDS "\x18" MIN "\x22\x01k"), &arena, &item, &problem),
                     ERR_OK);
    assert_true(item.number == INT64_MIN);
    assert_true(slice_eq(item.idempotency_key, SLICE("k")));
    assert_int_equal(proto_read_set(SLICE(C "\x18\x01"), &arena, &item, &problem), ERR_INVALID);
    assert_true(says("resource_id: must not be empty"));
}

static void test_delete(void **state) {
    (void)state;
    struct proto_item item;

    assert_int_equal(proto_read_delete(SLICE(IDS "\x22\x01k"), &arena, &item, &problem), ERR_OK);
    assert_int_equal(item.number, 0);
    assert_true(slice_eq(item.idempotency_key, SLICE("k")));
    assert_int_equal(proto_read_delete(SLICE(IDS "\x22\x01\x00"), &arena, &item, &problem),
                     ERR_INVALID);
    assert_true(says("idempotency_key: must not contain U+0000"));
}

/* ---- batches ---- */

#define ITEM "\x0A\x06" IDS

static void test_batch_increment(void **state) {
    (void)state;
    struct proto_item *items;
    size_t count;

    assert_int_equal(proto_read_batch_increment(SLICE(ITEM "\x0A\x08" IDS "\x18\x05"
                                                           "\x78\x01\x0A\x09" IDS "\x22\x01k"),
                                                &arena, 3, &items, &count, &problem),
                     ERR_OK);
    assert_int_equal(count, 3);
    assert_int_equal(items[0].number, 1);
    assert_int_equal(items[1].number, 5);
    assert_true(slice_eq(items[2].idempotency_key, SLICE("k")));
    for (size_t i = 0; i < count; i++) {
        assert_true(slice_eq(items[i].resource_id, SLICE("r")));
        assert_true(slice_eq(items[i].counter_type, SLICE("c")));
    }
}

static void test_batch_get(void **state) {
    (void)state;
    struct proto_item *items;
    size_t count;

    assert_int_equal(proto_read_batch_get(SLICE(ITEM "\x0A\x08" IDS "\x18\x05"), &arena, 2, &items,
                                          &count, &problem),
                     ERR_OK);
    assert_int_equal(count, 2);
    assert_int_equal(items[1].number, 0);
}

static void test_empty_batches(void **state) {
    (void)state;
    struct proto_item *items;
    size_t count = 42;

    assert_int_equal(proto_read_batch_get(SLICE(""), &arena, 0, &items, &count, &problem), ERR_OK);
    assert_int_equal(count, 0);
    count = 42;
    assert_int_equal(
        proto_read_batch_increment(slice_of(NULL, 0), &arena, 0, &items, &count, &problem), ERR_OK);
    assert_int_equal(count, 0);
}

/* clang-format off */
static const struct {
    struct slice message;
    const char *says;
} refused_batches[] = {
    {BYTES(ITEM ITEM ITEM ITEM),          "requests: must have at most 3 elements, found 4"},
    {BYTES("\x0A\x00"),                   "requests[0].resource_id: must not be empty"},
    {BYTES(ITEM ITEM "\x0A\x03" R),       "requests[2].counter_type: must not be empty"},
    {BYTES(ITEM "\x0A\x06\x0A\x01\x00" C), "requests[1].resource_id: must not contain U+0000"},
    {BYTES(ITEM "\x0A\x06\x0A\x01\xFF" C), "requests[1].resource_id: must be valid UTF-8"},
    {BYTES(ITEM "\x0A\x07" IDS),          "the message is not a valid counter.Batch"},
    {BYTES(ITEM "\x0A\x02\x0A\x01"),      "the message is not a valid counter.Batch"},
    {BYTES("\x08\x01"),                   "the message is not a valid counter.Batch"},
};
/* clang-format on */

static void test_refused_batches(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refused_batches); i++) {
        struct proto_item *items = NULL;
        size_t count = 42;
        struct slice message = refused_batches[i].message;
        enum err err = proto_read_batch_increment(message, &arena, 3, &items, &count, &problem);

        if (err != ERR_INVALID || items || count != 42 || !says(refused_batches[i].says))
            fail_msg("increment %zu: %s, \"%s\"", i, err_name(err), problem.text);
        err = proto_read_batch_get(message, &arena, 3, &items, &count, &problem);
        if (err != ERR_INVALID || items || count != 42 || !says(refused_batches[i].says))
            fail_msg("get %zu: %s, \"%s\"", i, err_name(err), problem.text);
    }
}

/* 4 MiB of two-byte items: the cap ends it, not the machine's memory. */
static void test_flood_of_items(void **state) {
    (void)state;
    size_t bytes = 4u << 20;
    char *flood = malloc(bytes);
    struct arena small;
    struct proto_item *items = NULL;
    size_t count = 42;

    for (size_t i = 0; i < bytes; i += 2)
        memcpy(flood + i, "\x0A\x00", 2);
    arena_init(&small, 4096, 1 << 20);
    assert_int_equal(
        proto_read_batch_increment(slice_of(flood, bytes), &small, 1000, &items, &count, &problem),
        ERR_NO_MEMORY);
    assert_true(says("the message needs more memory"));
    assert_null(items);
    assert_int_equal(count, 42);
    assert_true(small.held <= small.cap_bytes);
    /* The same as unknown fields, which protobuf-c would copy one by one. */
    for (size_t i = 0; i < bytes; i += 2)
        memcpy(flood + i, "\x78\x01", 2);
    arena_reset(&small, 0);
    assert_int_equal(
        proto_read_batch_get(slice_of(flood, bytes), &small, 1000, &items, &count, &problem),
        ERR_NO_MEMORY);
    arena_release(&small);
    free(flood);
}

/* Whatever the arena's cap: all of it or nothing, and never past it. */
static void test_every_cap(void **state) {
    (void)state;
    struct slice message = SLICE(ITEM "\x0A\x09" IDS "\x22\x01k");
    struct proto_item *items;
    size_t count;
    bool done = false;

    for (size_t cap = 0; !done; cap += 16) {
        struct arena small;

        arena_init(&small, 16, cap);
        items = NULL;
        enum err err = proto_read_batch_increment(message, &small, 10, &items, &count, &problem);
        done = err == ERR_OK;
        if (!done)
            assert_int_equal(err, ERR_NO_MEMORY);
        assert_true(done == (items != NULL));
        arena_release(&small);
        assert_true(cap < 1 << 16);
    }
}

/* ---- against protobuf-c's own packing ---- */

static ProtobufCBinaryData data_of(const char *text) {
    return (ProtobufCBinaryData){strlen(text), (uint8_t *)(uintptr_t)text};
}

static void test_what_protobuf_c_packs(void **state) {
    (void)state;
    static const int64_t deltas[] = {1, -1, 127, 128, 16384, -300, INT64_MAX, INT64_MIN};
    uint8_t packed[1024];

    for (size_t i = 0; i < ARRAY_LEN(deltas); i++) {
        Counter__IncrementRequest request = COUNTER__INCREMENT_REQUEST__INIT;
        struct proto_item item;

        request.resource_id = data_of(A250 A250);
        request.counter_type = data_of("\xF0\x9F\x91\x8D");
        request.delta = deltas[i];
        request.idempotency_key = data_of("some-key");
        size_t len = counter__increment_request__pack(&request, packed);
        assert_int_equal(
            proto_read_increment(slice_of((char *)packed, len), &arena, &item, &problem), ERR_OK);
        assert_true(slice_eq(item.resource_id, SLICE(A250 A250)));
        assert_true(slice_eq(item.counter_type, SLICE("\xF0\x9F\x91\x8D")));
        assert_true(slice_eq(item.idempotency_key, SLICE("some-key")));
        assert_true(item.number == deltas[i]);
    }
}

static const struct {
    const char *name;
    enum err (*read)(struct slice message, struct arena *arena, struct proto_item *out,
                     struct proto_problem *problem);
    enum err beyond;
} named[] = {
    {"increment", proto_read_increment, ERR_INVALID},
    {"set", proto_read_set, ERR_INVALID},
    {"delete", proto_read_delete, ERR_INVALID},
    {"get", proto_read_get, ERR_OK},
};

/* What changes a counter is an event; a read is none. */
static void test_the_longest_name(void **state) {
    static uint8_t packed[COUNTER_NAME_MAX + 100];
    static char id[COUNTER_NAME_MAX + 1];
    struct proto_item item;

    (void)state;
    for (size_t i = 0; i < 2 * ARRAY_LEN(named); i++) {
        Counter__GetCounterRequest request = COUNTER__GET_COUNTER_REQUEST__INIT;
        size_t row = i / 2;

        memset(id, 'i', sizeof(id));
        id[COUNTER_NAME_MAX - 4 + i % 2] = '\0';
        request.resource_id = data_of(id);
        request.counter_type = data_of("like");
        size_t len = counter__get_counter_request__pack(&request, packed);
        enum err err = named[row].read(slice_of((char *)packed, len), &arena, &item, &problem);
        if (err != (i % 2 ? named[row].beyond : ERR_OK))
            fail_msg("%s: %s", named[row].name, err_name(err));
    }
    assert_true(says("resource_id: must have at most 65536 bytes together with counter_type"));
}

static int arena_up(void **state) {
    (void)state;
    arena_init(&arena, 4096, 1 << 20);
    return 0;
}

static int arena_down(void **state) {
    (void)state;
    arena_release(&arena);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_increments),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_get_has_names_only),
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_delete),
        cmocka_unit_test(test_batch_increment),
        cmocka_unit_test(test_batch_get),
        cmocka_unit_test(test_empty_batches),
        cmocka_unit_test(test_refused_batches),
        cmocka_unit_test(test_flood_of_items),
        cmocka_unit_test(test_every_cap),
        cmocka_unit_test(test_what_protobuf_c_packs),
        cmocka_unit_test(test_the_longest_name),
    };

    return cmocka_run_group_tests(tests, arena_up, arena_down);
}
