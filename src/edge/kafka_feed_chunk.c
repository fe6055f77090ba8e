/* kafka_feed_chunk.c - events as they come, then by lane. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "edge/event_read.h"
#include "edge/kafka_feed_internal.h"

#define ARENA_CHUNK (256u << 10)

struct chunk *kafka_chunk_new(struct kafka_feed *feed) {
    struct chunk *chunk = calloc(1, sizeof(*chunk));

    if (!chunk)
        return NULL;
    chunk->feed = feed;
    chunk->turn = feed->thread_own.turn;
    list_init(&chunk->node);
    arena_init(&chunk->arena, ARENA_CHUNK, (size_t)CHUNK_BYTES * 8);
    chunk->events = malloc(CHUNK_EVENTS * sizeof(*chunk->events));
    if (chunk->events)
        return chunk;
    kafka_chunk_free(chunk);
    return NULL;
}

void kafka_chunk_free(struct chunk *chunk) {
    if (!chunk)
        return;
    arena_release(&chunk->arena);
    buf_release(&chunk->offsets);
    free(chunk->events);
    free(chunk->lanes);
    free(chunk);
}

void kafka_offset_set(struct buf *offsets, int32_t partition, int64_t next) {
    struct kafka_offset *at = (struct kafka_offset *)(void *)offsets->ptr;
    struct kafka_offset more = {partition, next};

    for (size_t i = 0; i < offsets->len / sizeof(*at); i++) {
        if (at[i].partition != partition)
            continue;
        at[i].next = next;
        return;
    }
    buf_add(offsets, &more, sizeof(more));
}

int64_t kafka_offset_of(const struct buf *offsets, int32_t partition) {
    const struct kafka_offset *at = (const struct kafka_offset *)(const void *)offsets->ptr;

    for (size_t i = 0; i < offsets->len / sizeof(*at); i++)
        if (at[i].partition == partition)
            return at[i].next;
    return KAFKA_FROM_FIRST;
}

void kafka_chunk_end(struct chunk *chunk, int32_t partition, int64_t next) {
    struct buf *read = &chunk->feed->thread_own.resume;

    if (kafka_offset_of(read, partition) == next) /* behind its last message, mostly */
        return;
    kafka_offset_set(read, partition, next);
    kafka_offset_set(&chunk->offsets, partition, next);
}

static enum err bad(const struct kafka_message *message, enum err err, const char *problem) {
    log_line(LOG_ERROR, "a message of the topic can't be counted; nothing is read behind it",
             LOG_INT("partition", message->partition), LOG_INT("offset", message->offset),
             LOG_STR("problem", problem));
    return err;
}

/* The lane is another process's by the partition of its number: what is here that one would leave
 * out, and never know. */
static bool is_misplaced(const struct kafka_feed *feed, uint32_t lane) {
    uint32_t partitions = atomic_load(&feed->count);

    return partitions && !kafka_partitions_has(&feed->thread_own.reads, lane % partitions);
}

static enum err misplaced(const struct chunk *chunk, const struct kafka_message *message,
                          uint32_t lane) {
    uint32_t partitions = atomic_load(&chunk->feed->count);
    char problem[256];

    (void)snprintf(problem, sizeof(problem),
                   "it is of lane %" PRIu32 ", whose events would be in partition %" PRIu32
                   " of the topic's %" PRIu32 ", which isn't read here: the relay has another "
                   "events.partitions, or had",
                   lane, lane % partitions, partitions);
    return bad(message, ERR_LAYOUT, problem);
}

enum err kafka_chunk_add(struct chunk *chunk, const struct kafka_message *message) {
    const char *problem = "it has no value";
    struct event *event = &chunk->events[chunk->count]; /* if there is room */
    uint64_t store_id;

    if (kafka_chunk_is_full(chunk))
        return ERR_BUSY;
    struct slice value = arena_copy(&chunk->arena, message->value);
    if (message->value.len && !value.ptr)
        return ERR_NO_MEMORY;
    enum err err = message->value.len ? event_read(value, &chunk->arena, &store_id, event, &problem)
                                      : ERR_INVALID;
    if (err == ERR_NO_MEMORY)
        return err;
    if (err != ERR_OK)
        return bad(message, ERR_CORRUPT, problem);
    if (event->lane >= chunk->feed->conf.lanes)
        return bad(message, ERR_CORRUPT, "its store has no such lane");
    if (chunk->store_id && chunk->store_id != store_id)
        return bad(message, ERR_INVALID, "it is another store's");
    chunk->store_id = store_id;
    if (is_misplaced(chunk->feed, event->lane))
        return misplaced(chunk, message, event->lane);
    chunk->count++;
    kafka_offset_set(&chunk->offsets, message->partition, message->offset + 1);
    return buf_failed(&chunk->offsets) ? ERR_NO_MEMORY : ERR_OK;
}

/* ---- by lane ---- */

static size_t count_lanes(const struct chunk *chunk, uint32_t *counts) {
    size_t lanes = 0;

    memset(counts, 0, KAFKA_FEED_LANES * sizeof(*counts));
    for (size_t i = 0; i < chunk->count; i++)
        lanes += counts[chunk->events[i].lane]++ == 0;
    return lanes;
}

/* 'counts' become the places of each lane's next event. */
static void place_lanes(struct chunk *chunk, uint32_t *counts) {
    size_t at = 0;

    for (uint32_t lane = 0; lane < KAFKA_FEED_LANES; lane++) {
        uint32_t count = counts[lane];

        counts[lane] = (uint32_t)at;
        if (count)
            chunk->lanes[chunk->lane_count++] = (struct chunk_lane){lane, at, count};
        at += count;
    }
}

static bool sort_by_lane(struct chunk *chunk, uint32_t *counts) {
    struct event *sorted = malloc(CHUNK_EVENTS * sizeof(*sorted));

    if (!sorted)
        return false;
    for (size_t i = 0; i < chunk->count; i++)
        sorted[counts[chunk->events[i].lane]++] = chunk->events[i];
    free(chunk->events);
    chunk->events = sorted;
    return true;
}

bool kafka_chunk_close(struct chunk *chunk) {
    uint32_t *counts = chunk->feed->thread_own.counts;
    size_t lanes = count_lanes(chunk, counts);

    chunk->lanes = calloc(lanes + 1, sizeof(*chunk->lanes));
    if (!chunk->lanes)
        return false;
    place_lanes(chunk, counts);
    chunk->lanes_left = lanes;
    return lanes <= 1 || sort_by_lane(chunk, counts);
}
