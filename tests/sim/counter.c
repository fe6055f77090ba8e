/* counter.c - a process begins, drains, dies. */
#include "counter.h"

#include <stdlib.h>

#include "owner.h"
#include "store.h"
#include "world.h"

bool counter_accepts(const struct counter *counter) {
    return counter->running && !counter->draining;
}

static void begin(struct counter *counter) {
    counter->running = true;
    counter->draining = false;
    TRACE(&counter->world->trace, "counter %u runs", counter->index);
}

static void come_back(void *self, uint64_t incarnation) {
    struct counter *counter = self;

    if (counter->incarnation == incarnation)
        begin(counter);
}

static void end(struct counter *counter, bool silent) {
    TRACE(&counter->world->trace, "counter %u dies", counter->index);
    counter->running = false;
    counter->incarnation++;
    store_user_died(counter->world, counter->index);
    while (!list_empty(&counter->conns))
        conn_break(CONTAINER_OF(counter->conns.next, struct conn, counter_node), silent);
}

static bool has_the_store(const struct counter *counter) {
    return !counter->world->profile.shared && !counter->foreign;
}

void counter_kill(struct counter *counter) {
    struct world *world = counter->world;

    if (!counter->running)
        return;
    if (has_the_store(counter)) {
        owner_crash(world->owner, false);
        return;
    }
    end(counter, false);
    agenda_at(&world->agenda, world_now(world) + rng_in(&world->rng, 5, 3000), come_back, counter,
              counter->incarnation);
}

static void drained(void *self, uint64_t incarnation) {
    struct counter *counter = self;

    if (counter->incarnation == incarnation)
        counter_kill(counter);
}

/* Streams that are under way while this travels come after it and aren't looked at. */
static void last_goaway(void *self, uint64_t incarnation) {
    struct counter *counter = self;
    struct world *world = counter->world;

    if (counter->incarnation != incarnation)
        return;
    for (struct list *node = counter->conns.next, *next; node != &counter->conns; node = next) {
        struct conn *conn = CONTAINER_OF(node, struct conn, counter_node);

        next = node->next;
        conn->goaway = true;
        conn_send_down(conn, frame_new(FRAME_GOAWAY, conn->last_stream));
    }
    agenda_at(&world->agenda, world_now(world) + rng_in(&world->rng, 50, 2000), drained, counter,
              incarnation);
}

void counter_drain(struct counter *counter) {
    struct world *world = counter->world;

    if (!counter_accepts(counter))
        return;
    TRACE(&world->trace, "counter %u drains", counter->index);
    counter->draining = true;
    for (struct list *node = counter->conns.next, *next; node != &counter->conns; node = next) {
        next = node->next;
        conn_send_down(CONTAINER_OF(node, struct conn, counter_node),
                       frame_new(FRAME_GOAWAY, UINT64_MAX));
    }
    agenda_at(&world->agenda, world_now(world) + rng_in(&world->rng, 1, 300), last_goaway, counter,
              counter->incarnation);
}

void counters_store_died(struct world *world, bool power) {
    for (unsigned i = 0; i < world->profile.counters; i++)
        if (has_the_store(world->counters[i]))
            end(world->counters[i], power);
}

void counters_store_back(struct world *world) {
    for (unsigned i = 0; i < world->profile.counters; i++)
        if (world->counters[i] && has_the_store(world->counters[i]))
            begin(world->counters[i]);
}

struct counter *counter_new(struct world *world, unsigned index, bool foreign) {
    struct counter *counter = calloc(1, sizeof(*counter));

    if (!counter)
        abort();
    counter->world = world;
    counter->index = index;
    counter->foreign = foreign;
    list_init(&counter->conns);
    begin(counter);
    return counter;
}

void counter_free(struct counter *counter) {
    free(counter);
}
