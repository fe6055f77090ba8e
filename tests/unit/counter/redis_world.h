/* redis_world.h - a batcher on a loop that counts in a real Redis, and a look at what is stored.
 *
 * Threads    The test's; the loop runs on it.
 */
#ifndef TESTS_UNIT_COUNTER_REDIS_WORLD_H
#define TESTS_UNIT_COUNTER_REDIS_WORLD_H

#include "counter/redis_store.h"
#include "loop/timer.h"
#include "redis_fixture.h"
#include "test.h"

#define OPS_MAX 20000

/* Options of a server that loses nothing in a kill. */
extern const char *const world_always[];

struct one {
    struct waiter waiter;
    struct world *world;
    struct answer answer;
    unsigned done;
};

struct world {
    struct redis_fixture server;
    struct metrics *metrics;
    struct resolver *resolver;
    struct redis_fleet_conf conf;
    struct redis_fleet *fleet;
    struct loop *loop;
    struct redis_store *store;
    struct redis_port port;
    unsigned ups; /* how often the store has come up, */
    unsigned downs;
    struct batcher *batcher;
    struct loop_hook flush;
    struct timer poll;
    struct timer watchdog;
    struct timer step;
    int64_t ahead_ms;
    unsigned clocks;
    struct one *ones;
    size_t asked;
    size_t answered;
    size_t target;  /* answers, then the loop stops */
    size_t pending; /* to be asked by on_tick() */
    unsigned kills;
    unsigned shard;
    bool closed;
};

/* The server, and a configuration for a fleet there that the test may still change. */
void world_open(struct world *w, const char *const *options);
/* 'tcp': the server also listens there; the fleet uses the socket. */
void world_open_on(struct world *w, const char *const *options, bool tcp);
void world_make_fleet(struct world *w);
/* 'out_detail' may be NULL. */
enum err world_probe(struct world *w, const char **out_detail);
/* A loop with a store and a batcher; with world_start() a fleet and a probe before. */
void world_start_loop(struct world *w);
void world_start(struct world *w);
void world_stop_loop(struct world *w);
void world_close(struct world *w);

/* Adds one operation for the next tick; five counters by turns are what 'pending' adds. */
struct op world_add_op(const char *id, int64_t delta);
void world_ask(struct world *w, const struct op *op);
void world_ask_until(struct world *w, const struct op *op, int64_t deadline_ms);

/* Runs until that many more are answered. */
void world_run(struct world *w, size_t answers);

void world_check_all_ok(const struct world *w);

/* Values and events of the five counters are 'want' together, and no event is missing. */
void world_check_counted(struct world *w, int64_t want);

#endif
