/* loop.h - one event loop, run by one thread.
 *
 * A completion interface with two back ends behind it: io_uring (probed when
 * asked for "auto") and epoll (always there). A turn ("tick") of the loop is:
 *
 *     wait ─► completions ─► mail ─► timers ─► hooks ─► submit, and wait again
 *
 * Hooks run once a tick after everything that came in was handled: what was
 * gathered in this tick (batches, replies) leaves together, so one tick costs
 * one submit. The loop sleeps without a time-out while no timer is armed.
 *
 * Threads    loop_new(), loop_run() and everything else on the thread that
 *            runs the loop, except loop_mailbox(), whose mailbox any thread
 *            may send to.
 */
#ifndef LOOP_LOOP_H
#define LOOP_LOOP_H

#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/list.h"

struct loop;
struct mailbox;

enum loop_backend { LOOP_AUTO, LOOP_IO_URING, LOOP_EPOLL };

struct loop_conf {
    enum loop_backend backend;
    /* The longest that a turn with nothing to do polls before it sleeps, 1000 at most
     * (poll_window.h); 0: it sleeps at once. */
    uint32_t busy_poll_us;
};

/* Runs at the end of every tick, in the order of adding. */
struct loop_hook {
    struct list node;
    void (*run)(struct loop_hook *hook);
};

/* ERR_UNAVAILABLE  io_uring was asked for by name and the kernel or its
 *                  policy refuses it; 'auto' falls back to epoll instead.
 * ERR_NO_MEMORY    memory or descriptors ran out. */
MUST_CHECK enum err loop_new(const struct loop_conf *conf, struct loop **out_loop);

/* Every stream and listener must be closed, every connector over before (asserted); an on_closed()
 * that is still to come is called from here, mail that is left is dropped. NULL is fine. */
void loop_free(struct loop *loop);

/* Until loop_stop(). ERR_IO when the kernel interface itself fails. */
MUST_CHECK enum err loop_run(struct loop *loop);

/* loop_run() returns after this tick. */
void loop_stop(struct loop *loop);

/* Read once a tick, monotonic. */
int64_t loop_now_ms(const struct loop *loop);

/* Wall clock, read once a tick: milliseconds since the Unix epoch. */
int64_t loop_wall_ms(const struct loop *loop);

/* "io_uring" or "epoll". */
const char *loop_backend_name(const struct loop *loop);

/* Both at any time, also from a hook; one added there runs from the next tick on. */
void loop_hook_add(struct loop *loop, struct loop_hook *hook);
void loop_hook_remove(struct loop_hook *hook);

/* The door for other threads into this loop; its mail is run in every tick. */
struct mailbox *loop_mailbox(struct loop *loop);

#endif
