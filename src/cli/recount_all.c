/* recount_all.c - a second service, and the change over. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "cli/events.h"
#include "cli/recount_internal.h"
#include "core/consumers.h"

#define LOOK_MS 20
/* What was counted once and doesn't come by then won't; nor does it get into the topic. */
#define MISSING_MS 60000
/* Mostly it isn't behind any more by then, and no broker need be asked where the topic ends. */
#define ASK_MS 500
/* Nothing is read for so long at most; then it is tried again. */
#define HOLD_MS 10000
/* So far behind it may be for that. */
#define NEAR_MS (HOLD_MS / 2)

/* What it has of its own is then not what the configuration says. */
#define PARTITION_MOVED                                                                            \
    "a partition was moved from or to this process: it can be counted anew only in an empty "      \
    "folder, with the partitions that are its own in analytics.partitions"

struct beside {
    struct recount *recount;
    struct analytics_part part; /* the second service's folder and feed */
    struct metrics *metrics;    /* its own: what it counts was counted before */
    char folder[CONFIG_TEXT_BYTES + 32];
    char name[ROCKS_TALLY_NAME_BYTES]; /* of the first one's folder: it stays */
    int64_t moved_ms;                  /* when an event came last */
    struct recount_end end;            /* of the topic, where there is one */
    int64_t began_ms;                  /* this time, to catch up */
    char *problem;
    size_t problem_size;
};

__attribute__((format(printf, 2, 3))) static bool fail(struct beside *beside, const char *fmt,
                                                       ...) {
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(beside->problem, beside->problem_size, fmt, args);
    va_end(args);
    return false;
}

static bool from_kafka(const struct recount_conf *conf) {
    return events_in_kafka(conf->config);
}

static bool from_counter(const struct recount_conf *conf) {
    return !conf->store && source_is_counter(conf->config);
}

static void folder_of(const struct config *config, const char *name, char *out, size_t size) {
    (void)snprintf(out, size, "%s/%s", config->data, name);
}

#define LIVE   "analytics"
#define BESIDE "analytics.recount"

static enum err tidy_folder(const struct config *config) {
    char folder[CONFIG_TEXT_BYTES + 32];

    folder_of(config, BESIDE, folder, sizeof(folder));
    return rocks_tally_remove(folder);
}

void recount_tidy(const struct config *config, struct store_feed *feed) {
    enum err err = tidy_folder(config);

    if (err == ERR_OK && feed->store)
        err = store_feed_forget(feed);
    if (err != ERR_OK)
        log_line(LOG_WARN, "what a recount has left could not be removed",
                 LOG_STR("folder", config->data));
}

/* ---- the second service ---- */

struct neighbour {
    struct source *source;
    bool there;
};

static void tell_neighbour(void *ctx) {
    const struct neighbour *neighbour = ctx;

    source_beside(neighbour->source, neighbour->there);
}

/* The counter keeps what the second service has not read, from now on or not any more. */
static bool tell_counter(const struct recount_conf *conf, bool there) {
    struct neighbour neighbour = {&conf->part->source, there};

    return analytics_pause(conf->part->service, tell_neighbour, &neighbour);
}

static bool open_stream(struct beside *beside) {
    const struct recount_conf *conf = &beside->recount->conf;

    if (!tell_counter(conf, true))
        return fail(beside, "analytics has stopped (the log says why)");
    beside->part.source.config = conf->config;
    beside->part.source.resolver = conf->part->source.resolver;
    beside->part.source.tls = conf->part->source.tls;
    beside->part.source.recount = true;
    return true;
}

static bool open_feed(struct beside *beside, uint32_t lanes) {
    const struct recount_conf *conf = &beside->recount->conf;
    const char *problem = NULL;

    if (from_counter(conf))
        return open_stream(beside);
    if (!from_kafka(conf)) {
        beside->part.beside = conf->part->recounted;
        return true;
    }
    beside->part.source.config = conf->config;
    beside->part.source.lanes = conf->store ? lanes : 0;
    problem = source_open(&beside->part.source);
    return !problem || fail(beside, "%s", problem);
}

static bool open_beside(struct beside *beside, uint32_t lanes) {
    const struct recount_conf *conf = &beside->recount->conf;
    const char *detail = NULL;

    store_feed_close(&conf->part->recounted); /* it may still be given up */
    if (tidy_folder(conf->config) != ERR_OK)
        return fail(beside, "what an earlier recount has left can't be removed");
    beside->metrics = metrics_new(1);
    if (!beside->metrics)
        return fail(beside, "out of memory");
    if (!open_feed(beside, lanes))
        return false;
    if (analytics_part_open_folder(&beside->part, conf->config, beside->folder, &detail) != ERR_OK)
        return fail(beside, "%s", detail);
    enum err err = analytics_part_start(&beside->part, conf->config, beside->metrics, 0);
    return err == ERR_OK || fail(beside, "it can't be started: %s", err_text(err));
}

static void close_beside(struct beside *beside) {
    const struct recount_conf *conf = &beside->recount->conf;

    if (beside->part.service)
        analytics_stop(beside->part.service);
    rocks_tally_close(beside->part.rocks);
    metrics_free(beside->metrics);
    recount_end_release(&beside->end);
    explicit_bzero(&beside->part.source.url, sizeof(beside->part.source.url));
    recount_tidy(conf->config, &conf->part->recounted);
    if (from_counter(conf))
        (void)tell_counter(conf, false); /* one that has stopped is told of at the next start */
}

/* ---- how far it is ---- */

static bool reach(struct beside *beside, struct analytics_service *service,
                  struct analytics_reached *out) {
    return analytics_reach(service, out) ||
           fail(beside, service == beside->part.service
                            ? "the events can't be counted (the log says why)"
                            : "analytics has stopped (the log says why)");
}

/* Not where its partition isn't read any more: what was counted of it is left out now. */
static bool is_behind(const struct analytics_reached *live, const struct analytics_reached *own,
                      uint32_t lane) {
    bool read = !own->partitions || own->next[lane % own->partitions] != INT64_MAX;

    return read && live->at[lane].seq != 0 && event_position_less(own->at[lane], live->at[lane]);
}

/* The first lane that is behind; 'lanes': none. */
static uint32_t first_behind(const struct analytics_reached *live,
                             const struct analytics_reached *own) {
    uint32_t i = 0;

    while (i < live->lanes && !is_behind(live, own, i))
        i++;
    return i;
}

static bool check_source(struct beside *beside, const struct analytics_reached *live,
                         const struct analytics_reached *own) {
    if (live->moved)
        return fail(beside, PARTITION_MOVED);
    if (own->halted)
        return fail(beside, "an event is missing (the log says which)");
    if (own->lanes && live->lanes && (own->store_id != live->store_id || own->lanes != live->lanes))
        return fail(beside, "the events are another store's");
    return true;
}

static bool missing(struct beside *beside, const struct analytics_reached *live,
                    const struct analytics_reached *own, uint32_t lane) {
    if (!own->lanes)
        return fail(beside, "no event has come for %d s", MISSING_MS / 1000);
    return fail(beside,
                "events that were counted are not there: lane %u comes to %llu-%llu, and no "
                "further; it was counted to %llu-%llu",
                lane, (unsigned long long)own->at[lane].epoch,
                (unsigned long long)own->at[lane].seq, (unsigned long long)live->at[lane].epoch,
                (unsigned long long)live->at[lane].seq);
}

static bool not_shipped(struct beside *beside) {
    return fail(beside,
                "what was counted has not come into the topic for %d s, or no broker answers: is "
                "the relay at work?",
                MISSING_MS / 1000);
}

/* A lane that is behind though the topic was read to its end: one that nothing has come of takes
 * what the first one has, and the next look tells; else there is a gap. */
static bool settle(struct beside *beside, const struct analytics_reached *live,
                   const struct analytics_reached *own) {
    int64_t behind_ms = clock_mono_ms() - beside->began_ms;

    if (behind_ms < ASK_MS)
        return true;
    if (!recount_end_known(&beside->end, live))
        return behind_ms < MISSING_MS || not_shipped(beside);
    if (own->partitions && own->partitions != beside->end.partitions)
        return fail(beside, "the topic was given more partitions meanwhile: ask again");
    if (!recount_end_reached(&beside->end, own))
        return true;
    for (uint32_t i = 0; i < live->lanes; i++) {
        if (!is_behind(live, own, i))
            continue;
        if (own->at[i].epoch != 0)
            return missing(beside, live, own, i);
        (void)analytics_pass(beside->part.service, i, live->at[i]);
    }
    return true;
}

/* '*out_there': it isn't behind 'live' in any lane. False: it never will be. */
static bool compare(struct beside *beside, const struct analytics_reached *live, bool *out_there) {
    struct analytics_reached own = {0};
    bool fine = reach(beside, beside->part.service, &own);

    *out_there = false;
    if (!fine)
        return false;
    if (atomic_exchange(&beside->recount->events, own.events) != own.events)
        beside->moved_ms = clock_mono_ms();
    fine = check_source(beside, live, &own);
    if (fine && (!live->lanes || own.lanes)) {
        uint32_t lane = first_behind(live, &own);

        *out_there = lane == live->lanes;
        if (!*out_there && from_kafka(&beside->recount->conf))
            fine = settle(beside, live, &own);
        if (fine && !*out_there && clock_mono_ms() - beside->moved_ms >= MISSING_MS)
            fine = missing(beside, live, &own, lane);
    } else if (fine && clock_mono_ms() - beside->moved_ms >= MISSING_MS) {
        fine = missing(beside, live, &own, 0);
    }
    analytics_reached_release(&own);
    return fine;
}

static void rest(void) {
    struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};

    (void)nanosleep(&pause, NULL);
}

/* Until it is where the first one is now, which goes on meanwhile, or 'until_ms' has come. */
static bool catch_up(struct beside *beside, int64_t until_ms, bool *out_there) {
    struct analytics_reached live = {0};
    bool fine = reach(beside, beside->recount->conf.part->service, &live);

    recount_end_forget(&beside->end);
    beside->began_ms = clock_mono_ms();
    fine = fine && compare(beside, &live, out_there);

    while (fine && !*out_there && clock_mono_ms() < until_ms) {
        rest();
        if (atomic_load(&beside->recount->stopping))
            fine = fail(beside, "the process ends");
        else
            fine = compare(beside, &live, out_there);
    }
    analytics_reached_release(&live);
    return fine;
}

/* Until it is so little behind that the first one can stand still for it: under load it never is
 * not behind, as a topic is behind its store. */
static bool come_near(struct beside *beside) {
    int64_t began_ms;

    do {
        bool there = false;

        began_ms = clock_mono_ms();
        if (!catch_up(beside, INT64_MAX, &there))
            return false;
    } while (clock_mono_ms() - began_ms > NEAR_MS);
    return true;
}

/* ---- the change over ---- */

static bool open_live(struct beside *beside) {
    const struct config *config = beside->recount->conf.config;
    struct analytics_part *part = beside->recount->conf.part;
    char folder[sizeof(beside->folder)];
    const char *detail = NULL;

    folder_of(config, LIVE, folder, sizeof(folder));
    if (analytics_part_open_folder(part, config, folder, &detail) == ERR_OK)
        return true;
    log_line(LOG_ERROR, "analytics can't open its folder again", LOG_STR("detail", detail));
    return false;
}

/* On the service's thread: questions wait. */
static struct tally_store *exchange(void *ctx, bool may, bool *out_taken) {
    struct beside *beside = ctx;
    struct analytics_part *part = beside->recount->conf.part;
    char folder[sizeof(beside->folder)];

    folder_of(beside->recount->conf.config, LIVE, folder, sizeof(folder));
    rocks_tally_close(beside->part.rocks);
    beside->part.rocks = NULL;
    rocks_tally_close(part->rocks);
    part->rocks = NULL;
    *out_taken = may && rocks_tally_rename(beside->folder, beside->name) == ERR_OK &&
                 rocks_tally_exchange(folder, beside->folder) == ERR_OK;
    if (!may)
        (void)fail(beside, PARTITION_MOVED);
    else if (!*out_taken)
        (void)fail(beside, "the folders can't be exchanged: this file system can't do it");
    return open_live(beside) ? rocks_tally_view(part->rocks) : NULL;
}

static bool take_over(struct beside *beside) {
    struct analytics_service *service = beside->recount->conf.part->service;
    struct analytics_service *from = beside->part.service;

    beside->part.service = NULL;
    enum err err = analytics_take_over(service, from, exchange, beside);
    if (err == ERR_UNAVAILABLE)
        (void)fail(beside, "analytics has stopped (the log says why)");
    return err == ERR_OK;
}

/* True and '*out_done' false: it fell behind, again. */
static bool change_over(struct beside *beside, bool *out_done) {
    struct analytics_service *service = beside->recount->conf.part->service;

    *out_done = false;
    recount_say(beside->recount, "changing over");
    if (!analytics_stand(service, true))
        return fail(beside, "analytics has stopped (the log says why)");
    bool fine = catch_up(beside, clock_mono_ms() + HOLD_MS, out_done);
    if (fine && *out_done)
        return take_over(beside);
    (void)analytics_stand(service, false);
    return fine;
}

static bool count(struct beside *beside) {
    const struct recount_conf *conf = &beside->recount->conf;
    bool done = false;

    beside->moved_ms = clock_mono_ms();
    recount_say(beside->recount, from_kafka(conf) ? "counting the events of the topic"
                                                  : "counting the events of the outbox");
    if (!come_near(beside))
        return false;
    if ((conf->store || from_counter(conf)) && analytics_lacks_values(beside->part.service)) {
        enum err err = recount_take_values(beside->recount, beside->part.service);

        if (err != ERR_OK)
            return fail(beside, "the counters' values can't be had (the log says why): %s",
                        err_text(err));
    }
    while (!done)
        if (!come_near(beside) || !change_over(beside, &done))
            return false;
    return true;
}

bool recount_all(struct recount *recount, char *problem, size_t size) {
    const struct analytics_part *part = recount->conf.part;
    struct beside beside = {.recount = recount,
                            .end = {.conf = &recount->conf},
                            .problem = problem,
                            .problem_size = size};
    struct analytics_reached live = {0};

    (void)snprintf(beside.name, sizeof(beside.name), "%s", part->name);
    folder_of(recount->conf.config, BESIDE, beside.folder, sizeof(beside.folder));
    if (!analytics_reach(part->service, &live))
        return fail(&beside, "analytics has stopped (the log says why): mend that first");
    analytics_reached_release(&live);
    if (live.store_id && !live.lanes)
        return fail(&beside, "nothing has come from its source since it was started (the log says "
                             "why): nobody can tell yet what it must have");
    bool done = open_beside(&beside, live.lanes) && count(&beside);
    close_beside(&beside);
    return done;
}
