/* recount_tool.h - highgopress recount: analytics in a running process is counted anew.
 *
 * Asks the process at the admin listener that the same flags, variables or file name, follows it to
 * the end and prints how far it is. A recount that is under way there is followed.
 *
 * Threads    The main thread.
 */
#ifndef CLI_RECOUNT_TOOL_H
#define CLI_RECOUNT_TOOL_H

#include <stdio.h>

#include "base/attr.h"
#include "base/config.h"

#define RECOUNT_FAILED 1 /* the exit code; others are sysexits' */

/* Progress goes to 'out', what stands in its way to 'err'. 0: it is done; RECOUNT_FAILED: nothing
 * has changed; EX_UNAVAILABLE: no process answers, or it has no analytics to count anew. */
MUST_CHECK int recount_tool(const struct config *config, FILE *out, FILE *err);

#endif
