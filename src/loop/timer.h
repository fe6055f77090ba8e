/* timer.h - one-shot timers of a loop.
 *
 * Threads    The loop's thread.
 * Ownership  Embedded in the caller's object, which stops it before it dies.
 * Limits     Millisecond grain; never early, late by at most one tick.
 *            Starting and stopping allocate only to grow the heap.
 */
#ifndef LOOP_TIMER_H
#define LOOP_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;

struct timer {
    void (*fire)(struct timer *timer); /* on the loop; may start it again */
    int64_t at_ms;                     /* loop_now_ms() at which it fires */
    size_t slot;                       /* the heap's; 0 when not armed */
};

/* Fires once, 'delay_ms' from loop_now_ms(). An armed timer is moved. */
void timer_start(struct loop *loop, struct timer *timer, int64_t delay_ms);

/* A timer that isn't armed is fine. */
void timer_stop(struct loop *loop, struct timer *timer);

static inline bool timer_armed(const struct timer *timer) {
    return timer->slot != 0;
}

#endif
