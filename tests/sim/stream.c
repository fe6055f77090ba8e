/* stream.c - from the end of a call to the batcher's delivery. */
#include "stream.h"

#include <inttypes.h>
#include <stdlib.h>

#include "core/rules.h"
#include "counter.h"
#include "edge/lanes_codec.h"
#include "gateway.h"
#include "world.h"

struct stream *stream_find(struct conn *conn, uint64_t id) {
    for (struct list *node = conn->streams.next; node != &conn->streams; node = node->next)
        if (CONTAINER_OF(node, struct stream, node)->id == id)
            return CONTAINER_OF(node, struct stream, node);
    return NULL;
}

struct stream *stream_open(struct conn *conn, struct delivery *delivery) {
    struct stream *stream = calloc(1, sizeof(*stream));

    if (!stream)
        abort();
    stream->id = ++conn->next_stream;
    stream->delivery = delivery;
    stream->sent_ms = world_now(conn->world);
    list_push_back(&conn->streams, &stream->node);
    return stream;
}

void stream_close(struct stream *stream) {
    list_remove(&stream->node);
    free(stream);
}

static void come_back(struct conn *conn, struct stream *stream, const struct facts *facts) {
    struct gateway *gateway = conn->gateway;
    struct delivery *delivery = stream->delivery;
    int64_t sent_ms = stream->sent_ms;

    TRACE(&conn->world->trace, "g%u hears from counter %u of #%" PRIu64 " (try %u): %s%s",
          gateway->index, conn->counter->index, delivery->message->number, delivery->attempt,
          err_name(delivery->err), delivery->not_applied ? ", not applied" : "");
    stream_close(stream);
    gateway_delivered(gateway, delivery, sent_ms, facts);
}

void stream_answered(struct conn *conn, struct stream *stream, const struct frame *frame) {
    struct delivery *delivery = stream->delivery;
    struct proto_problem problem;
    enum err err = lanes_read_answers(buf_slice(&frame->bytes), delivery->answers,
                                      delivery->message->count, &delivery->store_now_ms, &problem);

    if (err != ERR_OK)
        trace_violation(&conn->world->trace, -1, "the codec: an answer doesn't read: %s",
                        problem.text);
    delivery->err = err;
    peers_returned(&conn->gateway->peers, conn->line->counter, false,
                   world_now(conn->world) - stream->sent_ms, world_now(conn->world));
    come_back(conn, stream, &frame->facts);
}

void stream_failed(struct conn *conn, struct stream *stream, enum err err, bool said,
                   bool is_failure) {
    stream->delivery->err = err;
    stream->delivery->not_applied = said || !RULE(RULE_PEER_SAID_SO);
    peers_returned(&conn->gateway->peers, conn->line->counter, is_failure, PEERS_UNTIMED,
                   world_now(conn->world));
    come_back(conn, stream, NULL);
}

static void stream_due(void *self, uint64_t id) {
    struct conn *conn = self;
    struct world *world = conn->world;
    struct stream *stream = stream_find(conn, id);

    if (stream && conn->gateway->paused_until_ms > world_now(world)) {
        agenda_at(&world->agenda, conn->gateway->paused_until_ms, stream_due, conn, id);
        return;
    }
    if (stream)
        stream_failed(conn, stream, ERR_UNAVAILABLE, false, true);
    conn_drop(conn);
}

void stream_set_deadline(struct conn *conn, const struct stream *stream, int64_t in_ms) {
    conn_hold(conn);
    agenda_at(&conn->world->agenda, world_now(conn->world) + in_ms, stream_due, conn, stream->id);
}

void streams_fail(struct conn *conn, uint64_t first, bool said) {
    for (struct list *node = conn->streams.next, *next; node != &conn->streams; node = next) {
        struct stream *stream = CONTAINER_OF(node, struct stream, node);

        next = node->next;
        if (stream->id < first)
            continue;
        if (stream->delivery)
            stream_failed(conn, stream, ERR_UNAVAILABLE, said, !said);
        else
            stream_close(stream);
    }
}

void streams_abandon(struct conn *conn) {
    while (!list_empty(&conn->streams)) {
        struct stream *stream = CONTAINER_OF(conn->streams.next, struct stream, node);

        if (stream->delivery) {
            stream->delivery->err = ERR_CLOSED;
            come_back(conn, stream, NULL);
        } else {
            stream_close(stream);
        }
    }
}
