/* handover.h - the next process takes the listening sockets over, over a Unix socket.
 *
 *     the one that runs                     the next one, with the same --handover
 *     listens at the path  ◄── connects ──  prepares itself
 *                          ── sockets ───►  serves on them, beside the other
 *                          ◄──── take ────  listens at the path
 *     drains and ends
 *
 * The sockets stay the same, with what waits in them, so no connection is refused or reset. Until
 * "take" the first one goes on as if nothing was; after it, it accepts nothing more. What has one
 * owner, a data folder, is taken before it can be opened: then the next one says "take" at once and
 * waits for the other's end, while clients wait in the sockets (ADR 16).
 *
 * Threads    The main thread; taken() on a thread of its own.
 * Limits     The same user, or root; one process at a time.
 */
#ifndef CLI_HANDOVER_H
#define CLI_HANDOVER_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/config.h"
#include "cli/listen.h"

struct handover {
    const char *path; /* "": there is none */
    int before;       /* the connection to who runs; -1: nobody does */
    int listener;     /* ours; -1 */
    int stop;         /* an eventfd for the thread; -1 */
    ino_t inode;      /* of our socket at the path */
    bool runs;        /* the thread */
    pthread_t thread;
    const struct listeners *listeners;
    const char *loop;
    void (*taken)(void *ctx);
    void *ctx;
};

#define HANDOVER_NONE                                                                              \
    { .path = "", .before = -1, .listener = -1, .stop = -1 }

/* Takes sockets over from who runs, if anybody does; config's 'loop' must be what it uses:
 * 'out_loop' says so instead of "auto". EX_OK, or the process's exit code. handover_close() follows
 * in any case.
 */
MUST_CHECK int handover_ask(struct handover *handover, const struct config *config,
                            struct listeners *listeners, enum config_loop *out_loop);

/* Somebody runs, and has given us its sockets. */
bool handover_found(const struct handover *handover);

/* Has it end now, and waits for that. */
MUST_CHECK int handover_wait(struct handover *handover, int64_t patience_ms);

/* We serve on 'listeners' by 'loop' ("io_uring"): ends who ran before, unless it has ended, and
 * gives them to whoever asks. taken() is called once, when we are to end. */
MUST_CHECK int handover_offer(struct handover *handover, const struct listeners *listeners,
                              const char *loop, void (*taken)(void *ctx), void *ctx);

/* Nobody can take over any more; who has hears of our end by that of the process. Once more is
 * fine. */
void handover_close(struct handover *handover);

#endif
