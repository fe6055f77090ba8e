/* canary.c - the rule, handed to loops when it changes, and figures of either arm. */
#include "gateway/canary.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/random.h"

enum outcome { DONE, REFUSED, FAILED, OUTCOMES };

struct canary {
    const struct config *config;
    struct metrics *metrics;
    struct {
        metric_series requests[OUTCOMES];
        metric_series duration;
    } series[CANARY_ARMS];
    metric_series fallbacks;
    _Atomic uint64_t changes;
    pthread_mutex_t lock;
    char name[sizeof(((struct canary_view *)0)->name)]; /* under the lock, like */
    char value[sizeof(((struct canary_view *)0)->value)];
};

static void make_series(struct canary *canary) {
    static const char *const arms[CANARY_ARMS] = {
        [CANARY_DIRECT] = "direct", [CANARY_GRPC] = "grpc"};
    static const char *const outcomes[OUTCOMES] = {
        [DONE] = "done", [REFUSED] = "refused", [FAILED] = "failed"};
    char labels[METRICS_LABELS_BYTES];

    for (unsigned arm = CANARY_DIRECT; arm < CANARY_ARMS; arm++) {
        for (unsigned i = 0; i < OUTCOMES; i++) {
            (void)snprintf(labels, sizeof(labels), "arm=\"%s\",outcome=\"%s\"", arms[arm],
                           outcomes[i]);
            canary->series[arm].requests[i] =
                metrics_series(canary->metrics, METRIC_CANARY_REQUESTS, labels);
        }
        (void)snprintf(labels, sizeof(labels), "arm=\"%s\"", arms[arm]);
        canary->series[arm].duration =
            metrics_series(canary->metrics, METRIC_CANARY_DURATION, labels);
    }
    canary->fallbacks = metrics_series(canary->metrics, METRIC_CANARY_FALLBACKS, "");
}

struct canary *canary_new(const struct config *config, struct metrics *metrics) {
    struct canary *canary = calloc(1, sizeof(*canary));

    if (!canary)
        return NULL;
    canary->config = config;
    canary->metrics = metrics;
    (void)pthread_mutex_init(&canary->lock, NULL);
    make_series(canary);
    canary_changed(canary, config);
    return canary;
}

void canary_free(struct canary *canary) {
    if (!canary)
        return;
    (void)pthread_mutex_destroy(&canary->lock);
    free(canary);
}

void canary_changed(struct canary *canary, const struct config *config) {
    (void)pthread_mutex_lock(&canary->lock);
    (void)snprintf(canary->name, sizeof(canary->name), "%.255s", config->gateway_canary_header);
    (void)snprintf(canary->value, sizeof(canary->value), "%.255s", config->gateway_canary_value);
    (void)pthread_mutex_unlock(&canary->lock);
    atomic_fetch_add(&canary->changes, 1);
}

/* The lock is taken once for each change. */
static void look(struct canary *canary, struct canary_view *view) {
    uint64_t changes = atomic_load(&canary->changes);

    if (LIKELY(view->changes == changes))
        return;
    (void)pthread_mutex_lock(&canary->lock);
    memcpy(view->name, canary->name, sizeof(view->name));
    memcpy(view->value, canary->value, sizeof(view->value));
    (void)pthread_mutex_unlock(&canary->lock);
    view->changes = changes;
}

static bool rule_fits(const struct canary_view *view, const struct http1_request *http) {
    if (!view->name[0])
        return false;
    struct slice value = http1_header(http, slice_str(view->name));

    return value.ptr && (!view->value[0] || slice_eq(value, slice_str(view->value)));
}

static bool dice(const struct canary *canary, struct canary_view *view) {
    return random_next(&view->random) % 100 < CONFIG_HOT(canary->config, gateway_canary_percent);
}

enum canary_arm canary_choose(struct canary *canary, struct canary_view *view,
                              const struct http1_request *http, bool usable, unsigned shard) {
    look(canary, view);
    if (!rule_fits(view, http) && !dice(canary, view))
        return CANARY_DIRECT;
    if (usable)
        return CANARY_GRPC;
    metrics_add(canary->metrics, shard, canary->fallbacks, 1);
    return CANARY_DIRECT;
}

static enum outcome outcome_of(int status) {
    if (status >= 500)
        return FAILED;
    return status >= 400 ? REFUSED : DONE;
}

void canary_replied(struct canary *canary, enum canary_arm arm, int status, int64_t duration_us,
                    unsigned shard) {
    metrics_add(canary->metrics, shard, canary->series[arm].requests[outcome_of(status)], 1);
    metrics_observe(canary->metrics, shard, canary->series[arm].duration, (uint64_t)duration_us);
}
