/* redis_client.c - calls out, answers in. */
#include "redis_client.h"

#include <inttypes.h>
#include <stdlib.h>

#include "core/ack.h"
#include "core/rules.h"
#include "redis_internal.h"

#define LINES_MAX  3
#define WAIT_SHARE 3

/* One of a process's connections. */
struct line_to_redis {
    struct redis_client *client;
    unsigned index;
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
};

struct call_to_redis {
    struct command command;
    struct list mine; /* the line's calls */
    struct list held; /* ack.h's */
    struct line_to_redis *line;
    struct job *job;
    bool told;
    unsigned refs; /* until told, until the command is back, until its time is over */
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
          client->process, line->index, link_node(line->link), why);
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
    line->link = link_open(client->world->redis, &user);
    if (!line->link) {
        connect_later(line);
        return;
    }
    ack_init(&line->ack, replicas_needed(client->world));
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
    } else if (command->err != ERR_OK) {
        fail(call, command->err == ERR_UNAVAILABLE);
        give_up(line, "not a primary any more");
    } else if (!ack_hold(&line->ack, &call->held)) {
        deliver(call);
    }
}

static void call_due(void *self, uint64_t arg) {
    struct call_to_redis *call = self;

    (void)arg;
    if (!call->told)
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

static struct call_to_redis *call_new(struct line_to_redis *line, struct job *job) {
    struct call_to_redis *call = calloc(1, sizeof(*call));

    if (!call)
        abort();
    call->line = line;
    call->job = job;
    call->refs = 3;
    call->command =
        (struct command){.kind = COMMAND_APPLY, .message = job->message, .done = call_done};
    call->command.answers = calloc(job->message->count, sizeof(struct answer));
    if (!call->command.answers)
        abort();
    list_init(&call->held);
    list_push_back(&line->calls, &call->mine);
    line->busy++;
    return call;
}

void redis_client_receive(struct redis_client *client, struct job *job) {
    struct world *world = client->world;
    struct line_to_redis *line = pick(client);

    if (!line) {
        job->ways->refuse(job);
        job->ways->release(job);
        return;
    }
    struct call_to_redis *call = call_new(line, job);

    link_send(line->link, &call->command);
    ack_sent(&line->ack);
    agenda_at(&world->agenda, world_now(world) + world->profile.redis_response_ms, call_due, call,
              0);
    if (!client->tick_due)
        agenda_at(&world->agenda, world_now(world), tick, client, 0);
    client->tick_due = true;
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
}

struct redis_client *redis_client_new(struct world *world, unsigned process) {
    struct redis_client *client = calloc(1, sizeof(*client));

    if (!client)
        abort();
    client->world = world;
    client->process = process;
    client->lines_count = world->profile.redis_lines;
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
