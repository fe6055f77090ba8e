/* poll_window.c - grow, close, rest. */
#include "loop/poll_window.h"

/* KVM's, too (halt_poll_ns_grow_start, halt_poll_ns_grow). */
#define FIRST_NS 10000
#define GROWTH   2
/* One look that finds others there costs a slice of theirs, some ms: of a second, nothing. */
#define REST_MIN_NS 100000000
#define REST_MAX_NS 1000000000

static int64_t lower(int64_t a, int64_t b) {
    return a < b ? a : b;
}

int64_t poll_window_ns(const struct poll_window *w, int64_t now_ns) {
    return now_ns < w->rest_until_ns ? 0 : w->window_ns;
}

void poll_window_waited(struct poll_window *w, int64_t waited_ns) {
    if (waited_ns > w->max_ns)
        w->window_ns = 0;
    else if (waited_ns > w->window_ns)
        w->window_ns = lower(w->window_ns ? w->window_ns * GROWTH : FIRST_NS, w->max_ns);
}

void poll_window_rest(struct poll_window *w, int64_t now_ns) {
    int64_t since_ns = now_ns - w->rest_until_ns;

    w->rest_ns = since_ns < w->rest_ns ? lower(w->rest_ns * 2, REST_MAX_NS) : REST_MIN_NS;
    w->rest_until_ns = now_ns + w->rest_ns;
    w->window_ns = 0;
}
