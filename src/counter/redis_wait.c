/* redis_wait.c - mode replicated on a standalone Redis: connections take turns.
 *
 * As a WAIT blocks its connection (redis_hold.c), the next tick's calls take another one that is
 * idle, once the calls before them are applied: connections may overtake each other.
 */
#include "counter/redis_cluster.h"

/* Added behind the senders' hooks and before the connections': what this tick has sent is there,
 * and leaves together with its WAIT. */
static void on_tick(struct loop_hook *hook) {
    struct redis_store *store = CONTAINER_OF(hook, struct redis_store, wait);

    store->current = NULL;
    for (unsigned i = 0; i < store->links_count; i++)
        redis_hold_tick(&store->links[i].hold);
    if (store->cluster)
        redis_cluster_tick(store->cluster);
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
    ack_sent(&call->link->hold.ack);
    call->store->applying++;
}

void redis_wait_init(struct redis_store *store) {
    store->wait.run = on_tick;
    if (redis_waits(store))
        loop_hook_add(store->loop, &store->wait);
}

void redis_wait_release(struct redis_store *store) {
    redis_holds_release(store);
    if (redis_waits(store) && store->wait.run)
        loop_hook_remove(&store->wait);
}
