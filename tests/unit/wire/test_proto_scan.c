/* test_proto_scan.c - protobuf's wire format, field by field. */
#include <stdlib.h>

#include "test.h"
#include "wire/proto_scan.h"

#define BYTES(literal)                                                                             \
    { "" literal, sizeof(literal) - 1 }

/* One field, then one of number 1 with the value 7 (but for bad ones); read from an exact copy. */
/* clang-format off */
static const struct {
    const char *name;
    struct slice bytes;
    bool bad;
    uint32_t number;
    enum proto_wire_type type;
    uint64_t value; /* or the length */
} rows[] = {
    {"a varint of one byte",     BYTES("\x10\x7F"), false, 2, PROTO_VARINT, 127},
    {"a varint of two",          BYTES("\x10\x80\x01"), false, 2, PROTO_VARINT, 128},
    {"an overlong zero",         BYTES("\x10\x80\x80\x00"), false, 2, PROTO_VARINT, 0},
    {"the largest varint",       BYTES("\x10\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"), false, 2, PROTO_VARINT, UINT64_MAX},
    {"a varint of 65 bits",      BYTES("\x10\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x03"), true, 0, 0, 0},
    {"a varint of eleven bytes", BYTES("\x10\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), true, 0, 0, 0},
    {"fixed64",                  BYTES("\x11\x01\x02\0\0\0\0\0\x80"), false, 2, PROTO_FIXED64, UINT64_C(0x8000000000000201)},
    {"fixed32",                  BYTES("\x15\x01\x02\0\x80"), false, 2, PROTO_FIXED32, 0x80000201},
    {"no bytes",                 BYTES("\x12\0"), false, 2, PROTO_LENGTH, 0},
    {"three bytes",              BYTES("\x12\x03xyz"), false, 2, PROTO_LENGTH, 3},
    {"a length of two bytes",    BYTES("\x12\x83\0xyz"), false, 2, PROTO_LENGTH, 3},
    {"a length of six bytes",    BYTES("\x12\x83\x80\x80\x80\x80\0xyz"), true, 0, 0, 0},
    {"field 16",                 BYTES("\x80\x01\x05"), false, 16, PROTO_VARINT, 5},
    {"field 2^29 - 1",           BYTES("\xF8\xFF\xFF\xFF\x0F\x05"), false, (1u << 29) - 1, PROTO_VARINT, 5},
    {"field 2^29",               BYTES("\x80\x80\x80\x80\x10\x05"), true, 0, 0, 0},
    {"field 0",                  BYTES("\x00\x05"), true, 0, 0, 0},
    {"field 0 with a length",    BYTES("\x02\x01x"), true, 0, 0, 0},
    {"an empty group",           BYTES("\x13\x14"), false, 2, PROTO_GROUP, 0},
    {"a group in a group",       BYTES("\x13\x08\x01\x1B\x12\x01x\x1C\x14"), false, 2, PROTO_GROUP, 0},
    {"a group's end",            BYTES("\x14"), true, 0, 0, 0},
    {"groups that cross",        BYTES("\x13\x1B\x14\x1C"), true, 0, 0, 0},
    {"wire type 6",              BYTES("\x16"), true, 0, 0, 0},
    {"wire type 7",              BYTES("\x17"), true, 0, 0, 0},
};
/* clang-format on */

static void check_row(size_t i, struct slice bytes) {
    struct proto_scan scan = proto_scan_of(bytes);
    struct proto_field field = {.number = 0};
    bool found = proto_scan_next(&scan, &field);

    if (found == rows[i].bad || scan.bad != rows[i].bad)
        fail_msg("%s: found %d, bad %d", rows[i].name, found, scan.bad);
    if (!found) {
        assert_false(proto_scan_next(&scan, &field));
        return;
    }
    uint64_t value = rows[i].type == PROTO_LENGTH  ? field.bytes.len
                     : rows[i].type == PROTO_GROUP ? 0
                                                   : field.value;
    if (field.number != rows[i].number || field.type != rows[i].type || value != rows[i].value)
        fail_msg("%s: read another field", rows[i].name);
    assert_true(proto_scan_next(&scan, &field) && field.number == 1 && field.value == 7);
    assert_false(proto_scan_next(&scan, &field));
    assert_false(scan.bad);
}

static void test_fields(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t len = rows[i].bytes.len;
        char *copy = malloc(len + 2);

        memcpy(copy, rows[i].bytes.ptr, len);
        memcpy(copy + len, "\x08\x07", 2);
        check_row(i, slice_of(copy, len + 2));
        free(copy);
    }
}

/* Every field cut short anywhere is bad, and nothing behind the end is read. */
static void test_cut_short(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (size_t len = 1; len < rows[i].bytes.len; len++) {
            char *copy = malloc(len);
            struct proto_field field;

            memcpy(copy, rows[i].bytes.ptr, len);
            struct proto_scan scan = proto_scan_of(slice_of(copy, len));
            if (proto_scan_next(&scan, &field) || !scan.bad)
                fail_msg("%s: %zu bytes were enough", rows[i].name, len);
            free(copy);
        }
    }
}

/* Of every length, at the end of a message and far from it. */
static void test_varint_sizes(void **state) {
    (void)state;
    for (unsigned bit = 0; bit < 64; bit++) {
        for (uint64_t value = (UINT64_C(1) << bit) - 1, n = 0; n < 3; n++, value++) {
            char bytes[32] = {0x10};
            struct proto_field field;
            size_t len = (size_t)(proto_put_varint(bytes + 1, value) - bytes);

            memset(bytes + len, 0x7F, sizeof(bytes) - len);
            for (size_t more = 0; more <= 10; more += 10) {
                struct proto_scan scan = proto_scan_of(slice_of(bytes, len + more));

                assert_true(proto_scan_next(&scan, &field) && field.value == value);
                assert_ptr_equal(scan.at, bytes + len);
            }
        }
    }
}

static void test_nothing(void **state) {
    struct proto_scan scan = proto_scan_of((struct slice){NULL, 0});
    struct proto_field field;

    (void)state;
    assert_false(proto_scan_next(&scan, &field));
    assert_false(scan.bad);
}

static void test_zigzag(void **state) {
    static const int64_t values[] = {0, -1, 1, -2, INT64_MAX, INT64_MIN};
    static const uint64_t codes[] = {0, 1, 2, 3, UINT64_MAX - 1, UINT64_MAX};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        assert_true((uint64_t)proto_zigzag(values[i]) == codes[i]);
        assert_true(proto_unzigzag(codes[i]) == values[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),       cmocka_unit_test(test_cut_short),
        cmocka_unit_test(test_varint_sizes), cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_zigzag),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
