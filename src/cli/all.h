/* all.h - the role `all`: gateway and counter core in one process.
 *
 * Threads    The main thread; it makes and joins all others.
 */
#ifndef CLI_ALL_H
#define CLI_ALL_H

#include "base/config.h"

/* Runs until a signal ends it; returns the process's exit code (sysexits.h).
 * SIGINT or SIGTERM drains and ends with 0; a second one ends at once. */
int all_run(const struct config *config, const char *version);

#endif
