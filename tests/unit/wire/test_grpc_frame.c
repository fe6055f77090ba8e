/* test_grpc_frame.c - the five-byte prefix, whole and in pieces. */
#include "test.h"

#include <string.h>

#include "base/attr.h"
#include "base/buf.h"
#include "wire/grpc_frame.h"

#define IN(literal) literal, sizeof(literal) - 1

/* 'want': H and the length, c when compressed, the bytes in brackets, E; ! for a bad flag. */
static const struct {
    const char *name;
    const char *in;
    size_t len;
    const char *want;
    bool between; /* messages, at the end */
} rows[] = {
    {"nothing", IN(""), "", true},
    {"one message", IN("\0\0\0\0\3abc"), "H3[abc]E", true},
    {"an empty one", IN("\0\0\0\0\0"), "H0E", true},
    {"a compressed one", IN("\1\0\0\0\1x"), "cH1[x]E", true},
    {"two", IN("\0\0\0\0\1a\0\0\0\0\2bc"), "H1[a]EH2[bc]E", true},
    {"an empty one, then another", IN("\0\0\0\0\0\0\0\0\0\1z"), "H0EH1[z]E", true},
    {"a cut prefix", IN("\0\0\0"), "", false},
    {"a cut message", IN("\0\0\0\0\3ab"), "H3[ab]", false},
    {"a prefix alone", IN("\0\0\0\0\3"), "H3", false},
    {"the largest", IN("\0\377\377\377\377"), "H4294967295", false},
    {"byte order", IN("\0\1\2\3\4"), "H16909060", false},
    {"a bad flag", IN("\2\0\0\0\0"), "!", false},
    {"a bad flag behind a message", IN("\0\0\0\0\1a\200"), "H1[a]E!", false},
};

static void describe(struct buf *text, const struct grpc_frame_reader *reader,
                     enum grpc_frame_event event, struct slice part) {
    switch (event) {
    case GRPC_FRAME_HEAD:
        buf_add_str(text, reader->compressed ? "cH" : "H");
        buf_add_u64(text, reader->length);
        break;
    case GRPC_FRAME_PART:
        assert_true(part.len > 0);
        if (text->len && text->ptr[text->len - 1] == ']')
            text->len--; /* pieces of one message read as one */
        else
            buf_add_char(text, '[');
        buf_add_slice(text, part);
        buf_add_char(text, ']');
        break;
    case GRPC_FRAME_END:
        buf_add_char(text, 'E');
        break;
    default:
        buf_add_char(text, '!');
        break;
    }
}

static void read_in_steps(size_t row, size_t step) {
    struct grpc_frame_reader reader = {0};
    struct buf text = {0};
    enum grpc_frame_event event = GRPC_FRAME_MORE;

    for (size_t at = 0; at < rows[row].len && event != GRPC_FRAME_BAD; at += step) {
        size_t n = rows[row].len - at < step ? rows[row].len - at : step;
        struct slice in = slice_of(rows[row].in + at, n);
        struct slice part = {NULL, 0};

        while ((event = grpc_frame_next(&reader, &in, &part)) != GRPC_FRAME_MORE) {
            describe(&text, &reader, event, part);
            if (event == GRPC_FRAME_BAD)
                break;
        }
    }
    if (!slice_eq(buf_slice(&text), slice_str(rows[row].want)) ||
        grpc_frame_between(&reader) != rows[row].between)
        fail_msg("%s, %zu bytes a step: \"%.*s\"", rows[row].name, step,
                 SLICE_ARGS(buf_slice(&text)));
    buf_release(&text);
}

static void test_reads(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t step = 1; step <= rows[i].len + 1; step++)
            read_in_steps(i, step);
}

static void test_prefix(void **state) {
    unsigned char out[GRPC_PREFIX_BYTES];

    (void)state;
    grpc_frame_prefix(out, true, 0x01020304);
    assert_memory_equal(out, "\1\1\2\3\4", 5);
    grpc_frame_prefix(out, false, 0xfffefdfc);
    assert_memory_equal(out, "\0\377\376\375\374", 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads),
        cmocka_unit_test(test_prefix),
    };

    return cmocka_run_group_tests_name("wire/grpc_frame", tests, NULL, NULL);
}
