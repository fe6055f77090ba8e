/* grpc_channel.c - connecting, again and again, and handing results over.
 *
 *     BEGINNING ─► RESOLVING ─► CONNECTING ─► HANDSHAKING ─► READY ─┐
 *         ▲            │            │ ▲            │ │              │ lost, GOAWAY
 *         │            ▼            │ └────────────┘ │              │
 *         │         WAITING ◄───────┴────────────────┘ ◄────────────┤ it stood only shortly
 *         └────────────┘ the pause is over                          │
 *         └─────────────────────────────────────────────────────────┘ it stood
 *
 * CONNECTING and HANDSHAKING go through the addresses in turn, each with its own time. The timer
 * of the channel is the phase's: to begin, to give up, to end the pause.
 */
#include "edge/grpc_channel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "edge/grpc_channel_internal.h"

#define STOOD_MS  1000 /* a server that ends connections sooner is not hurried back to */
#define CALLS_MAX 1024 /* of one connection, whatever the server would take */

static void attempt_next(struct grpc_channel *channel);

void grpc_channel_later(struct grpc_channel *channel) {
    if (!timer_armed(&channel->later))
        timer_start(channel->loop, &channel->later, 0);
}

/* ---- states -------------------------------------------------------------- */

enum grpc_channel_state grpc_channel_state(const struct grpc_channel *channel) {
    switch (channel->phase) {
    case GRPC_PHASE_READY:
        return GRPC_CHANNEL_READY;
    case GRPC_PHASE_WAITING:
        return GRPC_CHANNEL_WAITING;
    default:
        return GRPC_CHANNEL_CONNECTING;
    }
}

static void announce(struct grpc_channel *channel) {
    enum grpc_channel_state state = grpc_channel_state(channel);

    if (channel->phase == GRPC_PHASE_CLOSING || state == channel->announced)
        return;
    channel->announced = state;
    channel->conf.on_state(channel->conf.ctx, state);
}

void grpc_channel_deliver(struct grpc_channel *channel) {
    struct list *node;

    while ((node = list_pop_front(&channel->arrived)))
        grpc_exchange_hand_messages(CONTAINER_OF(node, struct grpc_exchange, arrived));
    while ((node = list_pop_front(&channel->finished)))
        grpc_exchange_hand_over(CONTAINER_OF(node, struct grpc_exchange, finished));
    announce(channel);
}

static void enter(struct grpc_channel *channel, enum grpc_channel_phase phase, int64_t timeout_ms) {
    channel->phase = phase;
    timer_start(channel->loop, &channel->timer, timeout_ms);
}

static void note(struct grpc_channel *channel, const char *why) {
    channel->has_problem = true;
    (void)snprintf(channel->problem, sizeof(channel->problem), "%.*s: %s",
                   SLICE_ARGS(channel->conf.address), why);
}

/* ---- pauses (grpc/doc/connection-backoff.md) ----------------------------- */

/* splitmix64: jitter needs no more. */
static uint64_t next_random(struct grpc_channel *channel) {
    uint64_t z = channel->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Many clients of one server don't come back together. */
static int64_t with_jitter(struct grpc_channel *channel, int64_t ms) {
    int64_t per_mille = 800 + (int64_t)(next_random(channel) % 401);

    return ms * per_mille / 1000;
}

static void pause_for_a_while(struct grpc_channel *channel) {
    int64_t max_ms = channel->conf.backoff_max_ms;
    int64_t pause_ms = with_jitter(channel, channel->backoff_ms);

    channel->backoff_ms =
        channel->backoff_ms < max_ms * 10 / 16 ? channel->backoff_ms * 16 / 10 + 1 : max_ms;
    enter(channel, GRPC_PHASE_WAITING, pause_ms);
}

/* ---- an attempt ---------------------------------------------------------- */

static void on_connected(void *ctx, struct stream *stream, int error) {
    struct grpc_channel *channel = ctx;

    channel->connector = NULL;
    if (stream) {
        channel->current = grpc_conn_out_new(channel, stream);
        if (channel->current) {
            channel->phase = GRPC_PHASE_HANDSHAKING; /* in what is left of the time */
            return;
        }
        stream_close(stream);
        error = ENOMEM;
    }
    note(channel, strerror(error));
    attempt_next(channel);
    grpc_channel_deliver(channel);
}

static void attempt_next(struct grpc_channel *channel) {
    const struct resolved *resolved = &channel->resolved;

    while (channel->next_address < resolved->count) {
        size_t i = channel->next_address++;

        channel->connector =
            connector_new(channel->loop, (const struct sockaddr *)&resolved->addresses[i],
                          resolved->lens[i], on_connected, channel);
        if (channel->connector) {
            enter(channel, GRPC_PHASE_CONNECTING, channel->conf.connect_ms);
            return;
        }
        note(channel, strerror(errno));
    }
    pause_for_a_while(channel);
}

static void on_resolved(void *ctx, const struct resolved *resolved, const char *problem) {
    struct grpc_channel *channel = ctx;

    channel->query = NULL;
    channel->resolved.count = 0;
    channel->next_address = 0;
    if (resolved)
        channel->resolved = *resolved;
    else
        note(channel, problem);
    attempt_next(channel);
    grpc_channel_deliver(channel);
}

static void attempt(struct grpc_channel *channel) {
    enter(channel, GRPC_PHASE_RESOLVING, channel->conf.connect_ms);
    channel->query = resolver_ask(channel->conf.resolver, channel->loop, channel->conf.address,
                                  on_resolved, channel);
    if (!channel->query) {
        note(channel, strerror(ENOMEM));
        pause_for_a_while(channel);
    }
}

static void give_up(struct grpc_channel *channel) {
    switch (channel->phase) {
    case GRPC_PHASE_RESOLVING:
        resolver_cancel(channel->query);
        channel->query = NULL;
        note(channel, "the name wasn't resolved in time");
        pause_for_a_while(channel);
        break;
    case GRPC_PHASE_CONNECTING:
        connector_cancel(channel->connector);
        channel->connector = NULL;
        note(channel, "no connection in time");
        attempt_next(channel);
        break;
    default: /* HANDSHAKING: the next address follows from the loss */
        grpc_conn_out_lose(channel->current, GRPC_UNAVAILABLE, "no SETTINGS came in time");
        break;
    }
}

static void on_timer(struct timer *timer) {
    struct grpc_channel *channel = CONTAINER_OF(timer, struct grpc_channel, timer);

    if (channel->phase == GRPC_PHASE_BEGINNING || channel->phase == GRPC_PHASE_WAITING)
        attempt(channel);
    else
        give_up(channel);
    grpc_channel_deliver(channel);
}

void grpc_channel_conn_is_ready(struct grpc_channel_conn *conn) {
    struct grpc_channel *channel = conn->channel;

    timer_stop(channel->loop, &channel->timer);
    channel->phase = GRPC_PHASE_READY;
    channel->ready_ms = loop_now_ms(channel->loop);
    channel->has_problem = false;
}

void grpc_channel_conn_is_over(struct grpc_channel_conn *conn, const char *why) {
    struct grpc_channel *channel = conn->channel;

    if (conn != channel->current || channel->phase == GRPC_PHASE_CLOSING)
        return;
    channel->current = NULL;
    note(channel, why);
    if (channel->phase == GRPC_PHASE_HANDSHAKING) {
        attempt_next(channel);
    } else if (loop_now_ms(channel->loop) - channel->ready_ms >= STOOD_MS) {
        channel->backoff_ms = channel->conf.backoff_min_ms;
        enter(channel, GRPC_PHASE_BEGINNING, 0);
    } else {
        pause_for_a_while(channel);
    }
}

/* ---- the end of a tick --------------------------------------------------- */

static void flush_dirty(struct loop_hook *hook) {
    struct grpc_channel *channel = CONTAINER_OF(hook, struct grpc_channel, flush);
    struct list *node;

    if (list_empty(&channel->dirty))
        return;
    timer_stop(channel->loop, &channel->later);
    while ((node = list_pop_front(&channel->dirty)))
        grpc_conn_out_flush(CONTAINER_OF(node, struct grpc_channel_conn, dirty));
    grpc_channel_deliver(channel);
}

static void release(struct grpc_channel *channel) {
    struct list *node;

    loop_hook_remove(&channel->flush);
    timer_stop(channel->loop, &channel->timer);
    timer_stop(channel->loop, &channel->later);
    while ((node = list_pop_front(&channel->spare)))
        grpc_exchange_free(CONTAINER_OF(node, struct grpc_exchange, node));
    nghttp2_option_del(channel->option);
    nghttp2_session_callbacks_del(channel->callbacks);
    h2_memory_release(&channel->memory);
    buf_release(&channel->address);
    free(channel);
}

static void on_later(struct timer *timer) {
    struct grpc_channel *channel = CONTAINER_OF(timer, struct grpc_channel, later);

    grpc_channel_deliver(channel);
    if (channel->phase == GRPC_PHASE_CLOSING && list_empty(&channel->conns)) {
        void (*closed)(void *ctx) = channel->closed;
        void *ctx = channel->closed_ctx;

        release(channel);
        closed(ctx);
    }
}

void grpc_channel_conn_is_closed(struct grpc_channel_conn *conn) {
    if (conn->channel->phase == GRPC_PHASE_CLOSING)
        grpc_channel_later(conn->channel);
}

/* ---- what users call ----------------------------------------------------- */

struct grpc_channel *grpc_channel_new(struct loop *loop, const struct grpc_channel_conf *conf) {
    struct grpc_channel *channel = calloc(1, sizeof(*channel));

    if (!channel)
        return NULL;
    channel->loop = loop;
    channel->conf = *conf;
    channel->backoff_ms = conf->backoff_min_ms;
    channel->keepalive_ms = conf->keepalive_ms;
    channel->random = conf->seed;
    channel->timer.fire = on_timer;
    channel->later.fire = on_later;
    channel->flush.run = flush_dirty;
    list_init(&channel->conns);
    list_init(&channel->dirty);
    list_init(&channel->arrived);
    list_init(&channel->finished);
    list_init(&channel->spare);
    loop_hook_add(loop, &channel->flush);
    buf_add_slice(&channel->address, conf->address);
    channel->conf.address = buf_slice(&channel->address);
    h2_memory_init(&channel->memory);
    channel->callbacks = grpc_session_out_callbacks();
    channel->option = grpc_session_out_option();
    if (buf_failed(&channel->address) || !channel->callbacks || !channel->option) {
        release(channel);
        return NULL;
    }
    enter(channel, GRPC_PHASE_BEGINNING, 0);
    return channel;
}

void grpc_channel_close(struct grpc_channel *channel, void (*closed)(void *ctx), void *ctx) {
    channel->phase = GRPC_PHASE_CLOSING;
    channel->closed = closed;
    channel->closed_ctx = ctx;
    resolver_cancel(channel->query);
    connector_cancel(channel->connector);
    timer_stop(channel->loop, &channel->timer);
    for (struct list *node = channel->conns.next; node != &channel->conns; node = node->next)
        grpc_conn_out_lose(CONTAINER_OF(node, struct grpc_channel_conn, node), GRPC_CANCELLED,
                           "the channel is closing");
    grpc_channel_later(channel);
}

static bool is_full(const struct grpc_channel_conn *conn) {
    uint32_t theirs =
        nghttp2_session_get_remote_settings(conn->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);

    return conn->exchange_count >= theirs || conn->exchange_count >= CALLS_MAX;
}

static void end_unsent(struct grpc_exchange *ex) {
    grpc_exchange_decide(ex, GRPC_DEADLINE_EXCEEDED, SLICE("the deadline has passed"));
    grpc_channel_later(ex->channel);
}

static enum err can_begin(const struct grpc_channel *channel) {
    if (channel->phase != GRPC_PHASE_READY)
        return ERR_UNREACHABLE;
    return is_full(channel->current) ? ERR_BUSY : ERR_OK;
}

static enum err begin(struct grpc_channel *channel, struct grpc_exchange *ex) {
    struct grpc_channel_conn *conn = channel->current;
    enum err err = grpc_exchange_begin(ex, conn);

    if (err == ERR_UNREACHABLE) {
        conn->going_away = true;
        grpc_channel_conn_is_over(conn, "the connection has used up its stream numbers");
        grpc_conn_out_touch(conn);
    }
    return err;
}

enum err grpc_channel_call(struct grpc_channel *channel, struct grpc_out_call *call,
                           struct slice path, struct slice request, int64_t deadline_ms) {
    enum err err = can_begin(channel);

    if (err != ERR_OK)
        return err;
    struct grpc_exchange *ex = grpc_exchange_take(channel, call, path, request, deadline_ms);
    if (!ex)
        return ERR_NO_MEMORY;
    if (deadline_ms <= loop_now_ms(channel->loop)) {
        end_unsent(ex);
        return ERR_OK;
    }
    return begin(channel, ex);
}

enum err grpc_channel_stream(struct grpc_channel *channel, struct grpc_out_stream *stream,
                             struct slice path) {
    enum err err = can_begin(channel);

    if (err != ERR_OK)
        return err;
    struct grpc_exchange *ex = grpc_exchange_take_stream(channel, stream, path);
    return ex ? begin(channel, ex) : ERR_NO_MEMORY;
}

size_t grpc_channel_calls(const struct grpc_channel *channel) {
    return channel->calls;
}

const char *grpc_channel_problem(const struct grpc_channel *channel) {
    return channel->has_problem ? channel->problem : NULL;
}
