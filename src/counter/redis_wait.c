/* redis_wait.c - mode replicated: an answer is held until replicas have what it speaks of.
 *
 *     a tick's calls ─► EVALSHA … EVALSHA … [HSET] WAIT     on one connection
 *     replies        ◄─ answers: held     ◄─ how many have it: handed over, or ERR_UNKNOWN
 *
 * The rules are core/ack.h's; here they meet a connection. As a WAIT blocks it, the next tick's
 * calls take another one that is idle, once the calls before them are applied: connections may
 * overtake each other.
 *
 * Too few replicas: nobody knows what becomes of the write, so the message is repeated under its
 * number; and the connection is given up, so that hello looks whether there are replicas at all
 * before anything more is applied that can't be acknowledged.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "counter/redis_internal.h"
#include "edge/redis_command.h"

/* Of the time a reply has: it may stand behind another one. */
#define WAIT_SHARE 3

static void deliver_held(struct redis_link *link, enum err err) {
    struct list mine;
    struct list *node;

    ack_take(&link->ack, &mine); /* apart first: a callback may lead to more */
    while ((node = list_pop_front(&mine)))
        redis_call_finish(CONTAINER_OF(node, struct redis_call, node), err);
}

static void refuse(struct redis_link *link, const struct redis_outcome *outcome, int64_t count) {
    struct slice text = redis_reply_text(outcome->reply);

    if (outcome->err != ERR_OK)
        (void)snprintf(link->refusal, sizeof(link->refusal), "WAIT failed: %.*s", SLICE_ARGS(text));
    else
        (void)snprintf(link->refusal, sizeof(link->refusal),
                       "%" PRId64 " of the %u replicas that durability.replicas asks for have "
                       "acknowledged in time",
                       count, link->store->fleet->conf.replicas);
    redis_conn_give_up(link->conn, link->refusal);
}

static void on_waited(struct redis_request *request, const struct redis_outcome *outcome) {
    struct redis_wait *wait = CONTAINER_OF(request, struct redis_wait, request);
    struct redis_link *link = wait->link;
    int64_t count = 0;
    bool enough = outcome->err == ERR_OK && redis_reply_i64(outcome->reply, &count) &&
                  ack_enough(&link->ack, count);

    list_push_back(&link->store->free_waits, &wait->node);
    deliver_held(link, enough ? ERR_OK : ERR_UNKNOWN);
    if (!enough && outcome->reply)
        refuse(link, outcome, count);
}

static void on_touched(struct redis_request *request, const struct redis_outcome *outcome) {
    (void)request; /* WAIT's struct; whatever came of it, WAIT comes to no better end */
    (void)outcome;
}

static struct redis_wait *take_wait(struct redis_link *link) {
    struct list *node = list_pop_front(&link->store->free_waits);
    struct redis_wait *wait =
        node ? CONTAINER_OF(node, struct redis_wait, node) : calloc(1, sizeof(*wait));

    if (wait) {
        list_init(&wait->node);
        wait->link = link;
        wait->request.done = on_waited;
        wait->touch.done = on_touched;
    }
    return wait;
}

static enum err ask(struct redis_link *link, struct redis_request *request,
                    const struct slice *args, size_t count) {
    struct buf *command = &link->store->command;

    buf_clear(command);
    redis_command_begin(command, count);
    for (size_t i = 0; i < count; i++)
        redis_command_arg(command, args[i]);
    return buf_failed(command) ? ERR_NO_MEMORY
                               : redis_conn_ask(link->conn, request, buf_slice(command));
}

static enum err ask_wait(struct redis_link *link, bool touching) {
    const struct redis_fleet_conf *conf = &link->store->fleet->conf;
    const struct slice touch[] = {SLICE("HSET"), SLICE("hgp:meta"), SLICE("touched"), SLICE("1")};
    struct redis_wait *wait = take_wait(link);
    enum err err = wait ? ERR_OK : ERR_NO_MEMORY;
    char replicas[16];
    char patience[24];

    (void)snprintf(replicas, sizeof(replicas), "%u", conf->replicas);
    (void)snprintf(patience, sizeof(patience), "%" PRId64, conf->response_ms / WAIT_SHARE + 1);
    const struct slice args[] = {SLICE("WAIT"), slice_str(replicas), slice_str(patience)};
    if (err == ERR_OK && touching)
        err = ask(link, &wait->touch, touch, ARRAY_LEN(touch));
    if (err == ERR_OK)
        err = ask(link, &wait->request, args, ARRAY_LEN(args));
    if (err != ERR_OK && wait)
        list_push_back(&link->store->free_waits, &wait->node);
    return err;
}

/* Added behind the senders' hooks and before the connections': what this tick has sent is there,
 * and leaves together with its WAIT. */
static void on_tick(struct loop_hook *hook) {
    struct redis_store *store = CONTAINER_OF(hook, struct redis_store, wait);

    store->current = NULL;
    for (unsigned i = 0; i < store->links_count; i++) {
        struct redis_link *link = &store->links[i];

        enum ack_step step = ack_due(&link->ack);
        if (step == ACK_NOTHING || !link->usable)
            continue;
        if (ask_wait(link, step == ACK_TOUCH_AND_WAIT) != ERR_OK)
            redis_conn_give_up(link->conn, err_text(ERR_NO_MEMORY));
    }
}

/* A tick's calls share a connection, and a WAIT; an idle one, or the one with the least to do. */
struct redis_link *redis_wait_pick(struct redis_store *store) {
    size_t least = SIZE_MAX;

    if (store->current && store->current->usable)
        return store->current;
    store->current = NULL;
    for (unsigned i = 0; i < store->links_count; i++) {
        struct redis_link *link = &store->links[(store->turn + i) % store->links_count];
        size_t requests = redis_conn_requests(link->conn);

        if (!link->usable || requests >= least)
            continue;
        store->current = link;
        least = requests;
    }
    store->turn++;
    return store->current;
}

/* Another tick's calls are under way, and a call of this one would take another connection. */
static bool would_overtake(const struct redis_store *store) {
    return !store->current && store->applying > 0;
}

bool redis_wait_behind(struct redis_call *call) {
    struct redis_store *store = call->store;

    if (list_empty(&store->behind) && !would_overtake(store))
        return false;
    list_push_back(&store->behind, &call->node);
    return true;
}

void redis_wait_applied(struct redis_store *store) {
    struct list *node;

    store->applying--;
    while (!would_overtake(store) && (node = list_pop_front(&store->behind))) {
        struct redis_call *call = CONTAINER_OF(node, struct redis_call, node);
        enum err err = redis_call_send(call);

        if (err != ERR_OK)
            redis_call_refuse(call, err);
    }
}

void redis_wait_sent(struct redis_call *call) {
    struct redis_link *link = call->link;
    uint32_t writes = 0;

    for (uint32_t i = 0; i < call->plan.parts_count; i++)
        writes += call->plan.parts[i].writes;
    ack_sent(&link->ack, writes > 0);
    link->store->applying++;
}

void redis_wait_init(struct redis_store *store) {
    store->wait.run = on_tick;
    if (redis_waits(store))
        loop_hook_add(store->loop, &store->wait);
}

void redis_wait_release(struct redis_store *store) {
    struct list *node;

    while ((node = list_pop_front(&store->free_waits)))
        free(CONTAINER_OF(node, struct redis_wait, node));
    if (redis_waits(store) && store->wait.run)
        loop_hook_remove(&store->wait);
}
