/* config_tool.h - highgopress config: the configuration of a role in Consul's KV, from a shell.
 *
 *     highgopress config list
 *     highgopress config get | history | watch ROLE
 *     highgopress config put | diff | validate ROLE FILE      (FILE - is standard input)
 *     highgopress config rollback ROLE [VERSION]
 *
 * Flags and HGP_ variables follow: --discovery says where Consul is. The document is under
 * high-go-press/config/ENVIRONMENT/ROLE, every version that was ever put under
 * high-go-press/history/ENVIRONMENT/ROLE/VERSION-SECONDS. A put reserves its version there first,
 * then changes the document if nobody else has meanwhile.
 *
 * Threads    The main thread.
 */
#ifndef CLI_CONFIG_TOOL_H
#define CLI_CONFIG_TOOL_H

#include "cli/options.h"

/* Returns the exit code: EX_OK; 1: diff has found differences, or there is no document; EX_USAGE,
 * EX_CONFIG (refused), EX_UNAVAILABLE (Consul), EX_TEMPFAIL (somebody else was faster), EX_NOINPUT.
 */
int config_tool(const struct invocation *invocation, struct config *config);

/* The names of its verbs, one by one; NULL behind the last. */
const char *config_tool_verb(unsigned i);

#endif
