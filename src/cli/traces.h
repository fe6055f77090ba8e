/* traces.h - whether and where spans are exported, by the configuration and OTEL_ variables.
 *
 * A key of traces.* that was given wins over the variable that OpenTelemetry has for it.
 *
 * Threads    Opened before and closed after all others, by the main thread.
 * Errors     Logged, and returned as the process's exit code.
 */
#ifndef CLI_TRACES_H
#define CLI_TRACES_H

#include "base/attr.h"
#include "base/config.h"
#include "base/metrics.h"

MUST_CHECK int traces_open(const struct config *config, const char *role, struct metrics *metrics,
                           unsigned shard);

/* What waits is sent, for two seconds at most. */
void traces_close(void);

#endif
