/* poll_window.h - how long a loop polls for work before it sleeps.
 *
 * Waking a halted core takes longer than most answers that a loop waits for. The rule is the one by
 * which KVM halts (halt_poll_ns): a window that grows as long as waits end soon, and closes with
 * one that doesn't, so that who is idle doesn't poll. Where others want the core, it rests.
 *
 * Limits     Pure: time is an argument, of one monotonic clock.
 * Threads    The loop's.
 */
#ifndef LOOP_POLL_WINDOW_H
#define LOOP_POLL_WINDOW_H

#include <stdint.h>

struct poll_window {
    int64_t max_ns; /* waits of up to this are worth polling for; 0: none is */
    int64_t window_ns;
    int64_t rest_ns; /* how long the last rest was meant to be, */
    int64_t rest_until_ns;
};

/* How long to poll before sleeping; 0: not at all. */
int64_t poll_window_ns(const struct poll_window *w, int64_t now_ns);

/* A wait has ended, polling and sleep together took 'waited_ns'. */
void poll_window_waited(struct poll_window *w, int64_t waited_ns);

/* Others have had the core meanwhile: no window for a while, twice as long a one as the last if
 * that was over only recently. */
void poll_window_rest(struct poll_window *w, int64_t now_ns);

#endif
