/* counter_values.c - a call for each page, again where the counter is away. */
#include "cli/counter_values.h"

#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "cli/rpc.h"
#include "edge/outbox_codec.h"
#include "edge/values_codec.h"

#define ANSWER_MS   10000
#define AGAIN_MS    200
#define PATIENCE_MS 60000

struct walk {
    const struct counter_values *conf;
    enum err (*take)(void *ctx, struct slice resource_id, struct slice counter_type, int64_t value);
    void *ctx;
    struct rpc *rpc;
    struct values_ask ask; /* its slices are in the last page */
    uint64_t start;        /* the counter's; 0: not known yet */
    struct buf request;
    struct buf response;
    struct buf items;
    bool complete;
    const char *problem;
};

static void rest(void) {
    struct timespec pause = {.tv_nsec = AGAIN_MS * 1000000L};

    (void)nanosleep(&pause, NULL);
}

/* The request is written first: the answer takes the place of the page that it points into. */
static enum err ask(struct walk *walk) {
    int64_t until_ms = clock_mono_ms() + PATIENCE_MS;
    enum err err;

    buf_clear(&walk->request);
    values_write_ask(&walk->request, &walk->ask);
    if (buf_failed(&walk->request))
        return ERR_NO_MEMORY;
    while ((err = rpc_call(walk->rpc, SLICE(OUTBOX_VALUES_PATH), buf_slice(&walk->request),
                           &walk->response, &walk->problem)) == ERR_UNREACHABLE &&
           clock_mono_ms() < until_ms && !atomic_load(walk->conf->stopping))
        rest();
    return atomic_load(walk->conf->stopping) ? ERR_UNAVAILABLE : err;
}

static enum err check(struct walk *walk, const struct values_page *page) {
    if (page->store_id != walk->conf->store_id) {
        walk->problem = "it has another store than the one whose events are counted";
        return ERR_LAYOUT;
    }
    if (walk->start && walk->start != page->start) {
        walk->problem = "it has started again meanwhile: try again";
        return ERR_CLOSED;
    }
    walk->start = page->start;
    if (page->count || page->complete)
        return ERR_OK;
    walk->problem = "its answer makes no sense";
    return ERR_INVALID;
}

static enum err hand_over(struct walk *walk, size_t count) {
    const struct values_item *item = (const struct values_item *)(const void *)walk->items.ptr;
    enum err err = ERR_OK;

    for (size_t i = 0; err == ERR_OK && i < count; i++)
        err = walk->take(walk->ctx, item[i].resource_id, item[i].counter_type, item[i].value);
    if (count) {
        walk->ask.resource_id = item[count - 1].resource_id;
        walk->ask.counter_type = item[count - 1].counter_type;
    }
    return err;
}

static enum err page(struct walk *walk) {
    struct values_page page = {0};
    enum err err = ask(walk);

    if (err == ERR_OK)
        err = values_read_page(buf_slice(&walk->response), &walk->items, &page);
    if (err == ERR_OK)
        err = check(walk, &page);
    if (err == ERR_OK)
        err = hand_over(walk, page.count);
    walk->complete = page.complete;
    return err;
}

enum err counter_values_take(const struct counter_values *values,
                             enum err (*take)(void *ctx, struct slice resource_id,
                                              struct slice counter_type, int64_t value),
                             void *ctx) {
    struct walk walk = {.conf = values,
                        .take = take,
                        .ctx = ctx,
                        .rpc = rpc_new(slice_str(values->address), values->tls, ANSWER_MS),
                        .ask = {.walk = random_u64()},
                        .problem = ""};
    enum err err = walk.rpc ? ERR_OK : ERR_NO_MEMORY;

    while (err == ERR_OK && !walk.complete)
        err = page(&walk);
    if (err != ERR_OK && err != ERR_UNAVAILABLE)
        log_line(LOG_ERROR, "the values of a counter elsewhere can't be had",
                 LOG_STR("address", values->address), LOG_STR("error", err_name(err)),
                 LOG_STR("problem", walk.problem));
    rpc_free(walk.rpc);
    buf_release(&walk.request);
    buf_release(&walk.response);
    buf_release(&walk.items);
    return err;
}
