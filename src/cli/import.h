/* import.h - highgopress import: the counters of a Phase 1 Redis into another store.
 *
 *     SCAN, MGET ─► read there ─┬─ never written ─► SET, with an idempotency key
 *                               ├─ the same ─► done before
 *                               └─ another value ─► left alone, and said
 *     and again: is every one of them there?
 *
 * It may be cut off at any moment and started again: what is there already is only compared. Writes
 * are the store's own operations, so they are events like any others.
 *
 * Threads    The main thread, and the store's.
 */
#ifndef CLI_IMPORT_H
#define CLI_IMPORT_H

#include <stdio.h>

#include "base/attr.h"
#include "base/config.h"
#include "cli/tool.h"

#define IMPORT_DIFFERS 1 /* the exit code: some counters are not as they are in the source */

/* Returns the process's exit code: 0: all are there; IMPORT_DIFFERS; sysexits': it couldn't go on.
 */
MUST_CHECK int import(const struct config *config, const struct tool_options *options, FILE *out,
                      FILE *err);

#endif
