/* front_apply.c - Apply and Hello. */
#include "counter/front_apply.h"

#include <assert.h>
#include <stdlib.h>

#include "edge/lanes_codec.h"
#include "wire/proto_scan.h"

#define CHUNK_BYTES  4096u
#define KEPT_BYTES   (64u << 10) /* of a parcel that is used again; a usual message fits, */
#define KEPT_PARCELS 64          /* so the steady path doesn't call malloc */
#define DOWN_BYTES   640         /* why the store can't be used */

/* A message on its way to the store and back. */
struct parcel {
    struct parcel *next; /* in the free list */
    struct front_apply *owner;
    struct grpc_call *call;
    struct arena arena; /* the request, its operations and their answers */
    struct message message;
    struct delivery delivery;
};

struct front_apply {
    struct front_apply_conf conf;
    bool serving; /* the store can be used */
    bool clock_known;
    int64_t clock_ahead_ms;
    struct parcel *free;
    size_t free_count;
    size_t messages; /* at the store */
    size_t bytes;    /* that they hold */
    struct buf out;
};

/* ---- parcels ---- */

static struct parcel *parcel_new(struct front_apply *apply) {
    struct parcel *parcel = calloc(1, sizeof(*parcel));

    if (!parcel)
        return NULL;
    parcel->owner = apply;
    arena_init(&parcel->arena, CHUNK_BYTES,
               apply->conf.message_bytes_max +
                   LANES_OPS_MAX * (sizeof(struct op) + sizeof(struct answer)) + 4 * CHUNK_BYTES);
    return parcel;
}

static void parcel_free(struct parcel *parcel) {
    arena_release(&parcel->arena);
    free(parcel);
}

static struct parcel *take(struct front_apply *apply) {
    struct parcel *parcel = apply->free;

    if (!parcel)
        return parcel_new(apply);
    apply->free = parcel->next;
    apply->free_count--;
    return parcel;
}

static void give(struct front_apply *apply, struct parcel *parcel) {
    if (apply->free_count == KEPT_PARCELS) {
        parcel_free(parcel);
        return;
    }
    arena_reset(&parcel->arena, KEPT_BYTES);
    parcel->next = apply->free;
    apply->free = parcel;
    apply->free_count++;
}

/* ---- ends of a call ---- */

static void fail(struct grpc_call *call, enum err err, bool not_applied, struct slice detail) {
    struct slice pushback = pushback_for(err);

    grpc_add_trailer(call, SLICE(LANES_ERROR_TRAILER), slice_str(err_name(err)));
    if (not_applied)
        grpc_add_trailer(call, SLICE(LANES_NOT_APPLIED_TRAILER), SLICE("1"));
    if (pushback.len)
        grpc_add_trailer(call, SLICE(PUSHBACK_FIELD), pushback);
    grpc_finish(call, (enum grpc_status)err_grpc(err),
                detail.len ? detail : slice_str(err_text(err)));
}

/* Before the store has seen anything of it. */
static void refuse(struct grpc_call *call, enum err err, const char *detail) {
    fail(call, err, true, slice_str(detail));
}

/* Sends what is in apply->out; it could not be written: 'unsent'. */
static void reply(struct front_apply *apply, struct grpc_call *call, enum err unsent) {
    if (buf_failed(&apply->out)) {
        fail(call, unsent, false, (struct slice){NULL, 0});
        return;
    }
    grpc_send(call, buf_slice(&apply->out));
    grpc_finish(call, GRPC_OK, SLICE(""));
}

/* ---- Apply ---- */

void front_apply_delivered(struct front_apply *apply, struct delivery *delivery) {
    struct parcel *parcel = CONTAINER_OF(delivery, struct parcel, delivery);

    apply->messages--;
    apply->bytes -= parcel->arena.held;
    if (delivery->err == ERR_OK) {
        buf_clear(&apply->out);
        lanes_write_answers(&apply->out, delivery->answers, parcel->message.count,
                            delivery->store_now_ms);
        /* Applied, only not told: the same message again gets its answers. */
        reply(apply, parcel->call, ERR_UNKNOWN);
    } else {
        fail(parcel->call, delivery->err, delivery->not_applied, (struct slice){NULL, 0});
    }
    give(apply, parcel);
}

/* A handler's bytes are borrowed, and the store needs them for longer. */
static enum err parcel_fill(struct parcel *parcel, struct slice bytes,
                            struct proto_problem *problem) {
    struct slice copy = arena_copy(&parcel->arena, bytes);

    if (!copy.ptr)
        return ERR_NO_MEMORY;
    enum err err = lanes_read_apply(copy, &parcel->arena, LANES_OPS_MAX, &parcel->message, problem);
    if (err != ERR_OK)
        return err;
    struct answer *answers = arena_alloc(&parcel->arena, parcel->message.count * sizeof(*answers));
    parcel->delivery = (struct delivery){
        .deadline_ms = grpc_deadline_ms(parcel->call),
        .trace = grpc_trace(parcel->call),
        .message = &parcel->message,
        .answers = answers,
        .attempt = 1,
    };
    return answers ? ERR_OK : ERR_NO_MEMORY;
}

static enum err send(struct front_apply *apply, struct parcel *parcel) {
    struct upstream *upstream = apply->conf.upstream;
    size_t bytes = parcel->arena.held;

    if (apply->messages > 0 && (apply->messages >= apply->conf.messages_max ||
                                apply->bytes + bytes > apply->conf.bytes_max))
        return ERR_BUSY;
    enum err err = upstream->send(upstream, &parcel->delivery);
    if (err != ERR_OK)
        return err;
    apply->messages++;
    apply->bytes += bytes;
    return ERR_OK;
}

static void on_apply(void *ctx, struct grpc_call *call, struct slice bytes) {
    struct front_apply *apply = ctx;
    struct proto_problem problem = {""};

    if (grpc_deadline_ms(call) <= loop_now_ms(apply->conf.loop)) {
        refuse(call, ERR_EXPIRED, "the deadline had passed when the message came");
        return;
    }
    struct parcel *parcel = take(apply);
    if (!parcel) {
        refuse(call, ERR_NO_MEMORY, NULL);
        return;
    }
    parcel->call = call;
    enum err err = parcel_fill(parcel, bytes, &problem);
    parcel->delivery.deadline_ms = grpc_deadline_ms(call);
    if (err == ERR_OK)
        err = send(apply, parcel);
    if (err == ERR_OK)
        return;
    refuse(call, err, problem.text);
    give(apply, parcel);
}

/* ---- Hello ---- */

static bool is_message(struct slice bytes) {
    struct proto_scan scan = proto_scan_of(bytes);
    struct proto_field field;

    while (proto_scan_next(&scan, &field))
        ;
    return !scan.bad;
}

static void refuse_hello(struct front_apply *apply, struct grpc_call *call) {
    const struct counter_backend *backend = apply->conf.backend;
    char why[DOWN_BYTES];

    backend->down(backend->ctx, why, sizeof(why));
    refuse(call, ERR_UNAVAILABLE, why);
}

static void on_hello(void *ctx, struct grpc_call *call, struct slice bytes) {
    struct front_apply *apply = ctx;
    const struct counter_backend *backend = apply->conf.backend;
    struct counter_promise promise;
    struct lanes_hello hello = {
        .store_id = backend->store_id(backend->ctx),
        .store_now_ms = loop_now_ms(apply->conf.loop) + apply->clock_ahead_ms,
        .version = slice_str(apply->conf.version),
    };

    if (!is_message(bytes)) {
        refuse(call, ERR_INVALID, "the message is not a valid counter.internal.HelloRequest");
        return;
    }
    if (!apply->serving || !apply->clock_known || hello.store_id == 0) {
        refuse_hello(apply, call);
        return;
    }
    backend->promise(backend->ctx, &promise);
    hello.durability = slice_str(promise.durability);
    hello.guarantee = slice_str(promise.guarantee);
    buf_clear(&apply->out);
    lanes_write_hello(&apply->out, &hello);
    reply(apply, call, ERR_NO_MEMORY);
}

/* ---- composition ---- */

struct front_apply *front_apply_new(const struct front_apply_conf *conf) {
    struct front_apply *apply = calloc(1, sizeof(*apply));

    if (!apply)
        return NULL;
    apply->conf = *conf;
    apply->serving = true;
    apply->clock_known = conf->backend->clock_unknown == ERR_OK;
    apply->clock_ahead_ms = conf->backend->clock_ahead_ms;
    return apply;
}

void front_apply_set_clock(struct front_apply *apply, int64_t clock_ahead_ms) {
    apply->clock_known = true;
    apply->clock_ahead_ms = clock_ahead_ms;
}

void front_apply_set_serving(struct front_apply *apply, bool serving) {
    apply->serving = serving;
}

void front_apply_free(struct front_apply *apply) {
    if (!apply)
        return;
    assert(apply->messages == 0);
    while (apply->free) {
        struct parcel *parcel = apply->free;

        apply->free = parcel->next;
        parcel_free(parcel);
    }
    buf_release(&apply->out);
    free(apply);
}

void front_apply_methods(struct front_apply *apply, struct grpc_method out[FRONT_APPLY_METHODS]) {
    out[0] =
        (struct grpc_method){.path = SLICE(LANES_APPLY_PATH), .handle = on_apply, .ctx = apply};
    out[1] =
        (struct grpc_method){.path = SLICE(LANES_HELLO_PATH), .handle = on_hello, .ctx = apply};
}
