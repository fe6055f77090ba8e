/* owner.c - one turn is one group commit. */
#include "owner.h"

#include <inttypes.h>
#include <stdlib.h>

#include "core/applier.h"
#include "core/rules.h"
#include "counter.h"
#include "disk.h"
#include "world.h"

#define GROUP_MAX                 8
#define HOUSEKEEPING_MS           5000
#define SYNC_EVERY_MS             1000
#define COMMITS_UNTIL_FAILURE_MAX 3

struct owner {
    struct world *world;
    struct disk disk;
    struct applier *applier; /* NULL: not running */
    unsigned incarnation;
    bool busy; /* a turn is to come */
    struct job **inbox;
    size_t inbox_count;
    size_t inbox_cap;
    uint64_t commits;
    uint64_t synced; /* commits that a power loss leaves alone */
    bool dirty;      /* a sync is to come */
    size_t crashes;
    int64_t clock_ahead_ms; /* the store's clock minus virtual time, as of the last start */
};

/* ---- life and death ---- */

static void open_store(void *self, uint64_t arg) {
    struct owner *owner = self;
    struct world *world = owner->world;
    const struct applier_conf conf = {
        .lanes = owner->incarnation ? 0 : world->profile.lanes,
        .key_ttl_ms = 24 * 3600 * 1000,
        .outbox_max_bytes = UINT64_C(1) << 40,
        .outbox_max_age_ms = INT64_C(1) << 50,
        .cache_counters = world->profile.cache_counters,
        .coalesce = world->profile.coalesce,
        .hash_seed = {rng_next(&world->rng), rng_next(&world->rng)},
    };
    const char *detail = "";
    enum err err =
        applier_open(&owner->disk.kv, &conf, world_time(world), &owner->applier, &detail);

    (void)arg;
    owner->incarnation++;
    if (err != ERR_OK) {
        owner->applier = NULL;
        trace_violation(&world->trace, -1, "the store doesn't open: %s %s", err_name(err), detail);
        return;
    }
    owner->clock_ahead_ms = applier_ahead_ms(owner->applier);
    TRACE(&world->trace, "the owner runs, its clock %.1f s ahead of the wall clock",
          (double)(owner->clock_ahead_ms - world->wall_ahead_ms) / 1000.0);
    counters_store_back(world);
}

static void drop_inbox(struct owner *owner) {
    for (size_t i = 0; i < owner->inbox_count; i++) {
        if (rng_chance(&owner->world->rng, 50))
            owner->inbox[i]->ways->fail(owner->inbox[i]);
        owner->inbox[i]->ways->release(owner->inbox[i]);
    }
    owner->inbox_count = 0;
}

static void lose_power(struct owner *owner) {
    struct world *world = owner->world;
    size_t volatile_commits = sim_kv_volatile_commits(owner->disk.sim);
    size_t keep = (size_t)rng_in(&world->rng, 0, (int64_t)volatile_commits);

    TRACE(&world->trace, "power loss: %zu of %zu unsynced commits survive", keep, volatile_commits);
    sim_kv_crash(owner->disk.sim, keep);
    if (!world->profile.local) /* local promises that nothing told is lost */
        history_lost(&world->history, owner->synced, owner->commits);
    owner->synced = owner->commits;
}

static void crash(struct owner *owner, bool power) {
    struct world *world = owner->world;

    TRACE(&world->trace, "the owner dies");
    applier_close(owner->applier);
    owner->applier = NULL;
    owner->busy = false;
    owner->dirty = false;
    owner->disk.fail_in = 0;
    owner->crashes++;
    counters_store_died(world, power);
    drop_inbox(owner);
    if (power)
        lose_power(owner);
    else
        sim_kv_kill(owner->disk.sim);
    agenda_at(&world->agenda, world_now(world) + rng_in(&world->rng, 5, 3000), open_store, owner,
              0);
}

/* One of the places where a turn may be cut short. */
static bool dies_here(struct owner *owner) {
    struct world *world = owner->world;

    if (world->calm || rng_next(&world->rng) % 1000 >= world->profile.crash_permille)
        return false;
    crash(owner, rng_chance(&world->rng, world->profile.power_percent));
    return true;
}

static void synced(struct owner *owner) {
    owner->synced = owner->commits;
    owner->dirty = false;
    history_synced(&owner->world->history);
}

/* ---- turns ---- */

struct group {
    struct job *jobs[GROUP_MAX];
    struct answer *answers[GROUP_MAX];
    struct facts facts[GROUP_MAX];
    size_t count;
    bool replied;
};

static void group_release(struct group *group) {
    for (size_t i = 0; i < group->count; i++) {
        free(group->answers[i]);
        group->jobs[i]->ways->release(group->jobs[i]);
    }
}

static void trace_apply(struct world *world, const struct job *job, int64_t clock_ms, enum err err,
                        const struct answer *answers) {
    const struct message *message = job->message;
    struct buf ops = {0};

    for (size_t i = 0; i < message->count && err == ERR_OK; i++) {
        history_describe(&world->history, &message->ops[i], &ops);
        buf_printf(&ops, " %s %" PRId64 "%s,", err_name(answers[i].err), answers[i].value,
                   answers[i].replayed ? " replayed" : "");
    }
    TRACE(&world->trace, "the owner applies g%u#%" PRIu64 ", %.1f s old: %s%.*s",
          job->gateway_index, message->number, (double)(clock_ms - message->issued_ms) / 1000.0,
          err_name(err), (int)ops.len, ops.ptr ? ops.ptr : "");
    buf_release(&ops);
}

/* False: the store failed. */
static bool apply_one(struct owner *owner, struct group *group, size_t i) {
    struct world *world = owner->world;
    const struct message *message = group->jobs[i]->message;
    int64_t clock_ms = world_now(world) + owner->clock_ahead_ms;

    if (!world->calm && rng_next(&world->rng) % 1000 < world->profile.fail_read_permille)
        sim_kv_fail_read(owner->disk.sim, (unsigned)rng_in(&world->rng, 0, 4));
    enum err err = applier_apply(owner->applier, message, world_time(world), group->answers[i]);

    group->facts[i] = (struct facts){
        .commit = owner->commits + 1,
        .old_ok = message->issued_ms < clock_ms - MESSAGE_MAX_AGE_MS ||
                  message->issued_ms > clock_ms + MESSAGE_MAX_AHEAD_MS,
        .store_now_ms = clock_ms,
    };
    if (world->trace.keep)
        trace_apply(world, group->jobs[i], clock_ms, err, group->answers[i]);
    if (err != ERR_OK && err != ERR_IO)
        trace_violation(&world->trace, -1, "applying g%u#%" PRIu64 " failed: %s",
                        group->jobs[i]->gateway_index, message->number, err_name(err));
    return err == ERR_OK;
}

static void take_group(struct owner *owner, struct group *group) {
    group->replied = false;
    group->count = owner->inbox_count < GROUP_MAX ? owner->inbox_count : GROUP_MAX;
    for (size_t i = 0; i < group->count; i++) {
        group->jobs[i] = owner->inbox[i];
        group->answers[i] = calloc(owner->inbox[i]->message->count, sizeof(struct answer));
        if (!group->answers[i])
            abort();
    }
    owner->inbox_count -= group->count;
    for (size_t i = 0; i < owner->inbox_count; i++)
        owner->inbox[i] = owner->inbox[i + group->count];
}

static void reply_all(struct group *group) {
    group->replied = true;
    for (size_t i = 0; i < group->count; i++)
        group->jobs[i]->ways->reply(group->jobs[i], group->answers[i], &group->facts[i]);
}

static void sync_turn(void *self, uint64_t incarnation) {
    struct owner *owner = self;

    if (!owner->applier || incarnation != owner->incarnation || !owner->dirty)
        return;
    if (kv_sync(&owner->disk.kv) == ERR_OK)
        synced(owner);
}

/* False: the owner is dead. */
static bool commit(struct owner *owner) {
    struct world *world = owner->world;
    bool durable = world->profile.local && RULE(RULE_SYNC_FIRST);
    enum err err;

    if (!world->calm && rng_next(&world->rng) % 1000 < world->profile.fail_commit_permille)
        owner->disk.fail_in = (unsigned)rng_in(&world->rng, 1, COMMITS_UNTIL_FAILURE_MAX);
    owner->commits++;
    err = applier_tidy(owner->applier, world_time(world));
    if (err == ERR_OK)
        err = applier_commit(owner->applier, durable);
    if (err != ERR_OK) {
        TRACE(&world->trace, "the commit fails: %s", err_name(err));
        crash(owner, rng_chance(&world->rng, world->profile.power_percent));
        return false;
    }
    if (durable) {
        synced(owner);
    } else if (!owner->dirty) {
        owner->dirty = true;
        agenda_at(&world->agenda, world_now(world) + SYNC_EVERY_MS, sync_turn, owner,
                  owner->incarnation);
    }
    return true;
}

/* Died on it. Who isn't part of this process may notice; what was applied, nobody can say. */
static void fail_group(struct owner *owner, struct group *group) {
    for (size_t i = 0; i < group->count && !group->replied; i++)
        if (rng_chance(&owner->world->rng, 50))
            group->jobs[i]->ways->fail(group->jobs[i]);
}

/* False: the owner is dead. */
static bool run_group(struct owner *owner, struct group *group) {
    for (size_t i = 0; i < group->count; i++) {
        if (!apply_one(owner, group, i)) {
            crash(owner, false);
            return false;
        }
    }
    if (!RULE(RULE_COMMIT_FIRST))
        reply_all(group);
    if (dies_here(owner) || !commit(owner) || dies_here(owner))
        return false;
    if (RULE(RULE_COMMIT_FIRST))
        reply_all(group);
    return !dies_here(owner);
}

static void turn(void *self, uint64_t incarnation);

static void set_turn(struct owner *owner) {
    if (owner->busy || owner->inbox_count == 0)
        return;
    owner->busy = true;
    agenda_at(&owner->world->agenda, world_now(owner->world) + rng_in(&owner->world->rng, 0, 4),
              turn, owner, owner->incarnation);
}

static void turn(void *self, uint64_t incarnation) {
    struct owner *owner = self;
    struct group group;

    if (!owner->applier || incarnation != owner->incarnation)
        return;
    take_group(owner, &group);
    owner->busy = false;
    if (run_group(owner, &group))
        set_turn(owner);
    else
        fail_group(owner, &group);
    group_release(&group);
}

static void housekeeping(void *self, uint64_t arg) {
    struct owner *owner = self;
    struct world *world = owner->world;

    (void)arg;
    if (world->over)
        return;
    agenda_at(&world->agenda, world_now(world) + HOUSEKEEPING_MS, housekeeping, owner, 0);
    if (owner->applier && !owner->busy)
        (void)commit(owner);
}

void owner_receive(struct owner *owner, struct job *job) {
    if (!owner->applier) {
        if (rng_chance(&owner->world->rng, 70))
            job->ways->fail(job);
        job->ways->release(job);
        return;
    }
    if (owner->inbox_count == owner->inbox_cap) {
        owner->inbox_cap = owner->inbox_cap ? owner->inbox_cap * 2 : 64;
        owner->inbox = realloc(owner->inbox, owner->inbox_cap * sizeof(struct job *));
        if (!owner->inbox)
            abort();
    }
    owner->inbox[owner->inbox_count++] = job;
    set_turn(owner);
}

bool owner_running(const struct owner *owner) {
    return owner->applier != NULL;
}

void owner_crash(struct owner *owner, bool power) {
    if (owner->applier)
        crash(owner, power);
}

struct owner *owner_new(struct world *world) {
    struct owner *owner = calloc(1, sizeof(*owner));

    if (!owner)
        abort();
    owner->world = world;
    disk_init(&owner->disk, &world->rng);
    open_store(owner, 0);
    agenda_at(&world->agenda, HOUSEKEEPING_MS, housekeeping, owner, 0);
    return owner;
}

struct kv *owner_last_restart(struct owner *owner) {
    if (owner->applier)
        applier_close(owner->applier);
    owner->applier = NULL;
    sim_kv_kill(owner->disk.sim);
    open_store(owner, 0);
    return &owner->disk.kv;
}

void owner_free(struct owner *owner) {
    drop_inbox(owner);
    if (owner->applier)
        applier_close(owner->applier);
    disk_release(&owner->disk);
    free(owner->inbox);
    free(owner);
}

size_t owner_crashes(const struct owner *owner) {
    return owner->crashes;
}

int64_t owner_clock_ahead_ms(const struct owner *owner) {
    return owner->clock_ahead_ms;
}
