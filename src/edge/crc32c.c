/* crc32c.c - by the processor where it can, else by a table of 256. */
#include "edge/crc32c.h"

#include <string.h>

#define REVERSED_POLYNOMIAL 0x82f63b78u

static uint32_t table[256];

__attribute__((constructor)) static void fill_table(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t row = i;

        for (int bit = 0; bit < 8; bit++)
            row = (row >> 1) ^ (row & 1 ? REVERSED_POLYNOMIAL : 0);
        table[i] = row;
    }
}

uint32_t crc32c_by_table(const void *bytes, size_t len) {
    const unsigned char *at = bytes;
    uint32_t crc = ~0u;

    while (len--)
        crc = (crc >> 8) ^ table[(crc ^ *at++) & 0xff];
    return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t by_processor(const unsigned char *at,
                                                               size_t len) {
    uint64_t crc = ~0u;

    for (; len >= 8; at += 8, len -= 8) {
        uint64_t word;

        memcpy(&word, at, sizeof(word));
        crc = __builtin_ia32_crc32di(crc, word);
    }
    while (len--)
        crc = __builtin_ia32_crc32qi((uint32_t)crc, *at++);
    return ~(uint32_t)crc;
}

uint32_t crc32c(const void *bytes, size_t len) {
    return __builtin_cpu_supports("sse4.2") ? by_processor(bytes, len)
                                            : crc32c_by_table(bytes, len);
}
#else
uint32_t crc32c(const void *bytes, size_t len) {
    return crc32c_by_table(bytes, len);
}
#endif
