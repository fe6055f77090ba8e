/* redis_slot.c - CRC-16/XMODEM over the tag. */
#include "edge/redis_slot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POLYNOMIAL 0x1021u
#define NO_LANE    UINT32_MAX

static uint16_t crc16(struct slice bytes) {
    unsigned crc = 0;

    for (size_t i = 0; i < bytes.len; i++) {
        crc ^= (unsigned)(unsigned char)bytes.ptr[i] << 8;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 0x8000u ? crc << 1 ^ POLYNOMIAL : crc << 1;
    }
    return (uint16_t)crc;
}

uint16_t redis_slot(struct slice key) {
    const char *open = key.len ? memchr(key.ptr, '{', key.len) : NULL;

    if (open) {
        struct slice tag = slice_skip(key, (size_t)(open - key.ptr) + 1);
        const char *close = tag.len ? memchr(tag.ptr, '}', tag.len) : NULL;

        if (close && close > tag.ptr)
            key = slice_of(tag.ptr, (size_t)(close - tag.ptr));
    }
    return crc16(key) % REDIS_SLOTS;
}

uint16_t redis_lane_slot(uint32_t lane, uint32_t lanes) {
    return (uint16_t)((uint64_t)lane * REDIS_SLOTS / lanes);
}

bool redis_tags_make(uint32_t lanes, struct redis_tag *out) {
    uint32_t *lane_of = malloc(REDIS_SLOTS * sizeof(*lane_of));
    uint32_t missing = lanes;

    if (!lane_of)
        return false;
    for (size_t slot = 0; slot < REDIS_SLOTS; slot++)
        lane_of[slot] = NO_LANE;
    for (uint32_t lane = 0; lane < lanes; lane++)
        lane_of[redis_lane_slot(lane, lanes)] = lane;
    /* All slots are met below 200,000: far from seven digits. */
    for (unsigned number = 0; missing > 0; number++) {
        char text[16];
        int len = snprintf(text, sizeof(text), "%u", number);
        uint32_t *lane = &lane_of[redis_slot(slice_of(text, (size_t)len))];

        if (*lane == NO_LANE)
            continue;
        memcpy(out[*lane].text, text, REDIS_TAG_BYTES);
        *lane = NO_LANE;
        missing--;
    }
    free(lane_of);
    return true;
}
