/* service.c - the store thread: gather, apply, commit, answer. */
#include "counter/service.h"

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "counter/internal.h"
#include "edge/tracer.h"

/* Messages under way from all loops: each has at most MESSAGE_WINDOW / 2. */
#define MAILBOX_SLOTS 16384

/* ---- one group ---- */

static void fail(struct counter_service *service, enum err err) {
    atomic_store(&service->up, false);
    log_line(LOG_ERROR,
             "the store failed; what was being written has an unknown outcome, nothing more will "
             "be accepted, and the process ends so that a restart can recover",
             LOG_STR("error", err_name(err)));
    service->conf.on_failed(service->conf.on_failed_ctx);
}

static struct applier_time read_clocks(void) {
    return (struct applier_time){.mono_ms = clock_mono_ms(), .wall_ms = clock_wall_ms()};
}

/* It has waited here for so long that nobody waits for it any more: work for nobody is what keeps
 * an overloaded store overloaded. */
static bool has_expired(struct delivery *delivery, struct applier_time now) {
    if (delivery->deadline_ms == 0 || delivery->deadline_ms > now.mono_ms)
        return false;
    delivery->err = ERR_EXPIRED;
    delivery->not_applied = true;
    return true;
}

static enum err apply_group(struct counter_service *service, struct applier_time now) {
    for (struct ticket *ticket = service->own.first; ticket; ticket = ticket->next) {
        struct delivery *delivery = ticket->delivery;

        if (has_expired(delivery, now)) {
            metrics_add(service->conf.metrics, service->conf.shard, service->series.expired, 1);
            continue;
        }
        enum err err = applier_apply(service->applier, delivery->message, now, delivery->answers);

        if (err != ERR_OK)
            return err;
        delivery->err = ERR_OK;
        delivery->store_now_ms = applier_clock_ms(service->applier);
        metrics_add(service->conf.metrics, service->conf.shard, service->series.batches, 1);
        metrics_observe(service->conf.metrics, service->conf.shard,
                        service->series.batch_operations, delivery->message->count);
    }
    return applier_tidy(service->applier, now);
}

/* A group is many messages' commit: each that is traced has a span of it. */
static void end_spans(const struct counter_service *service, enum err err, int64_t duration_ns) {
    for (const struct ticket *ticket = service->own.first; ticket; ticket = ticket->next) {
        const struct delivery *delivery = ticket->delivery;

        if (!tracer_wants(delivery->trace))
            continue;
        struct span span = tracer_child(delivery->trace, SPAN_INTERNAL);
        span.name[0] = SLICE("store commit");
        span.failed = err != ERR_OK;
        span_number(&span, SLICE("hgp.group.messages"), (int64_t)service->own.messages);
        span_number(&span, SLICE("hgp.batch.operations"), (int64_t)delivery->message->count);
        tracer_end(&span, duration_ns);
        metrics_exemplar(service->conf.metrics, service->series.commit,
                         (uint64_t)duration_ns / 1000, delivery->trace, clock_wall_ms());
    }
}

static enum err commit_group(struct counter_service *service) {
    int64_t started_ns = clock_mono_ns();
    bool durable = service->conf.durability == DURABILITY_LOCAL;
    enum err err = applier_commit(service->applier, durable);
    int64_t duration_ns = clock_mono_ns() - started_ns;

    metrics_observe(service->conf.metrics, service->conf.shard, service->series.commit,
                    (uint64_t)duration_ns / 1000);
    metrics_observe(service->conf.metrics, service->conf.shard, service->series.group,
                    service->own.messages);
    if (tracer_on())
        end_spans(service, err, duration_ns);
    if (err == ERR_OK && !durable && !service->own.dirty) {
        service->own.dirty = true;
        service->own.dirty_since_ms = clock_mono_ms();
    }
    return err;
}

/* 'not_applied': as in struct delivery, with an error. */
static void answer_group(struct counter_service *service, enum err err, bool not_applied) {
    struct ticket *ticket = service->own.first;

    service->own.first = NULL;
    service->own.last = &service->own.first;
    service->own.messages = 0;
    while (ticket) {
        struct ticket *next = ticket->next;

        if (err != ERR_OK) {
            ticket->delivery->err = err;
            ticket->delivery->not_applied = not_applied;
        }
        counter_ticket_return(ticket);
        ticket = next;
    }
}

static void run_group(struct counter_service *service) {
    if (!atomic_load_explicit(&service->up, memory_order_relaxed)) {
        answer_group(service, ERR_UNAVAILABLE, true);
        return;
    }
    enum err err = apply_group(service, read_clocks());
    if (err == ERR_OK)
        err = commit_group(service);
    if (err == ERR_OK)
        counter_observe(service);
    else
        fail(service, err);
    /* Before the answers: who has one finds its event in the feeds. */
    if (err == ERR_OK && service->conf.durability == DURABILITY_LOCAL)
        counter_ends_publish(service);
    answer_group(service, err == ERR_OK ? ERR_OK : ERR_UNKNOWN, false);
}

/* ---- between groups: what consumers report, and trimming ---- */

/* A group without messages. Reports needn't be durable: events come again when one is lost. */
static void run_chores(struct counter_service *service) {
    if (!atomic_load_explicit(&service->up, memory_order_relaxed))
        return;
    enum err err = applier_tidy(service->applier, read_clocks());
    if (err == ERR_OK)
        err = applier_commit(service->applier, service->own.chores_durable);
    if (err == ERR_OK)
        counter_observe(service);
    else
        fail(service, err);
}

static void run_what_came(struct counter_service *service) {
    bool chores = service->own.chores;

    service->own.chores = false;
    if (service->own.first)
        run_group(service);
    else if (chores)
        run_chores(service);
    service->own.chores_durable = false;
    if (applier_has_chores(service->applier) && counter_up(service))
        service->own.chores = true;
}

/* ---- mode fast: the fsync that follows ---- */

static int sync_due_ms(const struct counter_service *service) {
    if (!service->own.dirty)
        return -1;
    int64_t left_ms = service->own.dirty_since_ms + FAST_SYNC_MS - clock_mono_ms();
    return left_ms > 0 ? (int)left_ms : 0;
}

static void sync_now(struct counter_service *service) {
    int64_t started_ns = clock_mono_ns();
    enum err err = kv_sync(service->conf.kv);

    service->own.dirty = false;
    metrics_observe(service->conf.metrics, service->conf.shard, service->series.sync,
                    (uint64_t)(clock_mono_ns() - started_ns) / 1000);
    if (err == ERR_OK)
        counter_ends_publish(service);
    else if (atomic_load(&service->up))
        fail(service, err);
}

struct settling {
    struct mail mail;
    struct counter_service *service;
    enum err err;
    sem_t over;
};

static void drop_settling(struct mail *mail) {
    sem_post(&CONTAINER_OF(mail, struct settling, mail)->over);
}

static void run_settling(struct mail *mail) {
    struct settling *settling = CONTAINER_OF(mail, struct settling, mail);

    if (settling->service->own.dirty)
        sync_now(settling->service);
    settling->err = counter_up(settling->service) ? ERR_OK : ERR_UNAVAILABLE;
    sem_post(&settling->over);
}

enum err counter_settle(struct counter_service *service) {
    struct settling settling = {.mail = {.run = run_settling, .drop = drop_settling},
                                .service = service,
                                .err = ERR_UNAVAILABLE};

    (void)sem_init(&settling.over, 0, 0);
    if (mailbox_send(service->mailbox, &settling.mail) == ERR_OK)
        while (sem_wait(&settling.over) != 0)
            ;
    (void)sem_destroy(&settling.over);
    return settling.err;
}

/* ---- the thread ---- */

static int next_turn_ms(const struct counter_service *service) {
    return service->own.chores ? 0 : sync_due_ms(service);
}

static void *run(void *arg) {
    struct counter_service *service = arg;

    while (!service->own.stopping) {
        mailbox_wait(service->mailbox, next_turn_ms(service));
        (void)mailbox_drain(service->mailbox);
        run_what_came(service);
        if (sync_due_ms(service) == 0)
            sync_now(service);
    }
    if (service->own.dirty)
        sync_now(service);
    return NULL;
}

struct stop_mail {
    struct mail mail;
    struct counter_service *service;
};

static void stop_run(struct mail *mail) {
    CONTAINER_OF(mail, struct stop_mail, mail)->service->own.stopping = true;
}

/* What is found may be an earlier process's and not on disk: it is, before anybody reads it. */
static enum err open_applier(struct counter_service *service, const char **out_detail) {
    struct applier_stats stats;
    enum err err = applier_open(service->conf.kv, &service->conf.applier, read_clocks(),
                                &service->applier, out_detail);

    if (err != ERR_OK)
        return err;
    *out_detail = "the store could not be made durable before its first use";
    err = kv_sync(service->conf.kv);
    if (err != ERR_OK)
        return err;
    applier_stats(service->applier, &stats);
    service->store_id = stats.store_id;
    *out_detail = err_text(ERR_NO_MEMORY);
    if (!counter_ends_make(service, stats.lanes))
        return ERR_NO_MEMORY;
    counter_ends_publish(service);
    counter_observe(service); /* what is there, before the first group */
    return ERR_OK;
}

static void release(struct counter_service *service) {
    mailbox_free(service->mailbox);
    applier_close(service->applier);
    free(service->ends);
    free(service);
}

enum err counter_start(const struct counter_conf *conf, struct counter_service **out,
                       const char **out_detail) {
    struct counter_service *service = calloc(1, sizeof(*service));
    enum err err = ERR_NO_MEMORY;

    *out_detail = err_text(ERR_NO_MEMORY);
    if (!service)
        return ERR_NO_MEMORY;
    service->conf = *conf;
    service->start_id = random_u64();
    service->own.last = &service->own.first;
    atomic_init(&service->up, true);
    counter_series_make(service);
    service->mailbox = mailbox_new(MAILBOX_SLOTS);
    if (service->mailbox)
        err = open_applier(service, out_detail);
    if (err == ERR_OK && pthread_create(&service->thread, NULL, run, service) != 0)
        err = ERR_NO_MEMORY;
    if (err != ERR_OK) {
        release(service);
        return err;
    }
    (void)pthread_setname_np(service->thread, "hgp-store");
    *out = service;
    return ERR_OK;
}

void counter_stop(struct counter_service *service) {
    struct stop_mail stop = {.mail = {.run = stop_run}, .service = service};

    /* Nobody sends any more, so the mailbox has room. */
    if (mailbox_send(service->mailbox, &stop.mail) != ERR_OK)
        abort();
    (void)pthread_join(service->thread, NULL);
    release(service);
}

bool counter_up(const struct counter_service *service) {
    return atomic_load_explicit(&service->up, memory_order_relaxed);
}

int64_t counter_clock_ahead_ms(const struct counter_service *service) {
    return applier_ahead_ms(service->applier); /* fixed since it was opened */
}

uint64_t counter_store_id(const struct counter_service *service) {
    return service->store_id;
}

uint64_t counter_start_id(const struct counter_service *service) {
    return service->start_id;
}

enum durability counter_durability(const struct counter_service *service) {
    return service->conf.durability;
}

/* ---- durability in words ---- */

const char *counter_durability_name(enum durability durability) {
    static const char *const names[] = {[DURABILITY_FAST] = "fast",
                                        [DURABILITY_LOCAL] = "local",
                                        [DURABILITY_REPLICATED] = "replicated"};

    return names[durability];
}

const char *counter_guarantee(enum durability durability) {
    return durability == DURABILITY_FAST
               ? "acknowledged increments survive a crash of this process; up to 1 second of them "
                 "may be lost when the machine loses power"
               : "acknowledged increments survive a crash of this process and a power loss of this "
                 "machine";
}

/* ---- as a front's back end ---- */

static uint64_t store_id(void *ctx) {
    return counter_store_id(ctx);
}

static void promise(void *ctx, struct counter_promise *out) {
    enum durability durability = counter_durability(ctx);

    (void)snprintf(out->durability, sizeof(out->durability), "%s",
                   counter_durability_name(durability));
    (void)snprintf(out->guarantee, sizeof(out->guarantee), "%s", counter_guarantee(durability));
}

static void down(void *ctx, char *out, size_t size) {
    (void)ctx;
    (void)snprintf(out, size, "a write of the store has failed; this process must start again");
}

struct counter_backend counter_service_backend(struct counter_service *service) {
    return (struct counter_backend){
        .ctx = service,
        .store_id = store_id,
        .promise = promise,
        .down = down,
        .clock_ahead_ms = counter_clock_ahead_ms(service),
    };
}
