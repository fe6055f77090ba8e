/* handover.c - the steps of core/analytics_partition.h, each on disk before it is answered, and
 * what is read follows them.
 */
#include <stdlib.h>

#include "analytics/internal.h"
#include "base/log.h"
#include "base/random.h"

#define STATE_ELSEWHERE "its partition is in another state: look at both, and begin again"

struct step {
    struct analytics_service *service;
    const struct handover_request *request;
    struct handover_response response;
    struct buf cursor;
    struct buf records;
    const char *detail; /* why not */
};

static const struct feed_partition_ops *source_of(const struct analytics_service *service) {
    return service->own.feed->ops->partitions;
}

/* On disk, or why not. */
static enum err settle(struct step *step) {
    analytics_settle(step->service);
    if (!step->service->own.broken)
        return ERR_OK;
    step->detail = "analytics has stopped (the log says why)";
    return ERR_UNAVAILABLE;
}

static enum err refuse(struct step *step, enum err err, const char *detail) {
    step->detail = detail;
    return err;
}

static void say(const struct step *step, const char *what) {
    log_line(LOG_INFO, what, LOG_INT("partition", step->request->partition),
             LOG_SLICE("peer", step->request->peer));
}

/* ---- one command at a time ---- */

#define NOT_CURRENT "somebody else has begun to move it, or it was restarted"

/* Nobody has begun anew or cancelled since the command looked: what a killed one had sent may be
 * read behind that. */
static enum err is_current(struct step *step) {
    return step->request->attempt == step->service->own.attempt
               ? ERR_OK
               : refuse(step, ERR_LOCKED, NOT_CURRENT);
}

/* And it is one that takes a partition in. */
static enum err is_ours(struct step *step) {
    return step->request->attempt ? is_current(step) : refuse(step, ERR_LOCKED, NOT_CURRENT);
}

static uint64_t new_attempt(void) {
    return random_u64() | 1;
}

/* ---- what is shown, bit by bit ---- */

static void veil(struct timer *timer) {
    struct analytics_service *service = CONTAINER_OF(timer, struct analytics_service, own.veil);

    if (!service->own.broken && !service->own.stopping &&
        analytics_veil_some(service->own.analytics))
        timer_start(service->loop, timer, 0);
}

static void begin_veil(struct analytics_service *service) {
    service->own.veil.fire = veil;
    if (!timer_armed(&service->own.veil))
        timer_start(service->loop, &service->own.veil, 0);
}

/* ---- where it comes from ---- */

static enum err may_leave(struct step *step) {
    const struct feed_partition_ops *source = source_of(step->service);
    struct feed *feed = step->service->own.feed;
    uint32_t number = step->request->partition;
    uint32_t of = source->count(feed);

    if (of == 0 || step->service->own.lanes == 0)
        return refuse(step, ERR_UNAVAILABLE, "it hasn't heard of its topic and store yet");
    if (number >= of)
        return refuse(step, ERR_RANGE, "the topic has no such partition");
    if (!source->reads(feed, number))
        return refuse(step, ERR_LOCKED, "it doesn't read this partition");
    const char *why = analytics_cant_leave(step->service->own.analytics, number, of);
    return why ? refuse(step, ERR_LOCKED, why) : ERR_OK;
}

static enum err leave(struct step *step) {
    struct analytics_service *service = step->service;
    struct analytics *a = service->own.analytics;
    uint32_t number = step->request->partition;
    enum partition_state state = analytics_partition(a, number).state;
    enum err err = is_current(step);

    if (err == ERR_OK && (state == PARTITION_UNMOVED || state == PARTITION_HERE))
        err = may_leave(step);
    if (err == ERR_OK)
        err = analytics_leave(a, number, source_of(service)->count(service->own.feed),
                              step->request->peer);
    if (err != ERR_OK)
        return err;
    (void)source_of(service)->assign(service->own.feed, number, false);
    if (state == PARTITION_UNMOVED || state == PARTITION_HERE)
        say(step, "a partition is on its way to another analytics; it isn't counted meanwhile");
    return settle(step);
}

static enum err read_out(struct step *step) {
    struct analytics *a = step->service->own.analytics;
    struct analytics_partition partition = analytics_partition(a, step->request->partition);

    if (partition.state != PARTITION_LEAVING && partition.state != PARTITION_GONE)
        return ERR_LOCKED;
    enum err err =
        analytics_export(a, &partition, step->request->cursor, &step->records, &step->cursor);
    step->response.records = buf_slice(&step->records);
    step->response.cursor = buf_slice(&step->cursor);
    return err;
}

static enum err release(struct step *step) {
    enum err err = analytics_release(step->service->own.analytics, step->request->partition,
                                     step->request->peer);
    if (err != ERR_OK)
        return err;
    err = settle(step);
    say(step, "a partition is another analytics' from now on");
    return err;
}

/* ---- where it goes ---- */

static enum err know_source(struct step *step) {
    const struct handover_request *request = step->request;
    struct event_position *none = calloc(request->lanes + 1, sizeof(*none));

    if (!none)
        return ERR_NO_MEMORY;
    enum err err =
        analytics_source(step->service->own.analytics, request->store_id, request->lanes, none);
    free(none);
    return err == ERR_LAYOUT ? refuse(step, err, "it counts another store's events") : err;
}

static enum err may_arrive(struct step *step) {
    const struct handover_request *request = step->request;
    const struct feed_partition_ops *source = source_of(step->service);
    uint32_t of = source->count(step->service->own.feed);

    if (request->lanes == 0 || request->lanes > UINT16_MAX || request->partition >= request->of)
        return ERR_INVALID;
    if (of && of != request->of)
        return refuse(step, ERR_LAYOUT, "its topic has another number of partitions");
    if (source->reads(step->service->own.feed, request->partition))
        return refuse(step, ERR_LOCKED, "it reads this partition itself");
    return know_source(step);
}

static enum err arrive(struct step *step) {
    struct analytics_service *service = step->service;
    const struct handover_request *request = step->request;
    struct analytics_partition from = {
        .number = request->partition, .of = request->of, .moves = request->moves};

    enum err err = may_arrive(step);
    if (err == ERR_OK)
        err = analytics_arrive(service->own.analytics, &from, request->peer);
    if (err == ERR_TOO_OLD)
        step->detail = "it had this partition behind the one it should come from";
    if (err != ERR_OK)
        return err;
    analytics_import_release(&service->own.import);
    service->own.attempt = new_attempt();
    source_of(service)->place(service->own.feed, request->store_id, request->partition,
                              request->next);
    return settle(step);
}

/* Something has to be stored first. */
static enum err take_turn(struct step *step, enum err err) {
    if (err != ERR_BUSY)
        return err;
    step->response.again = true;
    analytics_commit_soon(step->service);
    return ERR_OK;
}

static enum err wipe(struct step *step) {
    struct analytics *a = step->service->own.analytics;
    struct analytics_partition partition = analytics_partition(a, step->request->partition);
    enum err err = is_ours(step);

    if (err == ERR_OK && partition.state != PARTITION_ARRIVING)
        err = ERR_LOCKED;
    if (err == ERR_OK)
        err = take_turn(step, analytics_wipe(a, &partition, step->request->cursor, &step->cursor));
    step->response.cursor = buf_slice(&step->cursor);
    return err;
}

static enum err write(struct step *step) {
    struct analytics_service *service = step->service;
    enum err err = is_ours(step);

    if (err == ERR_OK)
        err = take_turn(step, analytics_import_page(service->own.analytics, &service->own.import,
                                                    step->request->records));
    if (err == ERR_RANGE)
        step->detail = "analytics.counters_max is too low for what it would hold";
    return err;
}

static enum err be_ready(struct step *step) {
    enum err err = is_ours(step);

    if (err == ERR_OK)
        err = analytics_ready(step->service->own.analytics, step->request->partition);
    analytics_import_release(&step->service->own.import);
    return err == ERR_OK ? settle(step) : err;
}

static enum err own(struct step *step) {
    struct analytics_service *service = step->service;
    enum err err = analytics_own(service->own.analytics, step->request->partition);

    if (err == ERR_OK)
        err = settle(step);
    if (err != ERR_OK)
        return err;
    (void)source_of(service)->assign(service->own.feed, step->request->partition, true);
    say(step, "a partition has come from another analytics");
    return ERR_OK;
}

/* ---- either ---- */

static enum err keep(struct step *step) {
    struct analytics_service *service = step->service;
    enum err err = analytics_keep(service->own.analytics, step->request->partition);

    if (err == ERR_LOCKED)
        step->detail = "it has given the partition away: only moving it on, or again, is left";
    if (err == ERR_OK)
        err = settle(step);
    if (err != ERR_OK)
        return err;
    service->own.attempt = new_attempt();
    if (analytics_partition(service->own.analytics, step->request->partition).state ==
        PARTITION_HERE)
        (void)source_of(service)->assign(service->own.feed, step->request->partition, true);
    return ERR_OK;
}

static enum err look(struct step *step) {
    (void)step;
    return ERR_OK;
}

/* How things are, behind the step. */
static void tell(struct step *step) {
    struct analytics_service *service = step->service;
    struct handover_response *response = &step->response;
    struct analytics_partition partition =
        analytics_partition(service->own.analytics, step->request->partition);

    response->state = partition.state;
    response->moves = partition.moves;
    response->reads = source_of(service)->reads(service->own.feed, step->request->partition);
    response->next = source_of(service)->next(service->own.feed, step->request->partition);
    response->of = source_of(service)->count(service->own.feed);
    response->name = slice_str(service->conf.name);
    response->attempt = service->own.attempt;
    response->store_id = analytics_store_id(service->own.analytics, &response->lanes);
}

enum err analytics_handover_step(struct analytics_service *service,
                                 const struct handover_request *request, struct buf *out,
                                 const char **out_detail) {
    static enum err (*const steps[HANDOVER_KINDS])(struct step * step) = {
        [HANDOVER_LOOK] = look,       [HANDOVER_LEAVE] = leave,    [HANDOVER_READ] = read_out,
        [HANDOVER_RELEASE] = release, [HANDOVER_ARRIVE] = arrive,  [HANDOVER_WIPE] = wipe,
        [HANDOVER_WRITE] = write,     [HANDOVER_READY] = be_ready, [HANDOVER_OWN] = own,
        [HANDOVER_KEEP] = keep,
    };
    struct step step = {.service = service, .request = request, .detail = ""};
    enum err err = ERR_OK;

    if (service->own.broken || service->own.stopping)
        err = refuse(&step, ERR_UNAVAILABLE, "analytics has stopped (the log says why)");
    else if (!source_of(service))
        err = refuse(&step, ERR_NOT_IMPL,
                     "its events don't come from a topic: only there are "
                     "partitions, which can move");
    if (err == ERR_OK)
        err = steps[request->kind](&step);
    if (err == ERR_LOCKED && !step.detail[0])
        step.detail = STATE_ELSEWHERE;
    if (err == ERR_NO_MEMORY || err == ERR_CORRUPT || err == ERR_IO)
        analytics_break(service, "a partition's state could not be moved", err);
    if (err == ERR_OK) {
        begin_veil(service);
        tell(&step);
        handover_write_response(out, &step.response);
        err = buf_failed(out) ? ERR_NO_MEMORY : ERR_OK;
    }
    buf_release(&step.cursor);
    buf_release(&step.records);
    service->own.covered = false;
    *out_detail = step.detail;
    return err;
}

/* ---- what is here ---- */

/* One that is leaving is ranked as it stands; so is what was counted while analytics.partitions was
 * another, and nobody may be counting it now. */
static void cover(const struct analytics_service *service, uint32_t number,
                  struct coverage *coverage) {
    const struct analytics *a = service->own.analytics;

    if (source_of(service)->reads(service->own.feed, number) ||
        analytics_partition(a, number).state == PARTITION_LEAVING)
        coverage_put(coverage->counted, number);
    else if (analytics_shows(a, number, coverage->of))
        coverage_put(coverage->stale, number);
}

const struct coverage *analytics_coverage(struct analytics_service *service) {
    const struct feed_partition_ops *source = source_of(service);
    struct coverage *coverage = &service->own.coverage;
    uint32_t of = source ? source->count(service->own.feed) : 0;

    if (of > COVERAGE_PARTITIONS_MAX)
        of = COVERAGE_PARTITIONS_MAX;
    if (!service->own.covered || of != coverage->of) {
        *coverage = (struct coverage){.by_partitions = source != NULL, .of = of};
        for (uint32_t i = 0; i < of; i++)
            cover(service, i, coverage);
        service->own.covered = true;
    }
    coverage->moving = analytics_moving(service->own.analytics);
    return coverage;
}

void analytics_follow_partitions(struct analytics_service *service) {
    const struct feed_partition_ops *source = source_of(service);
    uint32_t count;
    const struct analytics_partition *all = analytics_partitions(service->own.analytics, &count);

    for (uint32_t i = 0; source && i < count; i++) {
        bool here = all[i].state == PARTITION_HERE;

        if (source->reads(service->own.feed, all[i].number) == here)
            continue;
        log_line(LOG_INFO, "a partition was moved: analytics.partitions says otherwise",
                 LOG_INT("partition", all[i].number), LOG_STR("is", here ? "here" : "elsewhere"),
                 LOG_STR("peer", all[i].peer));
        if (!source->assign(service->own.feed, all[i].number, here))
            analytics_break(service, "more partitions are named than may be", ERR_RANGE);
    }
}
