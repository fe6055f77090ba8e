/* grpc_health.c - a short table of services, and a list of those who watch it. */
#include "edge/grpc_health.h"

#include <assert.h>
#include <stdlib.h>

#include "base/list.h"
#include "wire/health_proto.h"

struct service {
    struct slice name;
    enum health_status status;
};

/* In its call's arena, from the call's first message to grpc_finish(). */
struct watch {
    struct list link;
    struct grpc_call *call;
    const struct service *service; /* NULL: unknown, which no later event changes */
    enum health_status told;
};

struct grpc_health {
    struct list watches;
    struct buf out; /* one response at a time */
    bool draining;
    bool ended;
    size_t service_count;
    struct service services[]; /* the first is "", the server */
};

struct grpc_health *grpc_health_new(const struct slice *services, size_t count) {
    struct grpc_health *health =
        calloc(1, sizeof(*health) + sizeof(health->services[0]) * (count + 1));

    if (!health)
        return NULL;
    list_init(&health->watches);
    health->service_count = count + 1;
    health->services[0] = (struct service){SLICE(""), HEALTH_NOT_SERVING};
    for (size_t i = 0; i < count; i++)
        health->services[i + 1] = (struct service){services[i], HEALTH_NOT_SERVING};
    return health;
}

void grpc_health_free(struct grpc_health *health) {
    if (!health)
        return;
    assert(list_empty(&health->watches));
    buf_release(&health->out);
    free(health);
}

static struct service *find(struct grpc_health *health, struct slice name) {
    for (size_t i = 0; i < health->service_count; i++)
        if (slice_eq(health->services[i].name, name))
            return &health->services[i];
    return NULL;
}

/* ---- calls ---- */

static void fail(struct grpc_call *call, enum err err) {
    grpc_finish(call, (enum grpc_status)err_grpc(err), slice_str(err_text(err)));
}

/* Into 'out'; false when memory runs out. */
static bool write_status(struct grpc_health *health, enum health_status status) {
    buf_clear(&health->out);
    health_write_response(&health->out, status);
    return !buf_failed(&health->out);
}

static void check(void *ctx, struct grpc_call *call, struct slice message) {
    struct grpc_health *health = ctx;
    struct slice name;
    enum err err = health_read_request(message, grpc_arena(call), &name);

    if (err != ERR_OK) {
        fail(call, err);
        return;
    }
    const struct service *service = find(health, name);
    if (!service) {
        grpc_finish(call, GRPC_NOT_FOUND, SLICE("unknown service"));
    } else if (!write_status(health, service->status)) {
        fail(call, ERR_NO_MEMORY);
    } else {
        grpc_send(call, buf_slice(&health->out));
        grpc_finish(call, GRPC_OK, SLICE(""));
    }
}

static void end_watch(struct watch *watch, enum grpc_status status, struct slice message) {
    list_remove(&watch->link);
    grpc_finish(watch->call, status, message);
}

static void end_for_drain(struct watch *watch) {
    end_watch(watch, GRPC_UNAVAILABLE, SLICE("the server is going away"));
}

/* Tells a watch its status; false when the watch has ended of it. */
static bool tell(struct grpc_health *health, struct watch *watch, enum health_status status) {
    watch->told = status;
    if (write_status(health, status)) {
        grpc_send(watch->call, buf_slice(&health->out));
        return true;
    }
    end_watch(watch, GRPC_RESOURCE_EXHAUSTED, slice_str(err_text(ERR_NO_MEMORY)));
    return false;
}

static void watch_start(void *ctx, struct grpc_call *call, struct slice message) {
    struct grpc_health *health = ctx;
    struct slice name;
    enum err err = health_read_request(message, grpc_arena(call), &name);
    struct watch *watch = err == ERR_OK ? arena_alloc(grpc_arena(call), sizeof(*watch)) : NULL;

    if (!watch) {
        fail(call, err == ERR_OK ? ERR_NO_MEMORY : err);
        return;
    }
    *watch = (struct watch){.call = call, .service = find(health, name)};
    list_push_back(&health->watches, &watch->link);
    grpc_set_data(call, watch);
    bool open =
        tell(health, watch, watch->service ? watch->service->status : HEALTH_SERVICE_UNKNOWN);
    if (open && health->ended)
        end_for_drain(watch);
}

static void watch_gone(void *ctx, struct grpc_call *call) {
    (void)ctx;
    end_watch(grpc_data(call), GRPC_CANCELLED, SLICE("cancelled"));
}

void grpc_health_methods(struct grpc_health *health, struct grpc_method out[GRPC_HEALTH_METHODS]) {
    out[0] = (struct grpc_method){
        .path = SLICE("/grpc.health.v1.Health/Check"),
        .handle = check,
        .ctx = health,
    };
    out[1] = (struct grpc_method){
        .path = SLICE("/grpc.health.v1.Health/Watch"),
        .long_lived = true,
        .handle = watch_start,
        .gone = watch_gone,
        .ctx = health,
    };
}

/* ---- what happens to the services ---- */

/* Takes all watches off the list, so that one which ends meanwhile disturbs no walk. */
static void take_watches(struct grpc_health *health, struct list *out) {
    struct list *node;

    list_init(out);
    while ((node = list_pop_front(&health->watches)))
        list_push_back(out, node);
}

static void tell_changed(struct grpc_health *health) {
    struct list waiting;
    struct list *node;

    take_watches(health, &waiting);
    while ((node = list_pop_front(&waiting))) {
        struct watch *watch = CONTAINER_OF(node, struct watch, link);

        list_push_back(&health->watches, node);
        if (watch->service && watch->service->status != watch->told)
            (void)tell(health, watch, watch->service->status);
    }
}

void grpc_health_set(struct grpc_health *health, struct slice service, bool serving) {
    struct service *found = find(health, service);

    assert(found);
    if (health->draining)
        return;
    found->status = serving ? HEALTH_SERVING : HEALTH_NOT_SERVING;
    tell_changed(health);
}

void grpc_health_drain(struct grpc_health *health) {
    health->draining = true;
    for (size_t i = 0; i < health->service_count; i++)
        health->services[i].status = HEALTH_NOT_SERVING;
    tell_changed(health);
}

void grpc_health_end_watches(struct grpc_health *health) {
    struct list waiting;
    struct list *node;

    health->ended = true;
    take_watches(health, &waiting);
    while ((node = list_pop_front(&waiting)))
        end_for_drain(CONTAINER_OF(node, struct watch, link));
}
