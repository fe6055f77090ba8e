/* similar.c - edit distance with transpositions (optimal string alignment). */
#include "base/similar.h"

#include <stdio.h>
#include <string.h>

static unsigned least(unsigned a, unsigned b) {
    return a < b ? a : b;
}

/* Row 'i' of the alignment table from the two before it. */
static void fill_row(const char *a, const char *b, size_t i, unsigned rows[3][SIMILAR_BYTES]) {
    const unsigned *before = rows[(i + 1) % 3]; /* i - 2 */
    const unsigned *last = rows[(i + 2) % 3];   /* i - 1 */
    unsigned *now = rows[i % 3];
    size_t len = strlen(b);

    now[0] = (unsigned)i;
    for (size_t j = 1; j <= len; j++) {
        unsigned cost = a[i - 1] != b[j - 1];

        now[j] = least(last[j - 1] + cost, least(last[j], now[j - 1]) + 1);
        if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
            now[j] = least(now[j], before[j - 2] + 1);
    }
}

static unsigned distance(const char *a, const char *b) {
    unsigned rows[3][SIMILAR_BYTES] = {{0}};
    size_t len = strlen(a);

    for (unsigned j = 0; j < SIMILAR_BYTES; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= len; i++)
        fill_row(a, b, i, rows);
    return rows[len % 3][strlen(b)];
}

struct similar similar_to(const char *wanted) {
    /* A third of the letters may be wrong; "ab" is near nothing. */
    return (struct similar){.wanted = wanted, .distance = (unsigned)strlen(wanted) / 3 + 1};
}

void similar_offer(struct similar *similar, const char *name) {
    if (strlen(similar->wanted) >= SIMILAR_BYTES || strlen(name) >= SIMILAR_BYTES)
        return;
    unsigned now = distance(similar->wanted, name);
    if (now >= similar->distance)
        return;
    similar->distance = now;
    (void)snprintf(similar->found, sizeof(similar->found), "%s", name);
}
