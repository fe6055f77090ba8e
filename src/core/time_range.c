/* time_range.c - two tables and the arithmetic between them. */
#include "core/time_range.h"

#include "base/attr.h"

#define MINUTE_MS    INT64_C(60000)
#define HOUR_MS      (60 * MINUTE_MS)
#define DAY_MS       (24 * HOUR_MS)
#define EVENT_MAX_MS (INT64_C(2030) * 365 * DAY_MS)

static const struct {
    int64_t ms;
    int64_t kept; /* buckets */
} widths[BUCKET_WIDTHS] = {
    [BUCKET_MINUTE] = {MINUTE_MS, 180},
    [BUCKET_HOUR] = {HOUR_MS, 400},
    [BUCKET_DAY] = {DAY_MS, 400},
};

static const struct {
    const char *name;
    enum bucket_width width;
    int64_t buckets;
} ranges[RANGES] = {
    [RANGE_1H] = {"1h", BUCKET_MINUTE, 60},
    [RANGE_24H] = {"24h", BUCKET_HOUR, 24},
    [RANGE_7D] = {"7d", BUCKET_HOUR, 168},
    [RANGE_30D] = {"30d", BUCKET_DAY, 30},
    [RANGE_ALL] = {"all", BUCKET_DAY, RANGE_POINTS_MAX},
};

const char *time_range_name(enum time_range range) {
    return ranges[range].name;
}

bool time_range_find(struct slice name, enum time_range *out) {
    for (unsigned i = 0; i < ARRAY_LEN(ranges); i++) {
        if (!slice_eq(name, slice_str(ranges[i].name)))
            continue;
        *out = (enum time_range)i;
        return true;
    }
    return false;
}

enum bucket_width time_range_width(enum time_range range) {
    return ranges[range].width;
}

struct bucket_span time_range_span(enum time_range range, int64_t now_ms) {
    int64_t last = time_bucket_of(ranges[range].width, now_ms);

    return (struct bucket_span){last - ranges[range].buckets + 1, last};
}

int64_t time_bucket_ms(enum bucket_width width) {
    return widths[width].ms;
}

int64_t time_bucket_of(enum bucket_width width, int64_t ms) {
    if (ms < 0)
        ms = 0;
    if (ms > EVENT_MAX_MS)
        ms = EVENT_MAX_MS;
    return ms / widths[width].ms;
}

int64_t time_bucket_oldest(enum bucket_width width, int64_t now_ms) {
    return time_bucket_of(width, now_ms) - widths[width].kept + 1;
}
