/* batcher_fixture.h - what the batcher's tests share: an upstream that holds
 * what it took until the test answers it, requests that count their callbacks,
 * and allocations that are counted and can fail. Time is the test's. */
#ifndef TESTS_UNIT_CORE_BATCHER_FIXTURE_H
#define TESTS_UNIT_CORE_BATCHER_FIXTURE_H

#include <inttypes.h>
#include <stdbool.h>

#include "core/batcher.h"
#include "test.h"

#define HELD_MAX    256
#define NO_DEADLINE 1000000000

struct fake {
    struct upstream upstream;
    enum err refuse; /* what send() returns; ERR_OK: takes it */
    struct delivery *held[HELD_MAX];
    size_t count;
    int64_t wait_until_ms; /* as struct upstream */
    int64_t lost_ms;       /* likewise, where a test sets the function */
    enum err first_err;    /* of the first operation in a good answer */
    unsigned sends;        /* calls of send(), refused ones included */
    uint64_t last_number;
    int64_t last_issued_ms;
};

struct request {
    struct waiter waiter;
    int64_t delta;
    int calls;
    struct answer answer;
    struct batcher *add_again; /* the callback adds 'again' here ... */
    struct request *again;
    enum err again_err; /* ... and notes what it got */
};

/* 4 operations a message, 10 queued, 2 in flight, 3 attempts of 500 ms, backoff 25 - 1000 ms. */
extern const struct batcher_conf usual;

struct batcher *start(struct fake *fake, const struct batcher_conf *conf);
/* Demands that it is idle and arms no timer. */
void stop(struct batcher *b);
struct batcher_stats stats_of(const struct batcher *b);

struct request request_of(int64_t delta, int64_t deadline_ms);
enum err try_add(struct batcher *b, struct request *request);
void add(struct batcher *b, struct request *request);
/* Deltas 1, 2, 3 ... without a deadline. */
void add_many(struct batcher *b, struct request *requests, size_t n);

/* Gives the held delivery 'i' back; with ERR_OK each value is 1000 times its delta. */
void deliver(struct batcher *b, struct fake *fake, size_t i, enum err err, int64_t now_ms);
/* Answers everything held and queued. */
void drain(struct batcher *b, struct fake *fake, int64_t now_ms);

/* Answered once, so, and with its own value if ERR_OK. */
void expect(const struct request *request, enum err err);

/* Every malloc, calloc and realloc of the process. */
extern unsigned long allocations;
extern long fail_after; /* this many more succeed, then none; -1: all */

#endif
