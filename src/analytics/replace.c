/* replace.c - another service's state in the place of this one's.
 *
 * Answers come from the old one until then, and from the new one behind it. The feed stays, as what
 * it gives next isn't ahead of the new state; one that has given lanes up begins again.
 */
#include <stdlib.h>
#include <string.h>

#include "analytics/internal.h"
#include "base/log.h"

/* ---- how far ---- */

struct look {
    struct analytics_service *service;
    struct analytics_reached reached;
    bool no_memory;
};

static void look_at_partitions(struct feed *feed, struct analytics_reached *out) {
    const struct feed_partition_ops *ops = feed->ops->partitions;
    uint32_t count = ops ? ops->count(feed) : 0;

    out->next = count ? calloc(count, sizeof(*out->next)) : NULL;
    out->partitions = out->next ? count : 0;
    for (uint32_t i = 0; i < out->partitions; i++)
        out->next[i] = ops->reads(feed, i) ? ops->next(feed, i) : INT64_MAX;
}

static void look(void *ctx) {
    struct look *look = ctx;
    struct analytics_service *service = look->service;
    struct analytics_stats stats;
    uint32_t lanes = 0;
    uint32_t moved;

    analytics_stats(service->own.analytics, &stats);
    look->reached.events = stats.events;
    look->reached.halted = stats.halted;
    (void)analytics_partitions(service->own.analytics, &moved);
    look->reached.moved = moved > 0;
    look->reached.store_id = analytics_store_id(service->own.analytics, &lanes);
    if (!service->own.reads)
        return;
    look_at_partitions(service->own.feed, &look->reached);
    look->reached.at = calloc(service->own.lanes, sizeof(*look->reached.at));
    look->no_memory = !look->reached.at;
    if (look->no_memory)
        return;
    look->reached.lanes = lanes;
    for (uint32_t i = 0; i < service->own.lanes; i++)
        look->reached.at[i] = analytics_position(service->own.analytics, i);
}

bool analytics_reach(struct analytics_service *service, struct analytics_reached *out) {
    struct look l = {.service = service};

    bool visited = analytics_visit(service, look, &l);
    *out = l.reached;
    return visited && !l.no_memory;
}

void analytics_reached_release(struct analytics_reached *reached) {
    free(reached->at);
    free(reached->next);
}

struct pass {
    struct analytics_service *service;
    uint32_t lane;
    struct event_position at;
};

static void pass(void *ctx) {
    const struct pass *pass = ctx;

    analytics_skip(pass->service->own.analytics, pass->lane, pass->at);
}

bool analytics_pass(struct analytics_service *service, uint32_t lane, struct event_position at) {
    return analytics_visit(service, pass, &(struct pass){service, lane, at});
}

/* ---- stand still ---- */

static void stand(void *ctx) {
    struct analytics_service *service = ctx;

    service->own.stands = true;
    analytics_settle(service);
}

static void go_on(void *ctx) {
    struct analytics_service *service = ctx;

    service->own.stands = false;
    analytics_read_on(service);
}

bool analytics_stand(struct analytics_service *service, bool still) {
    return analytics_visit(service, still ? stand : go_on, service);
}

/* ---- the feed, opened again ---- */

static void run_reopen(struct mail *mail) {
    struct analytics_service *service = CONTAINER_OF(mail, struct analytics_service, own.reopen);
    struct feed_user user = analytics_consumer(service);

    service->own.reopening = false;
    if (service->own.stopping) {
        analytics_feed_closed(service);
        return;
    }
    service->conf.feed.release(service->conf.feed.ctx);
    service->own.feed = service->conf.feed.make(service->conf.feed.ctx, service->loop);
    if (!service->own.feed)
        abort(); /* as any start without memory */
    feed_resume(service->own.feed, analytics_marked(service->own.analytics));
    feed_open(service->own.feed, &user);
}

static void drop(struct mail *mail) {
    (void)mail; /* part of the service */
}

/* Behind all mail that it has sent. */
static void on_closed(void *ctx) {
    struct analytics_service *service = ctx;

    service->own.reopen = (struct mail){.run = run_reopen, .drop = drop};
    if (mailbox_send(loop_mailbox(service->loop), &service->own.reopen) != ERR_OK)
        abort(); /* one at a time: the mailbox has room */
}

static void reopen(struct analytics_service *service) {
    service->own.reopening = true;
    feed_close(service->own.feed, on_closed, service);
}

/* ---- take over ---- */

struct take {
    struct analytics_service *service;
    struct analytics *state; /* the other's; the service's when 'taken' */
    struct tally_store *(*move)(void *ctx, bool may, bool *out_taken);
    void *ctx;
    bool taken;
};

/* True: the feed has given a lane up. */
static bool begin_lanes(struct analytics_service *service) {
    bool given_up = false;

    for (uint32_t i = 0; i < service->own.lanes; i++) {
        given_up |= service->own.reads[i].halted;
        service->own.reads[i].halted = false;
        service->own.reads[i].no_room = false;
    }
    return given_up;
}

static void take(void *ctx) {
    struct take *take = ctx;
    struct analytics_service *service = take->service;
    uint32_t lanes = 0;
    uint32_t moved;
    enum err err = analytics_catch_up_all(service->own.analytics); /* their stores are closed */

    if (err == ERR_OK)
        err = analytics_catch_up_all(take->state);
    (void)analytics_partitions(service->own.analytics, &moved);
    (void)analytics_store_id(take->state, &lanes);
    /* Its first event may have come since both were compared. */
    bool may = moved == 0 && (!service->own.reads || lanes == service->own.lanes);
    struct tally_store *store = err == ERR_OK ? take->move(take->ctx, may, &take->taken) : NULL;
    if (!store) {
        analytics_break(service, "its folder could not be opened again", ERR_IO);
        return;
    }
    if (take->taken) {
        struct analytics *old = service->own.analytics;

        service->own.analytics = take->state;
        take->state = old;
        service->own.covered = false;
        analytics_stats(service->own.analytics, &service->own.reported);
    }
    service->conf.store = store;
    analytics_rehome(service->own.analytics, store, analytics_commit_ended, service);
    service->own.stands = false;
    if (take->taken && begin_lanes(service))
        reopen(service);
    else
        analytics_read_on(service);
    analytics_observe(service);
}

enum err analytics_take_over(struct analytics_service *service, struct analytics_service *from,
                             struct tally_store *(*move)(void *ctx, bool may, bool *out_taken),
                             void *ctx) {
    struct take t = {.service = service, .move = move, .ctx = ctx};

    analytics_end_thread(from);
    bool sound = !from->own.broken;
    t.state = from->own.analytics;
    from->own.analytics = NULL;
    analytics_free(from);
    if (sound)
        sound = analytics_visit(service, take, &t);
    analytics_close(t.state);
    if (!sound)
        return ERR_UNAVAILABLE;
    return t.taken ? ERR_OK : ERR_IO;
}
