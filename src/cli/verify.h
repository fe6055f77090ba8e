/* verify.h - highgopress verify: does the store agree with its events?
 *
 *     the counters asked for, each with its lane's position ─► their events up to there ─► verdict
 *
 * The store is read beside the processes that count in it; nothing is written anywhere.
 *
 * Threads    The main thread.
 */
#ifndef CLI_VERIFY_H
#define CLI_VERIFY_H

#include <stdio.h>

#include "base/attr.h"
#include "base/config.h"
#include "cli/tool.h"

#define VERIFY_DRIFT 1 /* the exit code; others are sysexits': nothing could be compared */

/* The verdict goes to 'out', what stands in its way to 'err'. Returns the process's exit code: 0:
 * no drift; VERIFY_DRIFT; EX_USAGE, EX_CONFIG, EX_UNAVAILABLE, EX_NOINPUT, EX_DATAERR, EX_OSERR. */
MUST_CHECK int verify(const struct config *config, const struct tool_options *options, FILE *out,
                      FILE *err);

#endif
