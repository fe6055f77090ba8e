/* run.h - a role, from opening the store to the last fsync.
 *
 * Threads    The main thread; it makes and joins all others.
 */
#ifndef CLI_RUN_H
#define CLI_RUN_H

#include "base/config.h"
#include "cli/options.h"

/* Runs until a signal ends it; returns the process's exit code (sysexits.h).
 * SIGINT or SIGTERM drains and ends with 0; a second one ends at once. */
int run_role(enum role role, const struct config *config, const char *version);

#endif
