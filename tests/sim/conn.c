/* conn.c - two queues with arrival times; dice for every frame. */
#include "conn.h"

#include <stdlib.h>

#include "counter.h"
#include "gateway.h"
#include "line.h"
#include "world.h"

#define RST_MAX_MS     5
#define SILENCE_MAX_MS 20000

struct frame *frame_new(enum frame_kind kind, uint64_t stream) {
    struct frame *frame = calloc(1, sizeof(*frame));

    if (!frame)
        abort();
    list_init(&frame->node);
    frame->kind = kind;
    frame->stream = stream;
    return frame;
}

static void frame_free(struct frame *frame) {
    buf_release(&frame->bytes);
    free(frame);
}

static void way_init(struct way *way) {
    list_init(&way->frames);
}

struct conn *conn_new(struct line *line, struct counter *counter) {
    struct conn *conn = calloc(1, sizeof(*conn));

    if (!conn)
        abort();
    conn->world = counter->world;
    way_init(&conn->up);
    way_init(&conn->down);
    list_init(&conn->streams);
    conn->line = line;
    conn->gateway = line->gateway;
    conn->counter = counter;
    conn->counter_incarnation = counter->incarnation;
    list_push_back(&line->gateway->conns, &conn->gateway_node);
    list_push_back(&counter->conns, &conn->counter_node);
    conn->refs = 2;
    return conn;
}

void conn_hold(struct conn *conn) {
    conn->refs++;
}

void conn_drop(struct conn *conn) {
    if (--conn->refs == 0)
        free(conn);
}

/* ---- arriving ---- */

static struct frame *first(struct way *way) {
    return list_empty(&way->frames) ? NULL : CONTAINER_OF(way->frames.next, struct frame, node);
}

/* What was cut away leaves an alarm that finds nothing, or too early a frame. */
static struct frame *take(struct way *way, int64_t now_ms) {
    struct frame *frame = first(way);

    if (!frame || frame->at_ms > now_ms)
        return NULL;
    list_remove(&frame->node);
    return frame;
}

static void arrive_up(void *self, uint64_t arg) {
    struct conn *conn = self;
    struct frame *frame = take(&conn->up, world_now(conn->world));

    (void)arg;
    if (frame) {
        if (conn->counter->incarnation == conn->counter_incarnation)
            counter_receive(conn, frame);
        frame_free(frame);
    }
    conn_drop(conn);
}

static void arrive_down(void *self, uint64_t arg) {
    struct conn *conn = self;
    struct world *world = conn->world;

    (void)arg;
    /* A stopped process finds everything in its socket when it goes on. */
    if (conn->gateway && conn->gateway->paused_until_ms > world_now(world)) {
        agenda_at(&world->agenda, conn->gateway->paused_until_ms, arrive_down, conn, 0);
        return;
    }
    struct frame *frame = take(&conn->down, world_now(world));

    if (frame) {
        if (conn->gateway)
            line_hear(conn, frame);
        frame_free(frame);
    }
    conn_drop(conn);
}

/* ---- sending ---- */

static void enqueue(struct conn *conn, struct way *way, struct frame *frame, int64_t at_ms) {
    frame->at_ms = at_ms > way->last_ms ? at_ms : way->last_ms;
    way->last_ms = frame->at_ms;
    list_push_back(&way->frames, &frame->node);
    conn_hold(conn);
    agenda_at(&conn->world->agenda, frame->at_ms, way == &conn->up ? arrive_up : arrive_down, conn,
              0);
}

static void send_frame(struct conn *conn, struct way *way, struct frame *frame) {
    struct world *world = conn->world;
    struct rng *rng = &world->rng;
    int64_t travel_ms = rng_in(rng, 0, 4);

    if (conn->broken) {
        frame_free(frame);
        return;
    }
    if (!world->calm && rng_chance(rng, world->profile.slow_percent))
        travel_ms = rng_in(rng, 50, rng_chance(rng, 80) ? 1500 : 8000);
    enqueue(conn, way, frame, world_now(world) + travel_ms);
    if (!world->calm && rng_next(rng) % 1000 < world->profile.break_permille) {
        TRACE(&world->trace, "g%u and counter %u lose their connection", conn->line->gateway->index,
              conn->counter->index);
        conn_break(conn, false);
    }
}

void conn_send_up(struct conn *conn, struct frame *frame) {
    send_frame(conn, &conn->up, frame);
}

void conn_send_down(struct conn *conn, struct frame *frame) {
    send_frame(conn, &conn->down, frame);
}

/* ---- breaking ---- */

static void cut(struct rng *rng, struct way *way) {
    int64_t count = 0;

    for (struct list *node = way->frames.next; node != &way->frames; node = node->next)
        count++;
    for (int64_t keep = rng_in(rng, 0, count); keep < count; keep++) {
        struct frame *last = CONTAINER_OF(way->frames.prev, struct frame, node);

        list_remove(&last->node);
        frame_free(last);
    }
}

void conn_stall_up(struct conn *conn, int64_t until_ms) {
    struct way *way = &conn->up;

    for (struct list *node = way->frames.next; node != &way->frames; node = node->next) {
        struct frame *frame = CONTAINER_OF(node, struct frame, node);

        if (frame->at_ms >= until_ms)
            break;
        frame->at_ms = until_ms;
        conn_hold(conn);
        agenda_at(&conn->world->agenda, until_ms, arrive_up, conn, 0);
    }
    if (way->last_ms < until_ms)
        way->last_ms = until_ms;
}

static void unlink_end(struct conn *conn, struct list *node) {
    list_remove(node);
    conn_drop(conn);
}

void conn_break(struct conn *conn, bool silent) {
    struct world *world = conn->world;
    struct rng *rng = &world->rng;

    if (conn->broken)
        return;
    conn->broken = true;
    if (!world->calm && rng_chance(rng, world->profile.double_percent))
        conn_stall_up(conn, world_now(world) + rng_in(rng, 1, world->profile.double_max_ms));
    else
        cut(rng, &conn->up);
    cut(rng, &conn->down);
    if (conn->gateway)
        enqueue(conn, &conn->down, frame_new(FRAME_CLOSED, 0),
                world_now(world) + rng_in(rng, 0, silent ? SILENCE_MAX_MS : RST_MAX_MS));
    unlink_end(conn, &conn->counter_node);
}

void conn_leave(struct conn *conn) {
    conn->gateway = NULL;
    conn_break(conn, false);
    unlink_end(conn, &conn->gateway_node);
}
