/* options.c - parse, load, and answer what isn't running the service. */
#include "cli/options.h"

#include <errno.h>
#include <string.h>
#include <sysexits.h>

#include "base/similar.h"
#include "cli/build_info.h"
#include "cli/discovery.h"
#include "cli/events.h"
#include "cli/help.h"
#include "cli/print_config.h"
#include "cli/source.h"
#include "cli/store_url.h"
#include "wire/config_yaml.h"

/* clang-format off */
static const struct option_special specials[] = {
    {"config",       ACTION_RUN,     true,  "Read this YAML file."},
    {"check-config", ACTION_CHECK,   false, "Say whether the configuration is valid, and exit."},
    {"print-config", ACTION_PRINT,   false, "Print the configuration and where it came from, and exit."},
    {"help",         ACTION_HELP,    false, "Print the flags and keys, and exit."},
    {"version",      ACTION_VERSION, false, "Print the version, and exit."},
};
/* clang-format on */

const struct option_special *options_specials(size_t *out_count) {
    *out_count = ARRAY_LEN(specials);
    return specials;
}

/* The arguments not looked at yet. */
struct args {
    int count;
    char *const *next;
    struct config *cfg;
    struct options *out;
    struct config_problems *problems;
};

static void parse_role(const char *name, struct options *out, struct config_problems *problems) {
    enum role role = role_find(name);

    if (role != ROLES)
        out->role = role;
    else
        config_problem(problems, "there is no role \"%s\"; it is one of %s", name, role_names());
}

static void refuse_flag(const char *name, const struct options *options,
                        struct config_problems *problems) {
    struct similar near = similar_to(name);

    for (unsigned i = 0; i < TOOL_FLAGS; i++)
        if (tool_flag_row((enum tool_flag)i)->tools & 1u << options->tool.tool)
            similar_offer(&near, tool_flag_row((enum tool_flag)i)->name);

    for (size_t i = 0; i < ARRAY_LEN(specials); i++)
        similar_offer(&near, specials[i].name);
    for (unsigned i = 0; i < CONFIG_KEYS; i++)
        if (config_row((enum config_key)i)->flag)
            similar_offer(&near, config_row((enum config_key)i)->flag);
    config_problem(problems, "--%s: there is no such flag%s%s", name,
                   near.found[0] ? "; did you mean --" : "", near.found);
}

/* The flag's value: behind the '=', or the next argument unless that looks
 * like a flag (a value that begins with two dashes needs the '='). */
static const char *take_value(struct args *args, const char *name, const char *inline_value) {
    if (inline_value)
        return inline_value;
    if (args->count == 0 || strncmp(args->next[0], "--", 2) == 0) {
        config_problem(args->problems, "--%s: needs a value", name);
        return NULL;
    }
    args->count--;
    return *args->next++;
}

static void parse_special(struct args *args, const struct option_special *special,
                          const char *inline_value) {
    if (special->takes_file) {
        const char *file = take_value(args, special->name, inline_value);

        args->out->config_file = file ? file : args->out->config_file;
        return;
    }
    if (inline_value)
        config_problem(args->problems, "--%s: takes no value", special->name);
    args->out->action = special->action;
}

static void parse_key(struct args *args, enum config_key key, const char *inline_value) {
    const struct config_row *row = config_row(key);
    const char *value = take_value(args, row->flag, inline_value);

    if (value)
        (void)config_set(args->cfg, row->key, value, (struct config_source){.layer = CONFIG_FLAG},
                         args->problems);
}

static void parse_tool_flag(struct args *args, enum tool_flag flag, const char *inline_value) {
    const struct tool_flag_row *row = tool_flag_row(flag);

    args->out->tool.given[flag] = true;
    if (row->argument)
        args->out->tool.value[flag] = take_value(args, row->name, inline_value);
    else if (inline_value)
        config_problem(args->problems, "--%s: takes no value", row->name);
}

/* 'flag' is without its dashes. */
static void parse_flag(struct args *args, const char *flag) {
    const char *equals = strchr(flag, '=');
    size_t len = equals ? (size_t)(equals - flag) : strlen(flag);
    char name[CONFIG_NAME_BYTES];

    (void)snprintf(name, sizeof(name), "%.*s", (int)len, flag);
    for (size_t i = 0; i < ARRAY_LEN(specials); i++) {
        if (strcmp(specials[i].name, name) == 0) {
            parse_special(args, &specials[i], equals ? equals + 1 : NULL);
            return;
        }
    }
    enum tool_flag tool_flag = tool_flag_find(args->out->tool.tool, name);
    if (tool_flag != TOOL_FLAGS) {
        parse_tool_flag(args, tool_flag, equals ? equals + 1 : NULL);
        return;
    }
    enum config_key key = config_find_flag(name);
    if (key != CONFIG_KEYS) {
        parse_key(args, key, equals ? equals + 1 : NULL);
        return;
    }
    refuse_flag(name, args->out, args->problems);
    /* What follows was meant as its value: not shown as an unexpected argument,
     * it may be a URL with a password. */
    if (!equals && args->count > 0 && args->next[0][0] != '-') {
        args->count--;
        args->next++;
    }
}

static void parse_argument(struct args *args, const char *argument) {
    if (strcmp(argument, "-h") == 0)
        args->out->action = ACTION_HELP;
    else if (strncmp(argument, "--", 2) == 0)
        parse_flag(args, argument + 2);
    else
        config_problem(args->problems, "%s: unexpected argument", argument);
}

static bool ends_parsing(enum action action) {
    return action == ACTION_HELP || action == ACTION_VERSION;
}

/* Flags go into 'cfg' as CONFIG_FLAG. Nothing behind --help or --version is looked at. */
static void parse(int argc, char *const argv[], struct config *cfg, struct options *out,
                  struct config_problems *problems) {
    struct args args = {argc - 1, argv + 1, cfg, out, problems};

    *out = (struct options){.role = ROLE_ALL, .action = ACTION_RUN};
    if (argc < 2)
        return;
    out->tool.tool = tool_find(args.next[0]);
    if (out->tool.tool != TOOL_NONE)
        out->action = ACTION_TOOL;
    if (out->action == ACTION_TOOL) {
        args.count--;
        args.next++;
    }
    if (args.count > 0 && args.next[0][0] != '-') {
        parse_role(args.next[0], out, problems);
        args.count--;
        args.next++;
    }
    while (args.count > 0 && !ends_parsing(out->action)) {
        args.count--;
        parse_argument(&args, *args.next++);
    }
}

/* Reads at most one byte more than is allowed, for the parser to refuse. */
static void load_file(const char *path, struct config *cfg, struct config_problems *problems) {
    struct buf text = {0};
    FILE *file = fopen(path, "re");

    if (!file) {
        config_problem(problems, "%s: %s", path, strerror(errno));
        return;
    }
    if (buf_reserve(&text, CONFIG_YAML_BYTES_MAX + 1))
        text.len = fread(text.ptr, 1, CONFIG_YAML_BYTES_MAX + 1, file);
    if (buf_failed(&text) || ferror(file))
        config_problem(problems, "%s: %s", path, strerror(errno));
    else
        config_yaml_read(cfg, buf_slice(&text), CONFIG_FILE, path, problems);
    (void)fclose(file);
    buf_release(&text);
}

static void say_problems(const struct config_problems *problems, FILE *err) {
    (void)fputs(problems->text, err);
    (void)fprintf(err, BUILD_NAME ": %u problem%s with the configuration\n", problems->count,
                  problems->count == 1 ? "" : "s");
}

/* EX_OK, or EX_IOERR when the text didn't get out (a full disk, a closed pipe). */
static int say(struct buf *text, FILE *out) {
    size_t written = fwrite(text->ptr, 1, text->len, out);
    bool failed = buf_failed(text) || written != text->len || fflush(out) != 0;

    buf_release(text);
    return failed ? EX_IOERR : EX_OK;
}

static int answer(enum action action, const struct config *cfg, FILE *out) {
    struct buf text = {0};

    if (action == ACTION_HELP)
        help_print(&text);
    else if (action == ACTION_VERSION)
        version_print(&text);
    else if (action == ACTION_PRINT)
        print_config(cfg, &text);
    else
        buf_add_str(&text, "configuration ok\n");
    return say(&text, out);
}

static bool is_canary(enum role role, const struct config *cfg) {
    struct role_parts parts = role_parts(role, cfg);

    return parts.core && parts.counters;
}

static void load_layers(const struct invocation *invocation, const struct options *options,
                        struct slice kv, const char *kv_name, struct config *cfg,
                        struct config_problems *problems) {
    role_defaults(options->role, cfg, problems);
    if (options->config_file)
        load_file(options->config_file, cfg, problems);
    if (kv.ptr)
        config_yaml_read(cfg, kv, CONFIG_KV, kv_name, problems);
    config_load_env(cfg, invocation->environment, problems);
    /* The rules between keys say nothing useful about values that are wrong
     * by themselves. */
    if (problems->count == 0)
        config_validate(cfg, problems);
    if (problems->count == 0 && role_parts(options->role, cfg).core)
        store_url_check(cfg, problems);
    if (problems->count == 0 && is_canary(options->role, cfg))
        store_url_check_shared(cfg, problems);
    if (problems->count == 0 && options->role == ROLE_ANALYTICS)
        source_check(cfg, problems);
    else if (problems->count == 0 && options->action != ACTION_TOOL)
        events_check(cfg, problems);
    if (problems->count == 0)
        discovery_check(cfg, problems);
}

void options_assemble(const struct invocation *invocation, const struct options *options,
                      struct slice kv, const char *kv_name, struct config *cfg,
                      struct config_problems *problems) {
    struct options again;

    config_defaults(cfg);
    parse(invocation->argc, invocation->argv, cfg, &again, problems);
    load_layers(invocation, options, kv, kv_name, cfg, problems);
}

bool options_begin(const struct invocation *invocation, struct config *cfg, struct options *out,
                   int *out_exit) {
    struct config_problems problems = {0};

    config_defaults(cfg);
    parse(invocation->argc, invocation->argv, cfg, out, &problems);
    if (ends_parsing(out->action)) {
        *out_exit = answer(out->action, cfg, invocation->out);
        return false;
    }
    if (problems.count) {
        (void)fputs(problems.text, invocation->err);
        (void)fputs("Try '" BUILD_NAME " --help'.\n", invocation->err);
        *out_exit = EX_USAGE;
        return false;
    }
    load_layers(invocation, out, (struct slice){NULL, 0}, "", cfg, &problems);
    if (problems.count) {
        say_problems(&problems, invocation->err);
        *out_exit = EX_CONFIG;
        return false;
    }
    if (out->action == ACTION_RUN || out->action == ACTION_TOOL)
        return true;
    *out_exit = answer(out->action, cfg, invocation->out);
    return false;
}
