/* stream_event.c */
#include "gateway/stream_event.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/hash.h"
#include "gateway/live_ranking.h"
#include "wire/counter_json.h"

/* ---- the id ---------------------------------------------------------------- */

static const struct live_counter *counter_of(const struct watch_topic *topic) {
    return CONTAINER_OF(topic, const struct live_counter, topic);
}

static const struct live_ranking *ranking_of(const struct watch_topic *topic) {
    return CONTAINER_OF(topic, const struct live_ranking, topic);
}

static uint64_t mix(uint64_t digest, const struct watch_topic *topic) {
    uint64_t state[5] = {digest, hash64(topic->name), topic->stale};

    if (topic->kind == &live_counter_kind) {
        state[3] = (uint64_t)counter_of(topic)->value;
        state[4] = (uint64_t)(counter_of(topic)->time_ms / 1000);
    } else {
        state[3] = ranking_of(topic)->digest;
    }
    return hash64(slice_of((const char *)state, sizeof(state)));
}

void stream_id(const struct watcher *watcher, char out[STREAM_ID_CHARS + 1]) {
    uint64_t digest = watcher->count;

    for (size_t i = 0; i < watcher->count; i++)
        digest = mix(digest, watcher->items[i].topic);
    (void)snprintf(out, STREAM_ID_CHARS + 1, "%016" PRIx64, digest);
}

/* ---- events ---------------------------------------------------------------- */

/* CONTRACT B, "degraded reads": how old a value is that can't be read now. */
static void add_staleness(struct buf *out, const struct live *live,
                          const struct watch_topic *topic) {
    buf_add_slice(out, SLICE(",\"stale\":true,\"as_of\":"));
    buf_add_i64(out, live_as_of_s(live, topic));
}

static void add_counter(struct buf *out, const struct live *live, const struct watch_topic *topic) {
    const struct live_counter *counter = counter_of(topic);
    struct json_counter json = {.resource_id = counter->resource_id,
                                .counter_type = counter->counter_type,
                                .value = counter->value,
                                .time_s = counter->time_ms / 1000};

    json_add_counter(out, &json);
    if (!topic->stale || buf_failed(out))
        return;
    out->len--; /* the brace */
    add_staleness(out, live, topic);
    buf_add_char(out, '}');
}

/* The ranking says itself what it is as of. */
static void add_ranking(struct buf *out, const struct watch_topic *topic) {
    buf_add_slice(out, SLICE("event: top\ndata: {"));
    buf_add_slice(out, buf_slice(&ranking_of(topic)->json));
    if (topic->stale)
        buf_add_slice(out, SLICE(",\"stale\":true"));
    buf_add_slice(out, SLICE("}\n"));
}

void stream_add_events(struct buf *out, const struct live *live, struct watcher *watcher) {
    const struct watch_topic *topic = watcher_next(watcher);
    char id[STREAM_ID_CHARS + 1];
    bool counters = topic && topic->kind == &live_counter_kind;

    if (counters)
        buf_add_slice(out, SLICE("event: counters\ndata: {\"counters\":["));
    for (bool first = true; topic && topic->kind == &live_counter_kind; first = false) {
        if (!first)
            buf_add_char(out, ',');
        add_counter(out, live, topic);
        topic = watcher_next(watcher);
    }
    if (counters)
        buf_add_slice(out, topic ? SLICE("]}\n\n") : SLICE("]}\n"));
    if (topic)
        add_ranking(out, topic);
    stream_id(watcher, id);
    buf_add_slice(out, SLICE("id: "));
    buf_add_str(out, id);
    buf_add_slice(out, SLICE("\n\n"));
}
