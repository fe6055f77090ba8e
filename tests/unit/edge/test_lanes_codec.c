/* test_lanes_codec.c - the messages between gateway and counter, against protobuf-c's. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "edge/lanes_codec.h"
#include "lanes.pb-c.h"
#include "test.h"
#include "wire/uri.h"

#define OPS_MAX   8
#define ARENA_CAP (1u << 20)
#define ROUNDS    3000

/* ---- helpers ---- */

static uint64_t seed = 20240607;

static uint64_t next_u64(void) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static uint64_t below(uint64_t n) {
    return next_u64() % n;
}

/* All sizes of varint, both signs, and the ends. */
static int64_t any_i64(void) {
    static const int64_t ends[] = {0, 1, -1, 127, 128, INT64_MAX, INT64_MIN};

    if (below(4) == 0)
        return ends[below(ARRAY_LEN(ends))];
    return (int64_t)(next_u64() >> below(64)) * (below(2) ? 1 : -1);
}

static struct slice any_text(size_t max) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
    static char pool[3 * OPS_MAX][256];
    static unsigned turn;
    char *text = pool[turn++ % ARRAY_LEN(pool)];
    size_t len = 1 + below(max);

    for (size_t i = 0; i < len; i++)
        text[i] = letters[below(26)];
    if (len >= 4 && below(3) == 0)
        memcpy(text + len - 4, "\xF0\x9F\x91\x8D", 4);
    return slice_of(text, len);
}

static bool same_text(ProtobufCBinaryData theirs, struct slice ours) {
    return slice_eq(slice_of((const char *)theirs.data, theirs.len), ours);
}

/* A copy of the exact size, so that a sanitizer sees a read past its end. */
static struct slice exact(struct slice bytes) {
    char *copy = malloc(bytes.len ? bytes.len : 1);

    assert_non_null(copy);
    if (bytes.len)
        memcpy(copy, bytes.ptr, bytes.len);
    return slice_of(copy, bytes.len);
}

static void drop(struct slice copy) {
    free((char *)(uintptr_t)copy.ptr);
}

/* ---- ApplyRequest, both ways ---- */

static void any_message(struct message *message, struct op ops[OPS_MAX]) {
    message->producer = (struct producer_id){next_u64(), below(3) ? next_u64() : 0};
    message->number = (next_u64() >> below(64)) | 1;
    message->issued_ms = any_i64();
    message->count = 1 + below(OPS_MAX);
    message->ops = ops;
    for (size_t i = 0; i < message->count; i++) {
        ops[i] = (struct op){.kind = (enum op_kind)below(4),
                             .arg = any_i64(),
                             .resource_id = any_text(below(20) ? 20 : 200),
                             .counter_type = any_text(8)};
        if (below(2))
            ops[i].key = any_text(255);
        if (ops[i].kind == OP_ADD && ops[i].arg == 0)
            ops[i].arg = 1;
    }
}

static void assert_same_message(const struct message *message,
                                const Counter__Internal__ApplyRequest *theirs) {
    assert_true(theirs->producer_hi == message->producer.hi);
    assert_true(theirs->producer_lo == message->producer.lo);
    assert_true(theirs->number == message->number);
    assert_true(theirs->issued_ms == message->issued_ms);
    assert_int_equal(theirs->n_operations, message->count);
    for (size_t i = 0; i < message->count; i++) {
        const Counter__Internal__Operation *their_op = theirs->operations[i];
        const struct op *op = &message->ops[i];

        assert_int_equal((int)their_op->kind, (int)op->kind + 1);
        assert_true(their_op->arg == op->arg);
        assert_true(same_text(their_op->resource_id, op->resource_id));
        assert_true(same_text(their_op->counter_type, op->counter_type));
        assert_true(same_text(their_op->key, op->key));
    }
}

/* What protobuf-c unpacks from our bytes is the message, and what it packs again are our bytes. */
static void assert_packs_the_same(const struct buf *ours, const struct message *message) {
    Counter__Internal__ApplyRequest *theirs =
        counter__internal__apply_request__unpack(NULL, ours->len, (const uint8_t *)ours->ptr);

    assert_non_null(theirs);
    assert_same_message(message, theirs);
    assert_int_equal(counter__internal__apply_request__get_packed_size(theirs), ours->len);
    uint8_t *packed = malloc(ours->len);
    counter__internal__apply_request__pack(theirs, packed);
    assert_memory_equal(packed, ours->ptr, ours->len);
    free(packed);
    counter__internal__apply_request__free_unpacked(theirs, NULL);
}

/* As read from an exact copy; true when it was read, then it is what protobuf-c reads. */
static bool read_like_theirs(struct slice bytes, const struct message *want) {
    struct proto_problem problem = {""};
    struct message message = {.number = 77};
    struct slice copy = exact(bytes);
    struct arena arena;

    arena_init(&arena, 4096, ARENA_CAP);
    enum err err = lanes_read_apply(copy, &arena, OPS_MAX, &message, &problem);
    if (err == ERR_OK) {
        Counter__Internal__ApplyRequest *theirs =
            counter__internal__apply_request__unpack(NULL, copy.len, (const uint8_t *)copy.ptr);

        assert_non_null(theirs);
        assert_same_message(&message, theirs);
        counter__internal__apply_request__free_unpacked(theirs, NULL);
    } else {
        assert_true(err == ERR_INVALID || err == ERR_TOO_LARGE);
        assert_true(problem.text[0] && message.number == 77);
    }
    if (want)
        assert_true(err == ERR_OK && message.count == want->count);
    arena_release(&arena);
    drop(copy);
    return err == ERR_OK;
}

static void test_apply_both_ways(void **state) {
    struct op ops[OPS_MAX];
    struct message message;
    struct buf bytes = {0};

    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        any_message(&message, ops);
        buf_clear(&bytes);
        lanes_write_apply(&bytes, &message);
        assert_false(buf_failed(&bytes));
        assert_packs_the_same(&bytes, &message);
        assert_true(read_like_theirs(buf_slice(&bytes), &message));
    }
    buf_release(&bytes);
}

static void mutate(struct buf *bytes) {
    size_t at = below(bytes->len);

    switch (below(4)) {
    case 0:
        bytes->ptr[at] = (char)next_u64();
        break;
    case 1:
        bytes->ptr[at] = (char)(bytes->ptr[at] ^ (1 << below(8)));
        break;
    case 2:
        bytes->len = at ? at : 1;
        break;
    default:
        memmove(bytes->ptr + at, bytes->ptr + at + 1, bytes->len - at - 1);
        bytes->len -= bytes->len > 1;
    }
}

/* Of damaged messages ours takes no more than protobuf-c, and reads the same. (Groups apart, which
 * protobuf-c doesn't know: none of the damage of this seed makes one that we take.) */
static void test_apply_damaged(void **state) {
    struct op ops[OPS_MAX];
    struct message message;
    struct buf bytes = {0};
    unsigned taken = 0;

    (void)state;
    for (int round = 0; round < 10 * ROUNDS; round++) {
        any_message(&message, ops);
        buf_clear(&bytes);
        lanes_write_apply(&bytes, &message);
        for (uint64_t n = 1 + below(3); n > 0; n--)
            mutate(&bytes);
        taken += read_like_theirs(buf_slice(&bytes), NULL);
    }
    assert_in_range(taken, 10, 9 * ROUNDS); /* both ways out are taken */
    buf_release(&bytes);
}

/* ---- ApplyRequest, the rules ---- */

#define HEAD                                                                                       \
    "\x09\x01\0\0\0\0\0\0\0"                                                                       \
    "\x18\x05"
#define ADD_1 "\x08\x01\x10\x02"
#define ID    "\x1A\x01r"
#define TYPE  "\x22\x01t"
#define OP    "\x2A\x0A" ADD_1 ID TYPE
#define B255                                                                                       \
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"                             \
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"                             \
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"                             \
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde"
#define BYTES(literal)                                                                             \
    { "" literal, sizeof(literal) - 1 }
#define GROUPS_32                                                                                  \
    "\x33\x33\x33\x33\x33\x33\x33\x33\x33\x33\x33\x33\x33\x33\x33\x33"                             \
    "\x33\x33\x33\x33\x33\x33\x33\x33\x33\x33\x33\x33\x33\x33\x33\x33"
#define ENDS_32                                                                                    \
    "\x34\x34\x34\x34\x34\x34\x34\x34\x34\x34\x34\x34\x34\x34\x34\x34"                             \
    "\x34\x34\x34\x34\x34\x34\x34\x34\x34\x34\x34\x34\x34\x34\x34\x34"

/* 'says': a part of the sentence; NULL: it is read. */
/* clang-format off */
static const struct {
    const char *name;
    struct slice bytes;
    const char *says;
} rows[] = {
    {"the smallest",                     BYTES(HEAD OP), NULL},
    {"nothing",                          BYTES(""), "producer"},
    {"no producer",                      BYTES("\x18\x05" OP), "producer_hi"},
    {"a producer of one half",           BYTES("\x11\0\0\0\0\0\0\0\x80\x18\x05" OP), NULL},
    {"a producer of 0",                  BYTES("\x09\0\0\0\0\0\0\0\0\x18\x05" OP), "producer_hi"},
    {"no number",                        BYTES("\x09\x01\0\0\0\0\0\0\0" OP), "number"},
    {"number 0",                         BYTES(HEAD "\x18\0" OP), "number"},
    {"no operations",                    BYTES(HEAD), "operations: must not be empty"},
    {"eight operations",                 BYTES(HEAD OP OP OP OP OP OP OP OP), NULL},
    {"nine operations",                  BYTES(HEAD OP OP OP OP OP OP OP OP OP), "at most 8, found 9"},
    {"an empty operation",               BYTES(HEAD "\x2A\0"), "operations[0].kind"},
    {"the second without a kind",        BYTES(HEAD OP "\x2A\x06" ID TYPE), "operations[1].kind"},
    {"kind 5",                           BYTES(HEAD "\x2A\x08\x08\x05" ID TYPE), "kind"},
    {"kind 2^32 + 1",                    BYTES(HEAD "\x2A\x0C\x08\x81\x80\x80\x80\x10" ID TYPE), "kind"},
    {"ADD without an arg",               BYTES(HEAD "\x2A\x08\x08\x01" ID TYPE), "arg: must not be 0"},
    {"SET to 0",                         BYTES(HEAD "\x2A\x08\x08\x02" ID TYPE), NULL},
    {"GET",                              BYTES(HEAD "\x2A\x08\x08\x04" ID TYPE), NULL},
    {"no resource_id",                   BYTES(HEAD "\x2A\x07" ADD_1 TYPE), "operations[0].resource_id: must not be empty"},
    {"no counter_type",                  BYTES(HEAD "\x2A\x07" ADD_1 ID), "counter_type: must not be empty"},
    {"a NUL in resource_id",             BYTES(HEAD "\x2A\x0A" ADD_1 "\x1A\x01\0" TYPE), "U+0000"},
    {"a NUL in counter_type",            BYTES(HEAD "\x2A\x0A" ADD_1 ID "\x22\x01\0"), "U+0000"},
    {"a NUL in the key",                 BYTES(HEAD "\x2A\x0D" ADD_1 ID TYPE "\x2A\x01\0"), "U+0000"},
    {"resource_id not UTF-8",            BYTES(HEAD "\x2A\x0A" ADD_1 "\x1A\x01\xFF" TYPE), "UTF-8"},
    {"counter_type not UTF-8",           BYTES(HEAD "\x2A\x0A" ADD_1 ID "\x22\x01\x80"), "UTF-8"},
    {"a key not UTF-8",                  BYTES(HEAD "\x2A\x0D" ADD_1 ID TYPE "\x2A\x01\xC0"), NULL},
    {"an empty key is none",             BYTES(HEAD "\x2A\x0C" ADD_1 ID TYPE "\x2A\0"), NULL},
    {"a key of 255",                     BYTES(HEAD "\x2A\x8C\x02" ADD_1 ID TYPE "\x2A\xFF\x01" B255), NULL},
    {"a key of 279, a batch's item's",   BYTES(HEAD "\x2A\xA4\x02" ADD_1 ID TYPE "\x2A\x97\x02" B255 "/12345678901234567890123"), NULL},
    {"a key of 280",                     BYTES(HEAD "\x2A\xA5\x02" ADD_1 ID TYPE "\x2A\x98\x02" B255 "/123456789012345678901234"), "at most 279"},
    {"the last id wins",                 BYTES(HEAD "\x2A\x0D" ADD_1 "\x1A\x01\xFF" ID TYPE), NULL},
    {"number as fixed64",                BYTES("\x09\x01\0\0\0\0\0\0\0\x19\x05\0\0\0\0\0\0\0" OP), "ApplyRequest"},
    {"arg as bytes",                     BYTES(HEAD "\x2A\x0A\x08\x02\x12\0" ID TYPE), "operations[0]: not a valid"},
    {"an id as a varint",                BYTES(HEAD "\x2A\x09" ADD_1 "\x18\x01" TYPE), "Operation"},
    {"unknown: a varint",                BYTES(HEAD "\x30\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01" OP), NULL},
    {"unknown: fixed64",                 BYTES(HEAD "\x31xxxxxxxx" OP), NULL},
    {"unknown: fixed64, cut short",      BYTES(HEAD OP "\x31xxxxxxx"), "ApplyRequest"},
    {"unknown: bytes",                   BYTES(HEAD "\x32\x03" "abc" OP), NULL},
    {"unknown: bytes, too few",          BYTES(HEAD OP "\x32\x03" "ab"), "ApplyRequest"},
    {"unknown: fixed32",                 BYTES(HEAD "\x35xxxx" OP), NULL},
    {"unknown: fixed32, cut short",      BYTES(HEAD OP "\x35xxx"), "ApplyRequest"},
    {"unknown: a group",                 BYTES(HEAD "\x33\x08\x01\x11xxxxxxxx\x1A\x01x\x25xxxx\x34" OP), NULL},
    {"unknown: groups, 32 deep",         BYTES(HEAD GROUPS_32 ENDS_32 OP), NULL},
    {"unknown: groups, 33 deep",         BYTES(HEAD GROUPS_32 "\x33\x34" ENDS_32 OP), "ApplyRequest"},
    {"a group without an end",           BYTES(HEAD OP "\x33\x08\x01"), "ApplyRequest"},
    {"a group with another's end",       BYTES(HEAD OP "\x33\x3C"), "ApplyRequest"},
    {"a group's end without a start",    BYTES(HEAD OP "\x34"), "ApplyRequest"},
    {"a group of a known number",        BYTES(HEAD OP "\x1B\x1C"), "ApplyRequest"},
    {"wire type 6",                      BYTES(HEAD OP "\x36"), "ApplyRequest"},
    {"wire type 7",                      BYTES(HEAD OP "\x37"), "ApplyRequest"},
    {"field 0",                          BYTES(HEAD OP "\x00\x01"), "ApplyRequest"},
    {"the highest field number",         BYTES(HEAD OP "\xF8\xFF\xFF\xFF\x0F\x01"), NULL},
    {"a tag of 36 bits",                 BYTES(HEAD OP "\xF8\xFF\xFF\xFF\x1F\x01"), "ApplyRequest"},
    {"a tag of six bytes",               BYTES(HEAD OP "\xB0\x80\x80\x80\x80\x00\x01"), "ApplyRequest"},
    {"a varint of 65 bits",              BYTES(HEAD "\x30\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02" OP), "ApplyRequest"},
    {"a varint of eleven bytes",         BYTES(HEAD "\x30\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00" OP), "ApplyRequest"},
    {"a varint cut short",               BYTES(HEAD OP "\x30\x80"), "ApplyRequest"},
    {"a tag cut short",                  BYTES(HEAD OP "\x80"), "ApplyRequest"},
    {"a length beyond the end",          BYTES(HEAD "\x2A\x0B" ADD_1 ID TYPE), "ApplyRequest"},
    {"a length of 2^32 - 1",             BYTES(HEAD "\x2A\xFF\xFF\xFF\xFF\x0F"), "ApplyRequest"},
    {"a length beyond its operation",    BYTES(HEAD "\x2A\x0A" ADD_1 ID "\x22\x02t"), "operations[0]: not"},
};
/* clang-format on */

static void test_apply_rules(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct slice copy = exact(rows[i].bytes);
        struct proto_problem problem = {""};
        struct message message = {.number = 77};
        struct arena arena;

        arena_init(&arena, 4096, ARENA_CAP);
        enum err err = lanes_read_apply(copy, &arena, OPS_MAX, &message, &problem);
        if (!rows[i].says && err != ERR_OK)
            fail_msg("%s: %s: %s", rows[i].name, err_name(err), problem.text);
        if (rows[i].says && (err == ERR_OK || !strstr(problem.text, rows[i].says)))
            fail_msg("%s: %s: \"%s\"", rows[i].name, err_name(err), problem.text);
        if (rows[i].says && message.number != 77)
            fail_msg("%s: the output was touched", rows[i].name);
        arena_release(&arena);
        drop(copy);
    }
}

static void test_apply_last_wins(void **state) {
    static const char bytes[] =
        HEAD "\x18\x06\x20\x01\x20\x02"
             "\x2A\x17\x08\x01\x10\x02\x08\x02\x10\x03" ID TYPE "\x1A\x02r2\x2A\x01k\x2A\0";
    struct proto_problem problem;
    struct message message;
    struct arena arena;

    (void)state;
    arena_init(&arena, 4096, ARENA_CAP);
    assert_int_equal(
        lanes_read_apply(slice_of(bytes, sizeof(bytes) - 1), &arena, 1, &message, &problem),
        ERR_OK);
    assert_int_equal(message.number, 6);
    assert_int_equal(message.issued_ms, 2);
    assert_int_equal(message.ops[0].kind, OP_SET);
    assert_int_equal(message.ops[0].arg, -2);
    assert_true(slice_eq(message.ops[0].resource_id, SLICE("r2")));
    assert_null(message.ops[0].key.ptr);
    arena_release(&arena);
}

static void test_apply_no_memory(void **state) {
    struct proto_problem problem = {""};
    struct message message = {.number = 77};
    struct arena arena;

    (void)state;
    arena_init(&arena, 16, 16);
    assert_int_equal(
        lanes_read_apply(slice_of(HEAD OP, sizeof(HEAD OP) - 1), &arena, 1, &message, &problem),
        ERR_NO_MEMORY);
    assert_true(problem.text[0] && message.number == 77);
    arena_release(&arena);
}

/* ---- ApplyResponse ---- */

static void any_answers(struct answer *answers, size_t count) {
    for (size_t i = 0; i < count; i++)
        answers[i] = (struct answer){.err = below(3) ? ERR_OK : (enum err)below(ERR_COUNT),
                                     .replayed = below(2),
                                     .value = any_i64(),
                                     .time_ms = any_i64()};
}

static void assert_same_answers(const struct answer *answers, size_t count,
                                const struct buf *bytes) {
    Counter__Internal__ApplyResponse *theirs =
        counter__internal__apply_response__unpack(NULL, bytes->len, (const uint8_t *)bytes->ptr);

    assert_non_null(theirs);
    assert_int_equal(theirs->n_answers, count);
    for (size_t i = 0; i < count; i++) {
        const Counter__Internal__Answer *answer = theirs->answers[i];
        const char *name = answers[i].err == ERR_OK ? "" : err_name(answers[i].err);

        assert_true(same_text(answer->error, slice_str(name)));
        assert_int_equal(answer->replayed, answers[i].replayed);
        assert_true(answer->value == answers[i].value);
        assert_true(answer->time_ms == answers[i].time_ms);
    }
    assert_int_equal(counter__internal__apply_response__get_packed_size(theirs), bytes->len);
    uint8_t *packed = malloc(bytes->len + 1);
    counter__internal__apply_response__pack(theirs, packed);
    assert_memory_equal(packed, bytes->ptr, bytes->len);
    free(packed);
    counter__internal__apply_response__free_unpacked(theirs, NULL);
}

static void test_answers_both_ways(void **state) {
    struct answer answers[OPS_MAX], read[OPS_MAX];
    struct proto_problem problem;
    struct buf bytes = {0};

    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        size_t count = 1 + below(OPS_MAX);
        int64_t now_ms = any_i64(), read_now_ms = -5;

        any_answers(answers, count);
        buf_clear(&bytes);
        lanes_write_answers(&bytes, answers, count, now_ms);
        assert_same_answers(answers, count, &bytes);
        struct slice copy = exact(buf_slice(&bytes));
        assert_int_equal(lanes_read_answers(copy, read, count, &read_now_ms, &problem), ERR_OK);
        drop(copy);
        assert_true(read_now_ms == now_ms);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(read[i].err, answers[i].err);
            assert_int_equal(read[i].replayed, answers[i].replayed);
            assert_true(read[i].value == answers[i].value);
            assert_true(read[i].time_ms == answers[i].time_ms);
        }
    }
    buf_release(&bytes);
}

/* For one operation; 'says' NULL: read, with this error. */
/* clang-format off */
static const struct {
    const char *name;
    struct slice bytes;
    const char *says;
    enum err want;
} answer_rows[] = {
    {"applied",                 BYTES("\x0A\x02\x18\x02\x10\x01"), NULL, ERR_OK},
    {"all defaults",            BYTES("\x0A\0"), NULL, ERR_OK},
    {"RANGE",                   BYTES("\x0A\x07\x0A\x05RANGE"), NULL, ERR_RANGE},
    {"TOO_OLD",                 BYTES("\x0A\x09\x0A\x07TOO_OLD"), NULL, ERR_TOO_OLD},
    {"an unknown name",         BYTES("\x0A\x07\x0A\x05WEIRD"), NULL, ERR_INTERNAL},
    {"OK isn't an error",       BYTES("\x0A\x04\x0A\x02OK"), NULL, ERR_INTERNAL},
    {"a name in lower case",    BYTES("\x0A\x07\x0A\x05range"), NULL, ERR_INTERNAL},
    {"a name that isn't UTF-8", BYTES("\x0A\x03\x0A\x01\xFF"), "answers[0].error", ERR_OK},
    {"no answer",               BYTES("\x10\x01"), "0 for 1", ERR_OK},
    {"two answers",             BYTES("\x0A\0\x0A\0"), "2 for 1", ERR_OK},
    {"a damaged answer",        BYTES("\x0A\x01\x18"), "answers[0]: not", ERR_OK},
    {"a value as bytes",        BYTES("\x0A\x02\x1A\0"), "answers[0]: not", ERR_OK},
    {"damaged behind it",       BYTES("\x0A\0\x10"), "ApplyResponse", ERR_OK},
    {"an unknown field",        BYTES("\x0A\x02\x28\x01\x18\x07"), NULL, ERR_OK},
};
/* clang-format on */

static void test_answers_rules(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(answer_rows); i++) {
        struct proto_problem problem = {""};
        struct answer answer = {.value = 77};
        struct slice copy = exact(answer_rows[i].bytes);
        int64_t now_ms = 78;
        enum err err = lanes_read_answers(copy, &answer, 1, &now_ms, &problem);

        drop(copy);
        if (answer_rows[i].says) {
            if (err != ERR_INVALID || !strstr(problem.text, answer_rows[i].says))
                fail_msg("%s: %s: \"%s\"", answer_rows[i].name, err_name(err), problem.text);
            if (answer.value != 77 || now_ms != 78)
                fail_msg("%s: an output was touched", answer_rows[i].name);
        } else if (err != ERR_OK || answer.err != answer_rows[i].want) {
            fail_msg("%s: %s \"%s\", the answer %s", answer_rows[i].name, err_name(err),
                     problem.text, err_name(answer.err));
        }
    }
}

static void test_every_error_by_name(void **state) {
    (void)state;
    for (unsigned i = ERR_OK + 1; i < ERR_COUNT; i++)
        assert_int_equal(lanes_error_named(slice_str(err_name((enum err)i))), i);
    assert_int_equal(lanes_error_named(SLICE("")), ERR_INTERNAL);
}

/* ---- HelloResponse ---- */

static void test_hello_both_ways(void **state) {
    struct lanes_hello hello = {.store_id = UINT64_C(0x8000000000000001),
                                .store_now_ms = INT64_C(1700000000000),
                                .durability = SLICE("local"),
                                .guarantee = SLICE("nothing is lost"),
                                .version = SLICE("1.2.3")};
    struct lanes_hello read;
    struct proto_problem problem;
    struct buf bytes = {0};

    (void)state;
    lanes_write_hello(&bytes, &hello);
    Counter__Internal__HelloResponse *theirs =
        counter__internal__hello_response__unpack(NULL, bytes.len, (const uint8_t *)bytes.ptr);
    assert_non_null(theirs);
    assert_true(theirs->store_id == hello.store_id && theirs->store_now_ms == hello.store_now_ms);
    assert_true(same_text(theirs->durability, hello.durability) &&
                same_text(theirs->guarantee, hello.guarantee) &&
                same_text(theirs->version, hello.version));
    assert_int_equal(counter__internal__hello_response__get_packed_size(theirs), bytes.len);
    counter__internal__hello_response__free_unpacked(theirs, NULL);
    assert_int_equal(lanes_read_hello(buf_slice(&bytes), &read, &problem), ERR_OK);
    assert_true(read.store_id == hello.store_id && read.store_now_ms == hello.store_now_ms);
    assert_true(slice_eq(read.durability, hello.durability) &&
                slice_eq(read.guarantee, hello.guarantee) && slice_eq(read.version, hello.version));
    buf_release(&bytes);
}

/* clang-format off */
static const struct {
    const char *name;
    struct slice bytes;
    const char *says;
} hello_rows[] = {
    {"nothing",          BYTES(""), "store_id"},
    {"no text",          BYTES("\x09\x01\0\0\0\0\0\0\0"), NULL},
    {"a bad durability", BYTES("\x09\x01\0\0\0\0\0\0\0\x1A\x01\xFF"), "durability"},
    {"a bad guarantee",  BYTES("\x09\x01\0\0\0\0\0\0\0\x22\x01\xFF"), "guarantee"},
    {"a bad version",    BYTES("\x09\x01\0\0\0\0\0\0\0\x2A\x01\xFF"), "version"},
    {"a varint id",      BYTES("\x08\x01"), "HelloResponse"},
    {"cut short",        BYTES("\x09\x01\0\0\0\0\0\0"), "HelloResponse"},
};
/* clang-format on */

static void test_hello_rules(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(hello_rows); i++) {
        struct proto_problem problem = {""};
        struct lanes_hello hello = {.store_id = 77};
        enum err err = lanes_read_hello(hello_rows[i].bytes, &hello, &problem);

        if (hello_rows[i].says ? err != ERR_INVALID || hello.store_id != 77 ||
                                     !strstr(problem.text, hello_rows[i].says)
                               : err != ERR_OK)
            fail_msg("%s: %s: \"%s\"", hello_rows[i].name, err_name(err), problem.text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_apply_both_ways), cmocka_unit_test(test_apply_damaged),
        cmocka_unit_test(test_apply_rules),     cmocka_unit_test(test_apply_last_wins),
        cmocka_unit_test(test_apply_no_memory), cmocka_unit_test(test_answers_both_ways),
        cmocka_unit_test(test_answers_rules),   cmocka_unit_test(test_every_error_by_name),
        cmocka_unit_test(test_hello_both_ways), cmocka_unit_test(test_hello_rules),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
