/* options.h - the command line: ROLE, flags, and what to do instead of running.
 *
 *     highgopress [TOOL] [ROLE] [--flag VALUE | --flag=VALUE]...
 *
 * Threads    Before there are any.
 * Ownership  What is given is borrowed for as long as the configuration lives.
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>
#include <stdio.h>

#include "base/config.h"
#include "cli/role.h"
#include "cli/tool.h"

enum action { ACTION_RUN, ACTION_TOOL, ACTION_CHECK, ACTION_PRINT, ACTION_HELP, ACTION_VERSION };

struct options {
    enum role role;
    enum action action;
    const char *config_file;  /* NULL: none */
    struct tool_options tool; /* ACTION_TOOL */
};

/* What a process starts with. */
struct invocation {
    int argc;
    char *const *argv;
    char *const *environment;
    FILE *out;
    FILE *err;
};

/* A flag that is no key. */
struct option_special {
    const char *name; /* without the dashes */
    enum action action;
    bool takes_file;
    const char *help; /* one sentence */
};
const struct option_special *options_specials(size_t *out_count);

/* The configuration as all its sources say it now, in 'cfg'; 'kv' is Consul's document, called
 * 'kv_name' (borrowed for as long as 'cfg' lives), {NULL, 0}: there is none. What is wrong goes
 * into 'problems'. */
void options_assemble(const struct invocation *invocation, const struct options *options,
                      struct slice kv, const char *kv_name, struct config *cfg,
                      struct config_problems *problems);

/* Defaults, flags, file, environment and the check of the whole. True: run
 * out->role, or use out->tool (out->action), with 'cfg'. False: what was asked for is
 * printed, or what is wrong is said; exit with *out_exit: EX_OK, EX_USAGE (flags and role),
 * EX_CONFIG (file, environment, the whole) or EX_IOERR (the output). */
bool options_begin(const struct invocation *invocation, struct config *cfg, struct options *out,
                   int *out_exit);

#endif
