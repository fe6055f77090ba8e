/* analytics_remote.c - one loop's connections to the analytics instances. */
#include "gateway/analytics_remote.h"

#include <stdlib.h>

#include "base/random.h"
#include "gateway/analytics_remote_internal.h"

#define CONNECT_MS           2000
#define BACKOFF_MIN_MS       100
#define BACKOFF_MAX_MS       500 /* as to counters: a few SYNs a second cost nobody anything */
#define KEEPALIVE_MS         20000
#define KEEPALIVE_TIMEOUT_MS 10000
#define NO_MEMORY_REST_MS    1000 /* before what memory had no room for is tried again */
/* A thousand names of any size that a request may have are less; a ranking of them isn't asked for
 * often. */
#define RESPONSE_BYTES_MAX (16u << 20)

static void set_ready(struct analytics_line *line, bool ready) {
    if (line->ready != ready)
        analytics_fleet_ready(line->remote->fleet, line->index, ready ? 1 : -1);
    line->ready = ready;
}

static void on_state(void *ctx, enum grpc_channel_state state) {
    struct analytics_line *line = ctx;
    const char *problem = grpc_channel_problem(line->channel);

    if (line->leaving)
        return;
    if (state == GRPC_CHANNEL_READY) {
        line->failed = false;
        set_ready(line, true);
    } else if (state == GRPC_CHANNEL_WAITING) {
        line->failed = true;
        set_ready(line, false);
        analytics_fleet_problem(line->remote->fleet, line->index,
                                problem ? problem : "not connected");
    }
}

/* ---- who leaves, and who comes ---- */

static void line_closed(void *ctx) {
    struct analytics_line *line = ctx;
    struct analytics_remote *remote = line->remote;
    size_t index = line->index;

    timer_stop(remote->loop, &line->rest);
    *line = (struct analytics_line){.used = false};
    place_release(&remote->follower, index);
    if (remote->close.closed)
        analytics_one_closed(remote);
}

static void close_line(struct analytics_line *line) {
    set_ready(line, false);
    line->leaving = true;
    line->closing = true;
    if (line->channel)
        grpc_channel_close(line->channel, line_closed, line);
    else
        line_closed(line);
}

static void on_rest(struct timer *timer) {
    struct analytics_line *line = CONTAINER_OF(timer, struct analytics_line, rest);

    if (line->closing)
        return;
    if (!line->leaving)
        analytics_line_connect(line);
    else if (line->parts == 0)
        close_line(line);
}

void analytics_line_answered(struct analytics_line *line) {
    line->parts--;
    /* Not here: this may be the channel's own callback. */
    if (line->leaving && !line->closing && line->parts == 0)
        timer_start(line->remote->loop, &line->rest, 0);
}

void analytics_line_leave(struct analytics_line *line) {
    set_ready(line, false);
    line->leaving = true;
    if (line->parts == 0)
        timer_start(line->remote->loop, &line->rest, 0);
}

void analytics_line_connect(struct analytics_line *line) {
    struct analytics_fleet *fleet = line->remote->fleet;
    struct grpc_channel_conf conf = {
        .resolver = fleet->resolver,
        .address = slice_str(analytics_fleet_address(fleet, line->index)),
        .connect_ms = CONNECT_MS,
        .backoff_min_ms = BACKOFF_MIN_MS,
        .backoff_max_ms = BACKOFF_MAX_MS,
        .keepalive_ms = KEEPALIVE_MS,
        .keepalive_timeout_ms = KEEPALIVE_TIMEOUT_MS,
        .message_bytes_max = RESPONSE_BYTES_MAX,
        .tls = fleet->tls,
        .on_state = on_state,
        .ctx = line,
        .seed = random_u64(),
    };

    line->channel = grpc_channel_new(line->remote->loop, &conf);
    if (line->channel)
        return;
    analytics_fleet_problem(fleet, line->index, err_text(ERR_NO_MEMORY));
    timer_start(line->remote->loop, &line->rest, NO_MEMORY_REST_MS);
}

void analytics_line_init(struct analytics_line *line, struct analytics_remote *remote,
                         size_t index) {
    *line = (struct analytics_line){.used = true, .remote = remote, .index = index};
    line->rest.fire = on_rest;
}

static enum err on_ask(struct analytics_upstream *upstream, struct analytics_ask *ask) {
    return analytics_fan_out(CONTAINER_OF(upstream, struct analytics_remote, upstream), ask);
}

struct analytics_remote *analytics_remote_new(struct analytics_fleet *fleet, struct loop *loop) {
    struct analytics_remote *remote = calloc(1, sizeof(*remote));

    if (!remote)
        return NULL;
    remote->upstream.ask = on_ask;
    remote->fleet = fleet;
    remote->loop = loop;
    remote->lines = calloc(INSTANCES_MAX, sizeof(*remote->lines));
    if (!remote->lines) {
        free(remote);
        return NULL;
    }
    atomic_fetch_add(&fleet->loops, 1);
    analytics_set_join(remote);
    return remote;
}

struct analytics_upstream *analytics_remote_upstream(struct analytics_remote *remote) {
    return &remote->upstream;
}

/* ---- close ---- */

void analytics_one_closed(struct analytics_remote *remote) {
    if (--remote->close.waiting > 0)
        return;
    void (*closed)(void *ctx) = remote->close.closed;
    void *closed_ctx = remote->close.ctx;

    buf_release(&remote->out);
    free(remote->lines);
    free(remote);
    closed(closed_ctx);
}

void analytics_remote_close(struct analytics_remote *remote, void (*closed)(void *ctx), void *ctx) {
    remote->close.closed = closed;
    remote->close.ctx = ctx;
    remote->close.waiting = 1; /* nothing ends before all were told */
    if (place_leave(&remote->follower))
        remote->close.waiting++;
    atomic_fetch_sub(&remote->fleet->loops, 1);
    for (size_t i = 0; i < INSTANCES_MAX; i++) {
        struct analytics_line *line = &remote->lines[i];

        if (!line->used)
            continue;
        remote->close.waiting++;
        if (!line->closing)
            close_line(line);
    }
    analytics_one_closed(remote);
}
