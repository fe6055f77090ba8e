/* tool.c - the tables. */
#include "cli/tool.h"

#include <string.h>

#define VERIFY  (1u << TOOL_VERIFY)
#define IMPORT  (1u << TOOL_IMPORT)
#define MOVE    (1u << TOOL_MOVE)
#define RECOVER (1u << TOOL_RECOVER)

static const char *const names[TOOLS] = {
    [TOOL_CONFIG] = "config", [TOOL_HEALTHCHECK] = "healthcheck", [TOOL_IMPORT] = "import",
    [TOOL_MOVE] = "move",     [TOOL_RECOUNT] = "recount",         [TOOL_RECOVER] = "recover",
    [TOOL_VERIFY] = "verify",
};

static const char *const about[TOOLS] = {
    [TOOL_CONFIG] = "Read, write and compare what is configured for a role in Consul's KV.",
    [TOOL_HEALTHCHECK] =
        "Ask the admin listener that these flags, variables and file name whether the service is "
        "ready.",
    [TOOL_IMPORT] = "Copy the counters of Phase 1's Redis (--from) into the store, and compare.",
    [TOOL_MOVE] =
        "Move a partition of the events' topic from one analytics process to another, while "
        "both run; after a failure the same command goes on.",
    [TOOL_RECOUNT] =
        "Have a running process count its analytics anew, from Kafka or from its store; "
        "it answers meanwhile.",
    [TOOL_RECOVER] =
        "Say what a Redis that has gone back lacks of its events in Kafka and, with --apply, bring "
        "it forward; nothing may count there meanwhile.",
    [TOOL_VERIFY] =
        "Compare the store's counters with the sum of their events, and with analytics' totals "
        "(--analytics); all of them may be in use.",
};

/* clang-format off */
static const struct tool_flag_row rows[TOOL_FLAGS] = {
    [TOOL_FLAG_PREFIX] = {"prefix",   "TEXT",  "Only counters whose resource_id begins so.", VERIFY},
    [TOOL_FLAG_LIST]   = {"list",     "FILE",  "Only these counters: a line RESOURCE:TYPE for each, with % and : inside a type written %25 and %3A; - is standard input.", VERIFY},
    [TOOL_FLAG_EACH]   = {"each",     NULL,    "Print every counter, not only those that differ; of those that recover would change, each.", VERIFY | RECOVER},
    [TOOL_FLAG_JSON]   = {"json",     NULL,    "Print one JSON object.", VERIFY},
    [TOOL_FLAG_STRICT] = {"strict",   NULL,    "Nobody else writes in this Redis: a change that no event tells of is drift, not external.", VERIFY},
    [TOOL_FLAG_WAIT]   = {"wait",     "SECONDS", "How long to wait for events that are still on their way, from the last one that came; 30 unless given.", VERIFY | RECOVER},
    [TOOL_FLAG_FROM]   = {"from",     "URL",   "The Redis to copy from: redis://, rediss:// (with redis_tls), redis+unix:// or redis-sentinel://.", IMPORT},
    [TOOL_FLAG_FROM_PASSWORD] = {"from-password", "FILE", "Its password is this file's first line; only the caller may read it.", IMPORT},
    [TOOL_FLAG_PARTITION] = {"partition", "N", "The partition of the topic.", MOVE},
    [TOOL_FLAG_MOVE_FROM] = {"from", "HOST:PORT", "The gRPC port of the analytics process that has it.", MOVE},
    [TOOL_FLAG_MOVE_TO]   = {"to", "HOST:PORT", "The gRPC port of the one that gets it.", MOVE},
    [TOOL_FLAG_CANCEL]    = {"cancel", NULL, "It stays where it is, unless it has been given away.", MOVE},
    [TOOL_FLAG_APPLY]     = {"apply", NULL, "Do it, lane by lane; without it nothing is written.", RECOVER},
};
/* clang-format on */

enum tool tool_find(const char *name) {
    for (unsigned i = TOOL_NONE + 1; i < TOOLS; i++)
        if (strcmp(names[i], name) == 0)
            return (enum tool)i;
    return TOOL_NONE;
}

const char *tool_name(enum tool tool) {
    return names[tool];
}

const char *tool_about(enum tool tool) {
    return about[tool];
}

const struct tool_flag_row *tool_flag_row(enum tool_flag flag) {
    return &rows[flag];
}

enum tool_flag tool_flag_find(enum tool tool, const char *name) {
    unsigned i = 0;

    while (i < TOOL_FLAGS && !((rows[i].tools & 1u << tool) && strcmp(rows[i].name, name) == 0))
        i++;
    return (enum tool_flag)i;
}
