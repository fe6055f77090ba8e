/* stream.c - GET /api/v1/stream: live values as Server-Sent Events.
 *
 *     follow ─► first values: head, frame ─► changed: frame … ─► gone, or a drain: the end
 *                  └─ can't be read: an error, as a GET of them gets
 */
#include <stdlib.h>

#include "gateway/internal.h"
#include "gateway/live_ranking.h"
#include "gateway/stream_event.h"
#include "gateway/stream_query.h"

#define RETRY_MS   "2000" /* a client that was cut off waits so long */
#define FRAME_HEAD "retry: " RETRY_MS "\n"

static const struct http_reply head = {
    .status = 200,
    .content_type = {"text/event-stream", 17},
    /* The last is nginx's: its buffers would hold events back. */
    .headers = {"Cache-Control: no-store\r\nX-Accel-Buffering: no\r\n", 48},
};

struct stream_client {
    struct watcher watcher;
    struct gateway *gateway;
    struct http_exchange *exchange;
    bool begun;
    char last_id[STREAM_ID_CHARS + 1]; /* what it has seen, when it comes back; "": it doesn't */
    struct watch_item items[];
};

static struct stream_client *of(struct watcher *watcher) {
    return CONTAINER_OF(watcher, struct stream_client, watcher);
}

/* ---- the end --------------------------------------------------------------- */

static void drop(struct stream_client *client, bool slow) {
    watch_leave(&client->watcher);
    live_dismiss(client->gateway->live, slow);
    free(client);
}

static void on_gone(void *ctx, bool slow) {
    struct stream_client *client = ctx;
    struct http_exchange *exchange = client->exchange;

    drop(client, slow);
    http_finish(exchange);
}

static void on_failed(struct watcher *watcher, enum err err) {
    struct http_exchange *exchange = of(watcher)->exchange;

    drop(of(watcher), false);
    reply_failure(exchange, err, (struct slice){NULL, 0});
}

static void on_ended(struct watcher *watcher) {
    struct http_exchange *exchange = of(watcher)->exchange;
    bool begun = of(watcher)->begun;

    if (!begun) {
        on_failed(watcher, ERR_UNAVAILABLE);
        return;
    }
    drop(of(watcher), false);
    http_finish(exchange);
}

/* ---- events ---------------------------------------------------------------- */

static bool is_ready(const struct watcher *watcher) {
    return http_ready(CONTAINER_OF(watcher, const struct stream_client, watcher)->exchange);
}

static bool has_seen_all(const struct stream_client *client) {
    char now[STREAM_ID_CHARS + 1];

    stream_id(&client->watcher, now);
    return strcmp(client->last_id, now) == 0;
}

/* false: there is no client any more. */
static bool begin(struct stream_client *client) {
    struct http_lasting lasting = {.ctx = client, .gone = on_gone};

    if (!http_begin(client->exchange, &head, &lasting)) {
        drop(client, false);
        return false;
    }
    client->begun = true;
    return true;
}

static void on_tell(struct watcher *watcher, bool first) {
    struct stream_client *client = of(watcher);
    struct live *live = client->gateway->live;

    if (first && !begin(client))
        return;
    struct buf *body = http_body(client->exchange);

    if (first)
        buf_add_slice(body, SLICE(FRAME_HEAD));
    if (first && has_seen_all(client)) {
        buf_add_slice(body, SLICE("\n"));
        while (watcher_next(watcher))
            ;
    } else {
        stream_add_events(body, live, watcher);
    }
    if (buf_failed(body)) {
        on_ended(watcher);
        return;
    }
    live_told(live);
    http_send(client->exchange, buf_slice(body));
}

static void on_quiet(struct watcher *watcher) {
    http_send(of(watcher)->exchange, SLICE(":\n\n"));
}

static const struct watcher_events events = {
    .ready = is_ready,
    .tell = on_tell,
    .quiet = on_quiet,
    .failed = on_failed,
    .ended = on_ended,
};

/* ---- the beginning --------------------------------------------------------- */

static enum err follow(struct stream_client *client, const struct stream_params *params) {
    struct gateway *gateway = client->gateway;
    enum err err = ERR_OK;

    for (size_t i = 0; err == ERR_OK && i < params->count; i++)
        err = live_follow(gateway->live, &client->watcher, params->counters[i].resource_id,
                          params->counters[i].counter_type);
    if (err == ERR_OK && params->ranks)
        err = live_ranking_follow(gateway, &client->watcher, &params->top);
    return err == ERR_OK ? live_start(gateway->live, &client->watcher) : err;
}

static struct stream_client *make(struct request *request, const struct stream_params *params) {
    size_t room = params->count + params->ranks;
    struct stream_client *client = calloc(1, sizeof(*client) + room * sizeof(struct watch_item));
    struct slice last_id = http1_header(request->http, SLICE("Last-Event-ID"));

    if (!client)
        return NULL;
    client->gateway = request->gateway;
    client->exchange = request->exchange;
    if (last_id.len == STREAM_ID_CHARS)
        memcpy(client->last_id, last_id.ptr, STREAM_ID_CHARS);
    watcher_init(&client->watcher, &events, client->items, room);
    return client;
}

static void open_stream(struct request *request, const struct stream_params *params) {
    struct stream_client *client;

    if (!live_admit(request->gateway->live)) {
        reply_failure(request->exchange, ERR_BUSY,
                      SLICE("stream.connections streams are open already"));
        return;
    }
    client = make(request, params);
    enum err err = client ? follow(client, params) : ERR_NO_MEMORY;
    if (err == ERR_OK)
        return;
    if (client)
        drop(client, false);
    else
        live_dismiss(request->gateway->live, false);
    reply_failure(request->exchange, err, (struct slice){NULL, 0});
}

/* Its GET would be answered; what with is not waited for. */
static void reply_head_only(struct request *request) {
    if (http_begin(request->exchange, &head, &(struct http_lasting){.gone = on_gone}))
        abort(); /* a HEAD's answer doesn't last */
}

void handle_stream(struct request *request) {
    const struct config *config = request->gateway->fleet->config;
    struct stream_params params;
    const char *detail = NULL;
    enum err err = stream_read_params(request->http->query, config->stream_counters,
                                      http_arena(request->exchange), &params, &detail);

    if (err == ERR_INVALID)
        reply_bad_request(request->exchange, slice_str(detail));
    else if (err != ERR_OK)
        reply_failure(request->exchange, err, (struct slice){NULL, 0});
    else if (params.ranks && !request_analytics(request))
        return;
    else if (request->http->method == HTTP_HEAD)
        reply_head_only(request);
    else
        open_stream(request, &params);
}
