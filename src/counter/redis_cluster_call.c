/* redis_cluster_call.c - a message: a call for each lane it touches, then all its answers at once.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "counter/redis_cluster_internal.h"

/* ---- calls ---- */

static struct cluster_call *take_call(struct redis_cluster *cluster) {
    struct list *node = list_pop_front(&cluster->free);
    struct cluster_call *call =
        node ? CONTAINER_OF(node, struct cluster_call, link) : calloc(1, sizeof(*call));

    if (call) {
        list_init(&call->link);
        call->cluster = cluster;
    }
    return call;
}

static void give_call(struct cluster_call *call) {
    list_push_back(&call->cluster->free, &call->link);
}

void cluster_calls_free(struct redis_cluster *cluster) {
    struct list *node;

    while ((node = list_pop_front(&cluster->free))) {
        struct cluster_call *call = CONTAINER_OF(node, struct cluster_call, link);

        redis_plan_release(&call->plan);
        free(call->parts);
        free(call);
    }
}

static void deliver(struct cluster_call *call, enum err err, bool not_applied) {
    struct redis_port *port = call->port;
    struct delivery *delivery = call->delivery;

    delivery->err = err;
    delivery->not_applied = err != ERR_OK && not_applied;
    give_call(call);
    port->delivered(port->ctx, delivery);
}

/* ---- answers ---- */

static enum err read_answers(struct cluster_call *call) {
    struct redis_cluster *cluster = call->cluster;
    struct delivery *delivery = call->delivery;
    struct redis_applied applied;
    enum err err = redis_plan_finish(&call->plan, &cluster->fleet->layout, delivery->message,
                                     delivery->answers, &applied);

    if (err != ERR_OK)
        return err == ERR_NO_MEMORY ? ERR_UNKNOWN : err;
    delivery->store_now_ms = applied.clock_ms;
    cluster_learn_clock(cluster);
    redis_store_observe(cluster->store, delivery, call->sent_ns, applied.replayed);
    return ERR_OK;
}

static void finish(struct cluster_call *call) {
    struct redis_cluster *cluster = call->cluster;
    bool not_applied;
    enum err err = parts_outcome(&call->fates, &not_applied);

    deliver(call, err == ERR_OK ? read_answers(call) : err, not_applied);
    cluster_tidy(cluster);
}

static void close_part(struct cluster_call *call) {
    if (parts_answered(&call->fates))
        finish(call);
}

void cluster_call_heard(struct cluster_part *part) {
    struct cluster_call *call = part->call;
    struct cluster_node *node = part->node;

    node->ahead_ms = call->plan.said[part->index].clock_ms - loop_now_ms(call->cluster->loop);
    node->clock_known = true;
    cluster_node_look(node);
    if (!ack_hold(&node->hold.ack, &part->waiting))
        close_part(call);
}

void cluster_call_hear(struct cluster_part *part, const struct redis_reply *reply) {
    struct redis_cluster *cluster = part->call->cluster;
    struct redis_plan *plan = &part->call->plan;

    if (cluster_read_strings(cluster, reply) &&
        redis_plan_hear(plan, part->index, cluster->strings, redis_reply_count(reply)) == ERR_OK)
        cluster_call_heard(part);
    else
        cluster_call_unknown(part);
}

void cluster_call_refuse(struct cluster_part *part, enum err err) {
    struct cluster_call *call = part->call;

    redis_plan_refuse(&call->plan, part->index, err);
    if (parts_refused(&call->fates, err))
        finish(call);
}

void cluster_call_unknown(struct cluster_part *part) {
    if (parts_unknown(&part->call->fates))
        finish(part->call);
}

void cluster_call_release(struct list *node, enum err err) {
    struct cluster_part *part = CONTAINER_OF(node, struct cluster_part, waiting);

    if (err == ERR_OK)
        close_part(part->call);
    else
        cluster_call_unknown(part);
}

/* ---- sending ---- */

/* Nothing in it for Redis: answered on a later turn all the same. */
static void answer_here(struct cluster_call *call) {
    struct delivery *delivery = call->delivery;

    for (size_t i = 0; i < delivery->message->count; i++)
        delivery->answers[i] = (struct answer){.err = ERR_INVALID};
    list_push_back(&call->cluster->local, &call->link);
    timer_start(call->cluster->loop, &call->cluster->later, 0);
}

void cluster_call_local(struct redis_cluster *cluster) {
    struct list *node;

    while ((node = list_pop_front(&cluster->local)))
        deliver(CONTAINER_OF(node, struct cluster_call, link), ERR_OK, false);
}

static bool make_parts(struct cluster_call *call) {
    size_t count = call->plan.parts_count;

    if (count <= call->parts_cap)
        return true;
    struct cluster_part *parts = realloc(call->parts, count * sizeof(*parts));
    if (!parts)
        return false;
    call->parts = parts;
    call->parts_cap = count;
    return true;
}

/* ERR_OK: at least one part is on its way. */
static enum err send_parts(struct cluster_call *call) {
    bool none = false;

    parts_begin(&call->fates, call->plan.parts_count);
    for (uint32_t i = 0; i < call->plan.parts_count; i++) {
        struct cluster_part *part = &call->parts[i];

        cluster_part_begin(part, call, i);
        if (cluster_part_send(part) == ERR_OK)
            continue;
        redis_plan_refuse(&call->plan, i, ERR_UNAVAILABLE);
        none = parts_refused(&call->fates, ERR_UNAVAILABLE);
    }
    return none ? ERR_UNAVAILABLE : ERR_OK;
}

static enum err send_call(struct cluster_call *call) {
    const struct redis_layout *layout = &call->cluster->fleet->layout;
    enum err err = redis_plan_make(&call->plan, layout, call->delivery->message);

    if (err == ERR_INVALID || (err == ERR_OK && call->plan.parts_count == 0)) {
        answer_here(call);
        return ERR_OK;
    }
    if (err != ERR_OK)
        return err;
    if (!make_parts(call))
        return ERR_NO_MEMORY;
    call->sent_ns = clock_mono_ns();
    return send_parts(call);
}

enum err redis_cluster_send(struct redis_cluster *cluster, struct redis_port *port,
                            struct delivery *delivery) {
    if (!cluster->opened || cluster->closing)
        return ERR_UNAVAILABLE;
    struct cluster_call *call = take_call(cluster);
    if (!call)
        return ERR_NO_MEMORY;
    call->port = port;
    call->delivery = delivery;
    enum err err = send_call(call);
    if (err != ERR_OK)
        give_call(call);
    return err;
}
