/* internal.h - the service's thread and its ports. */
#ifndef COUNTER_INTERNAL_H
#define COUNTER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "counter/service.h"
#include "loop/mailbox.h"

/* One delivery on its way to the store and back. */
struct ticket {
    struct mail mail;
    struct ticket *next; /* in the group, or in the port's free list */
    struct counter_port *port;
    struct delivery *delivery;
};

struct counter_port {
    struct upstream upstream;
    struct counter_service *service;
    struct mailbox *home;
    void (*delivered)(void *ctx, struct delivery *delivery);
    void *ctx;
    struct ticket *free; /* the loop's */
};

/* A lane's last durable event: published by the store's thread, read by feeds. */
struct lane_end {
    uint64_t epoch; /* fixed while the store is open */
    _Atomic uint64_t seq;
};

struct counter_feed;

struct counter_service {
    struct counter_conf conf;
    struct applier *applier;
    struct mailbox *mailbox;
    uint64_t store_id; /* fixed before the thread starts */
    uint64_t start_id;
    pthread_t thread;
    atomic_bool up;
    struct lane_end *ends; /* by lane */
    uint32_t lanes;
    struct { /* the store thread only */
        struct ticket *first;
        struct ticket **last;
        size_t messages;
        bool stopping;
        bool chores; /* consumers came, went or reported, or trimming isn't done */
        bool chores_durable;
        struct counter_feed *feeds;
        bool dirty; /* committed but not synced */
        int64_t dirty_since_ms;
        struct applier_stats reported;
        bool filling; /* the outbox is, and it was said */
    } own;
    struct {
        metric_series batches;
        metric_series batch_operations;
        metric_series expired;
        metric_series operations;
        metric_series message_replays;
        metric_series key_replays;
        metric_series commit;
        metric_series sync;
        metric_series group;
        metric_series events;
        metric_series trimmed;
        metric_series refused_full;
        metric_series consumers;
        metric_series outbox_bytes;
        metric_series filling;
        metric_series cached;
        metric_series misses;
    } series;
};

/* port.c: sends a ticket's answer home. */
void counter_ticket_return(struct ticket *ticket);

/* feed.c: the ends of the lanes. Publish when all that was committed is durable. */
MUST_CHECK bool counter_ends_make(struct counter_service *service, uint32_t lanes);
void counter_ends_publish(struct counter_service *service);

/* observe.c */
void counter_series_make(struct counter_service *service);
void counter_observe(struct counter_service *service);

#endif
