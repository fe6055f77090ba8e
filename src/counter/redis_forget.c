/* redis_forget.c - a loop for a few seconds. */
#include "counter/redis_forget.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>

#include "base/log.h"
#include "counter/redis_feed_internal.h"
#include "edge/redis_command.h"
#include "edge/redis_slot.h"
#include "loop/mailbox.h"

#define LOOK_EVERY_MS 1000
#define LOOKS         (REDIS_LEASE_MS / LOOK_EVERY_MS + 2)

struct forget_lane {
    struct redis_request request;
    struct redis_forget *forget;
};

struct redis_forget {
    struct redis_fleet *fleet;
    const char *consumer;
    unsigned shard;
    pthread_t thread;
    sem_t started;
    struct loop *loop; /* set before 'started'; NULL: it couldn't be */
    struct mail stop;

    struct redis_store *store;
    struct timer again;
    struct buf command;
    struct redis_request look;
    bool looking;
    unsigned looks;
    struct forget_lane *lanes;
    uint32_t open; /* lanes that haven't answered */
    bool failed;
    bool up;
    bool over;
    bool stopping;
};

static void on_closed(void *ctx) {
    struct redis_forget *f = ctx;

    f->store = NULL;
    if (f->stopping)
        loop_stop(f->loop);
}

static void finish(struct redis_forget *f) {
    if (f->over)
        return;
    f->over = true;
    timer_stop(f->loop, &f->again);
    redis_store_close(f->store, on_closed, f);
}

static void look_again(struct redis_forget *f) {
    if (!f->over)
        timer_start(f->loop, &f->again, LOOK_EVERY_MS);
}

static bool ask(struct redis_forget *f, struct slice mode,
                void (*done)(struct redis_request *request, const struct redis_outcome *outcome)) {
    uint16_t slot = redis_lease_command(f->consumer, "", 1, mode, &f->command);

    f->look.done = done;
    f->looking = !buf_failed(&f->command) &&
                 redis_store_ask(f->store, slot, &f->look, buf_slice(&f->command)) == ERR_OK;
    return f->looking;
}

/* ---- leave ---- */

static void on_forgotten(struct redis_request *request, const struct redis_outcome *outcome) {
    struct redis_forget *f = CONTAINER_OF(request, struct redis_forget, look);

    f->looking = false;
    if (outcome->err == ERR_OK)
        finish(f);
    else
        look_again(f);
}

static void on_left(struct redis_request *request, const struct redis_outcome *outcome) {
    struct redis_forget *f = CONTAINER_OF(request, struct forget_lane, request)->forget;

    f->failed |= outcome->err != ERR_OK;
    if (--f->open > 0 || f->over)
        return;
    if (f->failed || !ask(f, SLICE("forget"), on_forgotten))
        look_again(f);
}

static bool leave(struct redis_forget *f, uint32_t lane) {
    const struct redis_layout *layout = &f->fleet->layout;

    f->lanes[lane] = (struct forget_lane){{.done = on_left}, f};
    redis_lane_script(layout, lane, &redis_script_consumer, "mo", 2, &f->command);
    redis_command_arg(&f->command, slice_str(f->consumer));
    redis_command_arg(&f->command, SLICE("leave"));
    return !buf_failed(&f->command) &&
           redis_store_ask(f->store, redis_lane_slot(lane, layout->lanes), &f->lanes[lane].request,
                           buf_slice(&f->command)) == ERR_OK;
}

static void leave_all(struct redis_forget *f) {
    uint32_t lanes = f->fleet->layout.lanes;

    if (!f->lanes)
        f->lanes = calloc(lanes, sizeof(*f->lanes));
    f->failed = !f->lanes;
    f->open = 0;
    for (uint32_t i = 0; i < lanes && !f->failed; i++) {
        f->failed = !leave(f, i);
        f->open += !f->failed;
    }
    if (f->open == 0)
        look_again(f);
}

/* ---- look ---- */

static void on_look(struct redis_request *request, const struct redis_outcome *outcome) {
    struct redis_forget *f = CONTAINER_OF(request, struct redis_forget, look);
    int64_t alive;

    f->looking = false;
    if (outcome->err != ERR_OK || !redis_reply_i64(outcome->reply, &alive))
        look_again(f);
    else if (alive == 0 && !f->over)
        leave_all(f);
    else if (++f->looks >= LOOKS)
        finish(f);
    else
        look_again(f);
}

static void look(struct timer *timer) {
    struct redis_forget *f = CONTAINER_OF(timer, struct redis_forget, again);

    if (!f->up || f->looking || f->open > 0)
        return;
    if (!ask(f, SLICE("look"), on_look))
        look_again(f);
}

static void on_changed(void *ctx, bool up) {
    struct redis_forget *f = ctx;

    f->up = up;
    if (up && !f->over)
        timer_start(f->loop, &f->again, 0);
}

static void on_clock(void *ctx, int64_t ahead_ms) {
    (void)ctx;
    (void)ahead_ms;
}

/* ---- the thread ---- */

static bool make_parts(struct redis_forget *f) {
    struct loop_conf conf = {.backend = LOOP_EPOLL};
    struct redis_store_user user = {.ctx = f, .clock_learned = on_clock, .changed = on_changed};

    if (loop_new(&conf, &f->loop) != ERR_OK)
        return false;
    f->again.fire = look;
    f->store = redis_store_new_aside(f->fleet, f->loop, f->shard, &user);
    if (f->store)
        return true;
    loop_free(f->loop);
    f->loop = NULL;
    return false;
}

static void *run(void *arg) {
    struct redis_forget *f = arg;
    bool made = make_parts(f);

    sem_post(&f->started);
    if (!made)
        return NULL;
    if (!redis_store_connect(f->store))
        finish(f);
    if (loop_run(f->loop) == ERR_OK)
        loop_free(f->loop);
    else
        log_line(LOG_ERROR, "a consumer of the outbox in Redis couldn't be given up",
                 LOG_STR("consumer", f->consumer));
    return NULL;
}

static void run_stop(struct mail *mail) {
    struct redis_forget *f = CONTAINER_OF(mail, struct redis_forget, stop);

    f->stopping = true;
    finish(f);
    if (!f->store)
        loop_stop(f->loop);
}

static void drop(struct mail *mail) {
    (void)mail; /* part of it */
}

static void release(struct redis_forget *f) {
    buf_release(&f->command);
    free(f->lanes);
    (void)sem_destroy(&f->started);
    free(f);
}

struct redis_forget *redis_forget_start(struct redis_fleet *fleet, const char *consumer,
                                        unsigned shard) {
    struct redis_forget *f = calloc(1, sizeof(*f));

    if (!f)
        return NULL;
    *f = (struct redis_forget){.fleet = fleet, .consumer = consumer, .shard = shard};
    f->stop = (struct mail){.run = run_stop, .drop = drop};
    (void)sem_init(&f->started, 0, 0);
    if (pthread_create(&f->thread, NULL, run, f) != 0) {
        release(f);
        return NULL;
    }
    (void)pthread_setname_np(f->thread, "hgp-forget");
    while (sem_wait(&f->started) != 0)
        ;
    if (f->loop)
        return f;
    (void)pthread_join(f->thread, NULL);
    release(f);
    return NULL;
}

void redis_forget_stop(struct redis_forget *f) {
    if (!f)
        return;
    if (mailbox_send(loop_mailbox(f->loop), &f->stop) != ERR_OK)
        abort();
    (void)pthread_join(f->thread, NULL);
    release(f);
}
