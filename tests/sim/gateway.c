/* gateway.c - turns of a loop. */
#include "gateway.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/buf.h"
#include "network.h"
#include "store.h"
#include "world.h"

#define QUEUE_MAX 64

static void trace_send(struct gateway *gateway, const struct delivery *delivery) {
    const struct message *message = delivery->message;
    struct buf ops = {0};

    for (size_t i = 0; i < message->count; i++)
        history_describe(&gateway->world->history, &message->ops[i], &ops);
    TRACE(&gateway->world->trace, "g%u sends #%" PRIu64 " (try %u):%.*s", gateway->index,
          message->number, delivery->attempt, (int)ops.len, ops.ptr);
    buf_release(&ops);
}

static enum err on_send(struct upstream *upstream, struct delivery *delivery) {
    struct gateway *gateway = CONTAINER_OF(upstream, struct gateway, upstream);

    if (gateway->world->trace.keep)
        trace_send(gateway, delivery);
    if (gateway->world->profile.split)
        return lines_send(gateway, delivery);
    return network_send(gateway, delivery);
}

static int64_t wait_until_ms(struct upstream *upstream) {
    const struct gateway *gateway = CONTAINER_OF(upstream, struct gateway, upstream);

    return gateway->world->profile.split ? lines_wait_until_ms(gateway) : INT64_MIN;
}

static void boot(struct gateway *gateway) {
    struct world *world = gateway->world;
    struct rng *rng = &world->rng;
    struct batcher_conf conf = {
        .ops_max = world->profile.ops_max,
        .queue_max = QUEUE_MAX,
        .in_flight_max = world->profile.in_flight_max,
        .attempts_max = (unsigned)rng_in(rng, 3, 6),
        .attempt_ms = world->profile.attempt_ms,
        .backoff_min_ms = 25,
        .backoff_max_ms = 1000,
        .producer = {rng_next(rng), rng_next(rng)},
        .seed = rng_next(rng),
    };

    gateway->producer = conf.producer;
    gateway->batcher = batcher_new(&conf, &gateway->upstream);
    if (!gateway->batcher)
        abort();
    gateway->incarnation++;
    gateway->lost_ms = INT64_MIN / 2;
    gateway->wake_ms = INT64_MAX;
    gateway->clock_known = !world->profile.split;
    if (world->profile.split)
        lines_open(gateway);
    else
        gateway->store_ahead_ms = store_clock_ahead_ms(world) + rng_in(rng, -2000, 2000);
}

static int64_t lost_ms(struct upstream *upstream, const struct delivery *delivery, int64_t now_ms) {
    (void)now_ms;
    return lines_lost_ms(CONTAINER_OF(upstream, struct gateway, upstream), delivery);
}

struct gateway *gateway_new(struct world *world, unsigned index) {
    struct gateway *gateway = calloc(1, sizeof(*gateway));

    if (!gateway)
        abort();
    gateway->world = world;
    gateway->index = index;
    gateway->upstream.send = on_send;
    gateway->upstream.wait_until_ms = wait_until_ms;
    gateway->upstream.lost_ms = world->profile.split ? lost_ms : NULL;
    list_init(&gateway->calls);
    list_init(&gateway->conns);
    boot(gateway);
    return gateway;
}

static void turn(void *self, uint64_t incarnation);

static void set_turn(struct gateway *gateway, int64_t at_ms) {
    if (at_ms < gateway->wake_ms) {
        gateway->wake_ms = at_ms;
        agenda_at(&gateway->world->agenda, at_ms, turn, gateway, gateway->incarnation);
    }
}

/* The end of a loop's turn: send what may be sent, see what time has brought. */
static void turn(void *self, uint64_t incarnation) {
    struct gateway *gateway = self;
    struct world *world = gateway->world;
    int64_t now_ms = world_now(world);

    if (!gateway->batcher || incarnation != gateway->incarnation || gateway->wake_ms > now_ms)
        return;
    gateway->wake_ms = INT64_MAX;
    if (gateway->paused_until_ms > now_ms) {
        set_turn(gateway, gateway->paused_until_ms);
        return;
    }
    batcher_flush(gateway->batcher, now_ms, now_ms + gateway->store_ahead_ms);
    int64_t next_ms = batcher_poll(gateway->batcher, now_ms);

    if (next_ms != INT64_MAX)
        set_turn(gateway, next_ms > now_ms ? next_ms : now_ms + 1);
}

void gateway_turn_soon(struct gateway *gateway) {
    int64_t now_ms = world_now(gateway->world);

    set_turn(gateway, now_ms + rng_in(&gateway->world->rng, 0, 1));
}

enum err gateway_add(struct gateway *gateway, const struct op *op, struct waiter *waiter) {
    if (!gateway->batcher)
        return ERR_UNAVAILABLE;
    if (!gateway->clock_known)
        return ERR_UNREACHABLE;
    enum err err = batcher_add(gateway->batcher, op, waiter);

    gateway_turn_soon(gateway);
    return err;
}

/* However late a reply is heard, it must not make the next message look old. */
void gateway_learn_clock(struct gateway *gateway, int64_t store_now_ms, int64_t sent_ms) {
    int64_t least_ms = store_now_ms - world_now(gateway->world);
    int64_t most_ms = store_now_ms - sent_ms;

    if (!gateway->clock_known || gateway->store_ahead_ms < least_ms)
        gateway->store_ahead_ms = least_ms;
    if (gateway->store_ahead_ms > most_ms)
        gateway->store_ahead_ms = most_ms;
    gateway->clock_known = true;
}

void gateway_delivered(struct gateway *gateway, struct delivery *delivery, int64_t sent_ms,
                       const struct facts *facts) {
    if (delivery->store_now_ms)
        gateway_learn_clock(gateway, delivery->store_now_ms, sent_ms);
    gateway->facts = facts;
    batcher_delivered(gateway->batcher, delivery, world_now(gateway->world));
    gateway->facts = NULL;
    gateway_turn_soon(gateway);
}

void gateway_pause(struct gateway *gateway, int64_t until_ms) {
    TRACE(&gateway->world->trace, "g%u is stopped for %.1f s", gateway->index,
          (double)(until_ms - world_now(gateway->world)) / 1000.0);
    gateway->paused_until_ms = until_ms;
    lines_pause(gateway, until_ms);
}

static void die(struct gateway *gateway) {
    struct list *node;

    gateway->dying = true;
    lines_close(gateway);
    while ((node = gateway->calls.next) != &gateway->calls) {
        struct call *call = CONTAINER_OF(node, struct call, node);
        struct delivery *delivery = call->delivery;

        network_forget(call);
        delivery->err = ERR_CLOSED;
        batcher_delivered(gateway->batcher, delivery, world_now(gateway->world));
    }
    /* What backs off has no delivery: let its attempts run out against nothing. */
    while (!batcher_idle(gateway->batcher))
        batcher_poll(gateway->batcher, INT64_MAX - 1);
    batcher_free(gateway->batcher);
    gateway->batcher = NULL;
    gateway->dying = false;
}

static void come_back(void *self, uint64_t arg) {
    struct gateway *gateway = self;

    (void)arg;
    boot(gateway);
    TRACE(&gateway->world->trace, "g%u runs again", gateway->index);
}

void gateway_restart(struct gateway *gateway, int64_t back_ms) {
    TRACE(&gateway->world->trace, "g%u dies", gateway->index);
    die(gateway);
    gateway->paused_until_ms = 0;
    agenda_at(&gateway->world->agenda, back_ms, come_back, gateway, 0);
}

void gateway_free(struct gateway *gateway) {
    lines_close(gateway);
    if (gateway->batcher)
        batcher_free(gateway->batcher);
    free(gateway);
}
