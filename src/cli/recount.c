/* recount.c - the calls, and one thread at a time. */
#include "cli/recount.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "cli/recount_internal.h"
#include "core/consumers.h"

/* ---- what is told ---- */

void recount_say(struct recount *recount, const char *phase) {
    (void)pthread_mutex_lock(&recount->lock);
    (void)snprintf(recount->phase, sizeof(recount->phase), "%s", phase);
    (void)pthread_mutex_unlock(&recount->lock);
}

static void end(struct recount *recount, enum gateway_recount_state state, const char *detail) {
    (void)pthread_mutex_lock(&recount->lock);
    recount->state = state;
    recount->phase[0] = '\0';
    (void)snprintf(recount->detail, sizeof(recount->detail), "%s", detail);
    (void)pthread_mutex_unlock(&recount->lock);
}

static void status(void *ctx, struct gateway_recount_status *out) {
    struct recount *recount = ctx;

    *out = (struct gateway_recount_status){.events = atomic_load(&recount->events),
                                           .values = atomic_load(&recount->values)};
    (void)pthread_mutex_lock(&recount->lock);
    out->state = recount->state;
    (void)snprintf(out->phase, sizeof(out->phase), "%s", recount->phase);
    (void)snprintf(out->detail, sizeof(out->detail), "%s", recount->detail);
    (void)pthread_mutex_unlock(&recount->lock);
}

/* ---- the values alone ---- */

enum err recount_take_values(struct recount *recount, struct analytics_service *service) {
    const struct store_values values = {.store = recount->conf.store,
                                        .from = &recount->conf.part->source,
                                        .service = service,
                                        .stopping = &recount->stopping,
                                        .taken = &recount->values};

    recount_say(recount, "taking the values of all counters from the store");
    return store_values_take(&values);
}

static void *run_values(void *arg) {
    struct recount *recount = arg;
    enum err err = recount_take_values(recount, recount->conf.part->service);

    if (err == ERR_OK)
        log_line(LOG_INFO, "analytics has taken the values of all counters from the store",
                 LOG_INT("counters", atomic_load(&recount->values)));
    else if (!atomic_load(&recount->stopping))
        log_line(LOG_ERROR,
                 "analytics could not take the values of all counters from the store: rankings of "
                 "all time aren't exact; the next start tries again",
                 LOG_STR("error", err_name(err)));
    end(recount, GATEWAY_RECOUNT_NONE, "");
    return NULL;
}

/* ---- all of it ---- */

static void *run_all(void *arg) {
    struct recount *recount = arg;
    char problem[GATEWAY_DOWN_BYTES] = "";
    bool done = recount_all(recount, problem, sizeof(problem));

    if (done)
        log_line(LOG_INFO, "analytics was counted anew",
                 LOG_INT("events", atomic_load(&recount->events)),
                 LOG_INT("values", atomic_load(&recount->values)));
    else
        log_line(LOG_ERROR, "analytics could not be counted anew; nothing has changed",
                 LOG_STR("detail", problem));
    end(recount, done ? GATEWAY_RECOUNT_DONE : GATEWAY_RECOUNT_FAILED, problem);
    return NULL;
}

/* One at a time; the last one's thread has ended. */
static enum err start(struct recount *recount, void *(*run)(void *arg)) {
    if (recount->started)
        (void)pthread_join(recount->thread, NULL);
    recount->started = false;
    atomic_store(&recount->events, 0);
    atomic_store(&recount->values, 0);
    if (pthread_create(&recount->thread, NULL, run, recount) != 0)
        return ERR_NO_MEMORY;
    (void)pthread_setname_np(recount->thread, "hgp-recount");
    recount->started = true;
    recount->state = GATEWAY_RECOUNT_RUNNING;
    recount->detail[0] = '\0';
    return ERR_OK;
}

static enum err begin(void *ctx, const char **out_detail) {
    struct recount *recount = ctx;
    enum err err = ERR_OK;

    *out_detail = NULL;
    (void)pthread_mutex_lock(&recount->lock);
    if (recount->state != GATEWAY_RECOUNT_RUNNING)
        err = start(recount, run_all);
    (void)pthread_mutex_unlock(&recount->lock);
    return err;
}

struct gateway_recount recount_gateway(struct recount *recount) {
    return (struct gateway_recount){.ctx = recount, .begin = begin, .status = status};
}

/* ---- life ---- */

/* A Redis is read where somebody asks for it: it may be away now. */
static bool lacks_values(const struct recount_conf *conf) {
    return conf->store && conf->store->rocks && analytics_lacks_values(conf->part->service);
}

struct recount *recount_new(const struct recount_conf *conf) {
    struct recount *recount = calloc(1, sizeof(*recount));

    if (!recount)
        return NULL;
    recount->conf = *conf;
    (void)pthread_mutex_init(&recount->lock, NULL);
    if (!lacks_values(conf) || start(recount, run_values) == ERR_OK)
        return recount;
    recount_free(recount);
    return NULL;
}

void recount_free(struct recount *recount) {
    if (!recount)
        return;
    atomic_store(&recount->stopping, true);
    if (recount->started)
        (void)pthread_join(recount->thread, NULL);
    (void)pthread_mutex_destroy(&recount->lock);
    free(recount);
}
