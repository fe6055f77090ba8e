/* run.h - a role, from opening the store to the last fsync.
 *
 * Threads    The main thread; it makes and joins all others.
 */
#ifndef CLI_RUN_H
#define CLI_RUN_H

#include "cli/reload.h"

/* With the configuration reload->running. Runs until a signal ends it; returns the process's exit
 * code (sysexits.h). SIGINT or SIGTERM drains and ends with 0; a second one ends at once. */
int run_role(enum role role, struct reload *reload, const char *version);

#endif
