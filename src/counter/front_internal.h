/* front_internal.h - what the files of the gRPC front share.
 *
 * front.c        composition, the store's state, drain
 * front_call.c   methods with one operation
 * front_batch.c  methods with many
 * front_watch.c  Watch, which answers without end
 * front_apply.c  gateways' messages, an object of its own
 * front_outbox.c the store's events for another process, likewise
 * front_values.c the counters' values for it, likewise
 */
#ifndef COUNTER_FRONT_INTERNAL_H
#define COUNTER_FRONT_INTERNAL_H

#include "counter/front.h"
#include "counter/front_apply.h"
#include "counter/front_outbox.h"
#include "counter/front_values.h"
#include "edge/loop_batcher.h"
#include "wire/counter_proto.h"

enum front_method {
    FRONT_INCREMENT,
    FRONT_GET,
    FRONT_SET,
    FRONT_DELETE,
    FRONT_BATCH_GET,
    FRONT_BATCH_INCREMENT,
    FRONT_WATCH,
    FRONT_APPLY, /* from here on front_apply.c's */
    FRONT_HELLO,
    FRONT_FOLLOW, /* front_outbox.c's */
    FRONT_VALUES, /* front_values.c's */
    FRONT_METHODS
};

_Static_assert(FRONT_APPLY + FRONT_APPLY_METHODS == FRONT_FOLLOW, "front_apply_methods()' place");

struct front_entry { /* a method's context */
    struct front *front;
    enum front_method method;
};

struct front {
    struct front_fleet *fleet;
    struct loop *loop;
    unsigned shard;
    struct grpc_host *host; /* NULL until front_attach() */
    struct live *live;      /* what Watch calls follow */
    struct loop_batcher *batcher;
    struct front_apply *apply;
    struct front_outbox *outbox;
    struct front_values *values;
    struct front_entry entries[FRONT_APPLY];
    struct batcher_stats reported; /* what the metrics have of the batcher's */
    struct buf message;            /* responses are written here */
    struct {
        void (*done)(void *ctx);
        void *ctx;
    } drain;
};

/* struct grpc_method.handle and gone, ctx is a front_entry. */
void front_call(void *ctx, struct grpc_call *call, struct slice message);
void front_batch(void *ctx, struct grpc_call *call, struct slice message);
void front_watch(void *ctx, struct grpc_call *call, struct slice message);
void front_watch_gone(void *ctx, struct grpc_call *call);

#endif
