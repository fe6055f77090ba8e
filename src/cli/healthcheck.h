/* healthcheck.h - `highgopress healthcheck`: is the service of this configuration ready?
 *
 * For a container's HEALTHCHECK, whose image has no shell and no curl: asks /readyz on the admin
 * listener.
 *
 * Threads    The main thread; blocks for HEALTHCHECK_MS at most, after the name is resolved.
 */
#ifndef CLI_HEALTHCHECK_H
#define CLI_HEALTHCHECK_H

#include <stdio.h>

#include "base/config.h"

#define HEALTHCHECK_MS 3000

/* EXIT_SUCCESS: it is ready. EXIT_FAILURE, and a line on 'err' that says why: it isn't. */
int healthcheck(const struct config *config, FILE *err);

#endif
