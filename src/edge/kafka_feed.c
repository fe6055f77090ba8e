/* kafka_feed.c - reads by lane, out of chunks; offsets behind what the consumer has passed. */
#include "edge/kafka_feed.h"

#include <stdio.h>
#include <stdlib.h>

#include "edge/kafka_feed_internal.h"

static struct kafka_feed *of(struct feed *feed) {
    return CONTAINER_OF(feed, struct kafka_feed, feed);
}

/* ---- chunks that the consumer has passed ---- */

static void give_back(struct kafka_feed *feed, struct chunk *chunk) {
    const struct kafka_offset *at = (const struct kafka_offset *)(const void *)chunk->offsets.ptr;

    for (size_t i = 0; i < chunk->offsets.len / sizeof(*at); i++)
        kafka_offset_set(&feed->own.taken, at[i].partition, at[i].next);
    kafka_chunk_free(chunk);
    sem_post(&feed->credit);
}

/* Only the first: what lies behind it is read again after a crash. */
static void pass_chunks(struct kafka_feed *feed) {
    while (!list_empty(&feed->own.chunks)) {
        struct chunk *chunk = CONTAINER_OF(feed->own.chunks.next, struct chunk, node);

        if (chunk->lanes_left)
            return;
        list_remove(&chunk->node);
        give_back(feed, chunk);
    }
}

static struct chunk_lane *find(struct chunk *chunk, uint32_t lane) {
    for (size_t i = 0; i < chunk->lane_count; i++)
        if (chunk->lanes[i].lane == lane)
            return &chunk->lanes[i];
    return NULL;
}

static void pass_events(struct chunk *chunk, struct chunk_lane *lane, struct event_position after) {
    if (lane->count == 0)
        return;
    while (lane->count && !event_position_less(after, chunk->events[lane->first].at)) {
        lane->first++;
        lane->count--;
    }
    if (lane->count == 0)
        chunk->lanes_left--;
}

/* The oldest chunk with events behind 'after'; NULL: none. */
static struct chunk *next_of(struct kafka_feed *feed, uint32_t number, struct event_position after,
                             struct chunk_lane **out_lane) {
    for (struct list *node = feed->own.chunks.next; node != &feed->own.chunks; node = node->next) {
        struct chunk *chunk = CONTAINER_OF(node, struct chunk, node);
        struct chunk_lane *lane = find(chunk, number);

        if (!lane)
            continue;
        pass_events(chunk, lane, after);
        *out_lane = lane;
        if (lane->count)
            return chunk;
    }
    return NULL;
}

static void open_with(struct kafka_feed *feed, uint64_t store_id) {
    struct event_position *zeros = calloc(KAFKA_FEED_LANES, sizeof(*zeros));
    struct feed_info info = {
        .store_id = store_id, .lanes = feed->conf.lanes, .reported = zeros, .gathered = true};

    feed->own.store_id = store_id;
    feed->own.user.opened(feed->own.user.ctx, zeros ? ERR_OK : ERR_NO_MEMORY, &info);
    free(zeros);
}

/* No partition is read, or each to its end, and the end is its beginning. Where Kafka has deleted
 * what was there, somebody has counted something. */
static bool is_empty(struct kafka_feed *feed) {
    const struct kafka_partitions *reads = &feed->own.reads;
    uint32_t count = atomic_load(&feed->count);

    if (!reads->others && reads->count == 0)
        return true;
    for (uint32_t i = 0; i < count; i++)
        if (kafka_partitions_has(reads, i) && kafka_offset_of(&feed->own.taken, (int32_t)i) != 0)
            return false;
    return count > 0;
}

static void tell_empty(struct kafka_feed *feed) {
    if (feed->own.store_id || feed->own.told_empty || feed->own.closing || !is_empty(feed))
        return;
    feed->own.told_empty = true;
    if (feed->own.user.empty)
        feed->own.user.empty(feed->own.user.ctx);
}

/* ---- reads ---- */

static void answer(struct kafka_feed *feed, struct feed_read *read) {
    struct chunk_lane *lane = NULL;
    struct chunk *chunk = next_of(feed, read->lane, read->after, &lane);

    if (chunk)
        read->done(read, ERR_OK, chunk->events + lane->first, lane->count);
    else
        read->done(read, feed->own.closing ? ERR_UNAVAILABLE : feed->own.fault, NULL, 0);
}

static void serve(struct timer *timer) {
    struct kafka_feed *feed = CONTAINER_OF(timer, struct kafka_feed, own.serve);

    /* Whose store it is was heard before: there need not be an event to tell. */
    if (!feed->own.store_id && feed->own.resumed_id && !feed->own.closing)
        open_with(feed, feed->own.resumed_id);
    struct feed_read *read = feed->own.first;
    feed->own.first = NULL;
    feed->own.last = &feed->own.first;
    while (read) {
        struct feed_read *next = read->next;

        answer(feed, read);
        read = next;
    }
    pass_chunks(feed);
    tell_empty(feed);
    if (feed->own.closing && !feed->own.first)
        feed->own.closed(feed->own.closed_ctx);
}

static void kafka_read(struct feed *base, struct feed_read *read) {
    struct kafka_feed *feed = of(base);

    read->next = NULL;
    *feed->own.last = read;
    feed->own.last = &read->next;
    if (!timer_armed(&feed->own.serve))
        timer_start(feed->loop, &feed->own.serve, 0);
}

static void drop_lane(struct kafka_feed *feed, struct chunk *chunk, uint32_t number) {
    struct chunk_lane *lane = find(chunk, number);

    (void)feed;
    if (!lane || lane->count == 0)
        return;
    lane->count = 0;
    chunk->lanes_left--;
}

static void kafka_drop(struct feed *base, uint32_t lane) {
    struct kafka_feed *feed = of(base);

    feed->own.dropped[lane] = true;
    for (struct list *node = feed->own.chunks.next; node != &feed->own.chunks; node = node->next)
        drop_lane(feed, CONTAINER_OF(node, struct chunk, node), lane);
    if (!timer_armed(&feed->own.serve))
        timer_start(feed->loop, &feed->own.serve, 0);
}

/* ---- what comes from the thread ---- */

static void learn_ends(struct kafka_feed *feed, struct chunk *chunk) {
    for (size_t i = 0; i < chunk->lane_count; i++) {
        const struct chunk_lane *lane = &chunk->lanes[i];
        struct event_position last = chunk->events[lane->first + lane->count - 1].at;

        if (event_position_less(feed->own.ends[lane->lane], last))
            feed->own.ends[lane->lane] = last;
        if (feed->own.dropped[lane->lane])
            drop_lane(feed, chunk, lane->lane);
    }
}

void kafka_feed_take(struct mail *mail) {
    struct chunk *chunk = CONTAINER_OF(mail, struct chunk, mail);
    struct kafka_feed *feed = chunk->feed;

    if (feed->own.closing || chunk->turn != atomic_load(&feed->turn)) {
        kafka_chunk_free(chunk);
        sem_post(&feed->credit);
        return;
    }
    if (chunk->fault != ERR_OK)
        feed->own.fault = chunk->fault;
    if (chunk->count && feed->own.store_id && feed->own.store_id != chunk->store_id)
        feed->own.fault = ERR_INVALID;
    if (feed->own.fault == ERR_INVALID || (chunk->count == 0 && chunk->offsets.len == 0)) {
        kafka_chunk_free(chunk);
    } else {
        learn_ends(feed, chunk);
        list_push_back(&feed->own.chunks, &chunk->node);
        if (chunk->count && !feed->own.store_id)
            open_with(feed, chunk->store_id);
        if (!timer_armed(&feed->own.serve)) /* one without events is passed by itself */
            timer_start(feed->loop, &feed->own.serve, 0);
    }
    if (feed->own.store_id)
        feed->own.user.more(feed->own.user.ctx);
}

/* ---- other partitions ---- */

/* From what the consumer has passed on. What has come behind that, or is coming, is of before. */
static void turn(struct kafka_feed *feed) {
    struct list *node;

    while ((node = list_pop_front(&feed->own.chunks))) {
        kafka_chunk_free(CONTAINER_OF(node, struct chunk, node));
        sem_post(&feed->credit);
    }
    pthread_mutex_lock(&feed->lock);
    feed->wanted.reads = feed->own.reads;
    buf_clear(&feed->wanted.from);
    buf_add_slice(&feed->wanted.from, buf_slice(&feed->own.taken));
    pthread_mutex_unlock(&feed->lock);
    atomic_fetch_add(&feed->turn, 1);
}

static uint32_t kafka_count(struct feed *base) {
    return atomic_load(&of(base)->count);
}

static bool kafka_reads(struct feed *base, uint32_t number) {
    return kafka_partitions_has(&of(base)->own.reads, number);
}

static bool kafka_assign(struct feed *base, uint32_t number, bool here) {
    struct kafka_feed *feed = of(base);

    if (kafka_partitions_has(&feed->own.reads, number) == here)
        return true;
    bool done = kafka_partitions_set(&feed->own.reads, number, here);
    turn(feed);
    return done;
}

static int64_t kafka_next(struct feed *base, uint32_t number) {
    return kafka_offset_of(&of(base)->own.taken, (int32_t)number);
}

static void kafka_place(struct feed *base, uint64_t store_id, uint32_t number, int64_t next) {
    struct kafka_feed *feed = of(base);

    if (next != KAFKA_FROM_FIRST)
        kafka_offset_set(&feed->own.taken, (int32_t)number, next);
    if (feed->own.store_id)
        return;
    feed->own.resumed_id = store_id;
    if (!timer_armed(&feed->own.serve))
        timer_start(feed->loop, &feed->own.serve, 0);
}

static const struct feed_partition_ops partition_ops = {
    .count = kafka_count,
    .reads = kafka_reads,
    .assign = kafka_assign,
    .next = kafka_next,
    .place = kafka_place,
};

/* ---- whose store it is, and offsets, as "ID partition:next partition:next " ---- */

static void kafka_mark(struct feed *base, struct buf *out) {
    const struct buf *taken = &of(base)->own.taken;
    const struct kafka_offset *at = (const struct kafka_offset *)(const void *)taken->ptr;

    if (!of(base)->own.store_id)
        return;
    buf_printf(out, "%016llx ", (unsigned long long)of(base)->own.store_id);
    for (size_t i = 0; i < taken->len / sizeof(*at); i++)
        buf_printf(out, "%d:%lld ", at[i].partition, (long long)at[i].next);
}

static void kafka_resume(struct feed *base, struct slice mark) {
    struct kafka_feed *feed = of(base);
    char text[64];

    (void)snprintf(text, sizeof(text), "%.*s", SLICE_ARGS(mark));
    feed->own.resumed_id = strtoull(text, NULL, 16);
    mark = slice_skip(mark, mark.len < 17 ? mark.len : 17);
    while (mark.len) {
        const char *space = memchr(mark.ptr, ' ', mark.len);
        size_t len = space ? (size_t)(space - mark.ptr) : mark.len;
        char *colon;

        (void)snprintf(text, sizeof(text), "%.*s", (int)len, mark.ptr);
        long partition = strtol(text, &colon, 10);
        if (*colon == ':' && partition >= 0 && partition <= INT32_MAX) {
            int64_t next = strtoll(colon + 1, NULL, 10);

            kafka_offset_set(&feed->own.taken, (int32_t)partition, next);
        }
        mark = slice_skip(mark, space ? len + 1 : len);
    }
    turn(feed);
}

/* ---- open and close ---- */

static void kafka_open(struct feed *base, const struct feed_user *user) {
    struct kafka_feed *feed = of(base);

    feed->own.user = *user;
    feed->running = pthread_create(&feed->thread, NULL, kafka_feed_run, feed) == 0;
    if (feed->running)
        (void)pthread_setname_np(feed->thread, "hgp-events");
    else
        feed->own.fault = ERR_NO_MEMORY;
    timer_start(feed->loop, &feed->own.serve, 0);
}

static void kafka_report(struct feed *base, uint32_t lane, struct event_position at) {
    (void)base, (void)lane, (void)at; /* Kafka keeps what it keeps */
}

static struct event_position kafka_end(struct feed *base, uint32_t lane) {
    return of(base)->own.ends[lane];
}

static bool kafka_away(struct feed *base) {
    return !atomic_load(of(base)->conf.up);
}

static void kafka_close(struct feed *base, void (*closed)(void *ctx), void *ctx) {
    struct kafka_feed *feed = of(base);

    atomic_store(&feed->stop, true);
    sem_post(&feed->credit);
    if (feed->running)
        (void)pthread_join(feed->thread, NULL);
    atomic_store(feed->conf.up, false);
    feed->own.closing = true;
    feed->own.closed = closed;
    feed->own.closed_ctx = ctx;
    timer_start(feed->loop, &feed->own.serve, 0);
}

static const struct feed_ops ops = {
    .open = kafka_open,
    .read = kafka_read,
    .report = kafka_report,
    .end = kafka_end,
    .away = kafka_away,
    .drop = kafka_drop,
    .mark = kafka_mark,
    .resume = kafka_resume,
    .close = kafka_close,
    .partitions = &partition_ops,
};

struct kafka_feed *kafka_feed_new(struct loop *loop, const struct kafka_feed_conf *conf) {
    struct kafka_feed *feed = calloc(1, sizeof(*feed));

    if (!feed)
        return NULL;
    feed->feed.ops = &ops;
    feed->conf = *conf;
    if (!feed->conf.lanes)
        feed->conf.lanes = KAFKA_FEED_LANES;
    feed->loop = loop;
    feed->own.last = &feed->own.first;
    feed->own.serve.fire = serve;
    list_init(&feed->own.chunks);
    feed->own.reads = feed->wanted.reads = conf->partitions;
    atomic_init(&feed->turn, 1);
    (void)pthread_mutex_init(&feed->lock, NULL);
    (void)sem_init(&feed->credit, 0, CHUNKS);
    feed->own.ends = calloc(KAFKA_FEED_LANES, sizeof(*feed->own.ends));
    feed->own.dropped = calloc(KAFKA_FEED_LANES, sizeof(*feed->own.dropped));
    feed->thread_own.counts = calloc(KAFKA_FEED_LANES, sizeof(*feed->thread_own.counts));
    if (feed->own.ends && feed->own.dropped && feed->thread_own.counts)
        return feed;
    kafka_feed_free(feed);
    return NULL;
}

struct feed *kafka_feed_base(struct kafka_feed *feed) {
    return &feed->feed;
}

void kafka_feed_free(struct kafka_feed *feed) {
    struct list *node;

    if (!feed)
        return;
    while ((node = list_pop_front(&feed->own.chunks)))
        kafka_chunk_free(CONTAINER_OF(node, struct chunk, node));
    (void)sem_destroy(&feed->credit);
    (void)pthread_mutex_destroy(&feed->lock);
    buf_release(&feed->own.taken);
    buf_release(&feed->wanted.from);
    buf_release(&feed->thread_own.resume);
    free(feed->own.ends);
    free(feed->own.dropped);
    free(feed->thread_own.counts);
    free(feed);
}
