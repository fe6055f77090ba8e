/* zipf.h - which of many counters an event is of, by Zipf's law with the exponent 1.1. */
#ifndef BENCH_ZIPF_H
#define BENCH_ZIPF_H

#include <math.h>
#include <stdint.h>

/* 'shares' becomes, for each counter, how much of all the ones up to it have. */
static inline void zipf_shares(double *shares, uint32_t counters) {
    double sum = 0;

    for (uint32_t i = 0; i < counters; i++)
        shares[i] = sum += pow((double)i + 1, -1.1);
    for (uint32_t i = 0; i < counters; i++)
        shares[i] /= sum;
}

/* The counter at this place of the whole, 'at' from 0 up to 1. */
static inline uint32_t zipf_pick(const double *shares, uint32_t counters, double at) {
    uint32_t low = 0;
    uint32_t high = counters - 1;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (shares[middle] < at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

#endif
