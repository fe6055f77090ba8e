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

struct sim_relay {
    struct relays *relays;
    unsigned index;
    struct feed feed;
    struct feed_user user;
    struct relay *relay;
    struct kafka_session *session;
    struct redis_link *link;
    unsigned generation; /* of the connection */
    bool opened;
    bool pump_due;
    struct list reads; /* under way */
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
    struct list node; /* the relay's, until told */
    struct sim_relay *relay;
    struct feed_read *read;
};

/* A report, or a registration: nobody waits. */
struct note {
    struct command command;
    struct sim_relay *relay;
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

static void connect_relay(void *self, uint64_t generation);

static void tell(struct read_call *call, enum err err) {
    struct command *read = &call->commands[0];

    list_remove(&call->node);
    call->read->done(call->read, err, read->events, err == ERR_OK ? read->events_count : 0);
    call->read = NULL;
}

static void hang_up(struct sim_relay *relay) {
    if (relay->link)
        link_close(relay->link);
    relay->link = NULL;
    relay->generation++;
    later(relay, between(relay, 25, 400), connect_relay, relay->generation);
}

static void give_up(struct sim_relay *relay) {
    hang_up(relay);
    while (!list_empty(&relay->reads))
        tell(CONTAINER_OF(relay->reads.next, struct read_call, node), ERR_UNAVAILABLE);
}

static void on_broken(void *ctx, struct redis_link *link) {
    struct sim_relay *relay = ctx;

    if (relay->link == link)
        give_up(relay);
}

static void note_done(struct command *command);

static void send_note(struct sim_relay *relay, struct command command) {
    struct note *note = calloc(1, sizeof(*note));

    if (!note)
        abort();
    *note = (struct note){.command = command, .relay = relay, .generation = relay->generation};
    note->command.done = note_done;
    link_send(relay->link, &note->command);
}

static void connect_relay(void *self, uint64_t generation) {
    struct sim_relay *relay = self;
    const struct link_user user = {
        .broken = on_broken, .ctx = relay, .endpoint = REDIS_USER(PROCESSES_MAX + relay->index)};

    if (relay->link || generation != relay->generation)
        return;
    relay->link = link_open(world_of(relay)->redis, &user);
    if (!relay->link)
        later(relay, between(relay, 50, 400), connect_relay, relay->generation);
    else
        send_note(relay, (struct command){.kind = COMMAND_REGISTER});
}

/* ---- the feed ---- */

static void note_done(struct command *command) {
    struct note *note = CONTAINER_OF(command, struct note, command);
    struct sim_relay *relay = note->relay;
    bool good = command->replied && command->err == ERR_OK;

    if (note->generation == relay->generation && command->kind == COMMAND_REGISTER && !good) {
        give_up(relay);
    } else if (note->generation == relay->generation && command->kind == COMMAND_REGISTER) {
        const struct feed_info info = {
            .store_id = 1, .lanes = world_of(relay)->profile.lanes, .reported = command->reported};

        if (relay->opened)
            relay->user.more(relay->user.ctx);
        else
            relay->user.opened(relay->user.ctx, ERR_OK, &info);
        relay->opened = true;
    }
    free(note);
}

static void feed_on_open(struct feed *feed, const struct feed_user *user) {
    struct sim_relay *relay = CONTAINER_OF(feed, struct sim_relay, feed);

    relay->user = *user;
    connect_relay(relay, relay->generation);
}

/* The lane can't go on: after a rewind. */
static bool is_final(enum err err) {
    return err == ERR_INVALID || err == ERR_TRIMMED;
}

static void read_back(struct command *command) {
    struct read_call *call = command->ctx;

    call->good &=
        command->replied && command->err == ERR_OK && command->count >= (int64_t)command->replicas;
    if (++call->back < call->count)
        return;
    if (call->read && call->good)
        tell(call, ERR_OK);
    else if (call->read && is_final(call->commands[0].err))
        tell(call, call->commands[0].err);
    else if (call->read)
        give_up(call->relay);
    free(call->commands[0].events);
    free(call);
}

static void read_due(void *self, uint64_t generation) {
    struct sim_relay *relay = self;

    if (relay->link && relay->generation == generation && !list_empty(&relay->reads))
        give_up(relay);
}

static void empty_read(void *self, uint64_t arg) {
    struct feed_read *read = self;

    (void)arg;
    read->done(read, ERR_UNAVAILABLE, NULL, 0);
}

static void send_read(struct sim_relay *relay, struct feed_read *read) {
    const struct profile *profile = &world_of(relay)->profile;
    struct read_call *call = calloc(1, sizeof(*call));

    if (!call)
        abort();
    *call = (struct read_call){.relay = relay, .read = read, .good = true, .count = 1};
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
    list_push_back(&relay->reads, &call->node);
    for (unsigned i = 0; i < call->count; i++) {
        call->commands[i].ctx = call;
        call->commands[i].done = read_back;
        link_send(relay->link, &call->commands[i]);
    }
    later(relay, profile->redis_response_ms, read_due, relay->generation);
}

static void feed_on_read(struct feed *feed, struct feed_read *read) {
    struct sim_relay *relay = CONTAINER_OF(feed, struct sim_relay, feed);

    if (relay->link)
        send_read(relay, read);
    else
        agenda_at(&world_of(relay)->agenda, world_now(world_of(relay)), empty_read, read, 0);
}

static void feed_on_report(struct feed *feed, uint32_t lane, struct event_position at) {
    struct sim_relay *relay = CONTAINER_OF(feed, struct sim_relay, feed);

    relay->reported[lane] = at;
    if (relay->link && rng_chance(&world_of(relay)->rng, 30))
        send_note(relay, (struct command){.kind = COMMAND_REPORT, .lane = lane, .at = at});
}

static struct event_position feed_on_end(struct feed *feed, uint32_t lane) {
    struct sim_relay *relay = CONTAINER_OF(feed, struct sim_relay, feed);

    return redis_lane_end(world_of(relay)->redis, lane);
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
    if (!redis_rewound(world_of(relay)->redis))
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
    give_up(relay);
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
    if (!world->calm && relay->session && !relay->pump_due && relay->link &&
        rng_next(&world->rng) % 1000 < DIE_PERMILLE)
        start_again(relay);
    else if (relay->opened && relay->link)
        relay->user.more(relay->user.ctx);
    later(relay, between(relay, 20, rng_chance(&world->rng, 80) ? 300 : 5000), poll, 0);
}

bool relays_go_on(struct relays *relays) {
    bool more = false;

    for (unsigned i = 0; i < relays->count; i++) {
        struct sim_relay *relay = &relays->all[i];
        struct relay_stats stats;

        relay_stats(relay->relay, &stats);
        if (stats.lag_events == 0 || stats.lanes_stopped || !relay->opened || !relay->link)
            continue;
        more = true;
        relay->user.more(relay->user.ctx);
    }
    if (more && ++relays->rounds > GO_ON_ROUNDS_MAX) {
        if (!redis_rewound(relays->world->redis))
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
        list_init(&relay->reads);
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
