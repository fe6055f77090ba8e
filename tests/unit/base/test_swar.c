/* test_swar.c - each byte at each place, among neighbours that a borrow would reach. */
#include "base/swar.h"

#include "base/attr.h"
#include "test.h"

/* SWAR_BYTES where nothing is marked. */
static size_t first(uint64_t marks) {
    return marks ? swar_first(marks) : SWAR_BYTES;
}

static void check(const char text[SWAR_BYTES]) {
    uint64_t word = swar_load(text);
    size_t below = SWAR_BYTES, quote = SWAR_BYTES;

    for (size_t i = SWAR_BYTES; i-- > 0;) {
        if ((unsigned char)text[i] < 0x20)
            below = i;
        if (text[i] == '"')
            quote = i;
    }
    assert_int_equal(first(swar_below(word, 0x20)), below);
    assert_int_equal(first(swar_is(word, '"')), quote);
    assert_int_equal(first(swar_below(word, 0x20) | swar_is(word, '"')),
                     below < quote ? below : quote);
}

static void test_each_byte_at_each_place(void **state) {
    (void)state;
    static const char around[] = {'\0', '\x1F', ' ', '!', '"', '#', 'a', '\x7F', '\x80', '\xFF'};
    char text[SWAR_BYTES];

    for (size_t n = 0; n < ARRAY_LEN(around); n++)
        for (size_t place = 0; place < SWAR_BYTES; place++)
            for (int c = 0; c < 256; c++) {
                memset(text, around[n], sizeof(text));
                text[place] = (char)c;
                check(text);
                text[(place + 1) % SWAR_BYTES] = '!'; /* one above the quote: who borrows shows */
                check(text);
            }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_byte_at_each_place)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
