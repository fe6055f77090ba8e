/* line.c - connections begin, greet, serve and end. */
#include "line.h"

#include <inttypes.h>

#include "core/rules.h"
#include "counter.h"
#include "edge/lanes_codec.h"
#include "gateway.h"
#include "stream.h"
#include "world.h"

#define RECONNECT_MIN_MS 20
#define RECONNECT_MAX_MS 500
#define GREET_AGAIN_MS   1000
#define WAIT_MS          2000 /* for a counter to come back; timeouts.request_ms in the product */

static void connect_in(struct line *line, int64_t ms);

static bool any_usable(const struct gateway *gateway) {
    for (size_t i = 0; i < gateway->peers.count; i++)
        if (gateway->peers.peer[i].usable)
            return true;
    return false;
}

static void set_usable(struct line *line, bool usable) {
    struct gateway *gateway = line->gateway;
    bool were = any_usable(gateway);

    peers_set_usable(&gateway->peers, line->counter, usable, world_now(gateway->world));
    if (were && !any_usable(gateway))
        gateway->lost_ms = world_now(gateway->world);
    else if (!were && usable)
        gateway_turn_soon(gateway);
}

int64_t lines_wait_until_ms(const struct gateway *gateway) {
    return any_usable(gateway) ? INT64_MIN : gateway->lost_ms + WAIT_MS;
}

int64_t lines_lost_ms(struct gateway *gateway, const struct delivery *delivery) {
    const struct line *line = delivery->upstream_data;

    return peers_lost_ms(&gateway->peers, line->counter, world_now(gateway->world));
}

static void detach(struct line *line, int64_t again_in_ms) {
    set_usable(line, false);
    line->conn = NULL;
    connect_in(line, again_in_ms);
}

/* ---- out ---- */

static void write_apply(struct conn *conn, const struct stream *stream) {
    struct frame *frame = frame_new(FRAME_APPLY, stream->id);

    lanes_write_apply(&frame->bytes, stream->delivery->message);
    conn_send_up(conn, frame);
}

enum err lines_send(struct gateway *gateway, struct delivery *delivery) {
    struct world *world = gateway->world;
    bool in_budget;
    size_t peer = peers_pick(&gateway->peers, delivery->attempt > 1, world_now(world), &in_budget);

    if (peer == PEERS_NONE) {
        TRACE(&world->trace, "g%u can't send #%" PRIu64 " (try %u): %s", gateway->index,
              delivery->message->number, delivery->attempt,
              in_budget ? "nobody is there" : "no more retries");
        return in_budget ? ERR_UNREACHABLE : ERR_UNAVAILABLE;
    }
    struct conn *conn = gateway->lines[peer].conn;
    delivery->upstream_data = &gateway->lines[peer];
    struct stream *stream = stream_open(conn, delivery);
    int64_t patience_ms = rng_in(&world->rng, 200, rng_chance(&world->rng, 90) ? 3000 : 100000);

    TRACE(&world->trace, "g%u sends #%" PRIu64 " (try %u) to counter %zu", gateway->index,
          delivery->message->number, delivery->attempt, peer);
    stream_set_deadline(conn, stream, patience_ms);
    write_apply(conn, stream);
    return ERR_OK;
}

/* ---- connecting ---- */

static void greet(struct conn *conn) {
    struct stream *stream = stream_open(conn, HELLO);

    conn_send_up(conn, frame_new(FRAME_HELLO, stream->id));
}

static void connect_line(void *self, uint64_t incarnation) {
    struct line *line = self;
    struct gateway *gateway = line->gateway;
    struct world *world = gateway->world;

    if (!gateway->batcher || gateway->incarnation != incarnation)
        return;
    line->connecting = false;
    if (gateway->paused_until_ms > world_now(world)) {
        connect_in(line, gateway->paused_until_ms - world_now(world));
        return;
    }
    struct counter *counter = world->counters[line->counter];

    if (!counter_accepts(counter)) {
        connect_in(line, rng_in(&world->rng, RECONNECT_MIN_MS, RECONNECT_MAX_MS));
        return;
    }
    line->conn = conn_new(line, counter);
    greet(line->conn);
}

static void connect_in(struct line *line, int64_t ms) {
    struct world *world = line->gateway->world;

    if (line->connecting)
        return;
    line->connecting = true;
    agenda_at(&world->agenda, world_now(world) + ms, connect_line, line,
              line->gateway->incarnation);
}

/* Never count into two stores: half of the counts would be in each. Which store is the right one
 * the gateways have learned before the run. */
static void hear_hello(struct conn *conn, struct stream *stream, const struct frame *frame) {
    struct gateway *gateway = conn->gateway;
    int64_t sent_ms = stream->sent_ms;
    struct proto_problem problem;
    struct lanes_hello hello;

    stream_close(stream);
    if (lanes_read_hello(buf_slice(&frame->bytes), &hello, &problem) != ERR_OK) {
        trace_violation(&conn->world->trace, -1, "the codec: Hello doesn't read: %s", problem.text);
        return;
    }
    if (hello.store_id != SIM_STORE_ID && RULE(RULE_SAME_STORE)) {
        TRACE(&conn->world->trace, "g%u refuses counter %u: another store's", gateway->index,
              conn->counter->index);
        return;
    }
    gateway_learn_clock(gateway, hello.store_now_ms, sent_ms);
    if (conn->line->conn == conn)
        set_usable(conn->line, true);
}

/* ---- what arrives ---- */

static void hear_goaway(struct conn *conn, uint64_t last) {
    if (conn->line->conn == conn)
        detach(conn->line, 0);
    if (last != UINT64_MAX)
        streams_fail(conn, last + 1, true);
}

static void hear_closed(struct conn *conn) {
    if (conn->line->conn == conn)
        detach(conn->line, rng_in(&conn->world->rng, RECONNECT_MIN_MS, RECONNECT_MAX_MS));
    streams_fail(conn, 0, false);
    conn_leave(conn);
}

static void hear_error(struct conn *conn, struct stream *stream, const struct frame *frame) {
    if (stream->delivery) {
        stream_failed(conn, stream, frame->err, frame->not_applied, false);
        return;
    }
    stream_close(stream); /* Hello: its store isn't there; once more on another connection */
    if (conn->line->conn == conn)
        detach(conn->line, GREET_AGAIN_MS);
    conn_leave(conn);
}

void line_hear(struct conn *conn, struct frame *frame) {
    struct stream *stream = stream_find(conn, frame->stream);

    if (frame->kind == FRAME_GOAWAY)
        hear_goaway(conn, frame->stream);
    else if (frame->kind == FRAME_CLOSED)
        hear_closed(conn);
    else if (!stream)
        return; /* given up by its deadline */
    else if (frame->kind == FRAME_REFUSED)
        stream_failed(conn, stream, ERR_UNAVAILABLE, true, false);
    else if (frame->kind == FRAME_ERROR)
        hear_error(conn, stream, frame);
    else if (stream->delivery)
        stream_answered(conn, stream, frame);
    else
        hear_hello(conn, stream, frame);
}

/* ---- life ---- */

void lines_open(struct gateway *gateway) {
    struct world *world = gateway->world;

    peers_init(&gateway->peers, world->profile.counters, world_now(world));
    for (unsigned i = 0; i < world->profile.counters; i++) {
        gateway->lines[i] = (struct line){.gateway = gateway, .counter = i};
        connect_in(&gateway->lines[i], rng_in(&world->rng, 0, 4));
    }
}

void lines_pause(struct gateway *gateway, int64_t until_ms) {
    struct rng *rng = &gateway->world->rng;

    for (struct list *node = gateway->conns.next; node != &gateway->conns; node = node->next)
        if (rng_chance(rng, 30))
            conn_stall_up(CONTAINER_OF(node, struct conn, gateway_node),
                          until_ms + rng_in(rng, 0, 4));
}

void lines_close(struct gateway *gateway) {
    while (!list_empty(&gateway->conns)) {
        struct conn *conn = CONTAINER_OF(gateway->conns.next, struct conn, gateway_node);

        streams_abandon(conn);
        conn_leave(conn);
    }
}
