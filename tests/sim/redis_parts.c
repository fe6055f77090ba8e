/* redis_parts.c - splits, and puts together. */
#include "redis_parts.h"

#include <stdlib.h>

#include "cluster.h"
#include "core/parts.h"
#include "redis_client.h"
#include "world.h"

struct whole;

struct lane_part {
    struct job job;
    struct message message;
    struct op *ops;
    size_t *at; /* where they are in the whole */
    struct whole *whole;
    uint64_t commit; /* what its answers rest on; 0: none */
};

struct whole {
    struct world *world;
    struct job *job;
    struct parts fates;
    struct answer *answers;
    struct facts facts;
    struct lane_part parts[LANES_MAX];
    unsigned left; /* parts not released */
};

static struct lane_part *part_of(struct job *job) {
    return CONTAINER_OF(job, struct lane_part, job);
}

/* ---- together ---- */

/* If one of the commits gets lost the whole is as good as lost: nobody looks at its operations one
 * by one. Nothing may be in mode replicated. */
static uint64_t join_commits(struct whole *whole) {
    struct world *world = whole->world;
    uint64_t joint = ++world->commits;

    for (unsigned i = 0; i < LANES_MAX; i++)
        if (whole->parts[i].commit)
            history_rests_on(&world->history, joint, whole->parts[i].commit);
    return joint;
}

static void finish(struct whole *whole) {
    bool not_applied;
    enum err err = parts_outcome(&whole->fates, &not_applied);
    struct job *job = whole->job;

    if (err == ERR_OK) {
        whole->facts.commit = join_commits(whole);
        job->ways->reply(job, whole->answers, &whole->facts);
    } else if (not_applied) {
        job->ways->refuse(job);
    } else {
        job->ways->fail(job);
    }
}

static void on_reply(struct job *job, const struct answer *answers, const struct facts *facts) {
    struct lane_part *part = part_of(job);
    struct whole *whole = part->whole;

    for (size_t i = 0; i < part->message.count; i++)
        whole->answers[part->at[i]] = answers[i];
    part->commit = facts->commit;
    whole->facts.old_ok |= facts->old_ok;
    if (facts->store_now_ms > whole->facts.store_now_ms)
        whole->facts.store_now_ms = facts->store_now_ms;
    if (parts_answered(&whole->fates))
        finish(whole);
}

static void on_fail(struct job *job) {
    struct whole *whole = part_of(job)->whole;

    if (parts_unknown(&whole->fates))
        finish(whole);
}

static void on_refuse(struct job *job) {
    struct whole *whole = part_of(job)->whole;

    if (parts_refused(&whole->fates, ERR_UNAVAILABLE))
        finish(whole);
}

static void release_whole(struct whole *whole) {
    if (--whole->left > 0)
        return;
    whole->job->ways->release(whole->job);
    free(whole->answers);
    free(whole);
}

static void on_release(struct job *job) {
    struct lane_part *part = part_of(job);

    free(part->ops);
    free(part->at);
    release_whole(part->whole);
}

/* ---- apart ---- */

static const struct job_ways ways = {on_reply, on_fail, on_refuse, on_release};

static void begin_part(struct whole *whole, struct lane_part *part) {
    const struct message *message = whole->job->message;

    part->whole = whole;
    part->message = *message;
    part->message.count = 0;
    part->ops = calloc(message->count, sizeof(*part->ops));
    part->at = calloc(message->count, sizeof(*part->at));
    if (!part->ops || !part->at)
        abort();
    part->message.ops = part->ops;
    part->job = (struct job){&ways, &part->message, whole->job->gateway_index};
    whole->left++;
}

static void add(struct whole *whole, size_t i) {
    const struct op *op = &whole->job->message->ops[i];
    struct lane_part *part = &whole->parts[cluster_lane(whole->world->cluster, op)];

    if (!part->whole)
        begin_part(whole, part);
    part->at[part->message.count] = i;
    part->ops[part->message.count++] = *op;
    /* What is left of it unless the part is answered. */
    whole->answers[i] = (struct answer){.err = ERR_UNAVAILABLE};
}

void redis_parts_send(struct world *world, unsigned process, struct job *job) {
    struct whole *whole = calloc(1, sizeof(*whole));

    if (!whole)
        abort();
    whole->world = world;
    whole->job = job;
    whole->answers = calloc(job->message->count, sizeof(*whole->answers));
    if (!whole->answers)
        abort();
    for (size_t i = 0; i < job->message->count; i++)
        add(whole, i);
    parts_begin(&whole->fates, whole->left);
    whole->left++; /* ours: parts may be over before the last is sent */
    for (uint32_t lane = 0; lane < LANES_MAX; lane++)
        if (whole->parts[lane].whole)
            redis_client_call(world->redis_clients[process], &whole->parts[lane].job, lane);
    release_whole(whole);
}
