/* verify_redis.h - what the files share that read a Redis for `verify` and `recover`.
 *
 * verify_redis.c           connecting, the layout, the order of things
 * verify_redis_ask.c       commands, and who gets them
 * verify_redis_counters.c  counters with their positions
 * verify_redis_outbox.c    events
 */
#ifndef CLI_VERIFY_REDIS_H
#define CLI_VERIFY_REDIS_H

#include "cli/secure.h"
#include "cli/verify_internal.h"
#include "edge/redis_apply.h"
#include "edge/redis_client.h"
#include "edge/redis_map.h"

#define READING_BATCH  100 /* counters in one script */
#define READING_HASHES 10  /* of a hundred counters at most, while analytics stands still */

typedef enum err (*reading_event_fn)(void *ctx, const struct event *event);

struct reading_row {
    size_t at; /* in 'keys' */
    size_t len;
    size_t meta; /* which of the call's */
    uint32_t lane;
};

struct redis_reading {
    struct verify *verify;
    const struct redis_scripts *scripts; /* that are run there */
    struct tls *tls;                     /* of the process, for a Redis; NULL: of 'secure' */
    struct secure secure;
    struct redis_url url;
    struct redis_url seed_url; /* of a Cluster: the node that tells where the slots are */
    struct redis_client *seed; /* it */
    struct redis_map map;      /* of a Cluster */
    struct redis_client *nodes[REDIS_NODES_MAX]; /* its masters; else one */
    struct redis_layout layout;
    struct redis_tag *tags;
    struct event_position *at; /* by lane, when reading began */
    struct buf command;
    struct buf scratch;
    struct buf type;
    uint32_t lane; /* whose hash, meta or outbox is being asked for */
    struct reading_row batch[READING_BATCH];
    size_t batch_count;
    struct buf keys;                    /* of the batch */
    uint32_t meta_lanes[READING_BATCH]; /* of the batch's metas */
    size_t metas;
    struct buf scanned;     /* keys, each behind its length */
    uint64_t cursor;        /* of SCAN */
    struct buf only;        /* the one that is wanted of a hash; empty: all */
    uint64_t strangers;     /* keys that are no counters */
    reading_event_fn event; /* gets those of the outbox */
    void *event_ctx;
    size_t entries; /* in the last piece of outbox */
    char last[64];  /* where the next one begins */
};

/* verify_redis.c: connects, reads the layout and where the lanes stand, which is 'at'. An exit
 * code; close in any case. */
MUST_CHECK int reading_open(struct redis_reading *r);
void reading_close(struct redis_reading *r);
/* Of a Cluster, behind all that was read: no slot has moved since it was opened. An exit code. */
MUST_CHECK int reading_check_map(struct redis_reading *r);
extern const struct redis_scripts reading_scripts; /* what reading takes */

/* verify_redis_ask.c */
void reading_command(struct redis_reading *r, size_t args, const struct slice *words,
                     size_t count); /* the first 'count' of 'args' */
void reading_add_number(struct buf *out, uint64_t number);
void reading_add_lane_key(struct redis_reading *r, uint32_t lane, const char *what);
/* The command made before, to a node (NULL: there is none for it). An exit code. */
MUST_CHECK int reading_ask(struct redis_reading *r, struct redis_client *client,
                           redis_take_fn take);
struct redis_client *reading_client_of(const struct redis_reading *r, struct slice key);
struct redis_client *reading_client_of_lane(struct redis_reading *r, uint32_t lane);
bool reading_u64(const struct redis_reply *reply, uint64_t *out);
bool reading_position(const struct redis_reply *reply, struct event_position *out);

/* verify_redis_counters.c: exit codes. */
MUST_CHECK int reading_scan(struct redis_reading *r);
MUST_CHECK int reading_list(struct redis_reading *r);

/* verify_redis_outbox.c: each event of it, lane by lane. An exit code. */
MUST_CHECK int reading_outbox(struct redis_reading *r, reading_event_fn take, void *ctx);

#endif
