/* help.c - config.def, wrapped for a terminal. */
#include "cli/help.h"

#include <inttypes.h>

#include "base/config.h"
#include "cli/build_info.h"
#include "cli/tool.h"

#define INDENT 6u

static const char head[] =
    "Usage: " BUILD_NAME " [ROLE] [flags]\n"
    "       " BUILD_NAME " TOOL [ROLE] [flags]\n"
    "       " BUILD_NAME " config VERB ... (docs/config-center.md)\n"
    "\n"
    "A counting service: an acknowledged increment is never lost and never\n"
    "counted twice.\n"
    "\n"
    "Roles:\n"
    "  all                 the whole service in one process (the default)\n"
    "  gateway             the HTTP API in front of counter processes (--counter)\n"
    "  counter             the counter core with its store, over gRPC (--grpc)\n"
    "  analytics           rankings and series of a counter's events, over gRPC\n";

static const char flags[] =
    "\n"
    "Flags of every role:\n"
    "  --config FILE       read this YAML file\n"
    "  --check-config      say whether the configuration is valid, and exit\n"
    "  --print-config      print the configuration and where it came from, and exit\n"
    "  --help, -h          print this, and exit\n"
    "  --version           print the version, and exit\n";

static const char tail[] =
    "\n"
    "Every value can also be set in the file by its key (nested or dotted) and by\n"
    "a variable: HGP_ and the flag's name, or else the key, in upper case with _\n"
    "for . and -, as in HGP_HTTP and HGP_LIMITS_BODY_BYTES.\n"
    "A flag overrides a variable, a variable the file, the file the default.\n"
    "\n"
    "Exit codes: 0 fine, 64 wrong use of the command line, 78 wrong configuration;\n"
    "healthcheck: 1 and the reason when the service isn't ready; verify and import: 1\n"
    "something differs, others when they could not tell.\n";

/* Words of 'text', each line indented; 'text' has no line feeds. */
static void put_wrapped(struct buf *out, struct slice text) {
    size_t column = 0;

    while (text.len) {
        const char *space = memchr(text.ptr, ' ', text.len);
        size_t word = space ? (size_t)(space - text.ptr) : text.len;

        if (column && column + 1 + word > HELP_COLUMNS) {
            buf_add_char(out, '\n');
            column = 0;
        }
        if (column == 0)
            buf_printf(out, "%*s", (int)INDENT, "");
        else
            buf_add_char(out, ' ');
        column = (column ? column + 1 : INDENT) + word;
        buf_add(out, text.ptr, word);
        text = slice_skip(text, space ? word + 1 : word);
    }
    buf_add_char(out, '\n');
}

static const char *argument_of(const struct config_row *row) {
    switch (row->kind) {
    case CONFIG_ADDRESS:
        return "ADDR";
    case CONFIG_UPSTREAMS:
        return "ADDR,...";
    case CONFIG_PATH:
        return "DIR";
    case CONFIG_URL:
        return "URL";
    case CONFIG_ENUM:
        return row->choices;
    case CONFIG_BOOL:
        return "true|false";
    default:
        return "N";
    }
}

static void put_row(const struct config_row *row, struct buf *out) {
    struct buf text = {0};

    if (row->flag)
        buf_printf(out, "  --%s %s\n", row->flag, argument_of(row));
    else
        buf_printf(out, "  %s\n", row->key);
    buf_add_str(&text, row->help);
    if (row->value[0])
        buf_printf(&text, " Default %s", row->value);
    if (row->kind >= CONFIG_COUNT)
        buf_printf(&text, "; from %" PRId64 " to %" PRId64, row->min, row->max);
    if (row->value[0])
        buf_add_char(&text, '.');
    put_wrapped(out, buf_slice(&text));
    buf_release(&text);
}

static void put_tools(struct buf *out) {
    buf_add_str(out, "\nTools:\n");
    for (unsigned i = TOOL_NONE + 1; i < TOOLS; i++) {
        buf_printf(out, "  %s\n", tool_name((enum tool)i));
        put_wrapped(out, slice_str(tool_about((enum tool)i)));
    }
    buf_add_str(out, "\nFlags of tools:\n");
    for (unsigned i = 0; i < TOOL_FLAGS; i++) {
        const struct tool_flag_row *row = tool_flag_row((enum tool_flag)i);

        buf_printf(out, "  --%s%s%s\n", row->name, row->argument ? " " : "",
                   row->argument ? row->argument : "");
        put_wrapped(out, slice_str(row->help));
    }
}

void help_print(struct buf *out) {
    const char *title = "";

    buf_add_str(out, head);
    put_tools(out);
    buf_add_str(out, flags);
    for (unsigned i = 0; i < CONFIG_KEYS; i++) {
        const struct config_row *row = config_row((enum config_key)i);

        if (config_group_title(row) != title) {
            title = config_group_title(row);
            buf_printf(out, "\n%s:\n", title);
        }
        put_row(row, out);
    }
    buf_add_str(out, tail);
}

void version_print(struct buf *out) {
    buf_printf(out, BUILD_NAME " %s (commit %s, %s)\n", build_version(), build_commit(),
               build_compiler());
}
