/* move.h - highgopress move: a partition goes from one analytics process to another, which both
 * run.
 *
 *     look at both ─► LEAVE ─► ARRIVE ─► WIPE … ─► READ, WRITE … ─► READY ─► RELEASE ─► OWN
 *
 * It holds nothing itself: what is done is in their stores (core/analytics_partition.h), and the
 * same command goes on from there, whatever ended before.
 *
 * Threads    The main thread.
 */
#ifndef CLI_MOVE_H
#define CLI_MOVE_H

#include <stdio.h>

#include "base/attr.h"
#include "base/config.h"
#include "cli/tool.h"

/* Returns the process's exit code: 0: it is there; sysexits'. */
MUST_CHECK int move(const struct config *config, const struct tool_options *options, FILE *out,
                    FILE *err);

#endif
