/* swar.h - eight bytes of text looked at in one register (SIMD within a register).
 *
 * What is looked for is marked by the high bit of its byte. Only the lowest mark is to be believed,
 * as a borrow may mark bytes behind it: ask for swar_first() and look again from there.
 *
 * Threads    Pure, any thread.
 * Source     H. Warren, Hacker's Delight, 6-1 "Find first 0-byte".
 */
#ifndef BASE_SWAR_H
#define BASE_SWAR_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SWAR_BYTES      sizeof(uint64_t)
#define SWAR_EACH(byte) (UINT64_C(0x0101010101010101) * (byte))
#define SWAR_HIGH       SWAR_EACH(0x80)

/* The SWAR_BYTES bytes at 'at', the first one lowest. */
static inline uint64_t swar_load(const char *at) {
    uint64_t word;

    memcpy(&word, at, sizeof(word));
    return le64toh(word);
}

/* Marks the bytes below 'limit', which is 0x80 at most. */
static inline uint64_t swar_below(uint64_t word, uint8_t limit) {
    return (word - SWAR_EACH(limit)) & ~word & SWAR_HIGH;
}

/* Marks the bytes that are 'c', which is ASCII: so high bits may be told from 'word' itself. */
static inline uint64_t swar_is(uint64_t word, char c) {
    return ((word ^ SWAR_EACH((uint8_t)c)) - SWAR_EACH(1)) & ~word & SWAR_HIGH;
}

/* The place of the first marked byte; 'marks' isn't 0. */
static inline size_t swar_first(uint64_t marks) {
    return (size_t)__builtin_ctzll(marks) / 8;
}

#endif
