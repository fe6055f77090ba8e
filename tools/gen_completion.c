/* gen_completion.c - what shells offer behind `highgopress`: roles, flags, and their values. */
#include <string.h>

#include "base/config.h"
#include "cli/config_tool.h"
#include "cli/options.h"
#include "cli/role.h"
#include "gen.h"

#define MADE "# Made from src/base/config.def by tools/gen_docs; change it there.\n"

static void put_roles(const char *between, struct buf *out) {
    for (unsigned i = 0; i < ROLES; i++)
        buf_printf(out, "%s%s", i ? between : "", role_name((enum role)i));
}

static void put_tools(struct buf *out) {
    for (unsigned i = TOOL_NONE + 1; i < TOOLS; i++)
        buf_printf(out, "%s ", tool_name((enum tool)i));
}

static void put_verbs(struct buf *out) {
    for (unsigned i = 0; config_tool_verb(i); i++)
        buf_printf(out, "%s%s", i ? " " : "", config_tool_verb(i));
}

/* A choice ends where the next begins; one that ends in "..." wants more behind it. */
static void put_choices(const char *choices, struct buf *out) {
    for (const char *c = choices; *c; c++) {
        if (strncmp(c, "...", 3) == 0)
            c += 2;
        else
            buf_add_char(out, *c == '|' ? ' ' : *c);
    }
}

static bool has_values(const struct config_row *row) {
    return row->choices && row->kind == CONFIG_ENUM;
}

static bool is_path(const struct config_row *row) {
    return row->kind == CONFIG_PATH;
}

/* In quotes: our texts have no double quotes, but zsh and fish take some of their other signs. */
static void put_quoted(const char *text, struct buf *out) {
    for (; *text; text++) {
        if (*text == '\'')
            buf_add_str(out, "'\\'");
        if (*text == '[' || *text == ']' || *text == ':')
            buf_add_char(out, '\\');
        buf_add_char(out, *text);
    }
}

/* TOOL or ROLE, TOOL ROLE, config VERB ROLE FILE. */
static void put_bash_words(struct buf *out) {
    buf_add_str(out, "    case $COMP_CWORD:${COMP_WORDS[1]} in\n"
                     "    1:*) COMPREPLY=($(compgen -W '");
    put_tools(out);
    put_roles(" ", out);
    buf_add_str(out, "' -- \"$word\")) ;;\n"
                     "    2:config) COMPREPLY=($(compgen -W '");
    put_verbs(out);
    buf_add_str(out, "' -- \"$word\")) ;;\n    ");
    for (unsigned i = TOOL_NONE + 1; i < TOOLS; i++)
        if (i != TOOL_CONFIG)
            buf_printf(out, "2:%s | ", tool_name((enum tool)i));
    buf_add_str(out, "3:config) COMPREPLY=($(compgen -W '");
    put_roles(" ", out);
    buf_add_str(out, "' -- \"$word\")) ;;\n"
                     "    4:config) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n"
                     "    esac\n");
}

void put_completion_bash(struct buf *out) {
    size_t count;
    const struct option_special *specials = options_specials(&count);

    buf_add_str(out,
                "# shellcheck shell=bash disable=SC2207\n"
                "# highgopress.bash - completion for bash.\n" MADE "_highgopress() {\n"
                "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}\n"
                "    case $before in\n");
    for (unsigned i = 0; i < CONFIG_KEYS; i++) {
        const struct config_row *row = config_row((enum config_key)i);

        if (!row->flag)
            continue;
        buf_printf(out, "    --%s) ", row->flag);
        if (has_values(row)) {
            buf_add_str(out, "COMPREPLY=($(compgen -W '");
            put_choices(row->choices, out);
            buf_add_str(out, "' -- \"$word\")) && return ;;\n");
        } else if (is_path(row)) {
            buf_add_str(out, "COMPREPLY=($(compgen -f -- \"$word\")) && return ;;\n");
        } else {
            buf_add_str(out, "COMPREPLY=() && return ;;\n");
        }
    }
    buf_add_str(out, "    --config) COMPREPLY=($(compgen -f -- \"$word\")) && return ;;\n"
                     "    esac\n    if [[ $word == -* ]]; then\n"
                     "        COMPREPLY=($(compgen -W '");
    for (size_t i = 0; i < count; i++)
        buf_printf(out, "%s--%s", i ? " " : "", specials[i].name);
    for (unsigned i = 0; i < CONFIG_KEYS; i++)
        if (config_row((enum config_key)i)->flag)
            buf_printf(out, " --%s", config_row((enum config_key)i)->flag);
    for (unsigned i = 0; i < TOOL_FLAGS; i++)
        buf_printf(out, " --%s", tool_flag_row((enum tool_flag)i)->name);
    buf_add_str(out, "' -- \"$word\"))\n        return\n    fi\n");
    put_bash_words(out);
    buf_add_str(out, "}\ncomplete -F _highgopress highgopress\n");
}

void put_completion_zsh(struct buf *out) {
    size_t count;
    const struct option_special *specials = options_specials(&count);

    buf_add_str(out, "#compdef highgopress\n" MADE "_arguments \\\n    '1:role:(");
    put_tools(out);
    put_roles(" ", out);
    buf_add_str(out, ")' \\\n    '2:role:{ [[ $words[2] == config ]] && compadd ");
    put_verbs(out);
    buf_add_str(out, " || compadd ");
    put_roles(" ", out);
    buf_add_str(out, " }' \\\n    '3:role:(");
    put_roles(" ", out);
    buf_add_str(out, ")' \\\n    '4:file:_files'");
    for (size_t i = 0; i < count; i++) {
        buf_printf(out, " \\\n    '--%s[", specials[i].name);
        put_quoted(specials[i].help, out);
        buf_printf(out, "]%s'", specials[i].takes_file ? ":file:_files" : "");
    }
    for (unsigned i = 0; i < TOOL_FLAGS; i++) {
        const struct tool_flag_row *row = tool_flag_row((enum tool_flag)i);

        buf_printf(out, " \\\n    '--%s[", row->name);
        put_quoted(row->help, out);
        buf_printf(out, "]%s'", row->argument ? ":value:_files" : "");
    }
    for (unsigned i = 0; i < CONFIG_KEYS; i++) {
        const struct config_row *row = config_row((enum config_key)i);

        if (!row->flag)
            continue;
        buf_printf(out, " \\\n    '--%s[", row->flag);
        put_quoted(row->help, out);
        buf_add_str(out, "]:value:");
        if (has_values(row)) {
            buf_add_char(out, '(');
            put_choices(row->choices, out);
            buf_add_char(out, ')');
        } else if (is_path(row)) {
            buf_add_str(out, "_files");
        }
        buf_add_char(out, '\'');
    }
    buf_add_char(out, '\n');
}

/* For fish, whose single quotes know \' and \\. */
static void put_fish_text(const char *text, struct buf *out) {
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\')
            buf_add_char(out, '\\');
        buf_add_char(out, *text);
    }
}

/* What follows the first word: TOOL ROLE, config VERB ROLE FILE. */
static void put_fish_words(struct buf *out) {
    buf_add_str(out, "complete -c highgopress -n '__fish_seen_subcommand_from config; and not "
                     "__fish_seen_subcommand_from ");
    put_verbs(out);
    buf_add_str(out, "' -a '");
    put_verbs(out);
    buf_add_str(out, "'\ncomplete -c highgopress -n '__fish_seen_subcommand_from ");
    for (unsigned i = TOOL_NONE + 1; i < TOOLS; i++)
        if (i != TOOL_CONFIG)
            buf_printf(out, "%s ", tool_name((enum tool)i));
    put_verbs(out);
    buf_add_str(out, "' -a '");
    put_roles(" ", out);
    buf_add_str(out, "'\ncomplete -c highgopress -n '__fish_seen_subcommand_from put diff "
                     "validate' -F\n");
}

void put_completion_fish(struct buf *out) {
    size_t count;
    const struct option_special *specials = options_specials(&count);

    buf_add_str(out,
                "# highgopress.fish - completion for fish.\n" MADE "complete -c highgopress -f\n");
    for (unsigned i = 0; i < ROLES; i++) {
        buf_printf(out, "complete -c highgopress -n __fish_use_subcommand -a %s -d '",
                   role_name((enum role)i));
        put_fish_text(role_about((enum role)i), out);
        buf_add_str(out, "'\n");
    }
    for (unsigned i = TOOL_NONE + 1; i < TOOLS; i++) {
        buf_printf(out, "complete -c highgopress -n __fish_use_subcommand -a %s -d '",
                   tool_name((enum tool)i));
        put_fish_text(tool_about((enum tool)i), out);
        buf_add_str(out, "'\n");
    }
    for (unsigned i = 0; i < TOOL_FLAGS; i++) {
        const struct tool_flag_row *row = tool_flag_row((enum tool_flag)i);

        buf_add_str(out, "complete -c highgopress -n '__fish_seen_subcommand_from ");
        for (unsigned t = TOOL_NONE + 1; t < TOOLS; t++)
            if (row->tools & 1u << t)
                buf_printf(out, "%s ", tool_name((enum tool)t));
        buf_printf(out, "' -l %s%s -d '", row->name, row->argument ? " -r -F" : "");
        put_fish_text(row->help, out);
        buf_add_str(out, "'\n");
    }
    put_fish_words(out);
    for (size_t i = 0; i < count; i++) {
        buf_printf(out, "complete -c highgopress -l %s%s -d '", specials[i].name,
                   specials[i].takes_file ? " -r -F" : "");
        put_fish_text(specials[i].help, out);
        buf_add_str(out, "'\n");
    }
    for (unsigned i = 0; i < CONFIG_KEYS; i++) {
        const struct config_row *row = config_row((enum config_key)i);

        if (!row->flag)
            continue;
        buf_printf(out, "complete -c highgopress -l %s %s", row->flag, is_path(row) ? "-r" : "-x");
        if (has_values(row)) {
            buf_add_str(out, " -a '");
            put_choices(row->choices, out);
            buf_add_char(out, '\'');
        } else if (is_path(row)) {
            buf_add_str(out, " -F");
        }
        buf_add_str(out, " -d '");
        put_fish_text(row->help, out);
        buf_add_str(out, "'\n");
    }
}
