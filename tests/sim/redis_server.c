/* redis_server.c - what a node does with commands, one after another for each connection. */
#include <inttypes.h>
#include <stdlib.h>

#include "core/rules.h"
#include "redis_internal.h"

#define HANG_UP_AGAIN_MS 100

struct redis_link {
    struct redis *redis;
    struct link_user user;
    unsigned node;
    unsigned refs;      /* the client's, the server's, one for each command and event */
    bool closed;        /* by the client */
    bool open;          /* at the server */
    struct list conn;   /* the node's */
    struct list up;     /* commands under way, */
    struct list queued; /* there behind a WAIT, */
    struct list down;   /* replies under way, */
    struct list lost;   /* and what ended with the server's side */
    int64_t up_ms;
    int64_t down_ms;
    size_t written; /* the offset behind this connection's last write */
    struct command *waiting;
};

static struct redis_node *node_of(const struct redis_link *link) {
    return &link->redis->nodes[link->node];
}

static void drop(struct redis_link *link) {
    if (--link->refs == 0)
        free(link);
}

static int64_t hop_ms(struct redis_link *link) {
    return rng_in(&link->redis->world->rng, 0, 2);
}

/* ---- replies ---- */

static void reply_arrives(void *self, uint64_t arg) {
    struct redis_link *link = self;
    struct world *world = link->redis->world;
    int64_t until_ms = link->redis->cut_until_ms[link->node][link->user.endpoint];
    struct list *node;

    (void)arg;
    if (until_ms > world_now(world)) {
        agenda_at(&world->agenda, until_ms, reply_arrives, link, 0);
        return;
    }
    node = list_pop_front(&link->down);
    if (node) {
        struct command *command = CONTAINER_OF(node, struct command, node);

        command->done(command);
    }
    drop(link); /* the command's */
}

static void send_reply(struct command *command) {
    struct redis_link *link = command->link;
    struct world *world = link->redis->world;
    int64_t at_ms = world_now(world) + hop_ms(link);

    if (at_ms > link->down_ms)
        link->down_ms = at_ms;
    command->replied = true;
    list_push_back(&link->down, &command->node);
    agenda_at(&world->agenda, link->down_ms, reply_arrives, link, 0);
}

/* appendfsync always: the loop stands still until the fsync is done. */
static void reply(struct command *command) {
    struct redis_node *node = node_of(command->link);

    command->offset = node->log_count;
    if (redis_syncs(node->redis) && node->sync_due)
        list_push_back(&node->unsynced, &command->node);
    else
        send_reply(command);
}

void server_synced(struct redis_node *node) {
    while (!list_empty(&node->unsynced)) {
        struct command *command = CONTAINER_OF(node->unsynced.next, struct command, node);

        if (command->offset > node->synced)
            return;
        list_remove(&command->node);
        send_reply(command);
    }
}

/* ---- commands ---- */

static void trace_apply(struct world *world, const struct redis_node *node,
                        const struct command *command, enum err err) {
    const struct message *message = command->message;
    struct buf ops = {0};

    for (size_t i = 0; i < message->count && err == ERR_OK; i++) {
        history_describe(&world->history, &message->ops[i], &ops);
        buf_printf(&ops, " %s %" PRId64 "%s,", err_name(command->answers[i].err),
                   command->answers[i].value, command->answers[i].replayed ? " replayed" : "");
    }
    TRACE(&world->trace, "redis %u applies %04" PRIx64 "#%" PRIu64 ": %s%.*s; entry %zu",
          node_name(node), message->producer.lo & 0xffff, message->number, err_name(err),
          (int)ops.len, ops.ptr ? ops.ptr : "", node->log_count);
    buf_release(&ops);
}

static bool has_writes(const struct message *message) {
    for (size_t i = 0; i < message->count; i++)
        if (message->ops[i].kind != OP_GET)
            return true;
    return false;
}

/* Does a call write even where nothing changes? */
static bool touches(const struct redis *redis, const struct message *message) {
    if (has_writes(message))
        return RULE(RULE_TOUCH);
    return redis->world->profile.ack == SIM_REPLICATED && RULE(RULE_TOUCH_READ);
}

/* What an answer rests on. With a stale primary a read rests on nothing that will last. */
static uint64_t rests_on(struct redis_node *node, bool appended) {
    struct redis *redis = node->redis;

    if (appended || node->index == redis->primary || !redis_may_lose(redis, true))
        return node_last_commit(node);
    uint64_t commit = ++redis->world->commits;

    history_lost(&redis->world->history, commit - 1, commit);
    return commit;
}

static void apply(struct redis_link *link, struct command *command) {
    struct redis_node *node = node_of(link);
    struct world *world = link->redis->world;
    const struct message *message = command->message;
    int64_t clock_ms = world_now(world) + node->ahead_ms;
    enum err err = applier_apply(node->applier, message, world_time(world), command->answers);

    if (err == ERR_OK)
        err = applier_tidy(node->applier, world_time(world));
    if (err == ERR_OK)
        err = applier_commit(node->applier, false);
    if (err != ERR_OK)
        trace_violation(&world->trace, -1, "redis %u: a message fails: %s", node_name(node),
                        err_name(err));
    bool appended = node_append(node, touches(link->redis, message));
    if (appended)
        link->written = node->log_count;
    command->err = err;
    command->facts = (struct facts){
        .commit = rests_on(node, appended),
        .old_ok = message->issued_ms < clock_ms - MESSAGE_MAX_AGE_MS ||
                  message->issued_ms > clock_ms + MESSAGE_MAX_AHEAD_MS,
        .store_now_ms = clock_ms,
    };
    if (world->trace.keep)
        trace_apply(world, node, command, err);
    reply(command);
}

static void touch(struct redis_link *link, struct command *command) {
    (void)node_append(node_of(link), true);
    link->written = node_of(link)->log_count;
    reply(command);
}

/* ---- WAIT ---- */

static int64_t replicas_with(const struct redis_node *node, size_t offset) {
    int64_t count = 0;

    for (unsigned i = 0; i < REDIS_NODES; i++)
        count += i != node->index && node->redis->nodes[i].follows == node->index &&
                 node->acked[i] >= offset;
    return count;
}

static void run_queue(struct redis_link *link);

static void end_wait(struct redis_link *link) {
    struct command *command = link->waiting;

    link->waiting = NULL;
    command->count = replicas_with(node_of(link), link->written);
    TRACE(&link->redis->world->trace, "redis %u: %" PRId64 " of %u replicas have entry %zu",
          node_name(node_of(link)), command->count, command->replicas, link->written);
    reply(command);
    run_queue(link);
}

static void patience_ends(void *self, uint64_t arg) {
    struct redis_link *link = self;

    /* Another one by now, or none, says the time it came at. */
    if (link->open && link->waiting && (uint64_t)link->waiting->patience_ms == arg)
        end_wait(link);
    drop(link);
}

static void wait_for_replicas(struct redis_link *link, struct command *command) {
    struct world *world = link->redis->world;

    link->waiting = command;
    if (replicas_with(node_of(link), link->written) >= (int64_t)command->replicas) {
        end_wait(link);
        return;
    }
    command->patience_ms += world_now(world);
    link->refs++;
    agenda_at(&world->agenda, command->patience_ms, patience_ends, link,
              (uint64_t)command->patience_ms);
}

void server_acknowledged(struct redis_node *node) {
    for (struct list *at = node->conns.next, *next; at != &node->conns; at = next) {
        struct redis_link *link = CONTAINER_OF(at, struct redis_link, conn);

        next = at->next;
        if (link->waiting && replicas_with(node, link->written) >= (int64_t)link->waiting->replicas)
            end_wait(link);
    }
}

/* ---- commands come ---- */

static bool is_of_a_lane(const struct command *command) {
    return command->kind == COMMAND_APPLY || command->kind == COMMAND_READ ||
           command->kind == COMMAND_REPORT;
}

static void redirect(struct redis_link *link, struct command *command) {
    struct cluster *cluster = link->redis->cluster;

    command->master = command->slot == SLOT_ASK ? cluster_target(cluster)
                                                : cluster_told_owner(cluster, command->lane);
    reply(command);
}

static void run(struct redis_link *link, struct command *command) {
    bool primary = node_of(link)->primary;

    command->slot = SLOT_RUN;
    if (primary && is_of_a_lane(command))
        command->slot = cluster_judge(node_of(link), command);
    if (command->slot != SLOT_RUN) {
        redirect(link, command);
    } else if (!primary) {
        command->err = ERR_UNAVAILABLE;
        reply(command);
    } else if (command->kind == COMMAND_APPLY) {
        apply(link, command);
    } else if (command->kind == COMMAND_TOUCH) {
        touch(link, command);
    } else if (command->kind == COMMAND_WAIT) {
        wait_for_replicas(link, command);
    } else {
        command->err = server_outbox(node_of(link), command);
        if (command->kind != COMMAND_READ)
            link->written = node_of(link)->log_count;
        reply(command);
    }
}

static void run_queue(struct redis_link *link) {
    struct list *node;

    while (!link->waiting && (node = list_pop_front(&link->queued)))
        run(link, CONTAINER_OF(node, struct command, node));
}

static void lose(struct redis_link *link, struct command *command) {
    command->err = ERR_UNKNOWN;
    list_push_back(&link->lost, &command->node);
}

static void give_lost(struct redis_link *link) {
    struct list *node;

    link->refs++;
    while ((node = list_pop_front(&link->lost))) {
        struct command *command = CONTAINER_OF(node, struct command, node);

        command->done(command);
        drop(link);
    }
    drop(link);
}

static void command_arrives(void *self, uint64_t arg) {
    struct redis_link *link = self;
    struct redis_node *node = node_of(link);
    struct world *world = link->redis->world;
    int64_t until_ms = link->redis->cut_until_ms[link->user.endpoint][link->node];

    (void)arg;
    if (until_ms < node->paused_until_ms)
        until_ms = node->paused_until_ms;
    if (until_ms > world_now(world)) {
        agenda_at(&world->agenda, until_ms, command_arrives, link, 0);
        return;
    }
    struct command *command = CONTAINER_OF(list_pop_front(&link->up), struct command, node);
    if (!link->open) {
        lose(link, command);
        give_lost(link);
    } else if (link->waiting) {
        list_push_back(&link->queued, &command->node);
    } else {
        run(link, command);
    }
}

void link_send(struct redis_link *link, struct command *command) {
    struct world *world = link->redis->world;
    int64_t at_ms = world_now(world) + hop_ms(link);

    if (at_ms > link->up_ms)
        link->up_ms = at_ms;
    command->link = link;
    command->replied = false;
    command->err = ERR_OK;
    link->refs++;
    list_push_back(&link->up, &command->node);
    agenda_at(&world->agenda, link->up_ms, command_arrives, link, 0);
}

/* ---- connections ---- */

static void breaks(void *self, uint64_t arg) {
    struct redis_link *link = self;
    struct world *world = link->redis->world;
    int64_t until_ms = link->redis->cut_until_ms[link->node][link->user.endpoint];

    (void)arg;
    if (until_ms > world_now(world)) {
        agenda_at(&world->agenda, until_ms, breaks, link, 0);
        return;
    }
    give_lost(link);
    if (!link->closed)
        link->user.broken(link->user.ctx, link);
    drop(link);
}

static void close_at_server(struct redis_link *link) {
    struct world *world = link->redis->world;
    struct list *node;

    if (link->waiting)
        lose(link, link->waiting);
    link->waiting = NULL;
    while ((node = list_pop_front(&link->queued)))
        lose(link, CONTAINER_OF(node, struct command, node));
    link->open = false;
    list_remove(&link->conn);
    /* With the server's reference. Behind the replies that left before. */
    int64_t at_ms = world_now(world) + rng_in(&world->rng, 0, 30);

    agenda_at(&world->agenda, at_ms > link->down_ms ? at_ms : link->down_ms, breaks, link, 0);
}

void server_close_conns(struct redis_node *node) {
    struct list *at;

    while ((at = list_pop_front(&node->unsynced))) {
        struct command *command = CONTAINER_OF(at, struct command, node);
        struct redis_link *link = command->link;

        lose(link, command);
        if (!link->open)
            give_lost(link); /* nothing else comes that would */
    }
    while (!list_empty(&node->conns))
        close_at_server(CONTAINER_OF(node->conns.next, struct redis_link, conn));
}

struct redis_link *link_open(struct redis *redis, const struct link_user *user) {
    struct redis_node *node = &redis->nodes[redis->primary];
    struct redis_link *link;

    /* Told by a Sentinel that is behind. */
    if (!redis->world->calm && rng_chance(&redis->world->rng, 5))
        node = &redis->nodes[rng_next(&redis->world->rng) % REDIS_NODES];
    if (!node_awake(node) || !node->primary || redis_cut(redis, user->endpoint, node->index) ||
        redis_cut(redis, node->index, user->endpoint))
        return NULL;
    link = calloc(1, sizeof(*link));
    if (!link)
        abort();
    *link = (struct redis_link){
        .redis = redis, .user = *user, .node = node->index, .refs = 2, .open = true};
    list_init(&link->up);
    list_init(&link->queued);
    list_init(&link->down);
    list_init(&link->lost);
    list_push_back(&node->conns, &link->conn);
    return link;
}

/* Behind the commands that left before. With the client's reference. */
static void hang_up_arrives(void *self, uint64_t arg) {
    struct redis_link *link = self;
    struct world *world = link->redis->world;

    (void)arg;
    if (link->open && !list_empty(&link->up)) {
        agenda_at(&world->agenda, world_now(world) + HANG_UP_AGAIN_MS, hang_up_arrives, link, 0);
        return;
    }
    if (link->open)
        close_at_server(link);
    drop(link);
}

void link_close(struct redis_link *link) {
    struct world *world = link->redis->world;

    link->closed = true;
    agenda_at(&world->agenda, world_now(world) + hop_ms(link), hang_up_arrives, link, 0);
}

void server_release(struct redis_node *node) {
    struct list *at;

    while ((at = list_pop_front(&node->conns)))
        free(CONTAINER_OF(at, struct redis_link, conn));
}

unsigned link_node(const struct redis_link *link) {
    return link->node;
}
