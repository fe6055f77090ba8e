/* relays.c - connect, read what can't be lost, ship. */
#include "relays.h"

#include <stdlib.h>
#include <string.h>

#include "clients.h"
#include "core/relay.h"
#include "core/rules.h"
#include "kafka.h"
#include "redis_internal.h"

#define RELAYS_MAX       3
#define IN_FLIGHT_MAX    16
#define WAIT_SHARE       3
#define DIE_PERMILLE     10
#define GO_ON_ROUNDS_MAX 2000

/* A connection to one master. */
struct relay_line {
    struct sim_relay *relay;
    unsigned master;
    struct redis_link *link;
    unsigned generation;
    bool registered;   /* once */
    struct list reads; /* under way */
};

struct sim_relay {
    struct relays *relays;
    unsigned index;
    struct feed feed;
    struct feed_user user;
    struct relay *relay;
    struct kafka_session *session;
    struct relay_line lines[MASTERS_MAX];
    bool opened;
    bool pump_due;
    struct event_position reported[LANES_MAX];
};

struct relays {
    struct world *world;
    struct sim_relay all[RELAYS_MAX];
    unsigned count;
    unsigned rounds;
};

/* READ, touch and WAIT: what was read may be shown when the last has come back well. */
struct read_call {
    struct command commands[3];
    unsigned count;
    unsigned back;
    bool good;
    struct list node; /* the line's, until told */
    struct relay_line *line;
    struct feed_read *read;
};

/* A report, or a registration: nobody waits. */
struct note {
    struct command command;
    struct relay_line *line;
    unsigned generation;
};

static struct world *world_of(const struct sim_relay *relay) {
    return relay->relays->world;
}

static void later(struct sim_relay *relay, int64_t in_ms, agenda_fn fn, uint64_t arg) {
    agenda_at(&world_of(relay)->agenda, world_now(world_of(relay)) + in_ms, fn, relay, arg);
}

static int64_t between(struct sim_relay *relay, int64_t low, int64_t high) {
    return rng_in(&world_of(relay)->rng, low, high);
}

/* ---- the connection ---- */

static void connect_line(void *self, uint64_t generation);

static void tell(struct read_call *call, enum err err) {
    struct command *read = &call->commands[0];

    list_remove(&call->node);
    call->read->done(call->read, err, read->events, err == ERR_OK ? read->events_count : 0);
    call->read = NULL;
}

static void connect_later(struct relay_line *line, int64_t least_ms) {
    struct world *world = world_of(line->relay);

    agenda_at(&world->agenda, world_now(world) + between(line->relay, least_ms, 400), connect_line,
              line, line->generation);
}

static void hang_up(struct relay_line *line) {
    if (line->link)
        link_close(line->link);
    line->link = NULL;
    line->generation++;
    connect_later(line, 25);
}

static void give_up(struct relay_line *line) {
    hang_up(line);
    while (!list_empty(&line->reads))
        tell(CONTAINER_OF(line->reads.next, struct read_call, node), ERR_UNAVAILABLE);
}

static void on_broken(void *ctx, struct redis_link *link) {
    struct relay_line *line = ctx;

    if (line->link == link)
        give_up(line);
}

static unsigned masters_of(const struct sim_relay *relay) {
    return world_of(relay)->profile.masters;
}

static bool is_connected(const struct sim_relay *relay) {
    for (unsigned i = 0; i < masters_of(relay); i++)
        if (!relay->lines[i].link)
            return false;
    return true;
}

static struct relay_line *line_of(struct sim_relay *relay, uint32_t lane) {
    return &relay->lines[cluster_told_owner(world_of(relay)->cluster, lane)];
}

static void note_done(struct command *command);

static void send_note(struct relay_line *line, struct command command) {
    struct note *note = calloc(1, sizeof(*note));

    if (!note)
        abort();
    *note = (struct note){.command = command, .line = line, .generation = line->generation};
    note->command.done = note_done;
    link_send(line->link, &note->command);
}

static void connect_line(void *self, uint64_t generation) {
    struct relay_line *line = self;
    struct sim_relay *relay = line->relay;
    const struct link_user user = {
        .broken = on_broken, .ctx = line, .endpoint = REDIS_USER(PROCESSES_MAX + relay->index)};

    if (line->link || generation != line->generation)
        return;
    line->link = link_open(cluster_master(world_of(relay)->cluster, line->master), &user);
    if (!line->link)
        connect_later(line, 50);
    else
        send_note(line, (struct command){.kind = COMMAND_REGISTER});
}

/* ---- the feed ---- */

/* Where the lanes of this master begin. One that has moved meanwhile begins too early, which is no
 * harm. */
static void learn_positions(struct relay_line *line, const struct command *command) {
    struct sim_relay *relay = line->relay;
    const struct cluster *cluster = world_of(relay)->cluster;

    for (uint32_t i = 0; i < world_of(relay)->profile.lanes; i++)
        if (!line->registered && cluster_owner(cluster, i) == line->master)
            relay->reported[i] = command->reported[i];
    line->registered = true;
}

static bool is_registered(const struct sim_relay *relay) {
    for (unsigned i = 0; i < masters_of(relay); i++)
        if (!relay->lines[i].registered)
            return false;
    return true;
}

static void on_registered(struct sim_relay *relay) {
    const struct feed_info info = {
        .store_id = 1, .lanes = world_of(relay)->profile.lanes, .reported = relay->reported};

    if (!is_registered(relay))
        return;
    if (relay->opened)
        relay->user.more(relay->user.ctx);
    else
        relay->user.opened(relay->user.ctx, ERR_OK, &info);
    relay->opened = true;
}

static void note_done(struct command *command) {
    struct note *note = CONTAINER_OF(command, struct note, command);
    struct relay_line *line = note->line;
    bool good = command->replied && command->err == ERR_OK;

    if (note->generation == line->generation && command->kind == COMMAND_REGISTER && !good) {
        give_up(line);
    } else if (note->generation == line->generation && command->kind == COMMAND_REGISTER) {
        learn_positions(line, command);
        on_registered(line->relay);
    }
    free(note);
}

static void feed_on_open(struct feed *feed, const struct feed_user *user) {
    struct sim_relay *relay = CONTAINER_OF(feed, struct sim_relay, feed);

    relay->user = *user;
    for (unsigned i = 0; i < masters_of(relay); i++)
        connect_line(&relay->lines[i], relay->lines[i].generation);
}

/* The lane can't go on: after a rewind. */
static bool is_final(enum err err) {
    return err == ERR_INVALID || err == ERR_TRIMMED;
}

static void read_back(struct command *command) {
    struct read_call *call = command->ctx;

    call->good &= command->replied && command->err == ERR_OK && command->slot == SLOT_RUN &&
                  command->count >= (int64_t)command->replicas;
    if (++call->back < call->count)
        return;
    if (call->read && call->good)
        tell(call, ERR_OK);
    else if (call->read && is_final(call->commands[0].err))
        tell(call, call->commands[0].err);
    else if (call->read && call->commands[0].slot != SLOT_RUN)
        tell(call, ERR_UNAVAILABLE); /* elsewhere, later */
    else if (call->read)
        give_up(call->line);
    free(call->commands[0].events);
    free(call);
}

static void read_due(void *self, uint64_t generation) {
    struct relay_line *line = self;

    if (line->link && line->generation == generation && !list_empty(&line->reads))
        give_up(line);
}

static void empty_read(void *self, uint64_t arg) {
    struct feed_read *read = self;

    (void)arg;
    read->done(read, ERR_UNAVAILABLE, NULL, 0);
}

static void send_read(struct relay_line *line, struct feed_read *read) {
    struct world *world = world_of(line->relay);
    const struct profile *profile = &world->profile;
    struct read_call *call = calloc(1, sizeof(*call));

    if (!call)
        abort();
    *call = (struct read_call){.line = line, .read = read, .good = true, .count = 1};
    call->commands[0] =
        (struct command){.kind = COMMAND_READ, .lane = read->lane, .at = read->after};
    if (RULE(RULE_RELAY_WAITS)) {
        call->commands[call->count++].kind = COMMAND_TOUCH;
        if (profile->ack == SIM_REPLICATED)
            call->commands[call->count++] = (struct command){
                .kind = COMMAND_WAIT,
                .replicas = REDIS_NODES - 1,
                .patience_ms = profile->redis_response_ms / WAIT_SHARE + 1,
            };
    }
    list_push_back(&line->reads, &call->node);
    for (unsigned i = 0; i < call->count; i++) {
        call->commands[i].ctx = call;
        call->commands[i].done = read_back;
        link_send(line->link, &call->commands[i]);
    }
    agenda_at(&world->agenda, world_now(world) + profile->redis_response_ms, read_due, line,
              line->generation);
}

static void feed_on_read(struct feed *feed, struct feed_read *read) {
    struct sim_relay *relay = CONTAINER_OF(feed, struct sim_relay, feed);

    struct relay_line *line = line_of(relay, read->lane);

    if (line->link)
        send_read(line, read);
    else
        agenda_at(&world_of(relay)->agenda, world_now(world_of(relay)), empty_read, read, 0);
}

static void feed_on_report(struct feed *feed, uint32_t lane, struct event_position at) {
    struct sim_relay *relay = CONTAINER_OF(feed, struct sim_relay, feed);

    struct relay_line *line = line_of(relay, lane);

    relay->reported[lane] = at;
    if (line->link && rng_chance(&world_of(relay)->rng, 30))
        send_note(line, (struct command){.kind = COMMAND_REPORT, .lane = lane, .at = at});
}

static struct event_position feed_on_end(struct feed *feed, uint32_t lane) {
    struct sim_relay *relay = CONTAINER_OF(feed, struct sim_relay, feed);

    return cluster_lane_end(world_of(relay)->cluster, lane);
}

static const struct feed_ops feed_ops = {
    .open = feed_on_open,
    .read = feed_on_read,
    .report = feed_on_report,
    .end = feed_on_end,
};

/* ---- the sink ---- */

static void start_session(void *self, uint64_t arg);

static void on_failed(void *ctx) {
    struct sim_relay *relay = ctx;

    relay_pause(relay->relay);
    kafka_session_close(relay->session);
    relay->session = NULL;
    later(relay, between(relay, 5, 1000), start_session, 0);
}

static void on_acked(void *ctx, void *tag) {
    struct sim_relay *relay = ctx;

    if (!relay_acked(relay->relay, tag))
        on_failed(relay);
}

static void start_session(void *self, uint64_t arg) {
    struct sim_relay *relay = self;
    const struct kafka_user user = {.ctx = relay, .acked = on_acked, .failed = on_failed};

    (void)arg;
    relay->session = kafka_session_new(world_of(relay)->kafka, &user);
    relay_resume(relay->relay);
}

static void sink_opened(void *ctx, enum err err, const struct feed_info *info) {
    (void)err;
    (void)info;
    start_session(ctx, 0);
}

static bool sink_produce(void *ctx, const struct event *event, struct relay_slot *slot) {
    struct sim_relay *relay = ctx;

    kafka_produce(relay->session, event, slot);
    return true;
}

static void sink_stopped(void *ctx, uint32_t lane, struct event_position at, enum err err) {
    struct sim_relay *relay = ctx;

    (void)at;
    if (!world_of(relay)->rewound)
        trace_violation(&world_of(relay)->trace, -1, "I9: relay %u stops lane %u: %s", relay->index,
                        lane, err_name(err));
}

static void pump(void *self, uint64_t arg) {
    struct sim_relay *relay = self;

    (void)arg;
    relay->pump_due = false;
    relay_pump(relay->relay);
}

static void sink_work(void *ctx) {
    struct sim_relay *relay = ctx;

    if (!relay->pump_due)
        later(relay, between(relay, 0, 3), pump, 0);
    relay->pump_due = true;
}

/* ---- life ---- */

static void begin(struct sim_relay *relay) {
    const struct relay_sink sink = {.ctx = relay,
                                    .opened = sink_opened,
                                    .produce = sink_produce,
                                    .stopped = sink_stopped,
                                    .work = sink_work};

    relay->opened = false;
    relay->relay = relay_new(&relay->feed, &sink, IN_FLIGHT_MAX);
    if (!relay->relay)
        abort();
    relay_open(relay->relay);
}

/* At its place, with nothing of it but what the store has: what it had sent may arrive. */
static void start_again(struct sim_relay *relay) {
    TRACE(&world_of(relay)->trace, "relay %u starts again", relay->index);
    for (unsigned i = 0; i < masters_of(relay); i++) {
        relay->lines[i].registered = false;
        give_up(&relay->lines[i]);
    }
    if (relay->session)
        kafka_session_close(relay->session);
    relay->session = NULL;
    relay_free(relay->relay);
    begin(relay);
}

/* Looks for news; dies, but only while nothing of its own is under way. */
static void poll(void *self, uint64_t arg) {
    struct sim_relay *relay = self;
    struct world *world = world_of(relay);

    (void)arg;
    if (world->calm && clients_done(world->clients))
        return;
    if (!world->calm && relay->session && !relay->pump_due && is_connected(relay) &&
        rng_next(&world->rng) % 1000 < DIE_PERMILLE)
        start_again(relay);
    else if (relay->opened && is_connected(relay))
        relay->user.more(relay->user.ctx);
    later(relay, between(relay, 20, rng_chance(&world->rng, 80) ? 300 : 5000), poll, 0);
}

bool relays_go_on(struct relays *relays) {
    bool more = false;

    for (unsigned i = 0; i < relays->count; i++) {
        struct sim_relay *relay = &relays->all[i];
        struct relay_stats stats;

        relay_stats(relay->relay, &stats);
        if (stats.lag_events == 0 || stats.lanes_stopped || !relay->opened || !is_connected(relay))
            continue;
        more = true;
        relay->user.more(relay->user.ctx);
    }
    if (more && ++relays->rounds > GO_ON_ROUNDS_MAX) {
        if (!relays->world->rewound)
            trace_violation(&relays->world->trace, -1, "the relays don't come to rest");
        return false;
    }
    return more;
}

struct relays *relays_new(struct world *world) {
    struct relays *relays = calloc(1, sizeof(*relays));

    if (!relays)
        abort();
    relays->world = world;
    relays->count = world->profile.relays;
    for (unsigned i = 0; i < relays->count; i++) {
        struct sim_relay *relay = &relays->all[i];

        relay->relays = relays;
        relay->index = i;
        relay->feed.ops = &feed_ops;
        for (unsigned k = 0; k < MASTERS_MAX; k++) {
            relay->lines[k].relay = relay;
            relay->lines[k].master = k;
            list_init(&relay->lines[k].reads);
        }
        begin(relay);
        later(relay, 1, poll, 0);
    }
    return relays;
}

void relays_free(struct relays *relays) {
    for (unsigned i = 0; i < relays->count; i++) {
        if (relays->all[i].session)
            kafka_session_close(relays->all[i].session);
        relay_free(relays->all[i].relay);
    }
    free(relays);
}
