/* gen_man.c - the man pages, in mdoc(7). */
#include <string.h>

#include "base/config.h"
#include "cli/config_tool.h"
#include "cli/options.h"
#include "cli/role.h"
#include "gen.h"

#define COLUMNS  76u
#define MAN_DATE "November 26, 2026"

/* One word that roff takes as it is: a backslash means something, so do a dot and a quote at the
 * beginning of a line. */
static void put_word(struct slice word, bool starts_line, struct buf *out) {
    if (starts_line && (word.ptr[0] == '.' || word.ptr[0] == '\''))
        buf_add_str(out, "\\&");
    for (size_t i = 0; i < word.len; i++) {
        if (word.ptr[i] == '\\')
            buf_add_str(out, "\\e");
        else
            buf_add_char(out, word.ptr[i]);
    }
}

/* Words, wrapped; a new sentence begins a new line, as mdoc(7) wants it. */
static void put_text(struct slice text, struct buf *out) {
    size_t column = 0;

    while (text.len) {
        const char *space = memchr(text.ptr, ' ', text.len);
        struct slice word = {text.ptr, space ? (size_t)(space - text.ptr) : text.len};

        if (word.len) {
            if (column && column + 1 + word.len > COLUMNS) {
                buf_add_char(out, '\n');
                column = 0;
            } else if (column) {
                buf_add_char(out, ' ');
            }
            put_word(word, column == 0, out);
            column += word.len + 1;
            if (word.ptr[word.len - 1] == '.') /* the next word finds the line full */
                column = COLUMNS;
        }
        text = slice_skip(text, space ? word.len + 1 : word.len);
    }
    buf_add_char(out, '\n');
}

static void put_head(const char *name, const char *section, const char *about, struct buf *out) {
    buf_printf(out,
               ".\\\" Made from src/base/config.def by tools/gen_docs; change it there.\n"
               ".Dd " MAN_DATE "\n.Dt %s %s\n.Os\n.Sh NAME\n.Nm %s\n.Nd %s\n",
               section[0] == '1' ? "HIGHGOPRESS" : "HIGHGOPRESS.YAML", section, name, about);
}

static void put_default(const struct config_row *row, struct buf *out) {
    struct buf allowed = {0};

    buf_add_str(&allowed, "Allowed: ");
    config_print_allowed(row, &allowed);
    put_text(buf_slice(&allowed), out);
    if (row->value[0])
        buf_printf(out, ".Pq default Ql %s\\&\n", row->value);
    buf_release(&allowed);
}

static void put_flags(struct buf *out) {
    size_t count;
    const struct option_special *specials = options_specials(&count);

    buf_add_str(out, ".Bl -tag -width Ds\n");
    for (size_t i = 0; i < count; i++) {
        buf_printf(out, ".It Fl -%s%s\n", specials[i].name,
                   specials[i].takes_file ? " Ar file" : "");
        put_text(slice_str(specials[i].help), out);
    }
    for (unsigned i = 0; i < CONFIG_KEYS; i++) {
        const struct config_row *row = config_row((enum config_key)i);

        if (!row->flag)
            continue;
        buf_printf(out, ".It Fl -%s Ar value\n", row->flag);
        put_text(slice_str(row->help), out);
        put_default(row, out);
    }
    buf_add_str(out, ".El\n");
}

static void put_roles(struct buf *out) {
    buf_add_str(out, "The roles are:\n.Bl -tag -width Ds\n");
    for (unsigned i = 0; i < ROLES; i++) {
        buf_printf(out, ".It Cm %s\n", role_name((enum role)i));
        put_text(slice_str(role_about((enum role)i)), out);
    }
    buf_add_str(out, ".El\n");
}

static void put_tools(struct buf *out) {
    buf_add_str(out, "The tools are:\n.Bl -tag -width Ds\n");
    for (unsigned i = TOOL_NONE + 1; i < TOOLS; i++) {
        buf_printf(out, ".It Cm %s\n", tool_name((enum tool)i));
        put_text(slice_str(tool_about((enum tool)i)), out);
    }
    buf_add_str(out, ".El\n.Pp\nTheir own flags are:\n.Bl -tag -width Ds\n");
    for (unsigned i = 0; i < TOOL_FLAGS; i++) {
        const struct tool_flag_row *row = tool_flag_row((enum tool_flag)i);
        const char *comma = "";

        buf_printf(out, ".It Fl -%s", row->name);
        if (row->argument)
            buf_printf(out, " Ar %s", row->argument);
        buf_add_str(out, " Pq ");
        for (unsigned t = TOOL_NONE + 1; t < TOOLS; t++) {
            if (row->tools & 1u << t) {
                buf_printf(out, "%s%s", comma, tool_name((enum tool)t));
                comma = ", ";
            }
        }
        buf_add_char(out, '\n');
        put_text(slice_str(row->help), out);
    }
    buf_add_str(out, ".El\n");
}

void put_man_1(struct buf *out) {
    put_head("highgopress", "1", "a counting service that never loses an acknowledged increment",
             out);
    buf_add_str(out,
                ".Sh SYNOPSIS\n.Nm\n.Op Ar role\n.Op Fl -flag Ar value ...\n"
                ".Nm\n.Ar tool\n.Op Ar role\n.Op Fl -flag Ar value ...\n"
                ".Nm\n.Cm config\n.Ar verb\n.Op Ar role Op Ar file\n.Op Fl -flag Ar value ...\n"
                ".Sh DESCRIPTION\n.Nm\ncounts: likes, views, votes.\n"
                "An acknowledged increment is never lost and never counted twice.\n");
    put_roles(out);
    buf_add_str(out, ".Pp\n");
    put_tools(out);
    buf_add_str(out, ".Pp\nThe verbs of\n.Cm config\nare\n.Cm ");
    for (unsigned i = 0; config_tool_verb(i); i++)
        buf_printf(out, "%s%s", i ? " , " : "", config_tool_verb(i));
    buf_add_str(out, " .\n");
    buf_add_str(out, ".Pp\nThe flags are:\n");
    put_flags(out);
    buf_add_str(
        out,
        "Every other key of\n.Xr highgopress.yaml 5\nis set by its variable or in the file.\n"
        ".Sh SIGNALS\n.Bl -tag -width Ds\n"
        ".It Dv SIGTERM , SIGINT\nDrain, then end; a second one ends at once.\n"
        ".It Dv SIGHUP\nRead the certificates again.\n"
        ".It Dv SIGUSR2\nMake a backup of the embedded store in\n.Cm backup.folder .\n.El\n"
        ".Sh ENVIRONMENT\n.Bl -tag -width Ds\n"
        ".It Ev HGP_*\nKeys, as\n.Xr highgopress.yaml 5\nnames them.\n"
        ".It Ev NOTIFY_SOCKET , WATCHDOG_USEC , WATCHDOG_PID\n"
        "The service manager's; see\n.Xr sd_notify 3 .\n"
        "The watchdog is fed while every event loop turns.\n.El\n"
        ".Sh EXIT STATUS\n.Bl -tag -width Ds\n"
        ".It 0\nIt ended in good order, or is ready.\n"
        ".It 1\n.Cm healthcheck :\nit is not ready.\n.Cm verify , import :\nsomething differs.\n"
        ".Cm recount , recover :\nnothing was changed.\n"
        ".It 65, 66\n.Cm verify :\na list, an event or a store can't be read.\n"
        ".It 64\nWrong use of the command line.\n"
        ".It 69\nAn address or a store can't be had.\n"
        ".It 71\nMemory or descriptors ran out.\n"
        ".It 74\nThe store failed.\n"
        ".It 75\nRequests were still under way when the drain ended.\n"
        ".It 78\nThe configuration is wrong.\n.El\n"
        ".Sh EXAMPLES\nThe whole service on another port:\n"
        ".Pp\n.Dl highgopress all --http :9000 --data /var/lib/counters\n"
        ".Sh SEE ALSO\n.Xr highgopress.yaml 5 ,\n.Xr systemd.service 5\n");
}

static void put_key(const struct config_row *row, struct buf *out) {
    char variable[CONFIG_NAME_BYTES];

    config_env_name(row, variable);
    buf_printf(out, ".It Ic %s Pq Ev %s\n", row->key, variable);
    put_text(slice_str(row->help), out);
    put_default(row, out);
}

void put_man_5(struct buf *out) {
    const char *title = "";

    put_head("highgopress.yaml", "5", "configuration of highgopress", out);
    buf_add_str(out,
                ".Sh DESCRIPTION\nThe file that\n.Fl -config\nof\n.Xr highgopress 1\nnames.\n"
                "A dotted key may be nested or written as one.\n"
                "A flag overrides a variable, a variable the file, the file the default.\n"
                "Unknown keys and variables are refused, as are lists, anchors, aliases and tags,\n"
                "and a key that comes twice.\n"
                "Numbers are plain: bytes in\n.Ql _bytes ,\nmilliseconds in\n.Ql _ms .\n");
    for (unsigned i = 0; i < CONFIG_KEYS; i++) {
        const struct config_row *row = config_row((enum config_key)i);

        if (config_group_title(row) != title) {
            if (title[0])
                buf_add_str(out, ".El\n");
            title = config_group_title(row);
            buf_printf(out, ".Ss %s\n.Bl -tag -width Ds\n", title);
        }
        put_key(row, out);
    }
    buf_add_str(out, ".El\n.Sh EXAMPLES\n.Bd -literal -offset indent\nhttp: \":8080\"\n"
                     "durability:\n  mode: local\n.Ed\n.Sh SEE ALSO\n.Xr highgopress 1\n");
}
