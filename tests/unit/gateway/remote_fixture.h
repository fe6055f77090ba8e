/* remote_fixture.h - one loop of a gateway over fake channels, and what it hears.
 *
 * Threads    The test's.
 */
#ifndef TESTS_UNIT_GATEWAY_REMOTE_FIXTURE_H
#define TESTS_UNIT_GATEWAY_REMOTE_FIXTURE_H

#include "fake_channel.h"
#include "gateway/remote.h"
#include "gateway/remote_internal.h"
#include "test.h"

/* A slice in a table: SLICE() is no constant. */
#define TEXT(literal)                                                                              \
    { "" literal, sizeof(literal) - 1 }

#define STORE 0x1234567890abcdefu

struct remote_test {
    struct config config;
    struct metrics *metrics;
    struct loop *loop;
    struct remote_fleet *fleet;
    struct remote *remote;
    struct delivery *delivered;
    unsigned deliveries;
    int64_t ahead_ms;
    unsigned clocks;
    unsigned ups; /* what on_changed() was told */
    unsigned downs;
    unsigned closes;
};

extern struct remote_test t;
extern struct answer answers[2]; /* of the last delivery_of() */

void on_delivered(void *ctx, struct delivery *delivery);
void on_clock(void *ctx, int64_t ahead_ms);
void on_changed(void *ctx, bool up);
void on_closed(void *ctx);

/* A remote to these, and its end. */
void start(const char *counters);
void stop(void);

bool up(void);
struct gateway_pool pool(void);
const char *problem_of(size_t address);

/* Answers the open call 'i', which must be a Hello, or an Apply with 'count' answers. */
void say_hello(size_t i, uint64_t store_id, int64_t store_now_ms);
void answer_apply(size_t i, size_t count, int64_t store_now_ms);
void become_usable(size_t channel);

/* A message of two operations. */
struct delivery delivery_of(unsigned attempt);
enum err send_it(struct delivery *delivery);

#endif
