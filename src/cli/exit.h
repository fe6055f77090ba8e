/* exit.h - giving up at the start: one line for people, one code for supervisors.
 *
 * Threads    The main thread.
 */
#ifndef CLI_EXIT_H
#define CLI_EXIT_H

#include <sysexits.h>

#include "base/log.h"

/* Logs that 'what' failed and 'why'; returns 'code'. */
static inline int give_up(const char *what, const char *why, int code) {
    log_line(LOG_ERROR, what, LOG_STR("detail", why));
    return code;
}

#endif
