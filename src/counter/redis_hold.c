/* redis_hold.c - mode replicated: what a connection's answers are held by.
 *
 *     a tick's calls ─► EVALSHA … EVALSHA … WAIT     on one connection
 *     replies        ◄─ answers: held   ◄─ how many have it: handed over, or ERR_UNKNOWN
 *
 * The rules are core/ack.h's; here they meet a connection. Too few replicas: nobody knows what
 * becomes of the write, so the message is repeated under its number; and the connection is given
 * up, so that it is looked at whether there are replicas at all before anything more is applied
 * that can't be acknowledged.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "counter/redis_internal.h"
#include "edge/redis_command.h"

/* Of the time a reply has: it may stand behind another one. */
#define WAIT_SHARE 3

/* One WAIT under way. */
struct redis_wait {
    struct list node; /* while free */
    struct redis_request request;
    struct redis_hold *hold;
};

void redis_hold_init(struct redis_hold *hold, struct redis_store *store,
                     void (*release)(struct list *node, enum err err)) {
    *hold = (struct redis_hold){.store = store, .release = release};
    ack_init(&hold->ack, redis_waits(store) ? store->fleet->conf.replicas : 0);
}

static void release_all(struct redis_hold *hold, enum err err) {
    struct list mine;
    struct list *node;

    ack_take(&hold->ack, &mine); /* apart first: a callback may lead to more */
    while ((node = list_pop_front(&mine)))
        hold->release(node, err);
}

static void refuse(struct redis_hold *hold, const struct redis_outcome *outcome, int64_t count) {
    struct slice text = redis_reply_text(outcome->reply);
    char why[REDIS_DETAIL_BYTES];

    if (outcome->err != ERR_OK)
        (void)snprintf(why, sizeof(why), "WAIT failed: %.*s", SLICE_ARGS(text));
    else
        (void)snprintf(why, sizeof(why),
                       "%" PRId64 " of the %u replicas that durability.replicas asks for have "
                       "acknowledged in time",
                       count, hold->store->fleet->conf.replicas);
    redis_conn_give_up(hold->conn, why);
}

static void on_waited(struct redis_request *request, const struct redis_outcome *outcome) {
    struct redis_wait *wait = CONTAINER_OF(request, struct redis_wait, request);
    struct redis_hold *hold = wait->hold;
    int64_t count = 0;
    bool enough = outcome->err == ERR_OK && redis_reply_i64(outcome->reply, &count) &&
                  ack_enough(&hold->ack, count);

    list_push_back(&hold->store->free_waits, &wait->node);
    release_all(hold, enough ? ERR_OK : ERR_UNKNOWN);
    if (!enough && outcome->reply)
        refuse(hold, outcome, count);
}

static struct redis_wait *take_wait(struct redis_hold *hold) {
    struct list *node = list_pop_front(&hold->store->free_waits);
    struct redis_wait *wait =
        node ? CONTAINER_OF(node, struct redis_wait, node) : calloc(1, sizeof(*wait));

    if (wait) {
        list_init(&wait->node);
        wait->hold = hold;
        wait->request.done = on_waited;
    }
    return wait;
}

void redis_wait_command(const struct redis_fleet *fleet, struct buf *out) {
    buf_clear(out);
    redis_command_begin(out, 3);
    redis_command_arg(out, SLICE("WAIT"));
    redis_add_number(out, fleet->conf.replicas);
    redis_add_number(out, fleet->conf.response_ms / WAIT_SHARE + 1);
}

static enum err ask_wait(struct redis_hold *hold) {
    struct buf *command = &hold->store->command;
    struct redis_wait *wait = take_wait(hold);

    if (!wait)
        return ERR_NO_MEMORY;
    redis_wait_command(hold->store->fleet, command);
    enum err err = buf_failed(command)
                       ? ERR_NO_MEMORY
                       : redis_conn_ask(hold->conn, &wait->request, buf_slice(command));
    if (err != ERR_OK)
        list_push_back(&hold->store->free_waits, &wait->node);
    return err;
}

void redis_hold_tick(struct redis_hold *hold) {
    if (ack_due(&hold->ack) && redis_conn_ready(hold->conn) && ask_wait(hold) != ERR_OK)
        redis_conn_give_up(hold->conn, err_text(ERR_NO_MEMORY));
}

void redis_holds_release(struct redis_store *store) {
    struct list *node;

    while ((node = list_pop_front(&store->free_waits)))
        free(CONTAINER_OF(node, struct redis_wait, node));
}
