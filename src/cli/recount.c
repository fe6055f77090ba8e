/* recount.c - one moment of the store, read beside it, handed over in pieces. */
#include "cli/recount.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/log.h"
#include "core/inspect.h"
#include "edge/rocks_kv.h"

/* At once: questions and events wait for it, well below a millisecond. */
#define PIECE 512

/* The store may move files while we open them. */
#define LOOKS 5

struct recount {
    const char *data;
    struct analytics_service *service;
    pthread_t thread;
    atomic_bool stopping;
    struct counter_value
        values[PIECE]; /* their slices are offsets into 'names' until handed over */
    size_t count;
    struct buf names;
    uint64_t taken;
};

static enum err hand_over(struct recount *recount) {
    const char *at = recount->names.ptr;

    for (size_t i = 0; i < recount->count; i++) {
        struct counter_value *value = &recount->values[i];

        value->resource_id.ptr = at;
        at += value->resource_id.len;
        value->counter_type.ptr = at;
        at += value->counter_type.len;
    }
    enum err err = analytics_put_values(recount->service, recount->values, recount->count);
    recount->taken += recount->count;
    recount->count = 0;
    buf_clear(&recount->names);
    return err;
}

static enum err take_counter(void *ctx, const struct inspect_counter *counter) {
    struct recount *recount = ctx;

    if (atomic_load(&recount->stopping))
        return ERR_UNAVAILABLE;
    buf_add_slice(&recount->names, counter->resource_id);
    buf_add_slice(&recount->names, counter->counter_type);
    if (buf_failed(&recount->names))
        return ERR_NO_MEMORY;
    recount->values[recount->count++] =
        (struct counter_value){counter->resource_id, counter->counter_type, counter->value};
    return recount->count == PIECE ? hand_over(recount) : ERR_OK;
}

static enum err look(const struct recount *recount, struct rocks_kv **out) {
    enum err err = ERR_BUSY;
    const char *detail = NULL;

    for (unsigned i = 0; err == ERR_BUSY && i < LOOKS; i++)
        err = rocks_kv_look(recount->data, out, &detail);
    if (err != ERR_OK)
        log_line(LOG_ERROR, "the store can't be read beside its thread", LOG_STR("detail", detail));
    return err;
}

static enum err take_all(struct recount *recount) {
    struct rocks_kv *rocks = NULL;
    enum err err = analytics_begin_values(recount->service);

    if (err == ERR_OK)
        err = look(recount, &rocks);
    if (err != ERR_OK)
        return err;
    err = inspect_counters(rocks_kv_view(rocks), take_counter, recount);
    if (err == ERR_OK)
        err = hand_over(recount);
    rocks_kv_close(rocks);
    return err == ERR_OK ? analytics_end_values(recount->service) : err;
}

static void *run(void *arg) {
    struct recount *recount = arg;
    enum err err = take_all(recount);

    if (err == ERR_OK)
        log_line(LOG_INFO, "analytics has taken the values of all counters from the store",
                 LOG_INT("counters", recount->taken));
    else if (!atomic_load(&recount->stopping))
        log_line(LOG_ERROR,
                 "analytics could not take the values of all counters from the store: rankings of "
                 "all time aren't exact; the next start tries again",
                 LOG_STR("error", err_name(err)));
    return NULL;
}

struct recount *recount_start(const char *data, struct analytics_service *service) {
    struct recount *recount = analytics_lacks_values(service) ? calloc(1, sizeof(*recount)) : NULL;

    if (!recount)
        return NULL;
    recount->data = data;
    recount->service = service;
    if (pthread_create(&recount->thread, NULL, run, recount) == 0)
        return recount;
    free(recount);
    return NULL;
}

void recount_stop(struct recount *recount) {
    if (!recount)
        return;
    atomic_store(&recount->stopping, true);
    (void)pthread_join(recount->thread, NULL);
    buf_release(&recount->names);
    free(recount);
}
