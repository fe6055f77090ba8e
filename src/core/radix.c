/* radix.c - count, place, swap. */
#include "core/radix.h"

#include <stdbool.h>
#include <string.h>

#define DIGITS 256
#define PASSES 4

static unsigned digit_of(uint32_t key, unsigned pass) {
    return key >> pass * 8 & (DIGITS - 1);
}

/* True: all have the same one there. */
static bool count_digits(const struct radix_item *items, size_t count, unsigned pass,
                         size_t counts[DIGITS]) {
    memset(counts, 0, DIGITS * sizeof(*counts));
    for (size_t i = 0; i < count; i++)
        counts[digit_of(items[i].key, pass)]++;
    return count == 0 || counts[digit_of(items[0].key, pass)] == count;
}

static void place(const struct radix_item *from, struct radix_item *to, size_t count, unsigned pass,
                  size_t counts[DIGITS]) {
    size_t at = 0;

    for (unsigned digit = 0; digit < DIGITS; digit++) {
        size_t n = counts[digit];

        counts[digit] = at;
        at += n;
    }
    for (size_t i = 0; i < count; i++)
        to[counts[digit_of(from[i].key, pass)]++] = from[i];
}

void radix_sort(struct radix_item *items, struct radix_item *spare, size_t count) {
    struct radix_item *from = items;
    struct radix_item *to = spare;
    size_t counts[DIGITS];

    for (unsigned pass = 0; pass < PASSES; pass++) {
        if (count_digits(from, count, pass, counts))
            continue;
        place(from, to, count, pass, counts);
        struct radix_item *sorted = to;
        to = from;
        from = sorted;
    }
    if (from != items)
        memcpy(items, from, count * sizeof(*items));
}
