/* conn_set.c - accepting, and ending in good order. */
#include "edge/conn_set.h"

#include <stdlib.h>

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
    list_init(&set->conns);
    list_init(&set->dirty);
    set->drained_timer.fire = call_drained;
    set->flush.run = flush_dirty;
    loop_hook_add(loop, &set->flush);
}

void conn_set_release(struct conn_set *set) {
    listener_close(set->listener);
    loop_hook_remove(&set->flush);
    timer_stop(set->loop, &set->drained_timer);
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
    if (set->conf.opened(conn))
        return true;
    list_remove(&conn->node);
    conn_stat_add(set->conf.open, (uint64_t)-1);
    transport_close(&conn->transport);
    free(conn);
    return false;
}

static void on_accept(void *ctx, struct stream *stream) {
    struct conn_set *set = ctx;
    size_t open = atomic_fetch_add_explicit(set->conf.connections, 1, memory_order_relaxed);

    if (set->draining || open >= set->conf.connections_max)
        stream_close(stream);
    else if (open_conn(set, stream))
        return;
    atomic_fetch_sub_explicit(set->conf.connections, 1, memory_order_relaxed);
    conn_stat_add(set->conf.refused, 1);
}

enum err conn_set_listen(struct conn_set *set, int fd) {
    return listener_new(set->loop, fd, on_accept, set, &set->listener);
}

void conn_set_check_drained(struct conn_set *set) {
    if (set->draining && set->drained.done && list_empty(&set->conns) &&
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

void conn_set_drain(struct conn_set *set, void (*done)(void *ctx), void *ctx) {
    set->draining = true;
    set->drained.done = done;
    set->drained.ctx = ctx;
    listener_close(set->listener);
    set->listener = NULL;
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
