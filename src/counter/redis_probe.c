/* redis_probe.c - one attempt, on a loop of its own, before any other starts. */
#include <stdio.h>

#include "counter/redis_internal.h"

struct probe {
    struct redis_fleet *fleet;
    struct loop *loop;
    struct timer patience;
    bool up;
    bool decided;
};

static void ignore_clock(void *ctx, int64_t ahead_ms) {
    (void)ctx;
    (void)ahead_ms;
}

static void on_changed(void *ctx, bool up) {
    struct probe *probe = ctx;

    probe->up = up;
    probe->decided = true;
    loop_stop(probe->loop);
}

static void on_patience(struct timer *timer) {
    loop_stop(CONTAINER_OF(timer, struct probe, patience)->loop);
}

static void on_closed(void *ctx) {
    loop_stop(((struct probe *)ctx)->loop);
}

static enum err verdict(const struct probe *probe) {
    if (probe->up)
        return ERR_OK;
    return probe->decided ? probe->fleet->down : ERR_UNREACHABLE;
}

static enum err run(struct probe *probe, int64_t timeout_ms) {
    struct redis_store_user user = {
        .ctx = probe, .clock_learned = ignore_clock, .changed = on_changed};
    struct redis_store *store = redis_store_new(probe->fleet, probe->loop, 0, &user);
    enum err err = ERR_NO_MEMORY;

    if (!store)
        return ERR_NO_MEMORY;
    probe->patience.fire = on_patience;
    timer_start(probe->loop, &probe->patience, timeout_ms);
    if (redis_store_connect(store)) {
        err = loop_run(probe->loop);
        if (err == ERR_OK)
            err = verdict(probe);
    }
    timer_stop(probe->loop, &probe->patience);
    redis_store_close(store, on_closed, probe);
    return loop_run(probe->loop) == ERR_OK ? err : ERR_IO;
}

enum err redis_fleet_probe(struct redis_fleet *fleet, int64_t timeout_ms, const char **out_detail) {
    struct loop_conf conf = {.backend = LOOP_EPOLL};
    struct probe probe = {.fleet = fleet};
    enum err err = loop_new(&conf, &probe.loop);

    if (err == ERR_OK)
        err = run(&probe, timeout_ms);
    if (probe.loop)
        loop_free(probe.loop);
    if (err != ERR_OK && !probe.decided)
        (void)snprintf(fleet->problem, sizeof(fleet->problem), "%s: %s", fleet->name,
                       err == ERR_UNREACHABLE ? "Redis doesn't answer" : err_text(err));
    *out_detail = fleet->problem;
    return err;
}
