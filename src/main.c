/* main.c - the one binary: options, log, and on to the role. */
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/build_info.h"
#include "cli/config_tool.h"
#include "cli/healthcheck.h"
#include "cli/import.h"
#include "cli/move.h"
#include "cli/options.h"
#include "cli/recount_tool.h"
#include "cli/recover.h"
#include "cli/run.h"
#include "cli/verify.h"

extern char **environ;

static enum log_format log_format_of(const struct config *config) {
    if (config->log_format == CONFIG_LOG_AUTO)
        return isatty(STDERR_FILENO) ? LOG_CONSOLE : LOG_JSON;
    return config->log_format == CONFIG_LOG_CONSOLE ? LOG_CONSOLE : LOG_JSON;
}

static int use_tool(const struct config *config, const struct tool_options *options) {
    switch (options->tool) {
    case TOOL_HEALTHCHECK:
        return healthcheck(config, stderr);
    case TOOL_IMPORT:
        return import(config, options, stdout, stderr);
    case TOOL_MOVE:
        return move(config, options, stdout, stderr);
    case TOOL_RECOUNT:
        return recount_tool(config, stdout, stderr);
    case TOOL_RECOVER:
        return recover(config, options, stdout, stderr);
    case TOOL_VERIFY:
        return verify(config, options, stdout, stderr);
    case TOOL_CONFIG: /* its command line is its own */
    case TOOL_NONE:
    case TOOLS:
        break;
    }
    return EX_SOFTWARE;
}

int main(int argc, char **argv) {
    static struct config config; /* too large for a stack */
    struct reload reload;
    struct options options;
    int exit_code = 0;
    struct invocation invocation = {
        .argc = argc, .argv = argv, .environment = environ, .out = stdout, .err = stderr};

    if (argc > 1 && tool_find(argv[1]) == TOOL_CONFIG)
        return config_tool(&invocation, &config);
    if (!options_begin(&invocation, &config, &options, &exit_code))
        return exit_code;
    if (options.action == ACTION_TOOL)
        return use_tool(&config, &options.tool);
    log_setup(config.log_level, log_format_of(&config));
    reload_init(&reload, &invocation, &options, &config);
    log_setup(config.log_level, log_format_of(&config)); /* Consul may have said otherwise */
    exit_code = run_role(options.role, &reload, build_version());
    reload_release(&reload);
    return exit_code;
}
