/* remote_line.c - a connection, from READY over Hello to usable, again and again. */
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "gateway/remote_internal.h"

/* From the first packet to the server's SETTINGS; then another address of the name, or a pause. */
#define CONNECT_MS 2000
/* gRPC's own begin with 1 s and end with 120 s (connection-backoff.md): here the peer is our own
 * service, what comes to a loop without it waits or fails, and a few SYNs a second cost nobody
 * anything. */
#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 250
/* RELIABILITY 3.9: at least 10 s. A frozen peer is noticed by attempts long before. */
#define KEEPALIVE_MS         20000
#define KEEPALIVE_TIMEOUT_MS 10000
/* Answers are smaller than requests, and those are bounded by BATCH_BYTES_MAX: 65,536 answers of
 * at most some 50 bytes. */
#define RESPONSE_BYTES_MAX (8u << 20)
/* Before Hello is tried again on a connection that gave no good answer: a counter whose store is
 * away is back soon, and shall be found soon; doubling, and up to half more at random. */
#define REST_MIN_MS 50
#define REST_MAX_MS 300

static void on_state(void *ctx, enum grpc_channel_state state);
static void greet(struct remote_line *line);

static bool ready(const struct remote_line *line) {
    return line->channel && grpc_channel_state(line->channel) == GRPC_CHANNEL_READY;
}

/* ---- usable or not ---- */

static void count(struct remote_line *line, enum line_state state, int by) {
    struct remote *remote = line->remote;
    struct remote_fleet *fleet = remote->fleet;

    if (state == LINE_USABLE) {
        remote->usable += (unsigned)by;
        if (remote->usable == 0)
            remote->lost_ms = loop_now_ms(remote->loop);
        else if (by > 0 && remote->usable == 1)
            timer_start(remote->loop, &remote->turn, 0);
        remote_fleet_usable(fleet, line->index, by > 0);
        peers_set_usable(&remote->peers, line->index, by > 0, loop_now_ms(remote->loop));
        metrics_set(fleet->metrics, remote->shard, fleet->series.connections, remote->usable);
    }
    if (state == LINE_REFUSED) {
        remote->refused += (unsigned)by;
        metrics_set(fleet->metrics, remote->shard, fleet->series.refused, remote->refused);
    }
}

/* A connection that is being replaced (the server ends one that was idle, or after a long time) is
 * back within a round trip or two: for probes it is up until an attempt has failed. */
static void say_up(struct remote_line *line, bool up) {
    struct remote *remote = line->remote;

    if (line->up == up)
        return;
    line->up = up;
    remote->up += up ? 1 : -1u;
    if (remote->up == (up ? 1 : 0))
        atomic_fetch_add(&remote->fleet->loops_up, up ? 1 : -1u);
}

static void enter(struct remote_line *line, enum line_state state) {
    struct remote *remote = line->remote;

    count(line, line->state, -1);
    line->state = state;
    count(line, state, 1);
    if (state == LINE_USABLE) {
        line->rest_ms = REST_MIN_MS;
        say_up(line, true);
        if (remote->usable == 1 && remote->user.changed)
            remote->user.changed(remote->user.ctx, true);
    }
    if (state == LINE_REFUSED || state == LINE_RESTING)
        say_up(line, false);
}

/* It can't be used, and why is known. */
static void tried_in_vain(struct remote_line *line) {
    struct remote *remote = line->remote;
    size_t i = 0;

    line->tried = true;
    while (i < INSTANCES_MAX && (!remote->lines[i].used || remote->lines[i].tried))
        i++;
    if (i < INSTANCES_MAX || remote->usable > 0 || remote->told_down || !remote->user.changed)
        return;
    remote->told_down = true;
    remote->user.changed(remote->user.ctx, false);
}

static void rest(struct remote_line *line, const char *why, bool answers) {
    enter(line, LINE_RESTING);
    remote_fleet_problem(line->remote->fleet, line->index, why, answers);
    timer_start(line->remote->loop, &line->rest,
                line->rest_ms + (int64_t)(random_u64() % (uint64_t)(line->rest_ms / 2)));
    line->rest_ms = line->rest_ms * 2 < REST_MAX_MS ? line->rest_ms * 2 : REST_MAX_MS;
}

/* ---- Hello ---- */

/* Never count into two stores: half of the counts would be in each. */
static void refuse(struct remote_line *line) {
    enter(line, LINE_REFUSED);
    remote_fleet_problem(line->remote->fleet, line->index,
                         line->remote->fleet->only_store
                             ? "refused: it has another store than this gateway"
                             : "refused: it has another store than the counter this gateway saw "
                               "first",
                         false);
}

static void hear_hello(struct remote_line *line, struct slice response) {
    struct remote *remote = line->remote;
    struct proto_problem problem;
    struct lanes_hello hello;

    if (lanes_read_hello(response, &hello, &problem) != ERR_OK) {
        rest(line, problem.text, false);
        return;
    }
    if (!remote_fleet_knows_store(remote->fleet)) {
        rest(line, "this gateway hasn't reached its own store yet", false);
        return;
    }
    if (!remote_fleet_same_store(remote->fleet, hello.store_id)) {
        refuse(line);
        return;
    }
    remote_fleet_learn(remote->fleet, &hello);
    remote_learn_clock(remote, hello.store_now_ms, line->hello_sent_ms);
    enter(line, LINE_USABLE);
}

static void hello_failed(struct remote_line *line, const struct grpc_result *result) {
    /* Its own word (edge/lanes_codec.h): it is there, and can't serve. */
    bool answers = result->status == GRPC_UNAVAILABLE && result->error.len > 0;
    char why[REMOTE_PROBLEM_BYTES];

    if (answers)
        (void)snprintf(why, sizeof(why), "its store can't be used: %.*s",
                       SLICE_ARGS(result->message));
    else if (result->status == GRPC_UNIMPLEMENTED)
        (void)snprintf(why, sizeof(why), "this gRPC server is no counter of ours");
    else
        (void)snprintf(why, sizeof(why), "no answer to Hello: %s%s%.*s",
                       remote_status_name(result->status), result->message.len ? ": " : "",
                       SLICE_ARGS(result->message));
    rest(line, why, answers);
}

static void hello_done(struct grpc_out_call *call, const struct grpc_result *result) {
    struct remote_line *line = CONTAINER_OF(call, struct remote_line, hello);

    line->hello_out = false;
    remote_observe(line->remote, REMOTE_HELLO, result->status, line->hello_sent_ns);
    remote_line_answered(line);
    /* Whoever answered an earlier connection says nothing about who is there now. */
    if (line->hello_era != line->era) {
        if (line->state == LINE_GREETING)
            greet(line);
    } else if (line->state == LINE_GREETING) {
        if (result->status == GRPC_OK)
            hear_hello(line, result->response);
        else
            hello_failed(line, result);
        if (line->state != LINE_USABLE)
            tried_in_vain(line);
    }
}

static void greet(struct remote_line *line) {
    struct remote *remote = line->remote;

    enter(line, LINE_GREETING);
    if (line->hello_out)
        return; /* an earlier connection's: hello_done() comes back here */
    line->hello.done = hello_done;
    line->hello_era = line->era;
    line->hello_sent_ms = loop_now_ms(remote->loop);
    line->hello_sent_ns = clock_mono_ns();
    enum err err =
        grpc_channel_call(line->channel, &line->hello, SLICE(LANES_HELLO_PATH), SLICE(""),
                          line->hello_sent_ms + remote->fleet->config->timeouts_request_ms);
    line->hello_out = err == ERR_OK;
    if (err != ERR_OK)
        rest(line, err_text(err), false);
}

/* ---- the channel ---- */

void remote_line_connect(struct remote_line *line) {
    struct remote_fleet *fleet = line->remote->fleet;
    struct grpc_channel_conf conf = {
        .resolver = fleet->resolver,
        .address = slice_str(remote_fleet_address(fleet, line->index)),
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
    if (!line->channel)
        rest(line, err_text(ERR_NO_MEMORY), false);
}

/* ---- the end ---- */

static void on_closed(void *ctx) {
    struct remote_line *line = ctx;
    struct remote *remote = line->remote;
    size_t index = line->index;

    timer_stop(remote->loop, &line->rest);
    *line = (struct remote_line){0};
    peers_remove(&remote->peers, index);
    place_release(&remote->follower, index);
    if (remote->close.closed)
        remote_one_closed(remote);
}

static void close_now(struct remote_line *line) {
    line->closing = true;
    if (line->channel)
        grpc_channel_close(line->channel, on_closed, line);
    else
        on_closed(line);
}

static void close_when_idle(struct remote_line *line) {
    if (!line->closing && (!line->channel || grpc_channel_calls(line->channel) == 0))
        close_now(line);
}

/* Nothing is known of who will be at this address next. */
static void forget(struct remote_line *line) {
    timer_stop(line->remote->loop, &line->rest);
    line->leaving = true;
    line->era++;
    enter(line, LINE_DOWN);
    say_up(line, false);
    if (line->breaker != PEER_CLOSED)
        remote_fleet_breaker(line->remote->fleet, line->index, line->remote->shard, line->breaker,
                             PEER_CLOSED);
    line->breaker = PEER_CLOSED;
}

void remote_line_answered(struct remote_line *line) {
    /* Not here: this may be the channel's own callback. */
    if (line->leaving && !line->closing)
        timer_start(line->remote->loop, &line->rest, 0);
}

void remote_line_leave(struct remote_line *line) {
    forget(line);
    remote_line_answered(line);
}

void remote_line_close(struct remote_line *line) {
    if (line->closing)
        return;
    if (!line->leaving)
        forget(line);
    timer_stop(line->remote->loop, &line->rest);
    close_now(line);
}

static void on_rest(struct timer *timer) {
    struct remote_line *line = CONTAINER_OF(timer, struct remote_line, rest);

    if (line->leaving)
        close_when_idle(line);
    else if (!line->channel)
        remote_line_connect(line);
    else if (ready(line))
        greet(line);
}

static void on_state(void *ctx, enum grpc_channel_state state) {
    struct remote_line *line = ctx;

    if (line->leaving)
        return;
    line->era++;
    timer_stop(line->remote->loop, &line->rest);
    if (state == GRPC_CHANNEL_READY) {
        greet(line);
        return;
    }
    enter(line, LINE_DOWN);
    if (state != GRPC_CHANNEL_WAITING)
        return;
    const char *problem = grpc_channel_problem(line->channel);
    say_up(line, false);
    remote_fleet_problem(line->remote->fleet, line->index, problem ? problem : "not connected",
                         false);
    tried_in_vain(line);
}

void remote_line_init(struct remote_line *line, struct remote *remote, size_t index) {
    line->used = true;
    line->remote = remote;
    line->index = index;
    line->state = LINE_DOWN;
    line->rest.fire = on_rest;
    line->rest_ms = REST_MIN_MS;
}
