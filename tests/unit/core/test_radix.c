/* radix_sort() beside qsort(): any numbers, few digits or many, and the order of equal ones kept.
 */
#include <stdlib.h>

#include "base/attr.h"
#include "core/radix.h"
#include "test.h"

#define MANY 3000

static int by_key(const void *x, const void *y) {
    const struct radix_item *a = x;
    const struct radix_item *b = y;

    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return (a->index > b->index) - (a->index < b->index);
}

static void test_like_qsort(void **state) {
    static const uint32_t masks[] = {0xffffffff, 0xff, 0xff00ff00, 0x01000000, 7, 0};
    static struct radix_item items[MANY];
    static struct radix_item want[MANY];
    static struct radix_item spare[MANY];
    uint64_t random = 5;

    (void)state;
    for (size_t m = 0; m < ARRAY_LEN(masks); m++) {
        for (size_t count = 0; count <= MANY; count = count * 7 + 1) {
            for (size_t i = 0; i < count; i++) {
                random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
                items[i] = want[i] =
                    (struct radix_item){(uint32_t)(random >> 32) & masks[m], (uint32_t)i};
            }
            qsort(want, count, sizeof(*want), by_key);
            radix_sort(items, spare, count);
            assert_memory_equal(items, want, count * sizeof(*want));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_like_qsort),
    };

    return cmocka_run_group_tests_name("core/radix", tests, NULL, NULL);
}
