/* recover.c - look at all lanes, say what there is, do it if asked. */
#include "cli/recover.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sysexits.h>

#include "base/log.h"
#include "cli/events.h"
#include "cli/recover_internal.h"
#include "cli/store_url.h"

static const struct redis_scripts scripts = {{&redis_script_recover}};

struct counts {
    uint32_t back;  /* lanes that can be brought forward, */
    uint32_t stuck; /* and that can't */
    uint64_t lost;
};

/* ---- looking ---- */

static enum err compare(void *ctx, const struct event *event) {
    return rewind_compare(ctx, event);
}

static enum err take_outbox(void *ctx, const struct event *event) {
    return rewind_take_outbox(ctx, event);
}

static int no_memory(const struct recover *recover) {
    return verify_give_up(&recover->tool, EX_OSERR, "out of memory");
}

static int begin(struct recover *recover) {
    int code = reading_open(&recover->redis);

    if (code != EX_OK)
        return code;
    recover->rewind = rewind_new(recover->redis.layout.lanes);
    if (!recover->rewind)
        return no_memory(recover);
    for (uint32_t i = 0; i < recover->redis.layout.lanes; i++)
        rewind_store(recover->rewind, i, recover->redis.at[i]);
    return EX_OK;
}

/* What is to be given out anew is kept in memory; so it is looked for when it is known to be
 * needed. */
static int look(struct recover *recover) {
    int code = recover_topic(recover, rewind_hear);

    if (code == EX_OK)
        code = reading_outbox(&recover->redis, compare, recover->rewind);
    if (code != EX_OK || !rewind_judge(recover->rewind))
        return code;
    code = recover_topic(recover, rewind_take_topic);
    if (code == EX_OK)
        code = reading_outbox(&recover->redis, take_outbox, recover->rewind);
    if (code == EX_OK && rewind_finish(recover->rewind) != ERR_OK)
        code = no_memory(recover);
    return code;
}

/* ---- telling ---- */

static const char *why_not(enum rewind_fate fate) {
    switch (fate) {
    case REWIND_LACKS:
        return "the topic lacks some of the events that the store has lost";
    case REWIND_GONE:
        return "what the store has counted since is neither in its outbox nor in the topic";
    case REWIND_TWICE:
        return "it has gone back more than once: several events have one number";
    case REWIND_RANGE:
        return "a counter would leave the range of 64 bits";
    default:
        return "";
    }
}

static void tell_lane(const struct recover *recover, uint32_t number,
                      const struct rewind_lane *lane) {
    FILE *out = recover->tool.out;

    (void)fprintf(out,
                  "lane %" PRIu32 ": the topic has come to %" PRIu64 "-%" PRIu64
                  ", the store to %" PRIu64 "-%" PRIu64 ", both have %" PRIu64 "-%" PRIu64,
                  number, lane->topic.epoch, lane->topic.seq, lane->store.epoch, lane->store.seq,
                  lane->shared.epoch, lane->shared.seq);
    if (lane->fate == REWIND_BACK)
        (void)fprintf(out,
                      ": %" PRIu64 " events are lost; epoch %" PRIu64 " begins with %" PRIu64 "\n",
                      lane->lost, lane->epoch, lane->again);
    else
        (void)fprintf(out, "; it can't be brought forward: %s\n", why_not(lane->fate));
}

static int tell(struct recover *recover, struct counts *counts) {
    int code = EX_OK;

    for (uint32_t i = 0; code == EX_OK && i < recover->redis.layout.lanes; i++) {
        struct rewind_lane lane;
        bool good = true;

        rewind_lane(recover->rewind, i, &lane);
        if (lane.fate == REWIND_IN_STEP)
            continue;
        tell_lane(recover, i, &lane);
        if (lane.fate == REWIND_BACK)
            code = recover_look(recover, i, &good);
        if (!good)
            (void)fprintf(recover->tool.out, "  %s\n", why_not(REWIND_RANGE));
        counts->back += lane.fate == REWIND_BACK && good;
        counts->stuck += lane.fate != REWIND_BACK || !good;
        counts->lost += lane.lost;
    }
    return code;
}

/* ---- the whole ---- */

static int apply(struct recover *recover) {
    int code = EX_OK;

    for (uint32_t i = 0; code == EX_OK && i < recover->redis.layout.lanes; i++) {
        struct rewind_lane lane;

        rewind_lane(recover->rewind, i, &lane);
        if (lane.fate == REWIND_BACK)
            code = recover_lane(recover, i);
    }
    return code;
}

static int conclude(struct recover *recover, const struct counts *counts) {
    bool applied = recover->tool.options->given[TOOL_FLAG_APPLY];
    FILE *out = recover->tool.out;
    int code = EX_OK;

    if (counts->back + counts->stuck == 0) {
        (void)fprintf(out, "%s is in step with its events: nothing to recover\n",
                      recover->tool.store);
        return EX_OK;
    }
    (void)fprintf(out,
                  "%" PRIu32 " lanes of %" PRIu32 " are back: %" PRIu64 " events, %" PRIu64
                  " counters change\n",
                  counts->back + counts->stuck, recover->redis.layout.lanes, counts->lost,
                  recover->changed);
    if (counts->stuck) {
        (void)fprintf(out, "nothing was changed, as %" PRIu32 " of them can't be brought forward\n",
                      counts->stuck);
        return RECOVER_NEEDED;
    }
    if (!applied) {
        (void)fprintf(out, "nothing was changed; with --apply they are brought forward\n");
        return RECOVER_NEEDED;
    }
    code = apply(recover);
    if (code == EX_OK)
        (void)fprintf(out, "all of them were brought forward\n");
    return code;
}

static int run(struct recover *recover) {
    struct counts counts = {0};
    int code = begin(recover);

    if (code == EX_OK)
        code = look(recover);
    if (code == EX_OK)
        code = tell(recover, &counts);
    return code == EX_OK ? conclude(recover, &counts) : code;
}

static int check(struct recover *recover) {
    const struct config *config = recover->tool.config;

    if (!store_url_is_redis(config))
        return verify_give_up(&recover->tool, EX_USAGE, "--store: the address of a Redis");
    if (!events_in_kafka(config))
        return verify_give_up(&recover->tool, EX_USAGE, "--events: the topic that has the events");
    store_name(config, recover->tool.store, sizeof(recover->tool.store));
    return verify_read_wait(&recover->tool);
}

static void release(struct recover *recover) {
    reading_close(&recover->redis);
    rewind_free(recover->rewind);
    buf_release(&recover->key);
    buf_release(&recover->field);
    free(recover);
}

int recover(const struct config *config, const struct tool_options *options, FILE *out, FILE *err) {
    struct recover *recover = calloc(1, sizeof(*recover)); /* too large for a stack */

    if (!recover)
        return EX_OSERR;
    log_setup(LOG_WARN, LOG_CONSOLE);
    recover->tool = (struct verify){.config = config, .options = options, .out = out, .err = err};
    recover->redis.verify = &recover->tool;
    recover->redis.scripts = &scripts;
    int code = check(recover);
    if (code == EX_OK)
        code = run(recover);
    release(recover);
    return code;
}
