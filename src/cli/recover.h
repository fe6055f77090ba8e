/* recover.h - highgopress recover: what a Redis that has gone back lacks of its events in Kafka
 * (RELIABILITY 3.7, core/rewind.h), and with --apply, bringing it forward.
 *
 *     lanes ─► the topic, to its end ─► the outbox ─► lanes that are back: both once more ─► the
 * plan ─► [--apply: one script for each lane]
 *
 * Nothing may count in that Redis meanwhile: a lane that changes is refused, not half done. Run
 * again it goes on with the lanes that are left.
 *
 * Threads    The main thread.
 */
#ifndef CLI_RECOVER_H
#define CLI_RECOVER_H

#include <stdio.h>

#include "base/attr.h"
#include "base/config.h"
#include "cli/tool.h"

#define RECOVER_NEEDED 1 /* the exit code: lanes are back and weren't brought forward */

/* What is found goes to 'out', what stands in its way to 'err'. Returns the process's exit code: 0:
 * all lanes are in step; RECOVER_NEEDED; EX_USAGE, EX_CONFIG, EX_UNAVAILABLE, EX_NOINPUT,
 * EX_DATAERR, EX_OSERR. */
MUST_CHECK int recover(const struct config *config, const struct tool_options *options, FILE *out,
                       FILE *err);

#endif
