/* conn_set.c - accepting, and ending in good order. */
#include "edge/conn_set.h"

#include <stdlib.h>
#include <unistd.h>

#include "edge/flood_penalty.h"

static void flush_dirty(struct loop_hook *hook) {
    struct conn_set *set = CONTAINER_OF(hook, struct conn_set, flush);
    struct list *node;

    while ((node = list_pop_front(&set->dirty)))
        conn_flush(CONTAINER_OF(node, struct conn, dirty));
}

static void call_drained(struct timer *timer) {
    struct conn_set *set = CONTAINER_OF(timer, struct conn_set, drained_timer);

    set->drained.done(set->drained.ctx);
}

void conn_set_init(struct conn_set *set, struct loop *loop, const struct conn_set_conf *conf) {
    set->loop = loop;
    set->conf = *conf;
    spare_init(&set->spare, CONN_SET_SPARE_BYTES);
    list_init(&set->conns);
    list_init(&set->dirty);
    list_init(&set->held);
    set->drained_timer.fire = call_drained;
    set->flush.run = flush_dirty;
    loop_hook_add(loop, &set->flush);
}

/* Closes the stream when it fails. */
static bool open_conn(struct conn_set *set, struct stream *stream) {
    struct conn *conn = conn_new(set, stream);

    if (!conn) {
        stream_close(stream);
        return false;
    }
    list_push_back(&set->conns, &conn->node);
    conn_stat_add(set->conf.open, 1);
    if (set->conf.opened(conn)) {
        if (set->draining)
            conn->protocol->drain(conn);
        return true;
    }
    list_remove(&conn->node);
    conn_stat_add(set->conf.open, (uint64_t)-1);
    transport_close(&conn->transport);
    free(conn);
    return false;
}

/* One that was counted isn't served. */
static void not_served(struct conn_set *set) {
    atomic_fetch_sub_explicit(set->conf.connections, 1, memory_order_relaxed);
    conn_stat_add(set->conf.refused, 1);
}

static void refuse(struct conn_set *set, struct stream *stream) {
    stream_close(stream);
    not_served(set);
}

static void admit(struct conn_set *set, struct stream *stream) {
    if (!open_conn(set, stream))
        not_served(set);
}

/* ---- clients that have to wait ------------------------------------------- */

struct held {
    struct list node; /* set->held */
    struct conn_set *set;
    struct stream *stream;
    struct timer timer;
};

static struct stream *let_go(struct held *held) {
    struct stream *stream = held->stream;

    timer_stop(held->set->loop, &held->timer);
    list_remove(&held->node);
    held->set->held_count--;
    free(held);
    return stream;
}

static void on_waited(struct timer *timer) {
    struct held *held = CONTAINER_OF(timer, struct held, timer);
    struct conn_set *set = held->set;

    admit(set, let_go(held));
}

static void turn_away(struct conn_set *set) {
    while (!list_empty(&set->held))
        refuse(set, let_go(CONTAINER_OF(set->held.next, struct held, node)));
}

/* How long the penalty of this stream's client lasts. */
static int64_t penalty_left_ms(const struct conn_set *set, const struct stream *stream) {
    struct flood_penalty *penalty = set->conf.penalty;
    int64_t now_ms = loop_now_ms(set->loop);
    struct in6_addr peer;

    if (!penalty || !flood_penalty_in_force(penalty, now_ms) || !stream_peer(stream, &peer))
        return 0;
    return flood_penalty_left_ms(penalty, &peer, now_ms);
}

/* It isn't read: what its client sends meanwhile stays in the kernel, which takes little. */
static void hold(struct conn_set *set, struct stream *stream, int64_t wait_ms) {
    struct flood_penalty_stats *stats = flood_penalty_stats(set->conf.penalty);
    struct held *held = set->held_count < CONN_SET_HELD_MAX ? calloc(1, sizeof(*held)) : NULL;

    atomic_fetch_add_explicit(held ? &stats->delayed : &stats->refused, 1, memory_order_relaxed);
    if (!held) {
        refuse(set, stream);
        return;
    }
    held->set = set;
    held->stream = stream;
    held->timer.fire = on_waited;
    list_push_back(&set->held, &held->node);
    set->held_count++;
    timer_start(set->loop, &held->timer, wait_ms);
}

/* ---- accepting, and the drain -------------------------------------------- */

static void on_accept(void *ctx, struct stream *stream) {
    struct conn_set *set = ctx;
    size_t open = atomic_fetch_add_explicit(set->conf.connections, 1, memory_order_relaxed);
    bool full = open >= set->conf.connections_max;
    int64_t wait_ms = full ? 0 : penalty_left_ms(set, stream);

    if (full)
        refuse(set, stream);
    else if (wait_ms && !set->draining)
        hold(set, stream, wait_ms);
    else
        admit(set, stream);
}

void conn_set_release(struct conn_set *set) {
    while (set->listener_count > 0)
        listener_close(set->listeners[--set->listener_count]);
    turn_away(set);
    loop_hook_remove(&set->flush);
    timer_stop(set->loop, &set->drained_timer);
}

enum err conn_set_listen(struct conn_set *set, int fd) {
    enum err err = ERR_BUSY;

    if (set->listener_count == CONN_SET_LISTENERS_MAX)
        close(fd);
    else
        err = listener_new(set->loop, fd, on_accept, set, &set->listeners[set->listener_count]);
    set->listener_count += err == ERR_OK;
    return err;
}

void conn_set_check_drained(struct conn_set *set) {
    if (set->draining && set->drained.done && set->listener_count == 0 && list_empty(&set->conns) &&
        atomic_load_explicit(set->conf.owed, memory_order_relaxed) == 0 &&
        !timer_armed(&set->drained_timer))
        timer_start(set->loop, &set->drained_timer, 0);
}

void conn_set_send_away(struct conn_set *set) {
    for (struct list *node = set->conns.next; node != &set->conns; node = node->next) {
        struct conn *conn = CONTAINER_OF(node, struct conn, node);

        conn->protocol->drain(conn);
    }
}

static void on_stopped(void *ctx) {
    struct conn_set *set = ctx;

    set->listener_count--;
    conn_set_check_drained(set);
}

void conn_set_drain(struct conn_set *set, void (*done)(void *ctx), void *ctx) {
    set->draining = true;
    set->drained.done = done;
    set->drained.ctx = ctx;
    for (size_t i = 0; i < set->listener_count; i++)
        listener_stop(set->listeners[i], on_stopped);
    turn_away(set);
    conn_set_send_away(set);
    conn_set_check_drained(set);
}

void conn_set_abort(struct conn_set *set) {
    for (struct list *node = set->conns.next; node != &set->conns; node = node->next)
        conn_abort(CONTAINER_OF(node, struct conn, node));
}

void conn_set_gone(struct conn_set *set, struct conn *conn) {
    list_remove(&conn->node);
    conn_stat_add(set->conf.open, (uint64_t)-1);
    atomic_fetch_sub_explicit(set->conf.connections, 1, memory_order_relaxed);
    conn_set_check_drained(set);
}
