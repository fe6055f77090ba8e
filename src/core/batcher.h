/* batcher.h - gathers one gateway loop's operations into numbered messages and
 * hands each answer back (DESIGN decision 1, RELIABILITY 3.2 and 3.9).
 *
 *     add, add, add ─ flush ─► message n ─► upstream ─► answers ─► one callback each
 *                              └─ lost, refused, timed out: the same n again
 *
 * Never waits to gather: flush sends what is there as soon as fewer than
 * 'in_flight_max' messages are unanswered; until then operations pile up in
 * the next message, so batches grow exactly when the store is busy.
 *
 * Threads    One owner (a loop).
 * Ownership  An operation's slices are copied at add. The waiter is embedded in
 *            the caller's request; the batcher links it until its callback.
 * Callbacks  waiter->done runs exactly once per accepted operation, never
 *            inside batcher_add(); it may call batcher_add().
 * Time       Every call that needs it takes now_ms (monotonic).
 * Waiting    While the upstream says so nothing is sent, neither first nor again; deadlines and the
 *            queue's bound hold.
 * Outcome    ERR_EXPIRED: the waiter's deadline came before its operation was sent, and it isn't
 *            sent any more. ERR_DEADLINE: it came later; there is no other answer.
 *            ERR_UNAVAILABLE: attempts used up and none can have been applied; ERR_UNREACHABLE: and
 *            the last found nobody to send to. ERR_UNKNOWN: used up, and one may have been applied.
 *            A final error: the upstream's, unless an earlier attempt may have been applied;
 *            likewise a retryable error of one operation. A message that nobody waits for any
 *            more, or will when the upstream wants it again (pushback), isn't sent again.
 */
#ifndef CORE_BATCHER_H
#define CORE_BATCHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/trace_context.h"
#include "core/message.h"
#include "core/pushback.h"

struct batcher;

/* One attempt to deliver one message; a retry is another one that shares the
 * message, which lives until all its attempts have come back. Prepared by the
 * batcher, filled by the upstream. */
struct delivery {
    const struct message *message;
    struct answer *answers;   /* room for message->count; valid when 'err' is ERR_OK */
    enum err err;             /* of the message as a whole */
    bool not_applied;         /* with an error: this attempt has surely changed nothing */
    struct pushback pushback; /* with an error: the upstream's word on trying again */
    int64_t store_now_ms;     /* the store's clock at the answer; 0: unknown */
    unsigned attempt;         /* 1 on the first try */
    int64_t deadline_ms;      /* the latest of the waiters' (monotonic): an answer after it is for
                                 nobody, and the upstream needn't apply it any more; 0: none */
    const struct trace_context *trace; /* of the first operation in it whose request has one, a
                                  sampled one before others, as requests and messages are many to
                                  one; with conf.spans and sampled: a span of its own, whose parent
                                  is that request's; NULL: none has */
    int64_t sent_ns;                   /* for whoever makes that span: not the batcher's */
    void *upstream_data;               /* the upstream's, e.g. its stream */
};

/* Who applies messages: the core in process, or a gRPC connection. */
struct upstream {
    /* Takes the delivery on its way. ERR_OK: batcher_delivered() will be called for it, exactly
     * once, later, on the batcher's thread. Any other: it wasn't sent and won't be. */
    enum err (*send)(struct upstream *upstream, struct delivery *delivery);
    /* Nobody can take a message, but somebody is expected back: until when to wait (monotonic),
     * instead of using up attempts on nobody. A time that has passed: don't wait. When somebody is
     * back before, the upstream sees to it that the batcher is flushed. NULL: never wait. */
    int64_t (*wait_until_ms)(struct upstream *upstream);
    /* When to see whether a message's first attempt is lost, which is under way for less than
     * conf.attempt_ms (monotonic); at or before now_ms: it is. NULL: attempt_ms alone says. Only
     * the first, so that a message isn't given up before its time. */
    int64_t (*lost_ms)(struct upstream *upstream, const struct delivery *delivery, int64_t now_ms);
    /* Somebody could take a message now. For those who have another way; NULL: always. */
    bool (*usable)(struct upstream *upstream);
};

struct waiter {
    struct waiter *next;                                              /* the batcher's */
    void (*done)(struct waiter *waiter, const struct answer *answer); /* answer: for the call */
    int64_t deadline_ms;                                              /* monotonic */
    struct trace_context *trace; /* of its request, until its callback: with conf.spans a
                            sampled one learns here which message carried it; NULL: none */
    bool answered;               /* the batcher's */
};

struct batcher_conf {
    size_t ops_max;         /* operations per message */
    size_t queue_max;       /* operations waiting to be sent; beyond: ERR_BUSY */
    unsigned in_flight_max; /* unanswered messages; at most MESSAGE_WINDOW / 2 */
    unsigned attempts_max;  /* of one message */
    int64_t attempt_ms; /* an attempt unanswered this long counts as lost; 0: never (in process) */
    int64_t backoff_min_ms; /* full jitter: 0 .. min before the first retry, then 0 .. 2 min, */
    int64_t backoff_max_ms; /* doubling up to 0 .. max */
    struct producer_id producer; /* random */
    uint64_t seed;               /* of the jitter, and of span ids */
    bool spans;                  /* a delivery of a sampled request is a span */
};

struct batcher_stats {
    uint64_t messages_total;
    uint64_t operations_total;
    uint64_t retries_total;
    uint64_t refused_total; /* ERR_BUSY at add */
    uint64_t expired_total; /* answered by deadline */
    uint64_t shed_total;    /* ERR_BUSY at admit */
    size_t limit;           /* operations that batcher_admit() allows */
    size_t queued;          /* operations not sent yet */
    size_t in_flight;       /* messages */
};

/* NULL when memory runs out. 'upstream' is borrowed. */
struct batcher *batcher_new(const struct batcher_conf *conf, struct upstream *upstream);

/* Nothing may be in flight (batcher_idle()); queued operations are answered ERR_CANCELLED. */
void batcher_free(struct batcher *batcher);

/* Sheds load before any of its work is done: with as many operations under way as are answered in
 * good time (core/concurrency.h), ERR_BUSY. For a request as a whole; batcher_add() doesn't ask. */
MUST_CHECK enum err batcher_admit(struct batcher *batcher);

/* The bounds of that time; 0: no limit, as at first. */
void batcher_limit(struct batcher *batcher, int64_t least_ms, int64_t most_ms);

/* ERR_BUSY: the queue is full; ERR_NO_MEMORY. The waiter is then untouched. */
MUST_CHECK enum err batcher_add(struct batcher *batcher, const struct op *op,
                                struct waiter *waiter);

/* End of a tick: sends what may be sent. 'store_now_ms' is the store's clock (applier.h) as
 * far as this process knows it; not the wall clock. */
void batcher_flush(struct batcher *batcher, int64_t now_ms, int64_t store_now_ms);

/* The upstream is done with a delivery, well or not. Runs the waiters' callbacks. A delivery
 * counted lost by attempt_ms and answered later is taken too, if still open; else ignored. */
void batcher_delivered(struct batcher *batcher, struct delivery *delivery, int64_t now_ms);

/* Lost attempts, due retries, passed deadlines. Returns when it wants to be called next
 * (monotonic; at or before now_ms: on the next turn), INT64_MAX when never: arm no timer then. */
int64_t batcher_poll(struct batcher *batcher, int64_t now_ms);

/* Nothing queued, nothing in flight. */
bool batcher_idle(const struct batcher *batcher);

void batcher_stats(const struct batcher *batcher, struct batcher_stats *out);

#endif
