/* observe.c - the store thread's figures, from the applier's into the metrics. */
#include "base/log.h"
#include "core/outbox_alarm.h"
#include "counter/internal.h"

void counter_series_make(struct counter_service *service) {
    struct metrics *m = service->conf.metrics;

    service->series.batches = metrics_series(m, METRIC_BATCHES, "");
    service->series.batch_operations = metrics_series(m, METRIC_BATCH_OPERATIONS, "");
    service->series.expired = metrics_series(m, METRIC_BATCH_EXPIRED, "");
    service->series.operations = metrics_series(m, METRIC_OPERATIONS, "");
    service->series.message_replays = metrics_series(m, METRIC_REPLAYS, "kind=\"message\"");
    service->series.key_replays = metrics_series(m, METRIC_REPLAYS, "kind=\"key\"");
    service->series.commit = metrics_series(m, METRIC_STORE_COMMIT, "");
    service->series.sync = metrics_series(m, METRIC_STORE_SYNC, "");
    service->series.group = metrics_series(m, METRIC_STORE_GROUP, "");
    service->series.events = metrics_series(m, METRIC_OUTBOX_EVENTS, "");
    service->series.trimmed = metrics_series(m, METRIC_OUTBOX_TRIMMED, "");
    service->series.refused_full = metrics_series(m, METRIC_OUTBOX_REFUSED, "");
    service->series.consumers = metrics_series(m, METRIC_OUTBOX_CONSUMERS, "");
    service->series.outbox_bytes = metrics_series(m, METRIC_OUTBOX_BYTES, "");
    service->series.filling = metrics_series(m, METRIC_OUTBOX_FILLING, "");
    service->series.cached = metrics_series(m, METRIC_CACHE_COUNTERS, "");
    service->series.misses = metrics_series(m, METRIC_CACHE_MISSES, "");
}

static void warn_early(struct counter_service *service, const struct applier_stats *now) {
    uint64_t max_bytes = service->conf.applier.outbox_max_bytes;
    bool filling =
        outbox_filling(service->own.filling, now->consumers, now->outbox_bytes, max_bytes);

    if (filling == service->own.filling)
        return;
    service->own.filling = filling;
    metrics_set(service->conf.metrics, service->conf.shard, service->series.filling, filling);
    log_line(filling ? LOG_WARN : LOG_INFO,
             filling ? "the outbox fills up: consumers are behind; at outbox.max_bytes writes will "
                       "be refused"
                     : "the outbox has room again",
             LOG_INT("bytes", now->outbox_bytes), LOG_INT("max_bytes", max_bytes));
}

void counter_observe(struct counter_service *service) {
    struct metrics *m = service->conf.metrics;
    unsigned shard = service->conf.shard;
    const struct applier_stats *was = &service->own.reported;
    struct applier_stats now;

    applier_stats(service->applier, &now);
    metrics_add(m, shard, service->series.operations, now.operations_total - was->operations_total);
    metrics_add(m, shard, service->series.message_replays,
                now.replayed_messages_total - was->replayed_messages_total);
    metrics_add(m, shard, service->series.key_replays,
                now.replayed_keys_total - was->replayed_keys_total);
    metrics_add(m, shard, service->series.events, now.events_total - was->events_total);
    metrics_add(m, shard, service->series.trimmed,
                now.trimmed_events_total - was->trimmed_events_total);
    metrics_add(m, shard, service->series.misses, now.cache_misses_total - was->cache_misses_total);
    metrics_add(m, shard, service->series.refused_full,
                now.refused_full_total - was->refused_full_total);
    metrics_set(m, shard, service->series.consumers, now.consumers);
    metrics_set(m, shard, service->series.outbox_bytes, now.outbox_bytes);
    metrics_set(m, shard, service->series.cached, now.cached_counters);
    warn_early(service, &now);
    service->own.reported = now;
}
