/* backend.h - what a loop needs from the kernel, as one small table.
 *
 * Private to src/loop. The loop says what it wants of each endpoint (read,
 * send); a back end brings the kernel in line with that once a tick, in
 * apply(), so that a pause and a resume in one tick cost nothing, and one
 * submit carries what a whole tick has asked for. What happened is handed to
 * stream_...() and listener_...() of endpoint.h from inside reap().
 *
 * Threads    The loop's thread.
 */
#ifndef LOOP_BACKEND_H
#define LOOP_BACKEND_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/err.h"

struct backend;
struct endpoint;

struct backend_ops {
    const char *name;
    /* Listening sockets are polled and accept() must not block on them. */
    bool nonblocking_listeners;

    /* Errors as loop_new(). */
    enum err (*create)(struct backend **out_backend);
    void (*destroy)(struct backend *backend);

    /* Wakes wait() whenever this eventfd is written; it isn't read. false: descriptors or
     * memory ran out. */
    bool (*watch)(struct backend *backend, int fd);

    /* Whether the next send should be tried at once (send(2)) instead of with
     * the next submit. */
    bool (*send_now)(struct backend *backend);

    /* Brings the kernel in line with endpoint->want. false: no room now, call
     * again on the next turn. */
    bool (*apply)(struct backend *backend, struct endpoint *endpoint);

    /* The endpoint closes. true: the kernel has let go of it; false: operations
     * are still under way, endpoint_due() is called when they have ended. */
    bool (*detach)(struct backend *backend, struct endpoint *endpoint);

    /* Submits without sleeping: whether something has completed, which is still wait()'s. Costs no
     * system call where there is nothing to submit and the kernel shows it in memory. */
    bool (*look)(struct backend *backend);

    /* Submits, then sleeps until something completes or 'timeout_ms' has
     * passed (-1: none, 0: doesn't sleep). */
    MUST_CHECK enum err (*wait)(struct backend *backend, int timeout_ms);

    /* Hands over what has completed, a bounded number. How much of it came from others: requests,
     * parts of them, connections. */
    unsigned (*reap)(struct backend *backend);
};

extern const struct backend_ops backend_epoll;
extern const struct backend_ops backend_uring;

#endif
