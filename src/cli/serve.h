/* serve.h - the process while it serves: waits for a signal or a failure, then drains.
 *
 *     serve_init ─► workers start ─► serve_wait ─► serve_drain ─► workers stop
 *
 * A service manager hears when it is ready, reloads and stops. A watchdog hears of us as long as
 * every worker's loop turns: mail goes through each of them before the next word.
 *
 * Threads    The main thread, except serve_broken() and serve_drained(), which others call.
 */
#ifndef CLI_SERVE_H
#define CLI_SERVE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "cli/worker.h"

struct serve {
    pthread_t main_thread;
    atomic_uint draining; /* workers that still drain */
    atomic_bool broken;   /* the store or a loop failed */
    atomic_bool asked;    /* to read the configuration again */
    atomic_bool taken;    /* another process serves on our sockets */
    struct worker *workers;
    unsigned count;
    int64_t pulse_every_ms; /* 0: there is no watchdog */
    int64_t pulse_at_ms;    /* monotonic */
};

/* Before any thread starts: blocks the signals that end us, in every thread to come. */
void serve_init(struct serve *serve);

/* The store or a loop has failed: the process ends. 'ctx' is the struct serve. */
void serve_broken(void *ctx);
/* Has reload() of serve_wait() called; any thread. 'ctx' is the struct serve. */
void serve_ask_reload(void *ctx);
/* Another process has taken our sockets over: this one drains and ends. 'ctx' is the struct serve.
 */
void serve_taken(void *ctx);
/* A worker has drained. 'ctx' is the struct serve. */
void serve_drained(void *ctx);

/* The workers serve: says so to the service manager. Returns on SIGINT, SIGTERM, serve_broken() or
 * serve_taken(); * SIGHUP and serve_ask_reload() call reload(): 'signal' says which; SIGUSR2 calls
 * backup(). */
void serve_wait(struct serve *serve, struct worker *workers, unsigned count,
                void (*reload)(void *ctx, bool signal), void (*backup)(void *ctx), void *ctx);

/* Goes on serving for 'ms'. A second signal ends the process at once. */
void serve_linger(struct serve *serve, int64_t ms);

/* Lets the workers finish what is under way, for 'drain_ms'; then cuts clients off. A second signal
 * ends the process at once: what was acknowledged is in the store, the rest was never promised. */
void serve_drain(struct serve *serve, struct worker *workers, unsigned count, int64_t drain_ms);

#endif
