/* clients.c - one agenda entry for each arrival, one submission for each try. */
#include "clients.h"

#include <inttypes.h>
#include <stdlib.h>

#include "counter.h"
#include "gateway.h"
#include "world.h"

#define TRIES_MAX      40
#define KEYED_PERCENT  35
#define REPEAT_PERCENT 20
#define MISUSE_PERCENT 12

struct clients {
    struct world *world;
    unsigned left;  /* operations to begin */
    unsigned burst; /* of them without a lull between */
    size_t open;    /* submissions, and those to come */
};

struct submission {
    struct waiter waiter;
    struct world *world;
    struct gateway *gateway;
    struct sim_op *op;
    int64_t floor;
    unsigned lossy_epoch;
};

static void submit(void *self, uint64_t op_number);

static void submit_at(struct world *world, struct sim_op *op, int64_t at_ms) {
    world->clients->open++;
    agenda_at(&world->agenda, at_ms, submit, world, (uint64_t)op->number);
}

static void misuse_key(struct world *world, struct sim_op *op) {
    struct sim_op *misuse = history_new_misuse(&world->history, op);

    if (misuse)
        submit_at(world, misuse, world_now(world) + rng_in(&world->rng, 1, 20000));
}

/* What a client does next with an operation that carries a key. */
static void follow_up(struct world *world, struct sim_op *op, enum err err) {
    struct rng *rng = &world->rng;
    int64_t now_ms = world_now(world);

    if (!op->op.key.ptr || op->tries >= TRIES_MAX)
        return;
    if (err != ERR_OK && err != ERR_RANGE && err != ERR_MISMATCH) {
        submit_at(world, op, now_ms + rng_in(rng, 1, 3000));
        return;
    }
    if (err != ERR_OK || op->original || op->belief != BELIEF_ACKED)
        return;
    if (rng_chance(rng, REPEAT_PERCENT))
        submit_at(world, op, now_ms + rng_in(rng, 1, rng_chance(rng, 80) ? 3000 : 60000));
    if (rng_chance(rng, MISUSE_PERCENT))
        misuse_key(world, op);
}

static void told(struct world *world, struct sim_op *op, const struct answer *answer,
                 const struct facts *facts, int64_t floor) {
    TRACE(&world->trace, "[op %" PRId64 "] is answered: %s %" PRId64 "%s", op->number,
          err_name(answer->err), answer->value, answer->replayed ? " (replayed)" : "");
    history_answered(&world->history, op, answer, facts, floor);
    follow_up(world, op, answer->err);
    world->clients->open--;
}

static void on_done(struct waiter *waiter, const struct answer *answer) {
    struct submission *submission = CONTAINER_OF(waiter, struct submission, waiter);
    struct world *world = submission->world;
    bool lossy = submission->lossy_epoch != world->history.lossy_epoch;
    struct answer broken = {.err = ERR_UNKNOWN};

    told(world, submission->op, submission->gateway->dying ? &broken : answer,
         submission->gateway->facts, lossy ? INT64_MIN : submission->floor);
    free(submission);
}

static int64_t patience_ms(struct rng *rng) {
    static const int64_t choices_ms[] = {150, 2000, 2000, 2000, 10000, 300000};

    return choices_ms[rng_next(rng) % ARRAY_LEN(choices_ms)];
}

static void trace_try(struct world *world, const struct sim_op *op, unsigned gateway) {
    struct buf what = {0};

    history_describe(&world->history, &op->op, &what);
    TRACE(&world->trace, "g%u is asked for [op %" PRId64 "] (try %u):%.*s", gateway, op->number,
          op->tries, (int)what.len, what.ptr);
    buf_release(&what);
}

static void submit(void *self, uint64_t op_number) {
    struct world *world = self;
    struct sim_op *op = world->history.ops[op_number];
    unsigned index = (unsigned)(rng_next(&world->rng) % world->profile.gateways);
    struct submission *submission = calloc(1, sizeof(*submission));

    if (!submission)
        abort();
    *submission = (struct submission){
        .waiter = {.done = on_done, .deadline_ms = world_now(world) + patience_ms(&world->rng)},
        .world = world,
        .gateway = world->gateways[index],
        .op = op,
        .floor = history_floor(&world->history, op),
        .lossy_epoch = world->history.lossy_epoch,
    };
    op->open++;
    op->tries++;
    op->order = ++world->history.orders;
    if (world->trace.keep)
        trace_try(world, op, index);
    enum err err = gateway_add(world->gateways[index], &op->op, &submission->waiter);

    if (err != ERR_OK) {
        const struct answer refused = {.err = err};

        told(world, op, &refused, NULL, INT64_MIN);
        free(submission);
    }
}

static void trouble_gateway(struct world *world) {
    struct rng *rng = &world->rng;
    struct gateway *gateway = world->gateways[rng_next(rng) % world->profile.gateways];
    int64_t now_ms = world_now(world);

    if (!gateway->batcher)
        return;
    if (rng_chance(rng, 50))
        gateway_restart(gateway, now_ms + rng_in(rng, 10, 3000));
    else
        gateway_pause(gateway, now_ms + (rng_chance(rng, 60) ? rng_in(rng, 100, 3000)
                                                             : rng_in(rng, 3000, 120000)));
}

static void trouble_counter(struct world *world) {
    struct rng *rng = &world->rng;
    struct counter *counter = world->counters[rng_next(rng) % world->profile.counters];

    if (rng_chance(rng, 50))
        counter_drain(counter);
    else
        counter_kill(counter);
}

static void step_clock(struct world *world) {
    static const int64_t steps_ms[] = {500, 5000, 70000, 200000, 400000, 3600000};
    int64_t step_ms = steps_ms[rng_next(&world->rng) % ARRAY_LEN(steps_ms)];

    if (rng_chance(&world->rng, 50))
        step_ms = -step_ms;
    world->wall_ahead_ms += step_ms;
    TRACE(&world->trace, "the wall clock steps by %.1f s", (double)step_ms / 1000.0);
}

static int64_t lull_ms(struct clients *clients) {
    struct world *world = clients->world;
    struct rng *rng = &world->rng;

    if (clients->burst > 0) {
        clients->burst--;
        return rng_in(rng, 0, 3);
    }
    if (rng_chance(rng, 15))
        clients->burst = (unsigned)rng_in(rng, 10, 200);
    if (world->profile.silences && rng_chance(rng, 3)) {
        TRACE(&world->trace, "a long silence");
        return rng_in(rng, 125000, 200000);
    }
    return rng_in(rng, 1, 800);
}

static void arrive(void *self, uint64_t arg) {
    struct clients *clients = self;
    struct world *world = clients->world;
    struct rng *rng = &world->rng;

    (void)arg;
    if (clients->left == 0)
        return;
    clients->left--;
    if (rng_next(rng) % 1000 < world->profile.gateway_trouble_permille)
        trouble_gateway(world);
    if (world->profile.split && rng_next(rng) % 1000 < world->profile.counter_trouble_permille)
        trouble_counter(world);
    if (world->profile.clock_steps && rng_chance(rng, 1))
        step_clock(world);
    struct sim_op *op = history_new_op(&world->history, rng, world->profile.read_percent,
                                       rng_chance(rng, KEYED_PERCENT));

    if (op)
        submit_at(world, op, world_now(world));
    agenda_at(&world->agenda, world_now(world) + lull_ms(clients), arrive, clients, 0);
}

struct clients *clients_new(struct world *world) {
    struct clients *clients = calloc(1, sizeof(*clients));

    if (!clients)
        abort();
    clients->world = world;
    clients->left = world->profile.ops;
    agenda_at(&world->agenda, 0, arrive, clients, 0);
    return clients;
}

void clients_free(struct clients *clients) {
    free(clients);
}

bool clients_begun(const struct clients *clients) {
    return clients->left == 0;
}

bool clients_done(const struct clients *clients) {
    return clients->left == 0 && clients->open == 0;
}
