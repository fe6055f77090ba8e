/* import_sink.h - the store that counters are imported into, asked many things at once by somebody
 * who waits for the answers.
 *
 * Threads    The owner's; it has a loop that runs only meanwhile.
 */
#ifndef CLI_IMPORT_SINK_H
#define CLI_IMPORT_SINK_H

#include "base/attr.h"
#include "base/config.h"
#include "core/op.h"

#define IMPORT_BATCH 500 /* questions at once */

struct import_sink;

struct import_question {
    struct op op; /* its slices live until import_sink_ask() returns */
    struct answer answer;
};

/* Opens the configuration's store. The process's exit code; what is wrong has been logged. */
MUST_CHECK int import_sink_open(const struct config *config, struct import_sink **out);

/* NULL is fine. */
void import_sink_close(struct import_sink *sink);

/* Returns when all have their answer; at most IMPORT_BATCH. */
void import_sink_ask(struct import_sink *sink, struct import_question *questions, size_t count);

#endif
