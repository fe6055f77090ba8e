/* loop_private.h - the inside of a loop.
 *
 * Private to src/loop. Threads: the loop's thread.
 */
#ifndef LOOP_LOOP_PRIVATE_H
#define LOOP_LOOP_PRIVATE_H

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "loop/backend.h"
#include "loop/loop.h"
#include "loop/poll_window.h"
#include "loop/timer.h"

/* A binary heap, root at slot 1. Ordered by time, then by start, so that
 * timers of the same millisecond fire in the order they were started. */
struct timer_entry {
    int64_t at_ms;
    uint64_t seq;
    struct timer *timer;
};

struct timer_heap {
    struct timer_entry *entries;
    size_t count;
    size_t capacity;
    uint64_t next_seq;
};

struct loop {
    const struct backend_ops *ops;
    struct backend *backend;
    struct mailbox *mailbox;
    struct poll_window poll;
    unsigned arrived; /* from others, in the last turn */
    int64_t now_ms;
    int64_t wall_ms;
    struct timer_heap timers;
    struct list dirty;   /* endpoints: the kernel lags behind what is wanted */
    struct list due;     /* endpoints: something to do on the next turn */
    struct list starved; /* listeners: waiting for a free descriptor */
    struct list hooks;
    struct list hooks_added; /* while the hooks run */
    bool in_hooks;
    bool stopping;
    size_t open;    /* endpoints not closed yet */
    size_t closing; /* endpoints closed but not freed yet */
    pthread_t thread;
};

/* Sharing a loop between threads corrupts silently: stop at the first call. */
static inline void loop_assert_thread(const struct loop *loop) {
    assert(pthread_equal(loop->thread, pthread_self()));
}

/* timer.c */
int64_t timers_next_ms(const struct timer_heap *heap); /* -1: none armed */
void timers_fire(struct loop *loop);
void timers_release(struct timer_heap *heap);

#endif
