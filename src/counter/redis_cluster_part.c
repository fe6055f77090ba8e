/* redis_cluster_part.c - one part of a message: sent, and sent again where the Cluster says so.
 *
 * MOVED      to that node from now on                  at once
 * ASK        to that node this once, behind ASKING     at once, unless it has clients' keys
 * TRYAGAIN   the slot is being moved, with some keys   after a pause
 * NOSCRIPT   loaded again in front of it               at once
 *
 * None of these has changed anything; and where plain commands that only read don't bring all they
 * should, the script is asked, which says one of these, or why. A bounded number of times, and not
 * behind the deadline.
 */
#include "counter/redis_cluster_internal.h"
#include "edge/redis_command.h"
#include "edge/redis_reads.h"
#include "edge/redis_script.h"

#define SENT_MAX    64   /* 5 redirections in a row are a lot; a slot's move takes a while */
#define PAUSE_MS    20   /* jittered */
#define PATIENCE_MS 2000 /* with a slot that is being moved */

static void on_done(struct redis_request *request, const struct redis_outcome *outcome);
static void on_values(struct redis_request *request, const struct redis_outcome *outcome);

/* ---- sending ---- */

static void on_asking(struct redis_request *request, const struct redis_outcome *outcome) {
    (void)request;
    (void)outcome; /* what follows it says all */
}

static enum err send_asking(struct cluster_part *part, struct cluster_node *node) {
    struct buf *command = &part->call->cluster->command;

    buf_clear(command);
    redis_command_begin(command, 1);
    redis_command_arg(command, SLICE("ASKING"));
    part->asking.done = on_asking;
    return buf_failed(command) ? ERR_NO_MEMORY
                               : redis_conn_ask(node->conn, &part->asking, buf_slice(command));
}

static uint16_t slot_of(const struct cluster_part *part) {
    const struct cluster_call *call = part->call;
    uint32_t lanes = call->cluster->fleet->layout.lanes;

    return redis_lane_slot(call->plan.parts[part->index].lane, lanes);
}

static enum err ask_script(struct cluster_part *part) {
    struct cluster_call *call = part->call;
    struct redis_cluster *cluster = call->cluster;

    buf_clear(&cluster->command);
    redis_plan_part_command(&call->plan, &cluster->fleet->layout, call->delivery->message,
                            part->index, &cluster->command);
    if (buf_failed(&cluster->command))
        return ERR_NO_MEMORY;
    part->request.done = on_done;
    return redis_conn_ask(part->node->conn, &part->request, buf_slice(&cluster->command));
}

/* What only reads as plain commands. */
static enum err ask(struct cluster_part *part) {
    struct redis_cluster *cluster = part->call->cluster;

    buf_clear(&cluster->command);
    size_t commands = redis_reads_commands(&part->call->plan, &cluster->fleet->layout, part->index,
                                           part->index + 1, &cluster->command);
    if (commands == 0)
        return ask_script(part);
    if (buf_failed(&cluster->command))
        return ERR_NO_MEMORY;
    part->request.done = on_values;
    return redis_conn_ask_several(part->node->conn, &part->request, buf_slice(&cluster->command),
                                  commands);
}

enum err cluster_part_send(struct cluster_part *part) {
    struct redis_cluster *cluster = part->call->cluster;
    struct cluster_node *node = part->ask ? part->ask : cluster_map_owner(cluster, slot_of(part));
    bool asking = part->ask != NULL;
    enum err err = ERR_OK;

    if (!node || !node->usable)
        return ERR_UNAVAILABLE;
    if (asking)
        err = send_asking(part, node);
    part->ask = NULL;
    if (err != ERR_OK)
        return err;
    part->node = node;
    part->sent++;
    /* ASKING is for the next command alone. */
    err = asking || part->by_script ? ask_script(part) : ask(part);
    if (err == ERR_OK)
        ack_sent(&node->hold.ack);
    return err;
}

/* ---- again ---- */

static bool may_go_on(const struct cluster_part *part) {
    int64_t now_ms = loop_now_ms(part->call->cluster->loop);

    return !part->call->cluster->closing && part->sent < SENT_MAX && now_ms < part->give_up_ms &&
           now_ms < part->call->delivery->deadline_ms;
}

static void wait_for_it(struct cluster_part *part) {
    struct redis_cluster *cluster = part->call->cluster;
    int64_t pause_ms = cluster_jitter(cluster, PAUSE_MS);

    part->due_ms = loop_now_ms(cluster->loop) + pause_ms;
    list_push_back(&cluster->waiting, &part->waiting);
    if (!timer_armed(&cluster->again))
        timer_start(cluster->loop, &cluster->again, pause_ms);
}

static void again(struct cluster_part *part, bool pause) {
    if (!may_go_on(part))
        cluster_call_refuse(part, ERR_UNAVAILABLE);
    else if (pause || cluster_part_send(part) != ERR_OK)
        wait_for_it(part);
}

void cluster_part_again(struct timer *timer) {
    struct redis_cluster *cluster = CONTAINER_OF(timer, struct redis_cluster, again);
    int64_t now_ms = loop_now_ms(cluster->loop);
    struct list mine;
    struct list *node;

    list_init(&mine);
    while ((node = list_pop_front(&cluster->waiting)))
        list_push_back(&mine, node);
    while ((node = list_pop_front(&mine))) {
        struct cluster_part *part = CONTAINER_OF(node, struct cluster_part, waiting);

        if (part->due_ms > now_ms)
            list_push_back(&cluster->waiting, node);
        else
            again(part, false);
    }
    if (!list_empty(&cluster->waiting) && !timer_armed(timer))
        timer_start(cluster->loop, timer, cluster_jitter(cluster, PAUSE_MS));
}

void cluster_part_give_back(struct redis_cluster *cluster) {
    struct list *node;

    while ((node = list_pop_front(&cluster->waiting)))
        cluster_call_refuse(CONTAINER_OF(node, struct cluster_part, waiting), ERR_UNAVAILABLE);
}

/* ---- redirections ---- */

/* Their records are in hashes that no call can name beforehand. */
static bool has_client_keys(const struct cluster_part *part) {
    const struct redis_plan *plan = &part->call->plan;
    const struct message *message = part->call->delivery->message;

    for (uint32_t at = plan->parts[part->index].first; at != REDIS_PLAN_END;
         at = plan->items[at].next) {
        const struct op *op = &message->ops[plan->items[at].first];

        if (op->key.ptr && op->kind != OP_GET)
            return true;
    }
    return false;
}

static void redirect(struct cluster_part *part, const struct redis_redirect *to) {
    struct redis_cluster *cluster = part->call->cluster;

    if (!to->ask) {
        cluster_map_moved(cluster, to);
        again(part, false);
        return;
    }
    if (parts_may_go_ahead(has_client_keys(part)))
        part->ask = cluster_node_at(cluster, to->address);
    again(part, part->ask == NULL);
}

/* What isn't known to be refused may have been done. */
static void refused(struct cluster_part *part, const struct redis_outcome *outcome) {
    struct redis_cluster *cluster = part->call->cluster;

    if (!outcome->refused && outcome->err != ERR_CORRUPT) {
        cluster_call_unknown(part);
        return;
    }
    if (outcome->err == ERR_LAYOUT || outcome->err == ERR_CORRUPT || outcome->err == ERR_INTERNAL)
        cluster_damage(cluster, redis_reply_text(outcome->reply));
    cluster_call_refuse(part, outcome->err == ERR_INTERNAL ? ERR_UNAVAILABLE : outcome->err);
}

static void on_error(struct cluster_part *part, const struct redis_outcome *outcome) {
    struct redis_cluster *cluster = part->call->cluster;
    struct slice text = redis_reply_text(outcome->reply);
    struct redis_redirect to;

    if (redis_redirect_read(text, part->node->url.address, &to)) {
        redirect(part, &to);
    } else if (outcome->err == ERR_NOT_FOUND) {
        cluster_node_load(part->node, &redis_script_apply_cluster);
        again(part, false);
    } else if (slice_starts(text, SLICE("TRYAGAIN")) || slice_starts(text, SLICE("HGPMOVING"))) {
        again(part, true);
    } else {
        if (slice_starts(text, SLICE("CLUSTERDOWN")) || outcome->err == ERR_UNAVAILABLE)
            cluster_map_want(cluster);
        refused(part, outcome);
    }
}

static void on_done(struct redis_request *request, const struct redis_outcome *outcome) {
    struct cluster_part *part = CONTAINER_OF(request, struct cluster_part, request);

    if (outcome->err == ERR_OK)
        cluster_call_hear(part, outcome->reply);
    else if (outcome->reply)
        on_error(part, outcome);
    else if (outcome->refused && outcome->err == ERR_UNAVAILABLE) /* it never left */
        cluster_call_refuse(part, ERR_UNAVAILABLE);
    else
        cluster_call_unknown(part);
}

static void on_values(struct redis_request *request, const struct redis_outcome *outcome) {
    struct cluster_part *part = CONTAINER_OF(request, struct cluster_part, request);
    struct cluster_call *call = part->call;

    if (!outcome->reply) {
        on_done(request, outcome);
    } else if (redis_reads_hear(&call->plan, &call->cluster->fleet->layout, call->delivery->message,
                                part->index, part->index + 1, outcome->reply)) {
        cluster_call_heard(part);
    } else {
        part->by_script = true;
        again(part, false);
    }
}

void cluster_part_begin(struct cluster_part *part, struct cluster_call *call, uint32_t index) {
    *part = (struct cluster_part){
        .call = call, .index = index, .give_up_ms = loop_now_ms(call->cluster->loop) + PATIENCE_MS};
    list_init(&part->waiting);
}
