/* network.c - dice for every message. */
#include "network.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "gateway.h"
#include "store.h"
#include "world.h"

struct reply {
    struct call *call;
    enum err err;
    bool not_applied;
    struct facts facts;
    struct answer answers[];
};

static size_t slice_bytes(const struct op *op) {
    return op->resource_id.len + op->counter_type.len + op->key.len;
}

static struct slice put(char **at, struct slice s) {
    char *copy = *at;

    if (!s.ptr)
        return s;
    memcpy(copy, s.ptr, s.len);
    *at += s.len;
    return slice_of(copy, s.len);
}

static struct call *call_new(struct gateway *gateway, struct delivery *delivery) {
    const struct message *message = delivery->message;
    size_t bytes = sizeof(struct call) + message->count * sizeof(struct op);
    char *at;

    for (size_t i = 0; i < message->count; i++)
        bytes += slice_bytes(&message->ops[i]);
    struct call *call = calloc(1, bytes);

    if (!call)
        abort();
    call->world = gateway->world;
    call->gateway = gateway;
    call->gateway_index = gateway->index;
    call->delivery = delivery;
    call->sent_ms = world_now(gateway->world);
    call->message = *message;
    call->message.ops = call->ops;
    at = (char *)&call->ops[message->count];
    for (size_t i = 0; i < message->count; i++) {
        call->ops[i] = message->ops[i];
        call->ops[i].resource_id = put(&at, message->ops[i].resource_id);
        call->ops[i].counter_type = put(&at, message->ops[i].counter_type);
        call->ops[i].key = put(&at, message->ops[i].key);
    }
    list_push_back(&gateway->calls, &call->node);
    return call;
}

static void drop(struct call *call) {
    if (--call->refs == 0)
        free(call);
}

void network_forget(struct call *call) {
    list_remove(&call->node);
    call->gateway = NULL;
}

static void reply_free(struct reply *reply) {
    drop(reply->call);
    free(reply);
}

static void reply_arrives(void *self, uint64_t arg) {
    struct reply *reply = self;
    struct call *call = reply->call;
    struct gateway *gateway = call->gateway;

    (void)arg;
    if (!gateway) {
        reply_free(reply);
        return;
    }
    if (gateway->paused_until_ms > world_now(call->world)) {
        agenda_at(&call->world->agenda, gateway->paused_until_ms, reply_arrives, reply, 0);
        return;
    }
    TRACE(&call->world->trace, "g%u hears of #%" PRIu64 " (try %u): %s", gateway->index,
          call->message.number, call->delivery->attempt, err_name(reply->err));
    network_forget(call);
    call->delivery->err = reply->err;
    call->delivery->not_applied = reply->not_applied;
    if (reply->err == ERR_OK)
        memcpy(call->delivery->answers, reply->answers,
               call->message.count * sizeof(struct answer));
    call->delivery->store_now_ms = reply->facts.store_now_ms;
    gateway_delivered(gateway, call->delivery, call->sent_ms, &reply->facts);
    reply_free(reply);
}

static struct reply *reply_at(struct call *call, int64_t at_ms, enum err err,
                              const struct answer *answers, const struct facts *facts) {
    size_t count = answers ? call->message.count : 0;
    struct reply *reply = calloc(1, sizeof(*reply) + count * sizeof(struct answer));

    if (!reply)
        abort();
    reply->call = call;
    reply->err = err;
    if (facts)
        reply->facts = *facts;
    if (count)
        memcpy(reply->answers, answers, count * sizeof(struct answer));
    call->refs++;
    agenda_at(&call->world->agenda, at_ms, reply_arrives, reply, 0);
    return reply;
}

static int64_t travel_ms(struct world *world) {
    if (!world->calm && rng_chance(&world->rng, world->profile.slow_percent))
        return rng_in(&world->rng, 50, rng_chance(&world->rng, 80) ? 1500 : 8000);
    return rng_in(&world->rng, 0, 4);
}

static struct call *call_of(struct job *job) {
    return CONTAINER_OF(job, struct call, job);
}

static void on_reply(struct job *job, const struct answer *answers, const struct facts *facts) {
    struct call *call = call_of(job);
    struct world *world = call->world;

    if (!world->calm && rng_chance(&world->rng, world->profile.lose_percent)) {
        TRACE(&world->trace, "the reply to g%u#%" PRIu64 " is lost", call->gateway_index,
              call->message.number);
        return;
    }
    (void)reply_at(call, world_now(world) + travel_ms(world), ERR_OK, answers, facts);
}

static void on_fail(struct job *job) {
    struct call *call = call_of(job);

    (void)reply_at(call, world_now(call->world) + travel_ms(call->world), ERR_UNAVAILABLE, NULL,
                   NULL);
}

static void on_refuse(struct job *job) {
    struct call *call = call_of(job);
    struct world *world = call->world;

    /* That this packet wasn't is no word about its double. */
    reply_at(call, world_now(world) + travel_ms(world), ERR_UNAVAILABLE, NULL, NULL)->not_applied =
        world->profile.double_percent == 0;
}

static void on_release(struct job *job) {
    drop(call_of(job));
}

static const struct job_ways ways = {on_reply, on_fail, on_refuse, on_release};

static void request_arrives(void *self, uint64_t arg) {
    struct call *call = self;
    struct world *world = call->world;
    struct gateway *gateway = call->gateway;

    (void)arg;
    /* It may have stuck in a paused gateway's socket. */
    if (gateway && gateway->paused_until_ms > world_now(world) && rng_chance(&world->rng, 30)) {
        agenda_at(&world->agenda, gateway->paused_until_ms + travel_ms(world), request_arrives,
                  call, 0);
        return;
    }
    store_receive(world, call->gateway_index, &call->job); /* with our reference */
}

enum err network_send(struct gateway *gateway, struct delivery *delivery) {
    struct world *world = gateway->world;
    const struct profile *profile = &world->profile;
    struct rng *rng = &world->rng;

    if (!world->calm && rng_chance(rng, profile->refuse_percent)) {
        TRACE(&world->trace, "g%u can't send #%" PRIu64 " (try %u)", gateway->index,
              delivery->message->number, delivery->attempt);
        return ERR_UNAVAILABLE;
    }
    struct call *call = call_new(gateway, delivery);

    call->job = (struct job){&ways, &call->message, gateway->index};
    int64_t now_ms = world_now(world);

    if (world->calm || !rng_chance(rng, profile->lose_percent)) {
        call->refs++;
        agenda_at(&world->agenda, now_ms + travel_ms(world), request_arrives, call, 0);
    }
    if (!world->calm && rng_chance(rng, profile->double_percent)) {
        call->refs++;
        agenda_at(&world->agenda, now_ms + rng_in(rng, 1, profile->double_max_ms), request_arrives,
                  call, 0);
    }
    /* The connection is given up some time, whatever arrives later. */
    (void)reply_at(call, now_ms + rng_in(rng, 200, rng_chance(rng, 90) ? 3000 : 100000),
                   ERR_UNAVAILABLE, NULL, NULL);
    return ERR_OK;
}
