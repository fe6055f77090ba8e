/* observe.c - the service's figures. */
#include "analytics/internal.h"

void analytics_series_make(struct analytics_service *service) {
    struct metrics *m = service->conf.metrics;

    service->series.events = metrics_series(m, METRIC_ANALYTICS_EVENTS, "");
    service->series.duplicates = metrics_series(m, METRIC_ANALYTICS_DUPLICATES, "");
    service->series.late = metrics_series(m, METRIC_ANALYTICS_LATE, "");
    service->series.refused = metrics_series(m, METRIC_ANALYTICS_BEYOND, "");
    service->series.checked = metrics_series(m, METRIC_ANALYTICS_CHECKED, "");
    service->series.drifting = metrics_series(m, METRIC_ANALYTICS_DRIFT, "");
    service->series.external = metrics_series(m, METRIC_ANALYTICS_EXTERNAL, "");
    service->series.counters = metrics_series(m, METRIC_ANALYTICS_COUNTERS, "");
    service->series.halted = metrics_series(m, METRIC_ANALYTICS_HALTED, "");
    service->series.lag = metrics_series(m, METRIC_ANALYTICS_LAG, "");
    service->series.commit = metrics_series(m, METRIC_ANALYTICS_COMMIT, "");
    service->series.questions = metrics_series(m, METRIC_ANALYTICS_QUERIES, "");
}

void analytics_observe(struct analytics_service *service) {
    struct metrics *m = service->conf.metrics;
    unsigned shard = service->conf.shard;
    const struct analytics_stats *was = &service->own.reported;
    struct analytics_stats now;

    analytics_stats(service->own.analytics, &now);
    metrics_add(m, shard, service->series.events, now.events - was->events);
    metrics_add(m, shard, service->series.duplicates, now.duplicates - was->duplicates);
    metrics_add(m, shard, service->series.late, now.late - was->late);
    metrics_add(m, shard, service->series.refused, now.refused - was->refused);
    metrics_add(m, shard, service->series.checked, now.checked - was->checked);
    metrics_add(m, shard, service->series.drifting, now.drifting - was->drifting);
    metrics_add(m, shard, service->series.external, now.external - was->external);
    metrics_set(m, shard, service->series.counters, now.counters);
    metrics_set(m, shard, service->series.halted, now.halted);
    metrics_set(m, shard, service->series.lag, analytics_lag(service));
    service->own.reported = now;
}
