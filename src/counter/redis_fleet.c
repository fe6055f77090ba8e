/* redis_fleet.c - the layout that all connections must share, up and down. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "core/applier.h"
#include "counter/redis_internal.h"

#define LAYOUT_FORMAT     1
#define COMPLAIN_EVERY_MS 10000
#define EPOCHS_AT         6 /* in lua/open.lua's reply */

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
    fleet->series.consumers = metrics_series(m, METRIC_OUTBOX_CONSUMERS, "");
    fleet->series.filling = metrics_series(m, METRIC_OUTBOX_FILLING, "");
    fleet->series.refused_full = metrics_series(m, METRIC_OUTBOX_REFUSED, "");
    fleet->series.connections = metrics_series(m, METRIC_REDIS_CONNECTIONS, "");
}

struct redis_fleet *redis_fleet_new(const struct redis_fleet_conf *conf) {
    struct redis_fleet *fleet = calloc(1, sizeof(*fleet));

    if (!fleet)
        return NULL;
    fleet->conf = *conf;
    if (fleet->conf.connections == 0 || fleet->conf.connections > REDIS_CONNECTIONS_MAX)
        fleet->conf.connections = REDIS_CONNECTIONS_MAX;
    redis_url_name(&conf->url, fleet->name, sizeof(fleet->name));
    fleet->mode = "unknown";
    (void)snprintf(fleet->guarantee, sizeof(fleet->guarantee), "Redis has not been reached yet");
    atomic_init(&fleet->changed_s, clock_wall_ms() / 1000);
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
    free((void *)(uintptr_t)fleet->layout.tags);
    free((void *)fleet->outbox_bytes);
    free((void *)fleet->filling);
    free(fleet);
}

bool redis_fleet_up(const struct redis_fleet *fleet) {
    /* Each loop has connections of its own: one without any fails what comes to it. */
    unsigned loops = atomic_load_explicit(&fleet->loops, memory_order_relaxed);

    return loops > 0 && atomic_load_explicit(&fleet->loops_up, memory_order_relaxed) == loops;
}

unsigned redis_fleet_connections(const struct redis_fleet *fleet) {
    return atomic_load_explicit(&fleet->usable, memory_order_relaxed);
}

uint64_t redis_fleet_store_id(const struct redis_fleet *fleet) {
    return atomic_load(&fleet->known) ? fleet->id : 0;
}

void redis_fleet_promise(struct redis_fleet *fleet, char *out_mode, size_t mode_size,
                         char *out_guarantee, size_t guarantee_size) {
    (void)pthread_mutex_lock(&fleet->lock);
    (void)snprintf(out_mode, mode_size, "%s", fleet->mode);
    (void)snprintf(out_guarantee, guarantee_size, "%s", fleet->guarantee);
    (void)pthread_mutex_unlock(&fleet->lock);
}

int64_t redis_fleet_changed_s(const struct redis_fleet *fleet) {
    return atomic_load_explicit(&fleet->changed_s, memory_order_relaxed);
}

void redis_fleet_problem(struct redis_fleet *fleet, char *out, size_t size) {
    (void)pthread_mutex_lock(&fleet->lock);
    (void)snprintf(out, size, "%s", fleet->problem);
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

bool redis_read_hex(const struct redis_reply *reply, uint64_t *out, size_t count) {
    struct slice text = redis_reply_text(reply);

    for (size_t i = 0; i < count; i++) {
        if (!text.ptr || !take_hex(&text, &out[i]))
            return false;
    }
    return text.len == 0;
}

static bool read_epochs(const struct redis_reply *reply, struct redis_layout_said *said) {
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

static enum err read_said(const struct redis_reply *reply, struct redis_layout_said *said,
                          char *out_detail, size_t size) {
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
        said->lanes > APPLIER_MAX_LANES ||
        !redis_read_hex(redis_reply_at(reply, 2), &said->id, 1) ||
        !redis_read_hex(redis_reply_at(reply, 3), said->seed, 2) || !read_epochs(reply, said)) {
        (void)snprintf(out_detail, size, "the layout in hgp:meta or a lane's epoch is damaged");
        return ERR_CORRUPT;
    }
    return ERR_OK;
}

static enum err compare(const struct redis_fleet *fleet, const struct redis_layout_said *said,
                        char *out_detail, size_t size) {
    if (fleet->conf.lanes && said->lanes != fleet->conf.lanes) {
        (void)snprintf(out_detail, size,
                       "lanes: the store was made with %" PRId64 ", the configuration asks for %u",
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
    if (said->epochs &&
        memcmp(said->epochs, fleet->layout.epochs, (size_t)said->lanes * sizeof(uint64_t)) != 0) {
        (void)snprintf(out_detail, size,
                       "a lane has been recovered meanwhile; this process must start again");
        return ERR_LAYOUT;
    }
    return ERR_OK;
}

static enum err learn(struct redis_fleet *fleet, struct redis_layout_said *said) {
    if (atomic_load(&fleet->known))
        return ERR_OK;
    free((void *)fleet->outbox_bytes); /* of an attempt that failed */
    free((void *)fleet->filling);
    fleet->outbox_bytes = calloc((size_t)said->lanes, sizeof(*fleet->outbox_bytes));
    fleet->filling = calloc((size_t)said->lanes, sizeof(*fleet->filling));
    if (!fleet->outbox_bytes || !fleet->filling)
        return ERR_NO_MEMORY;
    fleet->id = said->id;
    fleet->layout = (struct redis_layout){.lanes = (uint32_t)said->lanes,
                                          .store_id = said->id,
                                          .epochs = said->epochs,
                                          .tags = said->tags,
                                          .seed = {said->seed[0], said->seed[1]},
                                          .key_ttl_ms = fleet->conf.key_ttl_ms,
                                          .outbox_max_bytes =
                                              fleet->conf.outbox_max_bytes / (uint64_t)said->lanes,
                                          .coalesce = fleet->conf.coalesce,
                                          .touch = fleet->conf.durability == DURABILITY_REPLICATED};
    said->epochs = NULL;
    said->tags = NULL;
    atomic_store(&fleet->known, true);
    return ERR_OK;
}

enum err redis_fleet_know(struct redis_fleet *fleet, struct redis_layout_said *said,
                          char *out_detail, size_t size) {
    (void)pthread_mutex_lock(&fleet->lock);
    enum err err = compare(fleet, said, out_detail, size);
    if (err == ERR_OK)
        err = learn(fleet, said);
    (void)pthread_mutex_unlock(&fleet->lock);
    return err;
}

enum err redis_fleet_adopt(struct redis_fleet *fleet, const struct redis_reply *reply,
                           char *out_detail, size_t size) {
    struct redis_layout_said said = {0};
    enum err err = read_said(reply, &said, out_detail, size);

    if (err == ERR_OK)
        err = redis_fleet_know(fleet, &said, out_detail, size);
    free(said.epochs);
    return err;
}

/* ---- up and down ---- */

void redis_fleet_tell_up(const struct redis_fleet *fleet, const struct redis_given *given,
                         const char *guarantee) {
    char id[24];

    (void)snprintf(id, sizeof(id), "%016" PRIx64, fleet->id);
    log_line(LOG_INFO, "counting in Redis", LOG_STR("store", fleet->name), LOG_STR("store_id", id),
             LOG_INT("lanes", fleet->layout.lanes), LOG_STR("redis_version", given->version),
             LOG_STR("guarantee", guarantee));
    if (redis_mode(fleet, given) != fleet->conf.durability)
        log_line(LOG_WARN,
                 "Redis doesn't give the durability that is configured; it takes appendonly yes, "
                 "appendfsync always, aof-load-truncated no, and in mode replicated "
                 "durability.replicas for all replicas",
                 LOG_STR("store", fleet->name),
                 LOG_STR("configured", counter_durability_name(fleet->conf.durability)));
    if (given->eviction[0])
        log_line(LOG_WARN, "Redis may delete counters when its memory is full",
                 LOG_STR("store", fleet->name), LOG_STR("maxmemory_policy", given->eviction));
}

/* True: it isn't what it was. */
static bool set_promise(struct redis_fleet *fleet, const struct redis_given *given,
                        const char *guarantee) {
    (void)pthread_mutex_lock(&fleet->lock);
    bool news = strcmp(guarantee, fleet->guarantee) != 0;
    fleet->mode = counter_durability_name(redis_mode(fleet, given));
    (void)snprintf(fleet->guarantee, sizeof(fleet->guarantee), "%s", guarantee);
    (void)pthread_mutex_unlock(&fleet->lock);
    return news;
}

void redis_fleet_link_up(struct redis_fleet *fleet, const struct redis_given *given) {
    atomic_store(&fleet->changed_s, clock_wall_ms() / 1000);
    atomic_fetch_add(&fleet->usable, 1);
    redis_fleet_given(fleet, given);
}

void redis_fleet_given(struct redis_fleet *fleet, const struct redis_given *given) {
    char guarantee[REDIS_DETAIL_BYTES];

    redis_guarantee(fleet, given, guarantee, sizeof(guarantee));
    bool news = set_promise(fleet, given, guarantee);
    if ((atomic_exchange(&fleet->announced_down, false) || news) && atomic_load(&fleet->known))
        redis_fleet_tell_up(fleet, given, guarantee);
}

void redis_fleet_complain(struct redis_fleet *fleet, const char *detail) {
    int64_t now_ms = clock_mono_ms();
    int64_t last_ms = atomic_load(&fleet->complained_ms);

    if ((last_ms && now_ms - last_ms < COMPLAIN_EVERY_MS) ||
        !atomic_compare_exchange_strong(&fleet->complained_ms, &last_ms, now_ms))
        return;
    log_line(LOG_ERROR, "Redis refuses a command", LOG_STR("store", fleet->name),
             LOG_STR("detail", detail));
}

void redis_fleet_link_down(struct redis_fleet *fleet, enum err err, const char *why) {
    atomic_store(&fleet->changed_s, clock_wall_ms() / 1000);
    (void)pthread_mutex_lock(&fleet->lock);
    fleet->down = err;
    (void)snprintf(fleet->problem, sizeof(fleet->problem), "%s: %s", fleet->name, why);
    (void)pthread_mutex_unlock(&fleet->lock);
    if (atomic_load(&fleet->usable) == 0 && !atomic_exchange(&fleet->announced_down, true))
        log_line(LOG_WARN, "Redis can't be used; trying again and again",
                 LOG_STR("store", fleet->name), LOG_STR("why", why));
}
