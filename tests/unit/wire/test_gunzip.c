/* test_gunzip.c - gzip from zlib's own writer, whole, cut, damaged, and a bomb. */
#include "test.h"

#include <stdlib.h>
#include <zlib.h>

#include "wire/gunzip.h"

#define PLAIN_BYTES 100000u

static struct {
    char plain[PLAIN_BYTES];
    unsigned char packed[PLAIN_BYTES];
    size_t packed_len;
} self;

static size_t pack(const char *plain, size_t len, unsigned char *out, size_t room) {
    z_stream z = {0};

    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (unsigned char *)(uintptr_t)plain;
    z.avail_in = (unsigned)len;
    z.next_out = out;
    z.avail_out = (unsigned)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return room - z.avail_out;
}

static int set_up(void **state) {
    *state = gunzip_new();
    for (size_t i = 0; i < PLAIN_BYTES; i++)
        self.plain[i] = (char)(i * i >> 7);
    self.packed_len = pack(self.plain, PLAIN_BYTES, self.packed, sizeof(self.packed));
    return *state ? 0 : -1;
}

static int tear_down(void **state) {
    gunzip_free(*state);
    return 0;
}

static struct slice packed(size_t len) {
    return slice_of((const char *)self.packed, len);
}

static void test_whole(void **state) {
    struct buf out = {0};

    for (int round = 0; round < 3; round++) { /* the same inflater again */
        buf_clear(&out);
        assert_int_equal(gunzip_all(*state, packed(self.packed_len), PLAIN_BYTES, &out), ERR_OK);
        assert_true(slice_eq(buf_slice(&out), slice_of(self.plain, PLAIN_BYTES)));
    }
    buf_release(&out);
}

static void test_one_byte_too_many(void **state) {
    struct buf out = {0};

    assert_int_equal(gunzip_all(*state, packed(self.packed_len), PLAIN_BYTES - 1, &out),
                     ERR_TOO_LARGE);
    buf_release(&out);
}

static void test_every_cut(void **state) {
    struct buf out = {0};

    for (size_t len = 0; len < self.packed_len; len += len < 64 ? 1 : 997)
        if (gunzip_all(*state, packed(len), PLAIN_BYTES, &out) != ERR_INVALID)
            fail_msg("cut at %zu of %zu", len, self.packed_len);
    buf_release(&out);
}

static void test_damaged(void **state) {
    struct buf out = {0};

    self.packed[self.packed_len - 5] ^= 1; /* the checksum */
    assert_int_equal(gunzip_all(*state, packed(self.packed_len), PLAIN_BYTES, &out), ERR_INVALID);
    self.packed[self.packed_len - 5] ^= 1;
    self.packed[self.packed_len] = 'x'; /* something behind it */
    assert_int_equal(gunzip_all(*state, packed(self.packed_len + 1), PLAIN_BYTES, &out),
                     ERR_INVALID);
    assert_int_equal(gunzip_all(*state, SLICE("plainly no gzip"), 100, &out), ERR_INVALID);
    buf_release(&out);
}

static void test_empty_and_bomb(void **state) {
    size_t bytes = 8u << 20;
    char *zeros = calloc(1, bytes);
    unsigned char small[32768];
    struct buf out = {0};
    size_t len = pack("", 0, small, sizeof(small));

    assert_int_equal(gunzip_all(*state, slice_of((char *)small, len), 0, &out), ERR_OK);
    assert_int_equal(out.len, 0);
    len = pack(zeros, bytes, small, sizeof(small));
    assert_int_equal(gunzip_all(*state, slice_of((char *)small, len), 1 << 20, &out),
                     ERR_TOO_LARGE);
    assert_true(out.cap <= 2u << 20); /* it stopped there */
    buf_release(&out);
    free(zeros);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),          cmocka_unit_test(test_one_byte_too_many),
        cmocka_unit_test(test_every_cut),      cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_empty_and_bomb),
    };

    return cmocka_run_group_tests_name("wire/gunzip", tests, set_up, tear_down);
}
