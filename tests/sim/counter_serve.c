/* counter_serve.c - frames in, jobs to the owner, frames out. */
#include <stdlib.h>

#include "base/arena.h"
#include "counter.h"
#include "edge/lanes_codec.h"
#include "store.h"
#include "world.h"

#define CHUNK_BYTES   2048
#define MESSAGE_BYTES (1u << 20)

/* ---- answers ---- */

static void refuse_stream(struct conn *conn, uint64_t stream) {
    conn_send_down(conn, frame_new(FRAME_REFUSED, stream));
}

static void send_error(struct conn *conn, uint64_t stream, enum err err, bool not_applied) {
    struct frame *frame = frame_new(FRAME_ERROR, stream);

    frame->err = err;
    frame->not_applied = not_applied;
    conn_send_down(conn, frame);
}

static void send_answers(struct conn *conn, uint64_t stream, const struct answer *answers,
                         size_t count, const struct facts *facts) {
    struct frame *frame = frame_new(FRAME_ANSWER, stream);

    frame->facts = *facts;
    lanes_write_answers(&frame->bytes, answers, count, facts->store_now_ms);
    conn_send_down(conn, frame);
}

/* ---- a message in the store's hands ---- */

struct apply {
    struct job job;
    struct conn *conn;
    uint64_t stream;
    struct buf bytes; /* what the message points into */
    struct arena arena;
    struct message message;
};

static struct apply *apply_of(struct job *job) {
    return CONTAINER_OF(job, struct apply, job);
}

/* The process that took it, or the next one at its place? */
static bool still_there(const struct apply *apply) {
    return apply->conn->counter->incarnation == apply->conn->counter_incarnation;
}

static bool dies_here(struct conn *conn) {
    struct world *world = conn->world;

    if (world->calm || rng_next(&world->rng) % 1000 >= world->profile.crash_permille)
        return false;
    counter_kill(conn->counter);
    return true;
}

static void on_reply(struct job *job, const struct answer *answers, const struct facts *facts) {
    struct apply *apply = apply_of(job);

    /* Dies with the answer in hand; with an embedded store the owner has dice of its own. */
    if (still_there(apply) && apply->conn->world->profile.shared && dies_here(apply->conn))
        return;
    if (still_there(apply))
        send_answers(apply->conn, apply->stream, answers, apply->message.count, facts);
}

static void on_fail(struct job *job) {
    struct apply *apply = apply_of(job);

    if (still_there(apply))
        send_error(apply->conn, apply->stream, ERR_UNAVAILABLE, false);
}

static void on_refuse(struct job *job) {
    struct apply *apply = apply_of(job);

    if (still_there(apply))
        send_error(apply->conn, apply->stream, ERR_UNAVAILABLE, true);
}

static void on_release(struct job *job) {
    struct apply *apply = apply_of(job);

    conn_drop(apply->conn);
    buf_release(&apply->bytes);
    arena_release(&apply->arena);
    free(apply);
}

static const struct job_ways ways = {on_reply, on_fail, on_refuse, on_release};

static struct apply *apply_new(struct conn *conn, const struct frame *frame) {
    struct apply *apply = calloc(1, sizeof(*apply));
    struct proto_problem problem;

    if (!apply)
        abort();
    conn_hold(conn);
    apply->job = (struct job){&ways, &apply->message, conn->line->gateway->index};
    apply->conn = conn;
    apply->stream = frame->stream;
    buf_add_slice(&apply->bytes, buf_slice(&frame->bytes));
    arena_init(&apply->arena, CHUNK_BYTES, MESSAGE_BYTES);
    if (lanes_read_apply(buf_slice(&apply->bytes), &apply->arena, LANES_OPS_MAX, &apply->message,
                         &problem) == ERR_OK)
        return apply;
    trace_violation(&conn->world->trace, -1, "the codec: a message doesn't read: %s", problem.text);
    on_release(&apply->job);
    return NULL;
}

/* ---- requests ---- */

/* Another store's counter counts as any other does, somewhere else. */
static void count_elsewhere(struct conn *conn, const struct apply *apply) {
    const struct facts facts = {.store_now_ms = world_wall(conn->world)};
    struct answer *answers = calloc(apply->message.count, sizeof(*answers));

    if (!answers)
        abort();
    for (size_t i = 0; i < apply->message.count; i++)
        answers[i] =
            (struct answer){.value = apply->message.ops[i].arg, .time_ms = world_wall(conn->world)};
    send_answers(conn, apply->stream, answers, apply->message.count, &facts);
    free(answers);
}

static void receive_apply(struct conn *conn, const struct frame *frame) {
    struct world *world = conn->world;
    struct apply *apply;

    if (!world->calm && rng_chance(&world->rng, world->profile.refuse_percent)) {
        if (rng_chance(&world->rng, 50))
            refuse_stream(conn, frame->stream);
        else
            send_error(conn, frame->stream, ERR_BUSY, true);
        return;
    }
    apply = apply_new(conn, frame);
    if (!apply)
        return;
    if (conn->counter->foreign) {
        count_elsewhere(conn, apply);
        on_release(&apply->job);
    } else if (!store_reachable(world, conn->counter->index)) {
        /* Never went out to the store. */
        send_error(conn, frame->stream, ERR_UNAVAILABLE, true);
        on_release(&apply->job);
    } else {
        store_receive(world, conn->counter->index, &apply->job);
    }
}

static void receive_hello(struct conn *conn, const struct frame *frame) {
    struct world *world = conn->world;
    bool foreign = conn->counter->foreign;
    const struct lanes_hello hello = {
        .store_id = foreign ? ~SIM_STORE_ID : SIM_STORE_ID,
        .store_now_ms = world_now(world) + store_clock_ahead_ms(world),
        .durability = slice_str(world->profile.local ? "local" : "fast"),
        .guarantee = SLICE("simulated"),
        .version = SLICE("0"),
    };

    if (!foreign && !store_reachable(world, conn->counter->index)) {
        send_error(conn, frame->stream, ERR_UNAVAILABLE, true);
        return;
    }
    struct frame *answer = frame_new(FRAME_ANSWER, frame->stream);

    lanes_write_hello(&answer->bytes, &hello);
    conn_send_down(conn, answer);
}

void counter_receive(struct conn *conn, const struct frame *frame) {
    if (conn->goaway && frame->stream > conn->last_stream)
        return; /* said so, or about to be heard */
    conn->last_stream = frame->stream;
    if (frame->kind == FRAME_HELLO)
        receive_hello(conn, frame);
    else
        receive_apply(conn, frame);
}
