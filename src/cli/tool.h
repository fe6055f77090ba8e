/* tool.h - what the binary does instead of serving: its tools, and the flags that are theirs alone.
 *
 * --help, the man page and the completions list them from here.
 *
 *     highgopress verify [--json] [--prefix P] … [flags as the service has them]
 *
 * Threads    Before there are any.
 * Ownership  Values are borrowed from the command line.
 */
#ifndef CLI_TOOL_H
#define CLI_TOOL_H

#include <stdbool.h>
#include <stddef.h>

enum tool {
    TOOL_NONE,
    TOOL_CONFIG, /* has verbs instead of a role: main() hands its command line to config_tool() */
    TOOL_HEALTHCHECK,
    TOOL_IMPORT,
    TOOL_MOVE,
    TOOL_RECOUNT,
    TOOL_RECOVER,
    TOOL_VERIFY,
    TOOLS
};

enum tool_flag {
    TOOL_FLAG_PREFIX,
    TOOL_FLAG_LIST,
    TOOL_FLAG_EACH,
    TOOL_FLAG_JSON,
    TOOL_FLAG_STRICT,
    TOOL_FLAG_WAIT,
    TOOL_FLAG_FROM,
    TOOL_FLAG_FROM_PASSWORD,
    TOOL_FLAG_PARTITION,
    TOOL_FLAG_MOVE_FROM,
    TOOL_FLAG_MOVE_TO,
    TOOL_FLAG_CANCEL,
    TOOL_FLAG_APPLY,
    TOOL_FLAGS
};

struct tool_flag_row {
    const char *name;     /* without the dashes */
    const char *argument; /* NULL: it takes no value */
    const char *help;     /* one sentence */
    unsigned tools;       /* a bit for each that has it */
};

/* TOOL_NONE: there is none of that name. */
enum tool tool_find(const char *name);
const char *tool_name(enum tool tool);
const char *tool_about(enum tool tool); /* one sentence */

const struct tool_flag_row *tool_flag_row(enum tool_flag flag);

/* TOOL_FLAGS: this tool has none of that name. */
enum tool_flag tool_flag_find(enum tool tool, const char *name);

/* As given on the command line. */
struct tool_options {
    enum tool tool;
    bool given[TOOL_FLAGS];
    const char *value[TOOL_FLAGS]; /* NULL where it takes none or wasn't given */
};

#endif
