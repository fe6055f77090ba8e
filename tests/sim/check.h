/* check.h - the end of a run: the stored events against what the clients were told.
 *
 * I1 acknowledged operations are applied, I2 none twice, I3 a counter's value is the sum of its
 * events, I8 a lane's time doesn't go back, I9 its numbers have no gap; what was refused for
 * certain (out of range, or an error that says surely not applied: ERR_UNREACHABLE, ERR_BUSY,
 * ERR_UNAVAILABLE) isn't there; what was answered is what the events say.
 */
#ifndef TESTS_SIM_CHECK_H
#define TESTS_SIM_CHECK_H

#include <stddef.h>

#include "core/kv.h"
#include "history.h"

/* Reports into history->trace. Returns the number of events. */
size_t check_store(struct history *history, struct kv *kv);

#endif
