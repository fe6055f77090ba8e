/* visit.c - another thread has something done on the service's, and waits for it. */
#include "analytics/internal.h"

struct visit {
    struct mail mail;
    struct analytics_service *service;
    void (*action)(void *ctx);
    void *ctx;
    bool done;
    sem_t over;
};

static void run_visit(struct mail *mail) {
    struct visit *visit = CONTAINER_OF(mail, struct visit, mail);

    visit->done = !visit->service->own.broken;
    if (visit->done)
        visit->action(visit->ctx);
    sem_post(&visit->over);
}

static void drop_visit(struct mail *mail) {
    sem_post(&CONTAINER_OF(mail, struct visit, mail)->over);
}

bool analytics_visit(struct analytics_service *service, void (*action)(void *ctx), void *ctx) {
    struct visit visit = {.mail = {.run = run_visit, .drop = drop_visit},
                          .service = service,
                          .action = action,
                          .ctx = ctx};

    if (atomic_load(&service->loop_broken))
        return false;
    (void)sem_init(&visit.over, 0, 0);
    if (mailbox_send(loop_mailbox(service->loop), &visit.mail) == ERR_OK)
        while (sem_wait(&visit.over) != 0)
            ;
    sem_destroy(&visit.over);
    return visit.done;
}

/* ---- pause ---- */

struct pause {
    struct analytics_service *service;
    void (*action)(void *ctx);
    void *ctx;
    bool ran;
};

static void settle_and_run(void *ctx) {
    struct pause *pause = ctx;

    analytics_settle(pause->service);
    pause->ran = !pause->service->own.broken;
    if (pause->ran)
        pause->action(pause->ctx);
}

bool analytics_pause(struct analytics_service *service, void (*action)(void *ctx), void *ctx) {
    struct pause pause = {service, action, ctx, false};

    return analytics_visit(service, settle_and_run, &pause) && pause.ran;
}

/* ---- values ---- */

struct values {
    struct analytics_service *service;
    const struct counter_value *values;
    size_t count;
    bool lacks;
    enum err err;
};

static void look(void *ctx) {
    struct values *v = ctx;

    v->lacks = v->service->own.reads && !analytics_values_known(v->service->own.analytics);
}

static void begin(void *ctx) {
    struct values *v = ctx;

    v->err = analytics_values_begin(v->service->own.analytics);
}

static enum err put_one(struct values *v, const struct counter_value *value) {
    struct analytics *analytics = v->service->own.analytics;
    enum err err =
        analytics_value(analytics, value->resource_id, value->counter_type, value->value);

    if (err != ERR_BUSY)
        return err;
    analytics_settle(v->service);
    if (v->service->own.broken)
        return ERR_UNAVAILABLE;
    return analytics_value(analytics, value->resource_id, value->counter_type, value->value);
}

static void put(void *ctx) {
    struct values *v = ctx;

    for (size_t i = 0; i < v->count && v->err == ERR_OK; i++)
        v->err = put_one(v, &v->values[i]);
    if (v->err == ERR_NO_MEMORY)
        analytics_break(v->service, "values from the store could not be taken", v->err);
}

static void end(void *ctx) {
    struct values *v = ctx;

    analytics_values_end(v->service->own.analytics);
    analytics_settle(v->service);
}

static enum err visit_values(struct values *v, void (*action)(void *ctx)) {
    return analytics_visit(v->service, action, v) ? v->err : ERR_UNAVAILABLE;
}

bool analytics_lacks_values(struct analytics_service *service) {
    struct values v = {.service = service};

    return visit_values(&v, look) == ERR_OK && v.lacks;
}

enum err analytics_begin_values(struct analytics_service *service) {
    return visit_values(&(struct values){.service = service}, begin);
}

enum err analytics_put_values(struct analytics_service *service, const struct counter_value *values,
                              size_t count) {
    return visit_values(&(struct values){.service = service, .values = values, .count = count},
                        put);
}

enum err analytics_end_values(struct analytics_service *service) {
    return visit_values(&(struct values){.service = service}, end);
}
