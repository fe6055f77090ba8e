/* config_tool.c - verbs, and what they need of the command line. */
#include "cli/config_tool.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "cli/build_info.h"
#include "cli/config_store.h"
#include "wire/config_yaml.h"

#define TOOL_WORDS_MAX 3
#define NOT_THERE      1
#define FLAGS_MAX      64

struct config_run {
    const struct invocation *invocation;
    struct config *config; /* of this call: where Consul is */
    struct config_store store;
    const char *words[TOOL_WORDS_MAX]; /* behind the verb */
    unsigned count;
    enum role role;
    struct buf text; /* the file's */
};

static int fail(const struct config_run *tool, int code, const char *what, const char *why) {
    (void)fprintf(tool->invocation->err, BUILD_NAME " config: %s%s%s\n", what, why ? ": " : "",
                  why ? why : "");
    return code;
}

static int consul_failed(struct config_run *tool) {
    return fail(tool, EX_UNAVAILABLE, "Consul", tool->store.problem);
}

/* ---- documents ---- */

static bool read_stream(FILE *file, struct buf *out) {
    if (buf_reserve(out, CONFIG_YAML_BYTES_MAX + 1))
        out->len = fread(out->ptr, 1, CONFIG_YAML_BYTES_MAX + 1, file);
    return !buf_failed(out) && !ferror(file);
}

static int read_file(struct config_run *tool) {
    const char *path = tool->words[1];
    assert(path); /* the verb's least */
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(path, "re");

    if (!file)
        return fail(tool, EX_NOINPUT, path, strerror(errno));
    bool ok = read_stream(file, &tool->text);
    if (!is_stdin)
        (void)fclose(file);
    return ok ? EX_OK : fail(tool, EX_NOINPUT, path, "can't be read");
}

/* As a process of this role would take it, without what is that process's own. */
static bool parse(enum role role, struct slice text, struct config *out,
                  struct config_problems *problems) {
    config_defaults(out);
    role_defaults(role, out, problems);
    config_yaml_read(out, text, CONFIG_KV, "document", problems);
    if (problems->count == 0)
        config_validate(out, problems);
    return problems->count == 0;
}

static int check(struct config_run *tool, struct slice text) {
    struct config *config = calloc(1, sizeof(*config));
    struct config_problems *problems = calloc(1, sizeof(*problems));
    int code = EX_OSERR;

    if (config && problems) {
        code = parse(tool->role, text, config, problems) ? EX_OK : EX_CONFIG;
        (void)fputs(problems->text, tool->invocation->err);
    }
    free(config);
    free(problems);
    return code;
}

/* ---- verbs ---- */

static int do_validate(struct config_run *tool) {
    int code = check(tool, buf_slice(&tool->text));

    if (code == EX_OK)
        (void)fprintf(tool->invocation->out, "configuration ok\n");
    return code;
}

static int do_get(struct config_run *tool) {
    struct config_document document;

    if (!config_store_read(&tool->store, tool->role, &document))
        return consul_failed(tool);
    if (!document.exists)
        return fail(tool, NOT_THERE, "nothing is configured for this role", NULL);
    (void)fwrite(document.text.ptr, 1, document.text.len, tool->invocation->out);
    buf_release(&document.text);
    return EX_OK;
}

static int put(struct config_run *tool, struct slice text) {
    unsigned version = 0;
    int code = check(tool, text);

    if (code != EX_OK)
        return fail(tool, code, "refused: nothing has changed", NULL);
    switch (config_store_put(&tool->store, tool->role, text, &version)) {
    case CONFIG_STORE_OK:
        (void)fprintf(tool->invocation->out, "version %u\n", version);
        return EX_OK;
    case CONFIG_STORE_RACED:
        return fail(tool, EX_TEMPFAIL,
                    "somebody else has changed it meanwhile: look, and try again", NULL);
    default:
        return consul_failed(tool);
    }
}

static int do_put(struct config_run *tool) {
    return put(tool, buf_slice(&tool->text));
}

static void print_value(struct config_run *tool, const char *sign, const struct config *config,
                        enum config_key key) {
    struct buf value = {0};

    if (config->source[key].layer != CONFIG_KV)
        return;
    config_print_value(config, key, &value);
    (void)fprintf(tool->invocation->out, "%s %s: %.*s\n", sign, config_row(key)->key,
                  SLICE_ARGS(buf_slice(&value)));
    buf_release(&value);
}

static bool print_differences(struct config_run *tool, const struct config *old,
                              const struct config *new) {
    bool any = false;

    for (unsigned i = 0; i < CONFIG_KEYS; i++) {
        enum config_key key = (enum config_key)i;
        bool was = old->source[key].layer == CONFIG_KV;
        bool is = new->source[key].layer == CONFIG_KV;

        if ((!was && !is) || (was && is && !config_differs(old, new, key)))
            continue;
        any = true;
        print_value(tool, "-", old, key);
        print_value(tool, "+", new, key);
    }
    return any;
}

static int compare(struct config_run *tool, struct slice old_text) {
    struct config *configs = calloc(2, sizeof(*configs));
    struct config_problems *problems = calloc(1, sizeof(*problems));
    int code = EX_OSERR;

    if (configs && problems) {
        /* What is there may have been put by other means, and be wrong: then all of it differs. */
        if (!parse(tool->role, old_text, &configs[0], problems))
            config_defaults(&configs[0]);
        *problems = (struct config_problems){.count = 0};
        code = EX_CONFIG;
        if (parse(tool->role, buf_slice(&tool->text), &configs[1], problems))
            code = print_differences(tool, &configs[0], &configs[1]) ? NOT_THERE : EX_OK;
        (void)fputs(problems->text, tool->invocation->err);
    }
    free(configs);
    free(problems);
    return code;
}

static int do_diff(struct config_run *tool) {
    struct config_document document;

    if (!config_store_read(&tool->store, tool->role, &document))
        return consul_failed(tool);
    int code = compare(tool, buf_slice(&document.text));
    buf_release(&document.text);
    return code;
}

static int do_list(struct config_run *tool) {
    for (unsigned i = 0; i < ROLES; i++) {
        struct config_document document;

        if (!config_store_read(&tool->store, (enum role)i, &document))
            return consul_failed(tool);
        if (document.exists)
            (void)fprintf(tool->invocation->out, "%s version %u, %zu bytes\n",
                          role_name((enum role)i), document.version, document.text.len);
        buf_release(&document.text);
    }
    return EX_OK;
}

static void print_version(void *ctx, const struct config_version *version) {
    struct config_run *tool = ctx;
    time_t at = (time_t)version->at_s;
    char when[32] = "";
    struct tm utc;

    if (gmtime_r(&at, &utc))
        (void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &utc);
    (void)fprintf(tool->invocation->out, "version %u %s\n", version->number, when);
}

static int do_history(struct config_run *tool) {
    return config_store_history(&tool->store, tool->role, print_version, tool)
               ? EX_OK
               : consul_failed(tool);
}

static int do_rollback(struct config_run *tool) {
    struct config_document document;
    struct buf text = {0};
    unsigned wanted = 0;

    if (!config_store_read(&tool->store, tool->role, &document))
        return consul_failed(tool);
    buf_release(&document.text);
    if (tool->count > 1)
        wanted = (unsigned)strtoul(tool->words[1], NULL, 10);
    else if (document.version > 1)
        wanted = document.version - 1;
    if (!wanted)
        return fail(tool, EX_USAGE, "there is no version to go back to", NULL);
    bool found = false;
    if (!config_store_read_version(&tool->store, tool->role, wanted, &text, &found))
        return consul_failed(tool);
    int code = found ? put(tool, buf_slice(&text))
                     : fail(tool, NOT_THERE, "there is no such version", NULL);
    buf_release(&text);
    return code;
}

static int do_watch(struct config_run *tool) {
    struct config_document document;
    uint64_t index = 0;

    while (config_store_wait(&tool->store, tool->role, &index, &document)) {
        if (document.exists)
            (void)fprintf(tool->invocation->out, "version %u, %zu bytes\n", document.version,
                          document.text.len);
        else
            (void)fprintf(tool->invocation->out, "nothing is configured\n");
        (void)fflush(tool->invocation->out);
        buf_release(&document.text);
    }
    return consul_failed(tool);
}

static const struct verb {
    const char *name;
    int (*run)(struct config_run *tool);
    unsigned least; /* words */
    unsigned most;
    bool has_file; /* the second one */
    bool offline;
} verbs[] = {
    {"get", do_get, 1, 1, false, false},         {"put", do_put, 2, 2, true, false},
    {"diff", do_diff, 2, 2, true, false},        {"list", do_list, 0, 0, false, false},
    {"history", do_history, 1, 1, false, false}, {"rollback", do_rollback, 1, 2, false, false},
    {"watch", do_watch, 1, 1, false, false},     {"validate", do_validate, 2, 2, true, true},
};

const char *config_tool_verb(unsigned i) {
    return i < ARRAY_LEN(verbs) ? verbs[i].name : NULL;
}

/* ---- the command line ---- */

static int usage(const struct config_run *tool) {
    (void)fprintf(tool->invocation->err,
                  "usage: " BUILD_NAME " config list [flags]\n"
                  "       " BUILD_NAME " config get|history|watch ROLE [flags]\n"
                  "       " BUILD_NAME " config put|diff|validate ROLE FILE [flags]\n"
                  "       " BUILD_NAME " config rollback ROLE [VERSION] [flags]\n"
                  "ROLE is %s; FILE - is standard input; --discovery consul://HOST:PORT,\n"
                  "or HGP_DISCOVERY, says where Consul is.\n",
                  role_names());
    return EX_USAGE;
}

static const struct verb *find_verb(const char *name) {
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

/* The flags as a service has them; their sources are the same. False: exit with '*out_code'. */
static bool read_flags(struct config_run *tool, int first, int *out_code) {
    const struct invocation *own = tool->invocation;
    char *argv[FLAGS_MAX + 1] = {own->argv[0]};
    struct invocation flags = *own;
    struct options options;

    flags.argc = own->argc - first + 1;
    flags.argv = argv;
    if (flags.argc > FLAGS_MAX) {
        *out_code = usage(tool);
        return false;
    }
    for (int i = 1; i < flags.argc; i++)
        argv[i] = own->argv[first + i - 1];
    return options_begin(&flags, tool->config, &options, out_code);
}

static int run_verb(struct config_run *tool, const struct verb *verb) {
    int code = verb->has_file ? read_file(tool) : EX_OK;

    if (code != EX_OK || verb->offline)
        return code == EX_OK ? verb->run(tool) : code;
    if (!consul_is(tool->config->discovery_url))
        return fail(tool, EX_USAGE, "--discovery consul://HOST:PORT says where Consul is", NULL);
    const char *problem = config_store_open(&tool->store, tool->config);
    if (problem)
        return fail(tool, EX_CONFIG, "Consul", problem);
    code = verb->run(tool);
    config_store_close(&tool->store);
    return code;
}

int config_tool(const struct invocation *invocation, struct config *config) {
    struct config_run tool = {.invocation = invocation, .config = config, .role = ROLES};
    const struct verb *verb = invocation->argc > 2 ? find_verb(invocation->argv[2]) : NULL;
    int at = 3;

    if (!verb)
        return usage(&tool);
    for (; at < invocation->argc && strncmp(invocation->argv[at], "--", 2) != 0; at++) {
        if (tool.count == verb->most)
            return usage(&tool);
        tool.words[tool.count++] = invocation->argv[at];
    }
    if (tool.count < verb->least)
        return usage(&tool);
    if (tool.count)
        tool.role = role_find(tool.words[0]);
    if (tool.count && tool.role == ROLES)
        return usage(&tool);
    int code = EX_USAGE;
    if (!read_flags(&tool, at, &code))
        return code;
    code = run_verb(&tool, verb);
    buf_release(&tool.text);
    return fflush(invocation->out) == 0 ? code : EX_IOERR;
}
