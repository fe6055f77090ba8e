/* reload.c */
#include "cli/reload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "edge/consul_kv.h"

#define START_MS 2000

void reload_kv_path(const struct config *config, enum role role, char out[RELOAD_NAME_BYTES]) {
    (void)snprintf(out, RELOAD_NAME_BYTES, "high-go-press/config/%.63s/%s",
                   config->consul_environment, role_name(role));
}

/* ---- reading ---- */

static void say_refused(struct reload *reload, const struct config_problems *problems) {
    log_line(LOG_ERROR, "the configuration was refused: the one before stays",
             LOG_INT("problems", problems->count), LOG_STR("detail", problems->text));
    if (reload->metrics)
        metrics_add(reload->metrics, reload->shard, reload->refused, 1);
}

/* NULL: it was refused, or memory has run out. */
static struct config *read_all(struct reload *reload) {
    struct config *next = calloc(1, sizeof(*next));
    struct config_problems *problems = calloc(1, sizeof(*problems));

    if (next && problems) {
        (void)pthread_mutex_lock(&reload->lock);
        struct slice kv = reload->has_kv
                              ? slice_of(reload->kv.len ? reload->kv.ptr : "", reload->kv.len)
                              : (struct slice){NULL, 0};
        options_assemble(reload->invocation, reload->options, kv, reload->kv_name, next, problems);
        (void)pthread_mutex_unlock(&reload->lock);
    }
    bool good = next && problems && problems->count == 0;
    if (!good && problems)
        say_refused(reload, problems);
    free(problems);
    if (good)
        return next;
    free(next);
    return NULL;
}

/* ---- at the start ---- */

static bool take_document(struct reload *reload, struct slice text) {
    buf_clear(&reload->kv);
    buf_add_slice(&reload->kv, text);
    reload->has_kv = text.ptr && !buf_failed(&reload->kv);
    return reload->has_kv || !text.ptr;
}

static void ask_consul(struct reload *reload) {
    char path[RELOAD_NAME_BYTES];
    struct buf text = {0};
    struct consul_kv_call call = {.timeout_ms = START_MS, .out = &text};

    reload_kv_path(reload->running, reload->options->role, path);
    (void)snprintf(reload->kv_name, sizeof(reload->kv_name), "consul:%.180s", path);
    enum consul_kv got = consul_kv_read_once(reload->running, path, &call);
    if (got == CONSUL_KV_FAILED)
        log_line(LOG_WARN, "Consul has not said what is configured there: starting without it",
                 LOG_STR("detail", call.problem));
    else if (got == CONSUL_KV_FOUND)
        (void)take_document(reload, slice_of(text.len ? text.ptr : "", text.len));
    buf_release(&text);
}

void reload_init(struct reload *reload, const struct invocation *invocation,
                 const struct options *options, struct config *running) {
    *reload = (struct reload){.invocation = invocation, .options = options, .running = running};
    (void)pthread_mutex_init(&reload->lock, NULL);
    if (!consul_is(running->discovery_url))
        return;
    ask_consul(reload);
    if (!reload->has_kv)
        return;
    struct config *next = read_all(reload);
    if (next)
        *running = *next;
    free(next);
}

void reload_release(struct reload *reload) {
    buf_release(&reload->kv);
    (void)pthread_mutex_destroy(&reload->lock);
}

void reload_count_in(struct reload *reload, struct metrics *metrics, unsigned shard) {
    reload->applied = metrics_series(metrics, METRIC_CONFIG_RELOADS, "result=\"applied\"");
    reload->refused = metrics_series(metrics, METRIC_CONFIG_RELOADS, "result=\"refused\"");
    reload->pending_count = metrics_series(metrics, METRIC_CONFIG_PENDING, "");
    reload->metrics = metrics;
    reload->shard = shard;
}

/* ---- later ---- */

bool reload_offer_kv(struct reload *reload, struct slice text) {
    (void)pthread_mutex_lock(&reload->lock);
    bool same = reload->has_kv == (text.ptr != NULL) &&
                (!text.ptr || slice_eq(buf_slice(&reload->kv), text));
    bool taken = !same && take_document(reload, text);
    (void)pthread_mutex_unlock(&reload->lock);
    return taken;
}

void reload_pending(void *ctx, char *out, size_t size) {
    struct reload *reload = ctx;

    (void)pthread_mutex_lock(&reload->lock);
    (void)snprintf(out, size, "%s", reload->pending);
    (void)pthread_mutex_unlock(&reload->lock);
}

/* The keys that differ and can't change now; how many. */
static unsigned find_pending(const struct config *running, const struct config *next, bool hot_too,
                             struct buf *out) {
    unsigned count = 0;

    for (unsigned i = 0; i < CONFIG_KEYS; i++) {
        enum config_key key = (enum config_key)i;

        if (!config_differs(running, next, key) || (config_is_hot(key) && !hot_too))
            continue;
        buf_printf(out, "%s%s", count++ ? "," : "", config_row(key)->key);
    }
    buf_add_char(out, '\0');
    return count;
}

static void tell_pending(struct reload *reload, const struct config *next, bool hot_too) {
    struct buf keys = {0};
    unsigned count = find_pending(reload->running, next, hot_too, &keys);

    if (buf_failed(&keys)) {
        buf_release(&keys);
        return;
    }
    (void)pthread_mutex_lock(&reload->lock);
    (void)snprintf(reload->pending, sizeof(reload->pending), "%s", keys.ptr);
    (void)pthread_mutex_unlock(&reload->lock);
    metrics_set(reload->metrics, reload->shard, reload->pending_count, count);
    if (count)
        log_line(LOG_WARN, "settings wait for the next start", LOG_INT("settings", count),
                 LOG_STR("keys", keys.ptr));
    buf_release(&keys);
}

static void log_change(const struct config *running, const struct config *next,
                       enum config_key key) {
    struct buf from = {0};
    struct buf to = {0};
    struct buf source = {0};

    config_print_value(running, key, &from);
    config_print_value(next, key, &to);
    config_print_source(config_row(key), next->source[key], &source);
    log_line(LOG_INFO, "a setting has changed", LOG_STR("key", config_row(key)->key),
             LOG_SLICE("from", buf_slice(&from)), LOG_SLICE("to", buf_slice(&to)),
             LOG_SLICE("by", buf_slice(&source)));
    buf_release(&from);
    buf_release(&to);
    buf_release(&source);
}

/* Would the rules between keys hold, with the hot ones new and the others as they are? */
static bool hot_fit(const struct config *running, const struct config *next) {
    struct config *both = malloc(sizeof(*both));
    struct config_problems *problems = calloc(1, sizeof(*problems));
    bool fit = both && problems;

    if (fit) {
        *both = *running;
        for (unsigned i = 0; i < CONFIG_KEYS; i++)
            if (config_is_hot((enum config_key)i))
                config_take(both, next, (enum config_key)i);
        config_validate(both, problems);
        fit = problems->count == 0;
    }
    free(problems);
    free(both);
    return fit;
}

static bool take_hot(struct reload *reload, const struct config *next) {
    bool any = false;

    for (unsigned i = 0; i < CONFIG_KEYS; i++) {
        enum config_key key = (enum config_key)i;

        if (!config_is_hot(key) || !config_differs(reload->running, next, key))
            continue;
        log_change(reload->running, next, key);
        config_take(reload->running, next, key);
        any = true;
    }
    return any;
}

void reload_now(struct reload *reload, void (*changed)(void *ctx), void *ctx) {
    struct config *next = read_all(reload);

    if (!next)
        return;
    bool fit = hot_fit(reload->running, next);
    if (fit && take_hot(reload, next)) {
        log_set_level(reload->running->log_level);
        changed(ctx);
    }
    tell_pending(reload, next, !fit);
    metrics_add(reload->metrics, reload->shard, reload->applied, 1);
    log_line(LOG_INFO, "the configuration was read again");
    free(next);
}
