/* redis_fleet.c - the layout that all connections must share, the promise, up and down. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/random.h"
#include "core/applier.h"
#include "counter/redis_internal.h"
#include "edge/redis_text.h"

#define LAYOUT_FORMAT 1
#define EPOCHS_AT     6 /* in lua/open.lua's reply */

static void make_series(struct redis_fleet *fleet) {
    struct metrics *m = fleet->conf.metrics;

    fleet->series.batches = metrics_series(m, METRIC_BATCHES, "");
    fleet->series.batch_operations = metrics_series(m, METRIC_BATCH_OPERATIONS, "");
    fleet->series.operations = metrics_series(m, METRIC_OPERATIONS, "");
    fleet->series.message_replays = metrics_series(m, METRIC_REPLAYS, "kind=\"message\"");
    fleet->series.key_replays = metrics_series(m, METRIC_REPLAYS, "kind=\"key\"");
    fleet->series.commit = metrics_series(m, METRIC_STORE_COMMIT, "");
    fleet->series.trimmed = metrics_series(m, METRIC_OUTBOX_TRIMMED, "");
    fleet->series.outbox_bytes = metrics_series(m, METRIC_OUTBOX_BYTES, "");
}

struct redis_fleet *redis_fleet_new(const struct redis_fleet_conf *conf) {
    struct redis_fleet *fleet = calloc(1, sizeof(*fleet));

    if (!fleet)
        return NULL;
    fleet->conf = *conf;
    if (fleet->conf.connections == 0 || fleet->conf.connections > REDIS_CONNECTIONS_MAX)
        fleet->conf.connections = REDIS_CONNECTIONS_MAX;
    redis_url_name(&conf->url, fleet->name, sizeof(fleet->name));
    fleet->new_id = random_u64();
    fleet->new_seed[0] = random_u64();
    fleet->new_seed[1] = random_u64();
    (void)pthread_mutex_init(&fleet->lock, NULL);
    make_series(fleet);
    return fleet;
}

void redis_fleet_free(struct redis_fleet *fleet) {
    if (!fleet)
        return;
    (void)pthread_mutex_destroy(&fleet->lock);
    free((void *)(uintptr_t)fleet->layout.epochs);
    free(fleet);
}

bool redis_fleet_up(const struct redis_fleet *fleet) {
    return atomic_load_explicit(&fleet->usable, memory_order_relaxed) > 0;
}

uint64_t redis_fleet_store_id(const struct redis_fleet *fleet) {
    return atomic_load(&fleet->known) ? fleet->id : 0;
}

void redis_fleet_guarantee(struct redis_fleet *fleet, char *out, size_t size) {
    (void)pthread_mutex_lock(&fleet->lock);
    (void)snprintf(out, size, "%s", fleet->guarantee);
    (void)pthread_mutex_unlock(&fleet->lock);
}

/* ---- the layout ---- */

static bool take_hex(struct slice *text, uint64_t *out) {
    uint64_t value = 0;

    if (text->len < 16)
        return false;
    for (size_t i = 0; i < 16; i++) {
        char c = text->ptr[i];
        bool digit = c >= '0' && c <= '9';

        if (!digit && (c < 'a' || c > 'f'))
            return false;
        value = value << 4 | (uint64_t)(digit ? c - '0' : c - 'a' + 10);
    }
    *text = slice_skip(*text, 16);
    *out = value;
    return true;
}

static bool read_hex(const struct redis_reply *reply, uint64_t *out, size_t count) {
    struct slice text = redis_reply_text(reply);

    for (size_t i = 0; i < count; i++) {
        if (!text.ptr || !take_hex(&text, &out[i]))
            return false;
    }
    return text.len == 0;
}

struct said { /* by the server */
    int64_t lanes;
    uint64_t id;
    uint64_t seed[2];
    uint64_t *epochs;
};

static bool read_epochs(const struct redis_reply *reply, struct said *said) {
    if (redis_reply_count(reply) != EPOCHS_AT + (size_t)said->lanes)
        return false;
    said->epochs = calloc((size_t)said->lanes, sizeof(*said->epochs));
    for (size_t i = 0; said->epochs && i < (size_t)said->lanes; i++) {
        int64_t epoch;

        if (!redis_reply_i64(redis_reply_at(reply, EPOCHS_AT + i), &epoch) || epoch < 1)
            return false;
        said->epochs[i] = (uint64_t)epoch;
    }
    return said->epochs != NULL;
}

static enum err read_said(const struct redis_reply *reply, struct said *said, char *out_detail,
                          size_t size) {
    int64_t format;

    if (redis_reply_count(reply) < EPOCHS_AT ||
        !redis_reply_i64(redis_reply_at(reply, 0), &format)) {
        (void)snprintf(out_detail, size, "the layout in hgp:meta doesn't read");
        return ERR_CORRUPT;
    }
    if (format > LAYOUT_FORMAT) {
        (void)snprintf(out_detail, size,
                       "the store was laid out in format %" PRId64 "; this program reads up to %d",
                       format, LAYOUT_FORMAT);
        return ERR_NEWER;
    }
    if (!redis_reply_i64(redis_reply_at(reply, 1), &said->lanes) || said->lanes < 1 ||
        said->lanes > APPLIER_MAX_LANES || !read_hex(redis_reply_at(reply, 2), &said->id, 1) ||
        !read_hex(redis_reply_at(reply, 3), said->seed, 2) || !read_epochs(reply, said)) {
        (void)snprintf(out_detail, size, "the layout in hgp:meta or a lane's epoch is damaged");
        return ERR_CORRUPT;
    }
    return ERR_OK;
}

static enum err compare(const struct redis_fleet *fleet, const struct said *said, char *out_detail,
                        size_t size) {
    if (fleet->conf.lanes && said->lanes != fleet->conf.lanes) {
        (void)snprintf(out_detail, size,
                       "the store was made with %" PRId64 " lanes; the configuration asks for %u",
                       said->lanes, fleet->conf.lanes);
        return ERR_LAYOUT;
    }
    if (!atomic_load(&fleet->known))
        return ERR_OK;
    if (said->id != fleet->id || said->lanes != fleet->layout.lanes) {
        (void)snprintf(out_detail, size,
                       "this is store %016" PRIx64 "; this process has been counting in store "
                       "%016" PRIx64 " there",
                       said->id, fleet->id);
        return ERR_LAYOUT;
    }
    if (memcmp(said->epochs, fleet->layout.epochs, (size_t)said->lanes * sizeof(uint64_t)) != 0) {
        (void)snprintf(out_detail, size,
                       "a lane has been recovered meanwhile; this process must start again");
        return ERR_LAYOUT;
    }
    return ERR_OK;
}

static void learn(struct redis_fleet *fleet, struct said *said) {
    if (atomic_load(&fleet->known))
        return;
    fleet->id = said->id;
    fleet->layout = (struct redis_layout){.lanes = (uint32_t)said->lanes,
                                          .epochs = said->epochs,
                                          .seed = {said->seed[0], said->seed[1]},
                                          .key_ttl_ms = fleet->conf.key_ttl_ms,
                                          .coalesce = fleet->conf.coalesce};
    said->epochs = NULL;
    atomic_store(&fleet->known, true);
}

enum err redis_fleet_adopt(struct redis_fleet *fleet, const struct redis_reply *reply,
                           char *out_detail, size_t size) {
    struct said said = {0};
    enum err err = read_said(reply, &said, out_detail, size);

    (void)pthread_mutex_lock(&fleet->lock);
    if (err == ERR_OK)
        err = compare(fleet, &said, out_detail, size);
    if (err == ERR_OK)
        learn(fleet, &said);
    (void)pthread_mutex_unlock(&fleet->lock);
    free(said.epochs);
    return err;
}

/* ---- the promise ---- */

static bool gives_local(const struct redis_given *given) {
    return given->appendonly && given->fsync == FSYNC_ALWAYS;
}

static const char *guarantee_of(const struct redis_given *given) {
    if (!given->version[0])
        return "acknowledged increments survive a crash of our processes; whether they survive one "
               "of redis-server is unknown, as our user may not ask for its settings (INFO)";
    if (!given->appendonly)
        return "acknowledged increments survive a crash of our processes; when redis-server ends "
               "or crashes, what it has not saved is lost (appendonly is off)";
    switch (given->fsync) {
    case FSYNC_ALWAYS:
        return "acknowledged increments survive a crash of our processes and of redis-server, and "
               "a power loss of its machine";
    case FSYNC_EVERYSEC:
        return "acknowledged increments survive a crash of our processes and of redis-server; when "
               "its machine loses power, up to 1 second of them may be lost, more when its disk is "
               "slow (appendfsync everysec)";
    case FSYNC_NO:
        return "acknowledged increments survive a crash of our processes and of redis-server; when "
               "its machine loses power, what the kernel has not written is lost (appendfsync no)";
    case FSYNC_UNKNOWN:
        break;
    }
    return "acknowledged increments survive a crash of our processes and of redis-server; whether "
           "they survive a power loss is unknown, as our user may not read appendfsync";
}

/* KEEPTTL is of 6.0, MINID of 6.2. */
#define VERSION_MAJOR_MIN 6
#define VERSION_MINOR_MIN 2

static bool too_old(const char *version) {
    struct slice text = slice_str(version);
    int64_t major;
    int64_t minor;

    if (!redis_take_i64(&text, &major) || !redis_take_char(&text, '.') ||
        !redis_take_i64(&text, &minor))
        return false; /* it didn't say */
    return major < VERSION_MAJOR_MIN || (major == VERSION_MAJOR_MIN && minor < VERSION_MINOR_MIN);
}

static enum err judge_kind(const struct redis_given *given, char *out_detail, size_t size) {
    if (too_old(given->version)) {
        (void)snprintf(out_detail, size, "this is Redis %s; %d.%d or later is needed",
                       given->version, VERSION_MAJOR_MIN, VERSION_MINOR_MIN);
        return ERR_INVALID;
    }
    if (given->cluster) {
        (void)snprintf(out_detail, size,
                       "this server is part of a Redis Cluster, whose layout is another one");
        return ERR_INVALID;
    }
    if (given->replica) {
        (void)snprintf(out_detail, size, "this server is a replica; counting takes its primary");
        return ERR_UNAVAILABLE;
    }
    return ERR_OK;
}

static enum err judge_strictly(const struct redis_fleet *fleet, const struct redis_given *given,
                               char *out_detail, size_t size) {
    if (fleet->conf.durability == DURABILITY_LOCAL && !gives_local(given)) {
        (void)snprintf(out_detail, size,
                       "the configuration asks for durability \"local\", strictly, which takes "
                       "appendonly yes and appendfsync always; with this server %s",
                       guarantee_of(given));
        return ERR_INVALID;
    }
    if (given->eviction[0] || !given->policy_known) {
        (void)snprintf(out_detail, size,
                       "the server's maxmemory-policy is %s, which may delete counters; "
                       "durability.strict asks for noeviction",
                       given->policy_known ? given->eviction : "unknown");
        return ERR_INVALID;
    }
    return ERR_OK;
}

enum err redis_fleet_judge(const struct redis_fleet *fleet, const struct redis_given *given,
                           char *out_detail, size_t size) {
    enum err err = judge_kind(given, out_detail, size);

    if (err == ERR_OK && fleet->conf.strict)
        err = judge_strictly(fleet, given, out_detail, size);
    return err;
}

/* ---- up and down ---- */

static void tell_up(const struct redis_fleet *fleet, const struct redis_given *given) {
    char id[24];

    (void)snprintf(id, sizeof(id), "%016" PRIx64, fleet->id);
    log_line(LOG_INFO, "counting in Redis", LOG_STR("store", fleet->name), LOG_STR("store_id", id),
             LOG_INT("lanes", fleet->layout.lanes), LOG_STR("redis_version", given->version),
             LOG_STR("guarantee", guarantee_of(given)));
    if (fleet->conf.durability == DURABILITY_LOCAL && !gives_local(given))
        log_line(LOG_WARN,
                 "Redis doesn't give the durability that is configured; it takes appendonly yes "
                 "and appendfsync always",
                 LOG_STR("store", fleet->name), LOG_STR("configured", "local"));
    if (given->eviction[0])
        log_line(LOG_WARN, "Redis may delete counters when its memory is full",
                 LOG_STR("store", fleet->name), LOG_STR("maxmemory_policy", given->eviction));
}

void redis_fleet_link_up(struct redis_fleet *fleet, const struct redis_given *given) {
    (void)pthread_mutex_lock(&fleet->lock);
    (void)snprintf(fleet->guarantee, sizeof(fleet->guarantee), "%s%s%s%s", guarantee_of(given),
                   given->eviction[0] ? "; its maxmemory-policy " : "", given->eviction,
                   given->eviction[0] ? " may delete counters" : "");
    (void)pthread_mutex_unlock(&fleet->lock);
    atomic_store(&fleet->announced_down, false);
    if (atomic_fetch_add(&fleet->usable, 1) == 0)
        tell_up(fleet, given);
}

void redis_fleet_link_down(struct redis_fleet *fleet, const char *why) {
    if (atomic_load(&fleet->usable) == 0 && !atomic_exchange(&fleet->announced_down, true))
        log_line(LOG_WARN, "Redis is away; trying again and again", LOG_STR("store", fleet->name),
                 LOG_STR("why", why));
}

void redis_fleet_refused(struct redis_fleet *fleet, enum err err, const char *detail) {
    (void)pthread_mutex_lock(&fleet->lock);
    fleet->refused = err;
    (void)snprintf(fleet->refusal, sizeof(fleet->refusal), "%s", detail);
    (void)pthread_mutex_unlock(&fleet->lock);
}

/* ---- before any loop starts ---- */

struct probe {
    struct redis_fleet *fleet;
    struct loop *loop;
    struct timer look;
    int64_t end_ms;
};

#define PROBE_LOOK_MS 2

static void on_look(struct timer *timer) {
    struct probe *probe = CONTAINER_OF(timer, struct probe, look);

    if (redis_fleet_up(probe->fleet) || probe->fleet->refused != ERR_OK ||
        loop_now_ms(probe->loop) >= probe->end_ms)
        loop_stop(probe->loop);
    else
        timer_start(probe->loop, timer, PROBE_LOOK_MS);
}

static void ignore_delivered(void *ctx, struct delivery *delivery) {
    (void)ctx;
    (void)delivery;
}

static void ignore_clock(void *ctx, int64_t ahead_ms) {
    (void)ctx;
    (void)ahead_ms;
}

static void on_closed(void *ctx) {
    loop_stop(((struct probe *)ctx)->loop);
}

static enum err run_probe(struct probe *probe, int64_t timeout_ms) {
    struct redis_store_user user = {
        .ctx = probe, .delivered = ignore_delivered, .clock_learned = ignore_clock};
    struct redis_store *store = redis_store_new(probe->fleet, probe->loop, 0, &user);
    enum err err = ERR_NO_MEMORY;

    if (!store)
        return ERR_NO_MEMORY;
    probe->look.fire = on_look;
    if (redis_store_connect(store)) {
        timer_start(probe->loop, &probe->look, 0);
        probe->end_ms = loop_now_ms(probe->loop) + timeout_ms;
        err = loop_run(probe->loop);
    }
    if (err == ERR_OK && !redis_fleet_up(probe->fleet))
        err = probe->fleet->refused != ERR_OK ? probe->fleet->refused : ERR_UNREACHABLE;
    timer_stop(probe->loop, &probe->look);
    redis_store_close(store, on_closed, probe);
    if (loop_run(probe->loop) != ERR_OK)
        return ERR_IO;
    return err;
}

enum err redis_fleet_probe(struct redis_fleet *fleet, int64_t timeout_ms, const char **out_detail) {
    struct loop_conf conf = {.backend = LOOP_EPOLL};
    struct probe probe = {.fleet = fleet};
    enum err err = loop_new(&conf, &probe.loop);

    if (err == ERR_OK)
        err = run_probe(&probe, timeout_ms);
    if (probe.loop)
        loop_free(probe.loop);
    if (fleet->refused == ERR_OK)
        (void)snprintf(fleet->refusal, sizeof(fleet->refusal), "%s: %s", fleet->name,
                       err == ERR_UNREACHABLE ? "Redis can't be reached" : err_text(err));
    *out_detail = fleet->refusal;
    return err;
}
