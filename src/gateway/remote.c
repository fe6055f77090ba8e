/* remote.c - one loop's upstream: a message out, its answers in, the store's clock by the way. */
#include "gateway/remote.h"

#include <stdlib.h>

#include "base/clock.h"
#include "gateway/remote_internal.h"

/* A buffer that one huge message has made larger than this isn't kept. */
#define BUFFER_KEPT_BYTES (512u << 10)

/* The store read its clock between our sending and hearing: however late an answer is heard, it
 * must not make the next message look old; however slow it was, not from the future. */
void remote_learn_clock(struct remote *remote, int64_t store_now_ms, int64_t sent_ms) {
    int64_t least_ms = store_now_ms - loop_now_ms(remote->loop);
    int64_t most_ms = store_now_ms - sent_ms;
    int64_t ahead_ms = remote->clock_known ? remote->clock_ahead_ms : least_ms;

    if (ahead_ms < least_ms)
        ahead_ms = least_ms;
    if (ahead_ms > most_ms)
        ahead_ms = most_ms;
    if (remote->clock_known && ahead_ms == remote->clock_ahead_ms)
        return;
    remote->clock_known = true;
    remote->clock_ahead_ms = ahead_ms;
    remote->user.clock_learned(remote->user.ctx, ahead_ms);
}

/* ---- a message's way ---- */

static struct remote_call *take_call(struct remote *remote) {
    struct remote_call *call = remote->free;

    if (call)
        remote->free = call->next;
    else
        call = calloc(1, sizeof(*call));
    return call;
}

static void give_call(struct remote *remote, struct remote_call *call) {
    call->next = remote->free;
    remote->free = call;
}

static void tell_breaker(struct remote *remote, size_t peer) {
    struct remote_line *line = &remote->lines[peer];
    enum peer_state now = peers_state(&remote->peers, peer, loop_now_ms(remote->loop));

    if (line->breaker == now || line->leaving)
        return;
    remote_fleet_breaker(remote->fleet, peer, remote->shard, line->breaker, now);
    line->breaker = now;
}

/* Somebody has been set aside, by whatever the peers were told: it needn't be whom that was about.
 */
static void tell_ejections(struct remote *remote) {
    struct remote_fleet *fleet = remote->fleet;
    bool any = false;

    for (unsigned fault = 0; fault < PEER_FAULTS; fault++) {
        uint64_t more = remote->peers.ejections[fault] - remote->ejections[fault];

        if (!more)
            continue;
        metrics_add(fleet->metrics, remote->shard, fleet->series.ejections[fault], more);
        remote->ejections[fault] += more;
        any = true;
    }
    for (size_t i = 0; any && i < remote->peers.count; i++)
        if (remote->lines[i].used)
            tell_breaker(remote, i);
}

static void back_from(struct remote *remote, size_t peer, bool failed, int64_t took_ms) {
    peers_returned(&remote->peers, peer, failed, took_ms, loop_now_ms(remote->loop));
    tell_ejections(remote);
    tell_breaker(remote, peer);
}

static void call_done(struct grpc_out_call *out_call, const struct grpc_result *result) {
    struct remote_call *call = CONTAINER_OF(out_call, struct remote_call, call);
    struct remote *remote = call->remote;
    struct delivery *delivery = call->delivery;

    size_t peer = call->peer;
    bool failed = remote_result(call, result);

    remote_observe(remote, REMOTE_APPLY, result->status, call->sent_ns);
    back_from(remote, peer, failed,
              delivery->err == ERR_OK ? loop_now_ms(remote->loop) - call->sent_ms : PEERS_UNTIMED);
    if (delivery->err == ERR_OK)
        remote_learn_clock(remote, delivery->store_now_ms, call->sent_ms);
    give_call(remote, call);
    remote->user.delivered(remote->user.ctx, delivery);
    remote_line_answered(&remote->lines[peer]);
}

static enum err start_call(struct remote *remote, struct remote_call *call) {
    const struct delivery *delivery = call->delivery;

    buf_clear(&remote->out);
    lanes_write_apply(&remote->out, delivery->message);
    if (buf_failed(&remote->out))
        return ERR_NO_MEMORY;
    /* Until the latest waiter's deadline: the batcher tries again before (attempt_ms), and takes
     * whichever answer comes first. */
    enum err err =
        grpc_channel_call(remote->lines[call->peer].channel, &call->call, SLICE(LANES_APPLY_PATH),
                          buf_slice(&remote->out), delivery->deadline_ms);
    if (remote->out.cap > BUFFER_KEPT_BYTES)
        buf_release(&remote->out);
    return err;
}

static enum err send_to(struct remote *remote, size_t peer, struct delivery *delivery) {
    struct remote_call *call = take_call(remote);

    if (!call)
        return ERR_NO_MEMORY;
    *call = (struct remote_call){
        .call = {.done = call_done, .trace = delivery->trace},
        .remote = remote,
        .delivery = delivery,
        .peer = peer,
        .sent_ms = loop_now_ms(remote->loop),
        .sent_ns = clock_mono_ns(),
    };
    delivery->upstream_data = call;
    enum err err = start_call(remote, call);
    if (err != ERR_OK)
        give_call(remote, call);
    return err;
}

static enum err on_send(struct upstream *upstream, struct delivery *delivery) {
    struct remote *remote = CONTAINER_OF(upstream, struct remote, upstream);
    struct remote_fleet *fleet = remote->fleet;
    bool retry = delivery->attempt > 1;
    bool in_budget = true;
    size_t peer = peers_pick(&remote->peers, retry, loop_now_ms(remote->loop), &in_budget);

    if (!in_budget)
        metrics_add(fleet->metrics, remote->shard, fleet->series.retries_refused, 1);
    if (peer == PEERS_NONE)
        return in_budget ? ERR_UNREACHABLE : ERR_UNAVAILABLE;
    tell_ejections(remote);
    tell_breaker(remote, peer);
    enum err err = send_to(remote, peer, delivery);
    if (err != ERR_OK)
        back_from(remote, peer, false, PEERS_UNTIMED);
    else if (retry)
        metrics_add(fleet->metrics, remote->shard, fleet->series.retries, 1);
    return err;
}

/* While it is waited for it hasn't come back: its call is still there. */
static int64_t on_lost(struct upstream *upstream, const struct delivery *delivery, int64_t now_ms) {
    struct remote *remote = CONTAINER_OF(upstream, struct remote, upstream);
    const struct remote_call *call = delivery->upstream_data;
    int64_t at_ms = peers_lost_ms(&remote->peers, call->peer, now_ms);

    tell_ejections(remote);
    return at_ms;
}

/* A counter that restarts is back within a moment: what comes waits for it. Not quite so long as a
 * request may take, counted from the loss, so that who waited in vain is told so (503) before it is
 * too late (504). Then, and where there has never been one, requests fail at once. */
static int64_t wait_until_ms(struct upstream *upstream) {
    const struct remote *remote = CONTAINER_OF(upstream, struct remote, upstream);

    if (remote->usable || remote->lost_ms == INT64_MIN || remote->close.closed)
        return INT64_MIN;
    return remote->lost_ms + REMOTE_WAIT_MS(remote->fleet->config->timeouts_request_ms);
}

static bool usable(struct upstream *upstream) {
    return CONTAINER_OF(upstream, struct remote, upstream)->usable > 0;
}

/* The batcher is flushed at this turn's end. */
static void on_turn(struct timer *timer) {
    (void)timer;
}

/* ---- life ---- */

struct remote *remote_new(struct remote_fleet *fleet, struct loop *loop, unsigned shard,
                          const struct remote_user *user) {
    struct remote *remote = calloc(1, sizeof(*remote));

    if (!remote)
        return NULL;
    remote->lines = calloc(INSTANCES_MAX, sizeof(*remote->lines));
    if (!remote->lines) {
        free(remote);
        return NULL;
    }
    remote->upstream.send = on_send;
    remote->upstream.wait_until_ms = wait_until_ms;
    remote->upstream.lost_ms = on_lost;
    remote->upstream.usable = usable;
    remote->lost_ms = INT64_MIN;
    remote->turn.fire = on_turn;
    remote->fleet = fleet;
    remote->loop = loop;
    remote->shard = shard;
    remote->user = *user;
    atomic_fetch_add(&fleet->loops, 1);
    peers_init(&remote->peers, 0, loop_now_ms(loop));
    remote_set_join(remote);
    return remote;
}

void remote_connect(struct remote *remote) {
    remote->connects = true;
    remote_follow(remote);
}

struct upstream *remote_upstream(struct remote *remote) {
    return &remote->upstream;
}

void remote_one_closed(struct remote *remote) {
    if (--remote->close.waiting > 0)
        return;
    void (*closed)(void *ctx) = remote->close.closed;
    void *closed_ctx = remote->close.ctx;

    while (remote->free) {
        struct remote_call *call = remote->free;

        remote->free = call->next;
        free(call);
    }
    atomic_fetch_sub(&remote->fleet->loops, 1);
    buf_release(&remote->out);
    free(remote->lines);
    free(remote);
    closed(closed_ctx);
}

void remote_close(struct remote *remote, void (*closed)(void *ctx), void *ctx) {
    timer_stop(remote->loop, &remote->turn);
    remote->close.closed = closed;
    remote->close.ctx = ctx;
    remote->close.waiting = 1; /* nothing ends before all were told */
    if (place_leave(&remote->follower))
        remote->close.waiting++;
    for (size_t i = 0; i < INSTANCES_MAX; i++) {
        if (!remote->lines[i].used)
            continue;
        remote->close.waiting++;
        remote_line_close(&remote->lines[i]);
    }
    remote_one_closed(remote);
}
