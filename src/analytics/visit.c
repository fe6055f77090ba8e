/* visit.c - another thread has something done on the service's, and waits for it. */
#include "analytics/internal.h"

struct visit {
    struct mail mail;
    struct analytics_service *service;
    bool (*step)(void *ctx);
    void *ctx;
    struct list node; /* of those that wait for the end of a commit */
    bool done;
    sem_t over;
};

static void go_on(struct visit *visit) {
    struct analytics_service *service = visit->service;

    if (!service->own.broken)
        visit->done = visit->step(visit->ctx);
    if (!visit->done && !service->own.broken)
        list_push_back(&service->own.visits, &visit->node);
    else
        sem_post(&visit->over);
}

static void run_visit(struct mail *mail) {
    go_on(CONTAINER_OF(mail, struct visit, mail));
}

static void drop_visit(struct mail *mail) {
    sem_post(&CONTAINER_OF(mail, struct visit, mail)->over);
}

void analytics_visits_go_on(struct analytics_service *service) {
    struct list round;
    struct list *node;

    list_init(&round);
    while ((node = list_pop_front(&service->own.visits)))
        list_push_back(&round, node);
    while ((node = list_pop_front(&round)))
        go_on(CONTAINER_OF(node, struct visit, node));
}

bool analytics_visit_until(struct analytics_service *service, bool (*step)(void *ctx), void *ctx) {
    struct visit visit = {.mail = {.run = run_visit, .drop = drop_visit},
                          .service = service,
                          .step = step,
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

struct action {
    void (*run)(void *ctx);
    void *ctx;
};

static bool run_action(void *ctx) {
    const struct action *action = ctx;

    action->run(action->ctx);
    return true;
}

bool analytics_visit(struct analytics_service *service, void (*action)(void *ctx), void *ctx) {
    struct action once = {action, ctx};

    return analytics_visit_until(service, run_action, &once);
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
    size_t taken;
    bool lacks;
    bool ended;
    bool stored; /* when the commit that is under way has ended */
    enum err err;
};

static bool look(void *ctx) {
    struct values *v = ctx;

    v->lacks = v->service->own.reads && !analytics_values_known(v->service->own.analytics);
    return true;
}

static bool begin(void *ctx) {
    struct values *v = ctx;

    v->err = analytics_values_begin(v->service->own.analytics);
    return true;
}

static enum err put_one(struct values *v, const struct counter_value *value) {
    struct analytics *analytics = v->service->own.analytics;
    enum err err =
        analytics_value(analytics, value->resource_id, value->counter_type, value->value);

    if (err != ERR_BUSY)
        return err;
    analytics_commit_soon(v->service);
    return analytics_value(analytics, value->resource_id, value->counter_type, value->value);
}

/* While there is no room the thread is free: it answers. */
static bool put(void *ctx) {
    struct values *v = ctx;

    for (; v->taken < v->count; v->taken++) {
        v->err = put_one(v, &v->values[v->taken]);
        if (v->err != ERR_OK)
            break;
    }
    if (v->err == ERR_NO_MEMORY)
        analytics_break(v->service, "values from the store could not be taken", v->err);
    return v->err != ERR_BUSY;
}

/* Until they are on disk. */
static bool end(void *ctx) {
    struct values *v = ctx;

    if (!v->ended)
        analytics_values_end(v->service->own.analytics);
    v->ended = true;
    if (v->stored || analytics_commits(v->service))
        return v->stored;
    analytics_commit_soon(v->service);
    v->stored = true;
    return !analytics_commits(v->service);
}

static enum err visit_values(struct values *v, bool (*step)(void *ctx)) {
    return analytics_visit_until(v->service, step, v) ? v->err : ERR_UNAVAILABLE;
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
