/* kafka_feed_internal.h - what the feed's files share.
 *
 * kafka_feed.c         the consumer's side: reads by lane, offsets
 * kafka_feed_chunk.c   a chunk: events of one store, by lane
 * kafka_feed_thread.c  Kafka's side
 */
#ifndef EDGE_KAFKA_FEED_INTERNAL_H
#define EDGE_KAFKA_FEED_INTERNAL_H

#include <pthread.h>
#include <semaphore.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/list.h"
#include "edge/kafka_consumer.h"
#include "edge/kafka_feed.h"
#include "loop/mailbox.h"
#include "loop/timer.h"

#define CHUNKS       4
#define CHUNK_EVENTS 8192
#define CHUNK_BYTES  (4u << 20)

struct kafka_offset {
    int32_t partition;
    int64_t next; /* behind what was read */
};

struct chunk_lane { /* events of one lane that the consumer hasn't passed yet */
    uint32_t lane;
    size_t first;
    size_t count;
};

struct chunk {
    struct mail mail;
    struct list node;
    struct kafka_feed *feed;
    unsigned turn;  /* of the partitions that it was read by */
    enum err fault; /* nothing comes behind it */
    uint64_t store_id;
    struct arena arena;
    struct event *events; /* by lane, each lane's in order */
    size_t count;
    struct chunk_lane *lanes;
    size_t lane_count;
    size_t lanes_left;  /* with events */
    struct buf offsets; /* of struct kafka_offset */
};

struct kafka_feed {
    struct feed feed;
    struct kafka_feed_conf conf;
    struct loop *loop;

    struct { /* the loop's */
        struct feed_user user;
        uint64_t store_id;   /* 0: not opened */
        uint64_t resumed_id; /* what feed_resume() said; 0: nothing */
        enum err fault;
        struct list chunks; /* in order of arrival */
        struct buf taken;   /* struct kafka_offset: of chunks that the consumer has passed */
        struct feed_read *first;
        struct feed_read **last;
        struct event_position *ends; /* by lane */
        bool *dropped;
        struct kafka_partitions reads;
        struct timer serve;
        void (*closed)(void *ctx);
        void *closed_ctx;
        bool closing;
        bool told_empty;
    } own;

    pthread_t thread;
    bool running;
    atomic_bool stop;
    sem_t credit;           /* chunks that may be sent */
    _Atomic uint32_t count; /* partitions that the topic has; 0: not known yet */

    pthread_mutex_t lock;
    struct { /* under the lock: what the loop wants read, from where */
        struct kafka_partitions reads;
        struct buf from; /* struct kafka_offset */
    } wanted;
    _Atomic unsigned turn; /* how often that has changed */

    struct { /* the thread's */
        struct kafka_partitions reads;
        struct buf resume; /* struct kafka_offset: where it begins, then where it is */
        unsigned turn;
        uint32_t *counts; /* by lane */
    } thread_own;
};

static inline bool kafka_chunk_is_full(const struct chunk *chunk) {
    return chunk->count == CHUNK_EVENTS || chunk->arena.held > CHUNK_BYTES;
}

/* kafka_feed_chunk.c */
struct chunk *kafka_chunk_new(struct kafka_feed *feed); /* NULL: out of memory */
void kafka_chunk_free(struct chunk *chunk);
/* ERR_OK; ERR_BUSY: it is full; ERR_CORRUPT, ERR_INVALID, ERR_LAYOUT, ERR_NO_MEMORY: the fault. */
MUST_CHECK enum err kafka_chunk_add(struct chunk *chunk, const struct kafka_message *message);
/* It is complete: by lane from now on. */
MUST_CHECK bool kafka_chunk_close(struct chunk *chunk);
/* The partition was read up to there. */
void kafka_chunk_end(struct chunk *chunk, int32_t partition, int64_t next);
void kafka_offset_set(struct buf *offsets, int32_t partition, int64_t next);
/* KAFKA_FROM_FIRST: it isn't among them. */
int64_t kafka_offset_of(const struct buf *offsets, int32_t partition);

/* kafka_feed_thread.c */
void *kafka_feed_run(void *feed);
/* kafka_feed.c: a chunk has come. */
void kafka_feed_take(struct mail *mail);

#endif
