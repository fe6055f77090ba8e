/* siphash.c - two rounds a word, four at the end; words are little endian as in the paper. */
#include "base/siphash.h"

#include <endian.h>

#define ROTATE(x, bits) (((x) << (bits)) | ((x) >> (64 - (bits))))

struct state {
    uint64_t v0, v1, v2, v3;
};

static inline void sip_round(struct state *s) {
    s->v0 += s->v1;
    s->v1 = ROTATE(s->v1, 13) ^ s->v0;
    s->v0 = ROTATE(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = ROTATE(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = ROTATE(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = ROTATE(s->v1, 17) ^ s->v2;
    s->v2 = ROTATE(s->v2, 32);
}

static inline void take_word(struct state *s, uint64_t word) {
    s->v3 ^= word;
    sip_round(s);
    sip_round(s);
    s->v0 ^= word;
}

/* The last word: what is left over, with the length in its top byte. */
static uint64_t last_word(const char *left, size_t len) {
    uint64_t word = (uint64_t)len << 56;

    for (size_t i = 0; i < (len & 7); i++)
        word |= (uint64_t)(unsigned char)left[i] << (8 * i);
    return word;
}

uint64_t siphash(const uint64_t seed[2], struct slice bytes) {
    struct state s = {seed[0] ^ 0x736f6d6570736575u, seed[1] ^ 0x646f72616e646f6du,
                      seed[0] ^ 0x6c7967656e657261u, seed[1] ^ 0x7465646279746573u};
    size_t whole = bytes.len & ~(size_t)7;

    for (size_t i = 0; i < whole; i += 8) {
        uint64_t word;

        memcpy(&word, bytes.ptr + i, sizeof(word));
        take_word(&s, le64toh(word));
    }
    take_word(&s, last_word(bytes.ptr + whole, bytes.len));
    s.v2 ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
