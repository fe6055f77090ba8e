/* redis_store.c - deliveries to script calls, replies to answers. */
#include "counter/redis_store.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "counter/redis_cluster.h"
#include "edge/redis_reads.h"
#include "edge/tracer.h"

/* ---- calls ---- */

static struct redis_call *take_call(struct redis_store *store) {
    struct list *node = list_pop_front(&store->free);
    struct redis_call *call =
        node ? CONTAINER_OF(node, struct redis_call, node) : calloc(1, sizeof(*call));

    if (call) {
        list_init(&call->node);
        call->store = store;
    }
    return call;
}

static void give_call(struct redis_call *call) {
    list_push_back(&call->store->free, &call->node);
}

static void deliver(struct redis_call *call, enum err err, bool not_applied) {
    struct redis_port *port = call->port;
    struct delivery *delivery = call->delivery;

    delivery->err = err;
    delivery->not_applied = err != ERR_OK && not_applied;
    give_call(call);
    port->delivered(port->ctx, delivery);
}

/* ---- answers ---- */

void redis_store_learn_clock(struct redis_store *store, int64_t clock_ms) {
    int64_t ahead_ms = clock_ms - loop_now_ms(store->loop);

    if (store->clock_known && ahead_ms == store->ahead_ms)
        return;
    store->clock_known = true;
    store->ahead_ms = ahead_ms;
    store->user.clock_learned(store->user.ctx, ahead_ms);
}

static bool read_strings(struct redis_store *store, const struct redis_reply *reply) {
    size_t count = redis_reply_count(reply);

    if (count > store->strings_cap) {
        struct slice *strings = realloc(store->strings, count * sizeof(*strings));
        if (!strings)
            return false;
        store->strings = strings;
        store->strings_cap = count;
    }
    for (size_t i = 0; i < count; i++)
        store->strings[i] = redis_reply_text(redis_reply_at(reply, i));
    return true;
}

static bool only_reads(const struct message *message) {
    for (size_t i = 0; i < message->count; i++)
        if (message->ops[i].kind != OP_GET)
            return false;
    return true;
}

static void end_span(const struct redis_store *store, const struct delivery *delivery,
                     int64_t duration_ns) {
    struct span span = tracer_child(delivery->trace, SPAN_CLIENT);
    bool by_script = store->fleet->layout.touch || !only_reads(delivery->message);

    span.name[0] = by_script ? SLICE("EVALSHA") : SLICE("PIPELINE");
    span_text(&span, SLICE("db.system.name"), SLICE("redis"));
    span_number(&span, SLICE("hgp.batch.operations"), (int64_t)delivery->message->count);
    tracer_end(&span, duration_ns);
}

void redis_store_observe(const struct redis_store *store, const struct delivery *delivery,
                         int64_t sent_ns, bool replayed) {
    const struct redis_fleet *fleet = store->fleet;
    struct metrics *m = fleet->conf.metrics;
    unsigned shard = store->shard;
    const struct message *message = delivery->message;
    uint64_t applied = 0;
    uint64_t keys = 0;
    uint64_t full = 0;

    for (size_t i = 0; i < message->count; i++) {
        const struct answer *answer = &delivery->answers[i];

        full += answer->err == ERR_OUTBOX_FULL;
        if (message->ops[i].kind == OP_GET || answer->err != ERR_OK)
            continue;
        applied += !answer->replayed;
        keys += answer->replayed;
    }
    int64_t took_ns = clock_mono_ns() - sent_ns;
    metrics_add(m, shard, fleet->series.batches, 1);
    metrics_observe(m, shard, fleet->series.batch_operations, message->count);
    metrics_observe(m, shard, fleet->series.commit, (uint64_t)took_ns / 1000);
    metrics_add(m, shard, fleet->series.message_replays, replayed);
    metrics_add(m, shard, fleet->series.refused_full, full);
    if (tracer_wants(delivery->trace)) {
        end_span(store, delivery, took_ns);
        metrics_exemplar(m, fleet->series.commit, (uint64_t)took_ns / 1000, delivery->trace,
                         clock_wall_ms());
    }
    if (replayed)
        return;
    metrics_add(m, shard, fleet->series.operations, applied);
    metrics_add(m, shard, fleet->series.key_replays, keys);
}

static enum err take_applied(struct redis_call *call, enum err err,
                             const struct redis_applied *applied) {
    if (err != ERR_OK)
        return err == ERR_NO_MEMORY ? ERR_UNKNOWN : err;
    call->delivery->store_now_ms = applied->clock_ms;
    redis_store_learn_clock(call->store, applied->clock_ms);
    call->replayed = applied->replayed;
    return ERR_OK;
}

static enum err read_reply(struct redis_call *call, const struct redis_reply *reply) {
    struct redis_store *store = call->store;
    struct redis_applied applied;

    if (!read_strings(store, reply))
        return ERR_UNKNOWN;
    enum err err = redis_plan_answers(&call->plan, &store->fleet->layout, call->delivery->message,
                                      store->strings, redis_reply_count(reply),
                                      call->delivery->answers, &applied);
    return take_applied(call, err, &applied);
}

static void finish(struct redis_call *call, enum err err) {
    if (err == ERR_OK)
        redis_store_observe(call->store, call->delivery, call->sent_ns, call->replayed);
    deliver(call, err, false);
}

void redis_call_release(struct list *node, enum err err) {
    finish(CONTAINER_OF(node, struct redis_call, node), err);
}

/* What isn't known to be refused may have been done: it is repeated under the same number. */
static enum err error_of(struct redis_call *call, const struct redis_outcome *outcome) {
    switch (outcome->err) {
    case ERR_NOT_FOUND: /* NOSCRIPT */
        redis_link_reload(call->link, &redis_script_apply);
        return ERR_UNAVAILABLE;
    case ERR_CANCELLED:
        return ERR_UNKNOWN;
    case ERR_INTERNAL:
    case ERR_LAYOUT:
    case ERR_CORRUPT:
        log_line(LOG_ERROR, "Redis could not apply a message",
                 LOG_STR("store", call->store->fleet->name),
                 LOG_SLICE("detail", redis_reply_text(outcome->reply)));
        if (outcome->err == ERR_INTERNAL)
            return outcome->refused ? ERR_UNAVAILABLE : ERR_UNKNOWN;
        return outcome->err;
    default:
        return outcome->err;
    }
}

static void take_reply(struct redis_call *call, const struct redis_outcome *outcome) {
    struct redis_link *link = call->link;

    if (outcome->err != ERR_OK) {
        deliver(call, error_of(call, outcome), outcome->refused);
        /* The lanes aren't those of the hello: look again, or stay away. */
        if (outcome->err == ERR_LAYOUT || outcome->err == ERR_CORRUPT)
            redis_conn_give_up(link->conn, "the lanes in Redis have changed or are damaged");
        return;
    }
    enum err err = read_reply(call, outcome->reply);
    if (err != ERR_OK || !ack_hold(&link->hold.ack, &call->node))
        finish(call, err);
    redis_link_tidy(link);
}

static void on_done(struct redis_request *request, const struct redis_outcome *outcome) {
    struct redis_call *call = CONTAINER_OF(request, struct redis_call, request);
    struct redis_store *store = call->store;

    take_reply(call, outcome);
    if (redis_waits(store))
        redis_wait_applied(store);
}

static enum err ask_script(struct redis_call *call);

static void on_values(struct redis_request *request, const struct redis_outcome *outcome) {
    struct redis_call *call = CONTAINER_OF(request, struct redis_call, request);
    const struct redis_layout *layout = &call->store->fleet->layout;
    const struct message *message = call->delivery->message;
    struct redis_applied applied;

    if (!outcome->reply) {
        deliver(call, error_of(call, outcome), outcome->refused);
        return;
    }
    if (!redis_reads_hear(&call->plan, layout, message, 0, call->plan.parts_count,
                          outcome->reply)) {
        enum err err = ask_script(call);

        if (err != ERR_OK)
            deliver(call, err, true);
        return;
    }
    enum err err =
        redis_plan_finish(&call->plan, layout, message, call->delivery->answers, &applied);
    finish(call, take_applied(call, err, &applied));
    redis_link_tidy(call->link);
}

/* ---- sending ---- */

/* One and the same while it lasts: messages on two connections would overtake each other. */
static struct redis_link *pick(struct redis_store *store) {
    if (redis_waits(store))
        return redis_wait_pick(store);
    if (store->current && store->current->usable)
        return store->current;
    store->current = NULL;
    for (unsigned i = 0; !store->current && i < store->links_count; i++)
        if (store->links[i].usable)
            store->current = &store->links[i];
    return store->current;
}

/* Nothing in it for Redis: answered on a later turn all the same. */
static void answer_here(struct redis_call *call) {
    struct delivery *delivery = call->delivery;

    for (size_t i = 0; i < delivery->message->count; i++)
        delivery->answers[i] = (struct answer){.err = ERR_INVALID};
    list_push_back(&call->store->local, &call->node);
    timer_start(call->store->loop, &call->store->later, 0);
}

static enum err ask_script(struct redis_call *call) {
    struct redis_store *store = call->store;

    buf_clear(&store->command);
    redis_plan_command(&call->plan, &store->fleet->layout, call->delivery->message,
                       &store->command);
    if (buf_failed(&store->command))
        return ERR_NO_MEMORY;
    call->request.done = on_done;
    return redis_conn_ask(call->link->conn, &call->request, buf_slice(&store->command));
}

/* What only reads as plain commands. */
static enum err ask(struct redis_call *call) {
    struct redis_store *store = call->store;

    buf_clear(&store->command);
    size_t commands = redis_reads_commands(&call->plan, &store->fleet->layout, 0,
                                           call->plan.parts_count, &store->command);
    if (commands == 0)
        return ask_script(call);
    if (buf_failed(&store->command))
        return ERR_NO_MEMORY;
    call->request.done = on_values;
    return redis_conn_ask_several(call->link->conn, &call->request, buf_slice(&store->command),
                                  commands);
}

static enum err send_call(struct redis_call *call, struct redis_link *link) {
    struct redis_store *store = call->store;
    const struct redis_layout *layout = &store->fleet->layout;
    const struct message *message = call->delivery->message;
    enum err err = redis_plan_make(&call->plan, layout, message);

    if (err == ERR_INVALID || (err == ERR_OK && call->plan.parts_count == 0)) {
        answer_here(call);
        return ERR_OK;
    }
    if (err != ERR_OK)
        return err;
    call->link = link;
    call->sent_ns = clock_mono_ns();
    err = ask(call);
    if (err == ERR_OK && redis_waits(store))
        redis_wait_sent(call);
    return err;
}

enum err redis_call_send(struct redis_call *call) {
    struct redis_link *link = pick(call->store);

    return link ? send_call(call, link) : ERR_UNAVAILABLE;
}

void redis_call_refuse(struct redis_call *call, enum err err) {
    deliver(call, err, true);
}

static enum err store_send(struct upstream *upstream, struct delivery *delivery) {
    struct redis_port *port = CONTAINER_OF(upstream, struct redis_port, upstream);
    struct redis_store *store = port->store;
    struct redis_call *call;

    if (store->cluster)
        return redis_cluster_send(store->cluster, port, delivery);
    if (store->usable == 0)
        return ERR_UNAVAILABLE;
    call = take_call(store);
    if (!call)
        return ERR_NO_MEMORY;
    call->port = port;
    call->delivery = delivery;
    if (redis_waits(store) && redis_wait_behind(call))
        return ERR_OK;
    enum err err = redis_call_send(call);
    if (err != ERR_OK)
        give_call(call);
    return err;
}

/* ---- what isn't a message ---- */

struct redis_conn *redis_store_conn(struct redis_store *store, uint16_t slot) {
    if (store->cluster)
        return redis_cluster_conn(store->cluster, slot);
    for (unsigned i = 0; i < store->links_count; i++)
        if (store->links[i].usable)
            return store->links[i].conn;
    return NULL;
}

enum err redis_store_ask(struct redis_store *store, uint16_t slot, struct redis_request *request,
                         struct slice command) {
    struct redis_conn *conn = redis_store_conn(store, slot);

    return conn ? redis_conn_ask(conn, request, command) : ERR_UNAVAILABLE;
}

/* A script that is missing comes with the next greeting, and that shows a replica and another
 * store, too. */
void redis_store_trouble(struct redis_store *store, uint16_t slot,
                         const struct redis_outcome *outcome) {
    struct slice text = redis_reply_text(outcome->reply);
    char why[REDIS_DETAIL_BYTES];

    if (store->cluster) {
        redis_cluster_trouble(store->cluster, slot, outcome);
        return;
    }
    (void)snprintf(why, sizeof(why), "%.*s", SLICE_ARGS(text));
    if (outcome->err == ERR_INTERNAL)
        redis_fleet_complain(store->fleet, why);
    else if (outcome->err != ERR_BUSY && outcome->err != ERR_IO && outcome->err != ERR_NO_MEMORY)
        redis_conn_give_up(store->links[0].conn, why);
}

/* ---- life ---- */

static void release(struct redis_store *store) {
    struct list *node;

    while ((node = list_pop_front(&store->free))) {
        struct redis_call *call = CONTAINER_OF(node, struct redis_call, node);

        redis_plan_release(&call->plan);
        free(call);
    }
    redis_wait_release(store);
    timer_stop(store->loop, &store->later);
    buf_release(&store->command);
    free(store->strings);
    free(store);
}

static void on_later(struct timer *timer) {
    struct redis_store *store = CONTAINER_OF(timer, struct redis_store, later);
    struct list *node;

    while ((node = list_pop_front(&store->local)))
        deliver(CONTAINER_OF(node, struct redis_call, node), ERR_OK, false);
    if (store->closed && store->links_open == 0) {
        void (*closed)(void *ctx) = store->closed;
        void *ctx = store->closed_ctx;

        release(store);
        closed(ctx);
    }
}

static struct redis_store *make(struct redis_fleet *fleet, struct loop *loop, unsigned shard,
                                const struct redis_store_user *user, bool aside) {
    struct redis_store *store = calloc(1, sizeof(*store));

    if (!store)
        return NULL;
    store->aside = aside;
    store->fleet = fleet;
    store->loop = loop;
    store->shard = shard;
    store->user = *user;
    store->tidy.lane = shard;
    store->later.fire = on_later;
    list_init(&store->free);
    list_init(&store->local);
    list_init(&store->free_waits);
    list_init(&store->behind);
    if (fleet->conf.url.is_cluster && !(store->cluster = redis_cluster_new(store))) {
        free(store);
        return NULL;
    }
    atomic_fetch_add(&fleet->loops, aside ? 0 : 1);
    return store;
}

struct redis_store *redis_store_new(struct redis_fleet *fleet, struct loop *loop, unsigned shard,
                                    const struct redis_store_user *user) {
    return make(fleet, loop, shard, user, false);
}

struct redis_store *redis_store_new_aside(struct redis_fleet *fleet, struct loop *loop,
                                          unsigned shard, const struct redis_store_user *user) {
    return make(fleet, loop, shard, user, true);
}

bool redis_store_connect(struct redis_store *store) {
    redis_wait_init(store);
    if (store->cluster)
        return redis_cluster_connect(store->cluster);
    if (!redis_link_watch(store))
        return false;
    store->links_open += store->sentinel != NULL;
    for (unsigned i = 0; i < (store->aside ? 1 : store->fleet->conf.connections); i++) {
        if (!redis_link_start(&store->links[i], store, random_u64()))
            return false;
        store->links_count++;
        store->links_open++;
    }
    return true;
}

void redis_port_init(struct redis_port *port, struct redis_store *store,
                     void (*delivered)(void *ctx, struct delivery *delivery), void *ctx) {
    *port = (struct redis_port){
        .upstream.send = store_send, .store = store, .delivered = delivered, .ctx = ctx};
}

static void on_cluster_closed(void *ctx) {
    struct redis_store *store = ctx;
    void (*closed)(void *ctx) = store->closed;
    void *closed_ctx = store->closed_ctx;

    release(store);
    closed(closed_ctx);
}

static void on_one_closed(void *ctx) {
    struct redis_store *store = ctx;

    if (--store->links_open == 0)
        timer_start(store->loop, &store->later, 0);
}

void redis_store_close(struct redis_store *store, void (*closed)(void *ctx), void *ctx) {
    store->closed = closed;
    store->closed_ctx = ctx;
    for (unsigned i = 0; i < store->links_count; i++) {
        struct redis_link *link = &store->links[i];

        redis_link_usable(link, false);
        redis_conn_close(link->conn, on_one_closed, store);
    }
    if (store->sentinel)
        redis_sentinel_close(store->sentinel, on_one_closed, store);
    atomic_fetch_sub(&store->fleet->loops, store->aside ? 0 : 1);
    if (store->cluster)
        redis_cluster_close(store->cluster, on_cluster_closed, store);
    else if (store->links_open == 0)
        timer_start(store->loop, &store->later, 0);
}
