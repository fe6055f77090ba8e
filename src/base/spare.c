/* spare.c - a list of free pieces for each size. */
#include "base/spare.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/sanitizer.h"

struct spare_piece {
    struct spare_piece *next;
};

void spare_init(struct spare *spare, size_t kept_max) {
    *spare = (struct spare){.kept_max = MEMORY_IS_WATCHED ? 0 : kept_max};
}

void spare_release(struct spare *spare) {
    for (size_t i = 0; i < SPARE_CLASSES; i++) {
        while (spare->kept[i]) {
            struct spare_piece *piece = spare->kept[i];

            spare->kept[i] = piece->next;
            free(piece);
        }
    }
    spare->kept_bytes = 0;
}

size_t spare_room(size_t bytes) {
    if (bytes > SPARE_LARGEST)
        return bytes;
    if (bytes <= SPARE_LEAST)
        return SPARE_LEAST;
    return (size_t)1 << (64 - __builtin_clzll(bytes - 1));
}

/* Of a size up to SPARE_LARGEST. */
static size_t class_of(size_t room) {
    return (size_t)(__builtin_ctzll(room) - __builtin_ctz(SPARE_LEAST));
}

void *spare_take(struct spare *spare, size_t room) {
    assert(room == spare_room(room));
    if (!spare || room > SPARE_LARGEST)
        return malloc(room);
    struct spare_piece **kept = &spare->kept[class_of(room)];
    struct spare_piece *piece = *kept;
    if (!piece)
        return malloc(room);
    *kept = piece->next;
    spare->kept_bytes -= room;
    return piece;
}

void spare_give(struct spare *spare, void *piece, size_t room) {
    if (!spare || !piece || room > SPARE_LARGEST || spare->kept_bytes + room > spare->kept_max) {
        free(piece);
        return;
    }
    assert(room == spare_room(room));
    struct spare_piece *kept = piece;
    kept->next = spare->kept[class_of(room)];
    spare->kept[class_of(room)] = kept;
    spare->kept_bytes += room;
}

size_t spare_larger(const struct spare *spare, size_t room) {
    for (size_t i = SPARE_CLASSES; i-- > 0 && (size_t)SPARE_LEAST << i > room;)
        if (spare->kept[i])
            return (size_t)SPARE_LEAST << i;
    return room;
}

void *spare_grow(struct spare *spare, void *piece, size_t room, size_t used, size_t larger) {
    if (!spare || room > SPARE_LARGEST)
        return realloc(piece, larger);
    void *fresh = spare_take(spare, larger);
    if (!fresh)
        return NULL;
    if (used)
        memcpy(fresh, piece, used);
    spare_give(spare, piece, room);
    return fresh;
}
