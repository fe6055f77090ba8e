/* front_watch.c - Watch: counters' values as they change, until the client ends it.
 *
 *     follow ─► first values: a message ─► changed: a message … ─► gone
 *                  └─ can't be read: a status
 */
#include "counter/front_internal.h"

/* A message may be of megabytes, but a stream holds its names for as long as it lasts. */
#define NAMES_BYTES_MAX 16384u

struct watch_call { /* in the call's arena */
    struct watcher watcher;
    struct front *front;
    struct grpc_call *call;
};

static struct watch_call *of(struct watcher *watcher) {
    return CONTAINER_OF(watcher, struct watch_call, watcher);
}

static void end(struct watch_call *watch, enum grpc_status status, struct slice message,
                bool slow) {
    watch_leave(&watch->watcher);
    live_dismiss(watch->front->live, slow);
    grpc_finish(watch->call, status, message);
}

static void fail(struct watch_call *watch, enum err err) {
    end(watch, (enum grpc_status)err_grpc(err), slice_str(err_text(err)), false);
}

/* ---- what the watcher is told ---- */

static bool is_ready(const struct watcher *watcher) {
    return grpc_ready(CONTAINER_OF(watcher, const struct watch_call, watcher)->call);
}

static void on_tell(struct watcher *watcher, bool first) {
    struct front *front = of(watcher)->front;
    const struct watch_topic *topic;

    (void)first;
    buf_clear(&front->message);
    while ((topic = watcher_next(watcher))) {
        const struct live_counter *counter = CONTAINER_OF(topic, const struct live_counter, topic);

        proto_write_watch(&front->message,
                          &(struct proto_counter){
                              .resource_id = counter->resource_id,
                              .counter_type = counter->counter_type,
                              .value = counter->value,
                              .time_s = counter->time_ms / 1000,
                              .stale = topic->stale,
                              .as_of_s = topic->stale ? live_as_of_s(front->live, topic) : 0,
                          });
    }
    if (buf_failed(&front->message)) {
        fail(of(watcher), ERR_NO_MEMORY);
        return;
    }
    live_told(front->live);
    grpc_send(of(watcher)->call, buf_slice(&front->message));
}

static void on_failed(struct watcher *watcher, enum err err) {
    fail(of(watcher), err);
}

/* The server ends these calls itself when it drains. */
static const struct watcher_events events = {
    .ready = is_ready,
    .tell = on_tell,
    .failed = on_failed,
};

/* ---- the call ---- */

static enum err follow(struct watch_call *watch, const struct proto_item *items, size_t count) {
    struct live *live = watch->front->live;
    enum err err = ERR_OK;

    for (size_t i = 0; err == ERR_OK && i < count; i++)
        err = live_follow(live, &watch->watcher, items[i].resource_id, items[i].counter_type);
    return err == ERR_OK ? live_start(live, &watch->watcher) : err;
}

static void start(struct front *front, struct grpc_call *call, const struct proto_item *items,
                  size_t count) {
    struct watch_call *watch = arena_alloc(grpc_arena(call), sizeof(*watch));
    struct watch_item *room = arena_alloc(grpc_arena(call), count * sizeof(*room));

    if (!watch || !room) {
        grpc_fail(call, ERR_NO_MEMORY, (struct slice){NULL, 0});
        return;
    }
    if (!live_admit(front->live)) {
        grpc_fail(call, ERR_BUSY, SLICE("stream.connections streams are open already"));
        return;
    }
    *watch = (struct watch_call){.front = front, .call = call};
    watcher_init(&watch->watcher, &events, room, count);
    grpc_set_data(call, watch);
    enum err err = follow(watch, items, count);
    if (err != ERR_OK)
        fail(watch, err);
}

static bool names_fit(const struct proto_item *items, size_t count) {
    size_t bytes = 0;

    for (size_t i = 0; i < count; i++)
        bytes += items[i].resource_id.len + items[i].counter_type.len;
    return bytes <= NAMES_BYTES_MAX;
}

void front_watch(void *ctx, struct grpc_call *call, struct slice message) {
    struct front *front = ((const struct front_entry *)ctx)->front;
    struct proto_problem problem = {""};
    struct proto_item *items = NULL;
    size_t count = 0;
    enum err err = proto_read_batch_get(
        message, grpc_arena(call), front->fleet->config->stream_counters, &items, &count, &problem);

    if (err != ERR_OK)
        grpc_fail(call, err, slice_str(problem.text));
    else if (count == 0)
        grpc_fail(call, ERR_INVALID, SLICE("requests: must have at least one element"));
    else if (!names_fit(items, count))
        grpc_fail(call, ERR_INVALID, SLICE("requests: names may have 16384 bytes together"));
    else
        start(front, call, items, count);
}

void front_watch_gone(void *ctx, struct grpc_call *call) {
    (void)ctx;
    end(grpc_data(call), GRPC_CANCELLED, SLICE("cancelled"), grpc_overdue(call));
}
