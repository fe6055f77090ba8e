/* clock.h - reading the clocks. For loop, edge and the services: core and wire
 * get the time as an argument and never call these.
 *
 * Threads    Any.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Monotonic, for durations and deadlines. */
int64_t clock_mono_ns(void);
int64_t clock_mono_ms(void);

/* Since the Unix epoch; may step. */
int64_t clock_wall_ms(void);
int64_t clock_wall_ns(void);

#endif
