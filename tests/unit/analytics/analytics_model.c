/* analytics_model.c - loops over everything. */
#include "analytics_model.h"

#include <stdlib.h>

static const char *const ids[MODEL_IDS] = {"a", "ab", "b",  "a:b", "\xc3\xa9", "z",
                                           "A", "0",  "aa", "b/",  "\"",       "zz"};
static const char *const types[MODEL_TYPES] = {"like", "lik", "view"};

struct slice model_id(uint32_t counter) {
    return slice_str(ids[counter / MODEL_TYPES]);
}

struct slice model_type(uint32_t counter) {
    return slice_str(types[counter % MODEL_TYPES]);
}

static struct tally between(const struct model *model, uint32_t counter, enum bucket_width width,
                            struct bucket_span span) {
    struct tally tally = {0};
    uint32_t lane = counter % MODEL_LANES;

    for (uint32_t i = 0; i < model->count[lane]; i++) {
        const struct event *event = &model->events[lane][i];

        if (model->counter[lane][i] == counter &&
            bucket_span_has(span, time_bucket_of(width, event->et_ms)))
            tally_add(&tally,
                      (struct tally){event->delta, event->kind == OP_ADD ? event->count : 0});
    }
    return tally;
}

struct tally model_tally(const struct model *model, uint32_t counter, enum time_range range,
                         int64_t end_ms) {
    struct tally tally;

    if (range != RANGE_ALL)
        return between(model, counter, time_range_width(range), time_range_span(range, end_ms));
    tally = between(model, counter, BUCKET_DAY, (struct bucket_span){0, INT64_MAX});
    tally.sum = 0; /* the counter's value, whoever changed it */
    uint32_t lane = counter % MODEL_LANES;
    for (uint32_t i = 0; i < model->count[lane]; i++)
        if (model->counter[lane][i] == counter)
            tally.sum = model->events[lane][i].new_value;
    return tally;
}

struct listed {
    uint32_t counter;
    struct tally tally;
};

static int compare(const void *x, const void *y) {
    const struct listed *a = x;
    const struct listed *b = y;

    if (a->tally.sum != b->tally.sum)
        return a->tally.sum > b->tally.sum ? -1 : 1;
    return strcmp(ids[a->counter / MODEL_TYPES], ids[b->counter / MODEL_TYPES]);
}

size_t model_top(const struct model *model, uint32_t type, enum time_range range, int64_t end_ms,
                 uint32_t out[MODEL_IDS]) {
    struct listed list[MODEL_IDS];
    size_t count = 0;

    for (uint32_t counter = type; counter < MODEL_COUNTERS; counter += MODEL_TYPES) {
        struct tally tally = model_tally(model, counter, range, end_ms);

        if (!tally_empty(tally))
            list[count++] = (struct listed){counter, tally};
    }
    qsort(list, count, sizeof(*list), compare);
    for (size_t i = 0; i < count; i++)
        out[i] = list[i].counter;
    return count;
}

size_t model_series(const struct model *model, uint32_t counter, enum time_range range,
                    int64_t end_ms, struct series_point out[RANGE_POINTS_MAX]) {
    struct bucket_span span = time_range_span(range, end_ms);
    enum bucket_width width = time_range_width(range);
    size_t count = 0;

    for (int64_t bucket = span.first; bucket <= span.last; bucket++) {
        struct tally tally = between(model, counter, width, (struct bucket_span){bucket, bucket});

        if (range == RANGE_ALL && count == 0 && tally_empty(tally))
            continue;
        out[count++] = (struct series_point){bucket * time_bucket_ms(width), tally};
    }
    return count;
}
