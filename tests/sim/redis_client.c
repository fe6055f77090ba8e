/* redis_client.c - calls out, answers in; on a Cluster to wherever a lane is. */
#include "redis_client.h"

#include <inttypes.h>
#include <stdlib.h>

#include "core/ack.h"
#include "core/parts.h"
#include "core/rules.h"
#include "redis_internal.h"
#include "redis_parts.h"

#define LINES_MAX   3
#define WAIT_SHARE  3
#define SENT_MAX    64
#define PAUSE_MS    20
#define PATIENCE_MS 2000

/* One of a process's connections. */
struct line_to_redis {
    struct redis_client *client;
    unsigned index;          /* of several masters: this one's */
    struct redis_link *link; /* NULL: none */
    unsigned generation;
    struct ack ack;
    struct list calls; /* that aren't told yet */
    size_t busy;
};

struct redis_client {
    struct world *world;
    unsigned process;
    struct line_to_redis lines[LINES_MAX];
    unsigned lines_count;
    struct line_to_redis *current; /* of this tick; while it lasts where nothing is waited for */
    bool tick_due;
    unsigned turn;
    unsigned owner[LANES_MAX]; /* of several masters, as far as is known */
    struct list pausing;       /* calls that are on no connection */
};

struct call_to_redis {
    struct command command;
    struct list mine; /* the line's calls, or the client's that pause */
    struct list held; /* ack.h's */
    struct redis_client *client;
    struct line_to_redis *line; /* NULL: it pauses */
    struct job *job;
    bool told;
    unsigned refs; /* until told, until the command is back, until its time or its pause is over */
    unsigned sent; /* how many times */
    int64_t give_up_ms;
};

/* A WAIT. */
struct waiting {
    struct command command;
    struct line_to_redis *line;
    unsigned generation;
};

static struct call_to_redis *call_of(struct command *command) {
    return CONTAINER_OF(command, struct call_to_redis, command);
}

static bool has_masters(const struct redis_client *client) {
    return client->world->profile.masters > 1;
}

static unsigned master_of(const struct line_to_redis *line) {
    return has_masters(line->client) ? line->index : 0;
}

static unsigned replicas_needed(const struct world *world) {
    if (world->profile.ack != SIM_REPLICATED)
        return 0;
    return RULE(RULE_WAIT_ALL) ? REDIS_NODES - 1 : 1;
}

/* ---- telling ---- */

static void drop(struct call_to_redis *call) {
    if (--call->refs > 0)
        return;
    call->job->ways->release(call->job);
    free(call->command.answers);
    free(call);
}

/* Takes it off the line; the caller tells, then drops. */
static void close_call(struct call_to_redis *call) {
    call->told = true;
    list_remove(&call->mine);
    list_remove(&call->held);
    if (call->line)
        call->line->busy--;
}

static void deliver(struct call_to_redis *call) {
    close_call(call);
    call->job->ways->reply(call->job, call->command.answers, &call->command.facts);
    drop(call);
}

static void fail(struct call_to_redis *call, bool not_applied) {
    close_call(call);
    if (not_applied)
        call->job->ways->refuse(call->job);
    else
        call->job->ways->fail(call->job);
    drop(call);
}

/* ---- connections ---- */

static void connect_line(void *self, uint64_t generation);

static void connect_later(struct line_to_redis *line) {
    struct world *world = line->client->world;

    agenda_at(&world->agenda, world_now(world) + rng_in(&world->rng, 25, 400), connect_line, line,
              line->generation);
}

/* Without telling anybody. */
static void hang_up(struct line_to_redis *line) {
    struct redis_link *link = line->link;

    line->link = NULL;
    line->generation++;
    if (line->client->current == line)
        line->client->current = NULL;
    if (link)
        link_close(link);
    connect_later(line);
}

static void give_up(struct line_to_redis *line, const char *why) {
    struct redis_client *client = line->client;
    struct list calls;
    struct list *node;

    TRACE(&client->world->trace, "process %u gives up connection %u to redis %u: %s",
          client->process, line->index, master_of(line) * 10 + link_node(line->link), why);
    hang_up(line);
    list_init(&calls);
    while ((node = list_pop_front(&line->calls)))
        list_push_back(&calls, node);
    while (!list_empty(&calls))
        fail(CONTAINER_OF(calls.next, struct call_to_redis, mine), false);
}

static void on_broken(void *ctx, struct redis_link *link) {
    struct line_to_redis *line = ctx;

    if (line->link == link)
        give_up(line, "closed by the server");
}

static void connect_line(void *self, uint64_t generation) {
    struct line_to_redis *line = self;
    struct redis_client *client = line->client;
    const struct link_user user = {
        .broken = on_broken, .ctx = line, .endpoint = REDIS_USER(client->process)};

    if (line->link || generation != line->generation)
        return;
    line->link = link_open(cluster_master(client->world->cluster, master_of(line)), &user);
    if (!line->link) {
        connect_later(line);
        return;
    }
    ack_init(&line->ack, line->index == 0 || RULE(RULE_WAIT_EACH) || !has_masters(client)
                             ? replicas_needed(client->world)
                             : 0);
}

/* ---- a tick's end ---- */

static void waited(struct command *command) {
    struct waiting *waiting = CONTAINER_OF(command, struct waiting, command);
    struct line_to_redis *line = waiting->line;
    struct list held;
    struct list *node;

    if (line->generation != waiting->generation || !command->replied) {
        free(waiting);
        return;
    }
    bool enough = command->err == ERR_OK && ack_enough(&line->ack, command->count);

    free(waiting);
    if (!enough) {
        give_up(line, "too few replicas");
        return;
    }
    ack_take(&line->ack, &held);
    while ((node = list_pop_front(&held)))
        deliver(CONTAINER_OF(node, struct call_to_redis, held));
}

static void send_wait(struct line_to_redis *line) {
    struct world *world = line->client->world;
    struct waiting *waiting = calloc(1, sizeof(*waiting));

    if (!waiting)
        abort();
    waiting->line = line;
    waiting->generation = line->generation;
    waiting->command = (struct command){
        .kind = COMMAND_WAIT,
        .replicas = line->ack.replicas,
        .patience_ms = world->profile.redis_response_ms / WAIT_SHARE + 1,
        .done = waited,
    };
    link_send(line->link, &waiting->command);
}

static void tick(void *self, uint64_t arg) {
    struct redis_client *client = self;

    (void)arg;
    client->tick_due = false;
    if (replicas_needed(client->world))
        client->current = NULL;
    for (unsigned i = 0; i < client->lines_count; i++) {
        struct line_to_redis *line = &client->lines[i];
        if (line->link && ack_due(&line->ack))
            send_wait(line);
    }
}

/* ---- elsewhere, or again ---- */

static bool send_call(struct call_to_redis *call, struct line_to_redis *line);

static void pause_over(void *self, uint64_t arg) {
    struct call_to_redis *call = self;
    struct redis_client *client = call->client;

    (void)arg;
    if (!call->told) {
        list_remove(&call->mine);
        if (!send_call(call, &client->lines[client->owner[call->command.lane]]))
            fail(call, true);
    }
    drop(call);
}

static void pause_call(struct call_to_redis *call) {
    struct world *world = call->client->world;

    call->command.asking = false;
    list_push_back(&call->client->pausing, &call->mine);
    call->refs++;
    agenda_at(&world->agenda, world_now(world) + rng_in(&world->rng, PAUSE_MS / 2, PAUSE_MS),
              pause_over, call, 0);
}

static bool has_client_keys(const struct message *message) {
    for (size_t i = 0; i < message->count; i++)
        if (message->ops[i].key.ptr && message->ops[i].kind != OP_GET)
            return true;
    return false;
}

/* None of these has changed anything. */
static void redirect(struct call_to_redis *call) {
    struct redis_client *client = call->client;
    const struct command *command = &call->command;
    bool ask = command->slot == SLOT_ASK && parts_may_go_ahead(has_client_keys(command->message));

    list_remove(&call->mine);
    call->line->busy--;
    call->line = NULL;
    if (command->slot == SLOT_MOVED)
        client->owner[command->lane] = command->master;
    call->command.asking = ask;
    if (call->sent >= SENT_MAX || world_now(client->world) >= call->give_up_ms)
        fail(call, true);
    else if ((command->slot != SLOT_MOVED && !ask) ||
             !send_call(call, &client->lines[command->master]))
        pause_call(call);
}

/* ---- calls ---- */

static void call_done(struct command *command) {
    struct call_to_redis *call = call_of(command);
    struct line_to_redis *line = call->line;

    if (call->told) {
        drop(call);
        return;
    }
    call->refs--; /* the command's; there is another until it is told */
    if (!command->replied) {
        fail(call, false);
    } else if (command->slot != SLOT_RUN) {
        redirect(call);
    } else if (command->err != ERR_OK) {
        fail(call, command->err == ERR_UNAVAILABLE);
        give_up(line, "not a primary any more");
    } else if (!ack_hold(&line->ack, &call->held)) {
        deliver(call);
    }
}

static void call_due(void *self, uint64_t arg) {
    struct call_to_redis *call = self;

    if (!call->told && call->line && call->sent == arg)
        give_up(call->line, "no answer");
    drop(call);
}

static struct line_to_redis *pick(struct redis_client *client) {
    size_t least = SIZE_MAX;

    if (client->current)
        return client->current;
    for (unsigned i = 0; i < client->lines_count; i++) {
        struct line_to_redis *line = &client->lines[(client->turn + i) % client->lines_count];

        if (!line->link || line->busy >= least)
            continue;
        client->current = line;
        least = line->busy;
    }
    client->turn++;
    return client->current;
}

static struct call_to_redis *call_new(struct redis_client *client, struct job *job) {
    struct call_to_redis *call = calloc(1, sizeof(*call));

    if (!call)
        abort();
    call->client = client;
    call->job = job;
    call->refs = 1;
    call->give_up_ms = world_now(client->world) + PATIENCE_MS;
    call->command =
        (struct command){.kind = COMMAND_APPLY, .message = job->message, .done = call_done};
    call->command.answers = calloc(job->message->count, sizeof(struct answer));
    if (!call->command.answers)
        abort();
    list_init(&call->mine);
    list_init(&call->held);
    return call;
}

/* False: there is no connection. */
static bool send_call(struct call_to_redis *call, struct line_to_redis *line) {
    struct redis_client *client = call->client;
    struct world *world = client->world;

    if (!line->link)
        return false;
    call->line = line;
    call->sent++;
    call->refs += 2;
    list_push_back(&line->calls, &call->mine);
    line->busy++;
    link_send(line->link, &call->command);
    ack_sent(&line->ack);
    agenda_at(&world->agenda, world_now(world) + world->profile.redis_response_ms, call_due, call,
              call->sent);
    if (!client->tick_due)
        agenda_at(&world->agenda, world_now(world), tick, client, 0);
    client->tick_due = true;
    return true;
}

static void refuse(struct job *job) {
    job->ways->refuse(job);
    job->ways->release(job);
}

void redis_client_call(struct redis_client *client, struct job *job, uint32_t lane) {
    struct line_to_redis *line = &client->lines[client->owner[lane]];

    if (!line->link) {
        refuse(job);
        return;
    }
    struct call_to_redis *call = call_new(client, job);

    call->command.lane = lane;
    (void)send_call(call, line);
}

void redis_client_receive(struct redis_client *client, struct job *job) {
    struct line_to_redis *line;

    if (has_masters(client)) {
        redis_parts_send(client->world, client->process, job);
        return;
    }
    line = pick(client);
    if (line)
        (void)send_call(call_new(client, job), line);
    else
        refuse(job);
}

bool redis_client_usable(const struct redis_client *client) {
    for (unsigned i = 0; i < client->lines_count; i++)
        if (client->lines[i].link)
            return true;
    return false;
}

void redis_client_die(struct redis_client *client) {
    for (unsigned i = 0; i < client->lines_count; i++) {
        struct line_to_redis *line = &client->lines[i];

        if (line->link)
            hang_up(line);
        while (!list_empty(&line->calls)) {
            struct call_to_redis *call = CONTAINER_OF(line->calls.next, struct call_to_redis, mine);

            close_call(call);
            drop(call);
        }
    }
    while (!list_empty(&client->pausing)) {
        struct call_to_redis *call = CONTAINER_OF(client->pausing.next, struct call_to_redis, mine);

        close_call(call);
        drop(call);
    }
}

struct redis_client *redis_client_new(struct world *world, unsigned process) {
    struct redis_client *client = calloc(1, sizeof(*client));

    if (!client)
        abort();
    client->world = world;
    client->process = process;
    client->lines_count = world->profile.redis_lines;
    list_init(&client->pausing);
    for (uint32_t i = 0; i < LANES_MAX && has_masters(client); i++)
        client->owner[i] = cluster_told_owner(world->cluster, i);
    for (unsigned i = 0; i < client->lines_count; i++) {
        struct line_to_redis *line = &client->lines[i];

        line->client = client;
        line->index = i;
        list_init(&line->calls);
        connect_line(line, 0);
    }
    return client;
}

void redis_client_free(struct redis_client *client) {
    free(client);
}
