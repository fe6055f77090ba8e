/* front_values.c - one call, one thread, one page. */
#include "counter/front_values.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/log.h"
#include "core/inspect.h"
#include "counter/front_outbox.h"
#include "edge/grpc_host.h"
#include "edge/outbox_codec.h"
#include "edge/rocks_kv.h"
#include "edge/values_codec.h"
#include "loop/mailbox.h"
#include "loop/timer.h"

#define PAGE_BYTES ((size_t)64 << 10)

/* It keeps old files of the store. */
#define LOOK_MS 10000

/* The store may move files while they are opened. */
#define LOOKS 5

struct front_values {
    struct loop *loop;
    struct counter_service *service;
    const char *folder;
    void (*settled)(void *ctx);
    void *ctx;
    struct grpc_call *call; /* NULL: it has gone, or none is under way */
    struct timer unused;

    struct { /* the page's thread, while it is under way; else the loop's */
        bool under_way;
        pthread_t thread;
        struct rocks_kv *look;
        uint64_t walk;    /* the look's */
        bool fresh;       /* an older look isn't this walk's */
        bool gives_up;    /* closes the look and reads nothing */
        struct buf after; /* the id of the last counter that is known; empty: none */
        struct buf page;
        bool complete;
        enum err err;
        struct mail over;
    } job;
};

/* ---- on the page's thread ---- */

static void close_look(struct front_values *values) {
    rocks_kv_close(values->job.look);
    values->job.look = NULL;
}

static enum err open_look(struct front_values *values) {
    const char *detail = NULL;
    enum err err = ERR_BUSY;

    for (unsigned i = 0; err == ERR_BUSY && i < LOOKS; i++)
        err = rocks_kv_look(values->folder, &values->job.look, &detail);
    if (err != ERR_OK)
        log_line(LOG_ERROR, "the store can't be read beside its thread", LOG_STR("detail", detail));
    return err;
}

static enum err take(void *ctx, const struct inspect_counter *counter) {
    struct front_values *values = ctx;
    const struct values_item item = {counter->resource_id, counter->counter_type, counter->value};

    if (values->job.page.len >= PAGE_BYTES) {
        values->job.complete = false;
        return ERR_BUSY; /* ends the walk */
    }
    values_write_item(&values->job.page, &item);
    return buf_failed(&values->job.page) ? ERR_NO_MEMORY : ERR_OK;
}

static enum err read_page(struct front_values *values) {
    enum err err = ERR_OK;

    if (values->job.fresh)
        close_look(values);
    if (!values->job.look)
        err = open_look(values);
    if (err != ERR_OK)
        return err;
    if (values->job.after.len)
        buf_add_char(&values->job.after, '\0'); /* the next possible id */
    if (buf_failed(&values->job.after))
        return ERR_NO_MEMORY;
    values->job.complete = true;
    err = inspect_counters_from(rocks_kv_view(values->job.look), buf_slice(&values->job.after),
                                take, values);
    if (!values->job.complete)
        return ERR_OK;
    if (err == ERR_OK)
        err = counter_settle(values->service);
    close_look(values);
    return err;
}

static void *run(void *arg) {
    struct front_values *values = arg;

    if (values->job.gives_up)
        close_look(values);
    else
        values->job.err = read_page(values);
    if (mailbox_send(loop_mailbox(values->loop), &values->job.over) != ERR_OK)
        abort(); /* one at a time: the mailbox has room */
    return NULL;
}

/* ---- on the loop ---- */

static bool start(struct front_values *values, bool gives_up) {
    values->job.gives_up = gives_up;
    values->job.under_way = pthread_create(&values->job.thread, NULL, run, values) == 0;
    if (values->job.under_way)
        (void)pthread_setname_np(values->job.thread, "hgp-values");
    return values->job.under_way;
}

static void on_unused(struct timer *timer) {
    struct front_values *values = CONTAINER_OF(timer, struct front_values, unused);

    if (!values->job.under_way && values->job.look && !start(values, true))
        timer_start(values->loop, timer, LOOK_MS);
}

static void answer(struct front_values *values, struct grpc_call *call) {
    const struct values_page page = {.store_id = counter_store_id(values->service),
                                     .start = counter_start_id(values->service),
                                     .complete = values->job.complete};

    values_write_page(&values->job.page, &page);
    if (values->job.err != ERR_OK)
        grpc_fail(call, values->job.err, SLICE(""));
    else
        grpc_reply(call, &values->job.page);
}

static void on_over(struct mail *mail) {
    struct front_values *values = CONTAINER_OF(mail, struct front_values, job.over);
    struct grpc_call *call = values->call;

    (void)pthread_join(values->job.thread, NULL);
    values->job.under_way = false;
    values->call = NULL;
    if (call)
        answer(values, call);
    if (values->job.look)
        timer_start(values->loop, &values->unused, LOOK_MS);
    values->settled(values->ctx);
}

static void drop_over(struct mail *mail) {
    (void)mail; /* part of the values */
}

/* Another walk begins at a moment of its own. */
static void prepare(struct front_values *values, const struct values_ask *ask) {
    values->job.fresh = values->job.walk != ask->walk;
    values->job.walk = ask->walk;
    buf_clear(&values->job.page);
    buf_clear(&values->job.after);
    if (!ask->resource_id.len)
        return;
    buf_add_slice(&values->job.after, ask->resource_id);
    buf_add_char(&values->job.after, '\0');
    buf_add_slice(&values->job.after, ask->counter_type);
}

static void on_request(void *ctx, struct grpc_call *call, struct slice bytes) {
    struct front_values *values = ctx;
    struct values_ask ask;

    if (!values->service) {
        grpc_fail(call, ERR_NOT_IMPL, SLICE(FRONT_NOTHING_TO_FOLLOW));
        return;
    }
    if (values_read_ask(bytes, &ask) != ERR_OK) {
        grpc_fail(call, ERR_INVALID, SLICE("not a ValuesRequest"));
        return;
    }
    if (values->job.under_way) {
        grpc_fail(call, ERR_BUSY, SLICE("another page is being read"));
        return;
    }
    timer_stop(values->loop, &values->unused);
    prepare(values, &ask);
    if (start(values, false))
        values->call = call;
    else
        grpc_fail(call, ERR_NO_MEMORY, SLICE(""));
}

static void on_gone(void *ctx, struct grpc_call *call) {
    struct front_values *values = ctx;

    grpc_finish(call, GRPC_CANCELLED, SLICE(""));
    if (values->call == call)
        values->call = NULL;
}

/* ---- composition ---- */

struct front_values *front_values_new(struct loop *loop, struct counter_service *service,
                                      const char *folder, void (*settled)(void *ctx), void *ctx) {
    struct front_values *values = calloc(1, sizeof(*values));

    if (!values)
        return NULL;
    values->loop = loop;
    values->service = service;
    values->folder = folder;
    values->settled = settled;
    values->ctx = ctx;
    values->unused.fire = on_unused;
    values->job.over = (struct mail){.run = on_over, .drop = drop_over};
    return values;
}

void front_values_free(struct front_values *values) {
    if (!values)
        return;
    timer_stop(values->loop, &values->unused);
    close_look(values);
    buf_release(&values->job.after);
    buf_release(&values->job.page);
    free(values);
}

void front_values_method(struct front_values *values, struct grpc_method *out) {
    *out = (struct grpc_method){
        .path = SLICE(OUTBOX_VALUES_PATH), .handle = on_request, .gone = on_gone, .ctx = values};
}

bool front_values_idle(const struct front_values *values) {
    return !values->job.under_way;
}

void front_values_rest(struct front_values *values) {
    timer_stop(values->loop, &values->unused);
}
