/* redis_cluster_open.c - looks what the store was made with; lays out a new one (ADR 12).
 *
 *     META ─► known to another loop: same id? ──────────────► opened
 *       └───► LANES, all at once ─┬──────────────────────────► opened
 *                                 └─► "making": META "made" ──►
 *
 * Anything that goes wrong begins it again after a pause.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/applier.h"
#include "counter/redis_cluster_internal.h"
#include "edge/redis_command.h"

#define CLUSTER_LANES 1024 /* of a new store */
#define FORMAT        1
#define META_FIELDS   6
#define AGAIN_MS      300
#define NUMBER_BYTES  32

struct cluster_lane {
    struct redis_request request;
    struct redis_cluster *cluster;
    uint32_t number;
};

static const struct slice meta_key = {"hgp:meta", 8};

void cluster_open_release(struct cluster_opening *opening) {
    free(opening->said.epochs);
    free(opening->said.tags);
    free(opening->lanes);
    opening->said.epochs = NULL;
    opening->said.tags = NULL;
    opening->lanes = NULL;
}

static void tell_up(const struct redis_cluster *cluster) {
    const struct redis_given *given = cluster_weakest(cluster);
    char guarantee[REDIS_DETAIL_BYTES];

    if (!given)
        return;
    redis_guarantee(cluster->fleet, given, guarantee, sizeof(guarantee));
    redis_fleet_tell_up(cluster->fleet, given, guarantee);
}

static void finish(struct redis_cluster *cluster) {
    struct cluster_opening *opening = &cluster->opening;
    bool first = !atomic_load(&cluster->fleet->known);

    if (opening->err == ERR_OK)
        opening->err = redis_fleet_know(cluster->fleet, &opening->said, opening->detail,
                                        sizeof(opening->detail));
    opening->under_way = false;
    cluster_open_release(opening);
    if (cluster->closing)
        return;
    if (opening->err != ERR_OK) {
        cluster_problem(cluster, opening->err, opening->detail);
        cluster->map_wanted = true; /* a slot may have moved */
        timer_start(cluster->loop, &cluster->look, cluster_jitter(cluster, AGAIN_MS));
    } else {
        cluster->opened = true;
        redis_store_learn_clock(cluster->store, opening->clock_ms);
        if (first)
            tell_up(cluster);
    }
    cluster_tell(cluster);
}

/* What passes by itself: a slot on its way, a node lost, no majority. */
static bool passes(enum err err) {
    return err != ERR_INVALID && err != ERR_LAYOUT && err != ERR_NEWER && err != ERR_CORRUPT &&
           err != ERR_INTERNAL;
}

/* The first one's counts. */
static void fail(struct cluster_opening *opening, enum err err, const char *what,
                 const struct redis_reply *reply) {
    if (opening->err != ERR_OK)
        return;
    opening->err = passes(err) ? ERR_UNAVAILABLE : err;
    (void)snprintf(opening->detail, sizeof(opening->detail), "%s%s%.*s", what, reply ? ": " : "",
                   SLICE_ARGS(reply ? redis_reply_text(reply) : SLICE("")));
}

static struct slice number(char *out, int64_t value) {
    int len = snprintf(out, NUMBER_BYTES, "%" PRId64, value);

    return slice_of(out, (size_t)len);
}

static struct slice hex(char *out, uint64_t value) {
    int len = snprintf(out, NUMBER_BYTES, "%016" PRIx64, value);

    return slice_of(out, (size_t)len);
}

static enum err call(struct redis_cluster *cluster, struct slice key, struct redis_request *request,
                     size_t count, const struct slice *args) {
    struct cluster_node *node = cluster_map_owner(cluster, redis_slot(key));
    struct buf *command = &cluster->command;

    buf_clear(command);
    redis_command_begin(command, count);
    for (size_t i = 0; i < count; i++)
        redis_command_arg(command, args[i]);
    if (buf_failed(command))
        return ERR_NO_MEMORY;
    if (!node || !node->usable)
        return ERR_UNAVAILABLE;
    return redis_conn_ask(node->conn, request, buf_slice(command));
}

/* ---- lanes ---- */

static void on_made(struct redis_request *request, const struct redis_outcome *outcome);
static void ask_meta(struct redis_cluster *cluster, struct slice mode,
                     void (*done)(struct redis_request *request,
                                  const struct redis_outcome *outcome));

static void lanes_done(struct redis_cluster *cluster) {
    struct cluster_opening *opening = &cluster->opening;

    if (opening->err == ERR_OK && opening->making)
        ask_meta(cluster, SLICE("made"), on_made);
    else
        finish(cluster);
}

static void on_lane(struct redis_request *request, const struct redis_outcome *outcome) {
    struct cluster_lane *lane = CONTAINER_OF(request, struct cluster_lane, request);
    struct cluster_opening *opening = &lane->cluster->opening;
    int64_t epoch = 0;
    int64_t clock_ms = 0;

    if (outcome->err != ERR_OK)
        fail(opening, outcome->err, "a lane can't be opened", outcome->reply);
    else if (redis_reply_count(outcome->reply) != 2 ||
             !redis_reply_i64(redis_reply_at(outcome->reply, 0), &epoch) || epoch < 1 ||
             !redis_reply_i64(redis_reply_at(outcome->reply, 1), &clock_ms))
        fail(opening, ERR_CORRUPT, "a lane's epoch or clock is damaged", NULL);
    opening->said.epochs[lane->number] = (uint64_t)epoch;
    if (clock_ms > opening->clock_ms)
        opening->clock_ms = clock_ms;
    if (--opening->open == 0)
        lanes_done(lane->cluster);
}

static void ask_lane(struct redis_cluster *cluster, uint32_t i) {
    struct cluster_opening *opening = &cluster->opening;
    struct cluster_lane *lane = &opening->lanes[i];
    char text[3][NUMBER_BYTES];
    struct buf key = {0};

    *lane = (struct cluster_lane){.request.done = on_lane, .cluster = cluster, .number = i};
    redis_lane_key(&key, &opening->layout, i, "m");
    const struct slice args[] = {SLICE("EVALSHA"),
                                 slice_str(redis_script_cluster_lane.sha1),
                                 SLICE("1"),
                                 buf_slice(&key),
                                 hex(text[0], opening->said.id),
                                 number(text[1], i),
                                 number(text[2], cluster->fleet->conf.key_ttl_ms),
                                 opening->making ? SLICE("1") : SLICE("0")};
    enum err err = buf_failed(&key)
                       ? ERR_NO_MEMORY
                       : call(cluster, buf_slice(&key), &lane->request, ARRAY_LEN(args), args);
    buf_release(&key);
    if (err == ERR_OK)
        opening->open++;
    else
        fail(opening, err, "a lane's node can't be reached", NULL);
}

static void ask_lanes(struct redis_cluster *cluster) {
    struct cluster_opening *opening = &cluster->opening;
    uint32_t lanes = (uint32_t)opening->said.lanes;

    opening->said.epochs = calloc(lanes, sizeof(*opening->said.epochs));
    opening->said.tags = calloc(lanes, sizeof(*opening->said.tags));
    opening->lanes = calloc(lanes, sizeof(*opening->lanes));
    if (!opening->said.epochs || !opening->said.tags || !opening->lanes ||
        !redis_tags_make(lanes, opening->said.tags)) {
        fail(opening, ERR_NO_MEMORY, "out of memory", NULL);
        finish(cluster);
        return;
    }
    opening->layout = (struct redis_layout){.lanes = lanes, .tags = opening->said.tags};
    opening->open = 1; /* so that none of them ends it early */
    for (uint32_t i = 0; i < lanes && opening->err == ERR_OK; i++)
        ask_lane(cluster, i);
    if (--opening->open == 0)
        lanes_done(cluster);
}

/* ---- meta ---- */

static bool read_meta(struct cluster_opening *opening, const struct redis_reply *reply) {
    struct redis_layout_said *said = &opening->said;
    int64_t format;

    if (redis_reply_count(reply) != META_FIELDS ||
        !redis_reply_i64(redis_reply_at(reply, 0), &format)) {
        fail(opening, ERR_CORRUPT, "the layout in hgp:meta doesn't read", NULL);
        return false;
    }
    if (format > FORMAT) {
        fail(opening, ERR_NEWER, "the store was laid out by a newer program", NULL);
        return false;
    }
    if (!redis_reply_i64(redis_reply_at(reply, 1), &said->lanes) || said->lanes < 1 ||
        said->lanes > APPLIER_MAX_LANES ||
        !redis_read_hex(redis_reply_at(reply, 2), &said->id, 1) ||
        !redis_read_hex(redis_reply_at(reply, 3), said->seed, 2) ||
        !redis_reply_i64(redis_reply_at(reply, 5), &opening->clock_ms)) {
        fail(opening, ERR_CORRUPT, "the layout in hgp:meta is damaged", NULL);
        return false;
    }
    opening->making = slice_eq(redis_reply_text(redis_reply_at(reply, 4)), SLICE("making"));
    return true;
}

static void on_made(struct redis_request *request, const struct redis_outcome *outcome) {
    struct redis_cluster *cluster = CONTAINER_OF(request, struct redis_cluster, opening.meta);

    if (outcome->err != ERR_OK)
        fail(&cluster->opening, outcome->err, "the store can't be laid out", outcome->reply);
    finish(cluster);
}

static void on_meta(struct redis_request *request, const struct redis_outcome *outcome) {
    struct redis_cluster *cluster = CONTAINER_OF(request, struct redis_cluster, opening.meta);
    struct cluster_opening *opening = &cluster->opening;

    if (outcome->err != ERR_OK)
        fail(opening, outcome->err, "hgp:meta can't be read", outcome->reply);
    if (opening->err == ERR_OK && read_meta(opening, outcome->reply) &&
        !atomic_load(&cluster->fleet->known))
        ask_lanes(cluster);
    else
        finish(cluster);
}

static void ask_meta(struct redis_cluster *cluster, struct slice mode,
                     void (*done)(struct redis_request *request,
                                  const struct redis_outcome *outcome)) {
    const struct redis_fleet *fleet = cluster->fleet;
    struct cluster_opening *opening = &cluster->opening;
    bool made = slice_eq(mode, SLICE("made"));
    char lanes[NUMBER_BYTES];
    char id[NUMBER_BYTES];
    char seed[2 * NUMBER_BYTES];

    (void)snprintf(seed, sizeof(seed), "%016" PRIx64 "%016" PRIx64, fleet->new_seed[0],
                   fleet->new_seed[1]);
    const struct slice args[] = {
        SLICE("EVALSHA"),
        slice_str(redis_script_cluster_meta.sha1),
        SLICE("1"),
        meta_key,
        number(lanes, fleet->conf.lanes ? fleet->conf.lanes : CLUSTER_LANES),
        hex(id, made ? opening->said.id : fleet->new_id),
        slice_str(seed),
        mode};

    opening->meta.done = done;
    enum err err = call(cluster, meta_key, &opening->meta, ARRAY_LEN(args), args);
    if (err != ERR_OK) {
        fail(opening, err, "the node of hgp:meta can't be reached", NULL);
        finish(cluster);
    }
}

void cluster_open(struct redis_cluster *cluster) {
    struct cluster_opening *opening = &cluster->opening;

    if (cluster->opened || opening->under_way || cluster->closing)
        return;
    *opening = (struct cluster_opening){.under_way = true};
    ask_meta(cluster, atomic_load(&cluster->fleet->known) ? SLICE("look") : SLICE("make"), on_meta);
}
