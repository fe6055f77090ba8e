/* h2_memory.c - a list of free pieces for each size, a power of two. */
#include "edge/h2_memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/sanitizer.h"

#define LEAST     64u /* bytes of the first class; the last one's are LEAST << (CLASSES - 1) */
#define KEPT_MAX  (MEMORY_IS_WATCHED ? 0 : H2_MEMORY_KEPT_MAX)
#define UNCLASSED H2_MEMORY_CLASSES

struct h2_piece {
    union {
        struct {
            size_t bytes; /* there is room for */
            size_t class;
        };
        struct h2_piece *next; /* while it is kept */
    };
    _Alignas(max_align_t) char data[];
};

static struct h2_piece *piece_of(void *data) {
    return CONTAINER_OF(data, struct h2_piece, data);
}

static size_t class_of(size_t bytes) {
    size_t class = 0;

    while (class < UNCLASSED && bytes > (size_t)LEAST << class)
        class ++;
    return class;
}

static void *take(size_t bytes, void *ctx) {
    struct h2_memory *memory = ctx;
    size_t class = class_of(bytes);
    size_t room = class == UNCLASSED ? bytes : (size_t)LEAST << class;
    struct h2_piece *piece = class == UNCLASSED ? NULL : memory->kept[class];

    if (piece) {
        memory->kept[class] = piece->next;
        memory->kept_bytes -= room;
    } else if (room > SIZE_MAX - sizeof(*piece) || !(piece = malloc(sizeof(*piece) + room))) {
        return NULL;
    }
    piece->bytes = room;
    piece->class = class;
    return piece->data;
}

static void give(void *data, void *ctx) {
    struct h2_memory *memory = ctx;
    struct h2_piece *piece = data ? piece_of(data) : NULL;

    if (!piece)
        return;
    size_t class = piece->class, room = piece->bytes;
    if (class == UNCLASSED || memory->kept_bytes + room > KEPT_MAX) {
        free(piece);
        return;
    }
    piece->next = memory->kept[class];
    memory->kept[class] = piece;
    memory->kept_bytes += room;
}

static void *take_zeroed(size_t count, size_t size, void *ctx) {
    size_t bytes;
    void *data = __builtin_mul_overflow(count, size, &bytes) ? NULL : take(bytes, ctx);

    if (data)
        memset(data, 0, bytes);
    return data;
}

static void *take_larger(void *data, size_t bytes, void *ctx) {
    size_t had = data ? piece_of(data)->bytes : 0;

    if (data && bytes <= had)
        return data;
    void *larger = take(bytes, ctx);
    if (larger && data) {
        memcpy(larger, data, had);
        give(data, ctx);
    }
    return larger;
}

void h2_memory_init(struct h2_memory *memory) {
    *memory = (struct h2_memory){.mem = {.mem_user_data = memory,
                                         .malloc = take,
                                         .free = give,
                                         .calloc = take_zeroed,
                                         .realloc = take_larger}};
}

void h2_memory_release(struct h2_memory *memory) {
    for (size_t class = 0; class < H2_MEMORY_CLASSES; class ++) {
        while (memory->kept[class]) {
            struct h2_piece *piece = memory->kept[class];

            memory->kept[class] = piece->next;
            free(piece);
        }
    }
    memory->kept_bytes = 0;
}
