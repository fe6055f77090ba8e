/* analytics_move.c - windows take whole buckets in and give them back, as they are stored.
 *
 * What leaves at the front while time passes may be millions of rows: those are taken off in
 * slices, off a cursor that has the rows as they were when the window moved. So each is taken off
 * as often as it was counted in, once, whatever is counted or stored meanwhile: late events of such
 * a bucket are not in the window any more. All else is rare (a clock that was set, a long sleep)
 * and is done at once.
 */
#include "core/analytics_internal.h"

struct shift {
    struct analytics *analytics;
    enum time_range range;
    bool back;
    size_t left;           /* rows, which are counters of a bucket, to be taken */
    struct leaving *slice; /* where the rest of a group goes, if there is one */
    enum err err;
};

static void shift_counter(const struct shift *shift, uint32_t counter, struct tally more) {
    struct tally tally = analytics_tally(shift->analytics, counter, shift->range);

    if (shift->back)
        tally_subtract(&tally, more);
    else
        tally_add(&tally, more);
    analytics_rank(shift->analytics, counter, shift->range, tally);
}

/* As much of it as is to be taken. */
static void shift_group(struct shift *shift, struct tally_group *group, uint32_t first) {
    for (; group->has && shift->left && shift->err == ERR_OK; tally_group_drop_first(group)) {
        uint32_t at = tally_group_first(group);

        if (first + at >= shift->analytics->ids.count) {
            shift->err = ERR_CORRUPT;
            return;
        }
        shift_counter(shift, first + at, group->tallies[at]);
        shift->left--;
    }
}

static bool take_bucket(void *ctx, struct slice key, struct slice value) {
    struct shift *shift = ctx;
    struct tally_group group;
    struct tally_cell cell;

    group.has = group.sets = 0;
    shift->err = analytics_cell_of(shift->analytics, key, &cell);
    if (shift->err == ERR_OK)
        shift->err = tally_group_fold(&group, value);
    if (shift->err == ERR_OK)
        shift_group(shift, &group, cell.counter);
    if (shift->err == ERR_OK && group.has && shift->slice) {
        shift->slice->group = group;
        shift->slice->first = cell.counter;
    }
    return shift->err == ERR_OK && shift->left > 0;
}

/* What isn't stored yet moves as well. */
static void shift_pending(struct shift *shift, const struct generation *generation,
                          struct bucket_span span) {
    const struct tally_pending *pending = &generation->pending;
    enum bucket_width width = time_range_width(shift->range);

    for (uint32_t i = 0; i < pending->rows_count; i++) {
        const struct pending_row *row = &pending->rows[i];

        if (pending_row_has(row, width) && bucket_span_has(span, pending_row_bucket(row, width)))
            shift_counter(shift, row->counter, row->tally);
    }
}

/* What isn't stored yet of buckets first to last is moved, and where the stored rows are is told.
 * False: there are no such buckets. */
static bool shift_begin(struct shift *shift, int64_t first, int64_t last, struct slice *out_from,
                        struct slice *out_to) {
    struct analytics *a = shift->analytics;
    enum bucket_width width = time_range_width(shift->range);

    if (first < 0)
        first = 0;
    if (last < first)
        return false;
    for (unsigned i = 0; i < GENERATIONS; i++)
        shift_pending(shift, &a->generations[i], (struct bucket_span){first, last});
    *out_from = analytics_cell_key(&a->scratch, (struct tally_cell){width, first, 0});
    *out_to = analytics_cell_key(&a->record, (struct tally_cell){width, last + 1, 0});
    return true;
}

/* Buckets first to last move into the window or, 'back', out of it. */
static enum err shift(struct analytics *a, enum time_range range, int64_t first, int64_t last,
                      bool back) {
    struct shift shift = {.analytics = a, .range = range, .back = back, .left = SIZE_MAX};
    struct slice from;
    struct slice to;

    if (!shift_begin(&shift, first, last, &from, &to))
        return ERR_OK;
    enum err err = a->store->ops->scan(a->store, from, to, take_bucket, &shift);
    return err == ERR_OK ? shift.err : err;
}

/* ---- what leaves at the front ---- */

static void end_leaving(struct analytics *a, enum time_range range) {
    struct leaving *leaving = &a->leaving[range];

    if (leaving->cursor)
        a->store->ops->close(leaving->cursor);
    leaving->cursor = NULL;
    leaving->group.has = 0;
    analytics_still_end(a, range);
}

void analytics_windows_release(struct analytics *a) {
    for (unsigned i = 0; i < RANGE_WINDOWS; i++)
        end_leaving(a, (enum time_range)i);
}

/* Buckets first to last; nothing else leaves. */
static enum err begin_leaving(struct analytics *a, enum time_range range, int64_t first,
                              int64_t last) {
    struct shift shift = {.analytics = a, .range = range, .back = true};
    struct slice from;
    struct slice to;

    if (!shift_begin(&shift, first, last, &from, &to))
        return ERR_OK;
    a->leaving[range].cursor = a->store->ops->cursor(a->store, from, to);
    return a->leaving[range].cursor ? ERR_OK : ERR_NO_MEMORY;
}

/* '*left' rows at most, which it counts down. */
static enum err take_off(struct analytics *a, enum time_range range, size_t *left) {
    struct leaving *leaving = &a->leaving[range];
    struct shift shift = {
        .analytics = a, .range = range, .back = true, .left = *left, .slice = leaving};
    enum err err = ERR_OK;
    bool more = true;

    if (!leaving->cursor || *left == 0)
        return ERR_OK;
    shift_group(&shift, &leaving->group, leaving->first);
    if (shift.left && shift.err == ERR_OK)
        err = a->store->ops->walk(leaving->cursor, take_bucket, &shift, &more);
    *left = shift.left;
    if (err == ERR_OK)
        err = shift.err;
    if (err != ERR_OK || (!more && !leaving->group.has))
        end_leaving(a, range);
    return err;
}

static enum err catch_up(struct analytics *a, size_t left) {
    enum err err = ERR_OK;

    for (unsigned i = 0; i < RANGE_WINDOWS && err == ERR_OK; i++)
        err = take_off(a, (enum time_range)i, &left);
    return err;
}

bool analytics_is_behind(const struct analytics *a) {
    for (unsigned i = 0; i < RANGE_WINDOWS; i++)
        if (a->leaving[i].cursor)
            return true;
    return false;
}

static size_t slice_rows(const struct analytics *a) {
    return a->conf.slice_rows ? a->conf.slice_rows : ANALYTICS_SLICE_ROWS;
}

enum err analytics_catch_up(struct analytics *a) {
    return catch_up(a, slice_rows(a));
}

enum err analytics_catch_up_all(struct analytics *a) {
    return catch_up(a, SIZE_MAX);
}

/* ---- windows ---- */

static void reset_window(struct analytics *a, enum time_range range) {
    for (uint32_t i = 0; i < a->type_names.count; i++) {
        ranking_reset(&a->types[i]->rankings, &a->types[i]->order, range);
        a->types[i]->rest_before[range] = (struct tally){0};
        if (a->types[i]->groups)
            memset(a->types[i]->groups->tallies[range], 0,
                   sizeof(a->types[i]->groups->tallies[range]));
    }
}

static int64_t lower(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static size_t lower_size(size_t a, size_t b) {
    return a < b ? a : b;
}

static int64_t higher(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static enum err move_window(struct analytics *a, enum time_range range, struct bucket_span to) {
    struct bucket_span from = a->spans[range];
    size_t all = SIZE_MAX;

    a->spans[range] = to;
    if (to.first > from.last || to.last < from.first) {
        end_leaving(a, range);
        reset_window(a, range);
        return shift(a, range, to.first, to.last, false);
    }
    enum err err = take_off(a, range, &all); /* of the last move */
    if (err == ERR_OK)
        err = begin_leaving(a, range, from.first, lower(from.last, to.first - 1));
    if (err == ERR_OK)
        err = shift(a, range, higher(from.first, to.last + 1), from.last, true);
    if (err == ERR_OK)
        err = shift(a, range, to.first, lower(to.last, from.first - 1), false);
    if (err == ERR_OK)
        err = shift(a, range, higher(to.first, from.last + 1), to.last, false);
    return err;
}

enum err analytics_build_windows(struct analytics *a, int64_t end_ms) {
    a->end_ms = end_ms;
    for (unsigned i = 0; i < RANGE_WINDOWS; i++) {
        enum time_range range = (enum time_range)i;
        struct bucket_span span = time_range_span(range, end_ms);

        a->spans[range] = span;
        enum err err = shift(a, range, span.first, span.last, false);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

struct counting {
    size_t left;
    enum err err;
};

static bool count_bucket(void *ctx, struct slice key, struct slice value) {
    struct counting *counting = ctx;
    struct tally_group group;

    (void)key;
    group.has = group.sets = 0;
    counting->err = tally_group_fold(&group, value);
    size_t rows = (size_t)__builtin_popcountll(group.has);
    counting->left -= lower_size(rows, counting->left);
    return counting->err == ERR_OK && counting->left > 0;
}

/* More rows leave than this step takes off, which are '*left'; it counts them down. */
static enum err leaves_many(struct analytics *a, enum time_range range, struct bucket_span to,
                            size_t *left, bool *out) {
    enum bucket_width width = time_range_width(range);
    int64_t first = higher(a->spans[range].first, 0);
    struct slice begin = analytics_cell_key(&a->scratch, (struct tally_cell){width, first, 0});
    struct slice end = analytics_cell_key(&a->record, (struct tally_cell){width, to.first, 0});
    struct counting counting = {.left = *left + 1};

    *out = true;
    if (*left == 0)
        return ERR_OK;
    enum err err = a->store->ops->scan(a->store, begin, end, count_bucket, &counting);
    *out = counting.left == 0;
    *left = counting.left ? counting.left - 1 : 0;
    return err == ERR_OK ? counting.err : err;
}

/* Before the window moves on: who asks while much leaves gets what was there before. */
static enum err keep_still(struct analytics *a, enum time_range range, int64_t end_ms,
                           size_t *left) {
    struct bucket_span from = a->spans[range];
    struct bucket_span to = time_range_span(range, end_ms);
    size_t all = SIZE_MAX;
    bool many = false;

    if (to.last <= from.last)
        return ERR_OK;
    enum err err = take_off(a, range, &all); /* of the last move */
    analytics_still_end(a, range);
    if (err != ERR_OK || to.first > from.last || to.first <= 0)
        return err;
    err = leaves_many(a, range, to, left, &many);
    if (err == ERR_OK && many)
        analytics_still_begin(a, range, end_ms);
    return err;
}

/* The clock is set back: events of a lane then keep the time of its latest one, and a window that
 * ended before it wouldn't show what is counted now. */
enum err analytics_move(struct analytics *a, int64_t now_ms) {
    int64_t end_ms = higher(now_ms, a->latest_ms);
    bool same_minute =
        time_bucket_of(BUCKET_MINUTE, end_ms) == time_bucket_of(BUCKET_MINUTE, a->end_ms);
    size_t left = slice_rows(a);
    enum err err = ERR_OK;

    /* Back to buckets that may be on their way out: only when they are, can it be told. */
    if (end_ms < a->end_ms && !same_minute)
        err = analytics_commit_end(a, true);
    for (unsigned i = 0; i < RANGE_WINDOWS && err == ERR_OK && !same_minute; i++)
        err = keep_still(a, (enum time_range)i, end_ms, &left);
    a->end_ms = end_ms;
    for (unsigned i = 0; i < RANGE_WINDOWS && err == ERR_OK && !same_minute; i++) {
        enum time_range range = (enum time_range)i;
        struct bucket_span to = time_range_span(range, end_ms);

        if (to.last != a->spans[range].last)
            err = move_window(a, range, to);
    }
    return err == ERR_OK && !same_minute ? analytics_catch_up(a) : err;
}

int64_t analytics_end_ms(const struct analytics *a) {
    return a->end_ms;
}
