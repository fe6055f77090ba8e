/* lanes_codec.h - the messages between a gateway and a counter: counter.internal.Lanes.
 *
 * Apply carries one producer's numbered message (core/message.h) as it is, so that a gateway's
 * retry has the identity of its first attempt; Hello says whose store this is. Read and written by
 * hand: this is the counting path (DESIGN decision 1). The layout is
 * api/proto/counter/internal/lanes.proto.
 *
 * Threads    Pure functions, any thread.
 * Ownership  What is read of a request points into it; only the array of operations is made in the
 *            arena.
 * Errors     ERR_INVALID with a sentence that names the field, ERR_NO_MEMORY, ERR_TOO_LARGE beyond
 *            max_ops. Outputs are untouched on failure.
 */
#ifndef EDGE_LANES_CODEC_H
#define EDGE_LANES_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/buf.h"
#include "core/message.h"
#include "wire/counter_proto.h"

#define LANES_APPLY_PATH "/counter.internal.Lanes/Apply"
#define LANES_HELLO_PATH "/counter.internal.Lanes/Hello"

/* Trailers of an Apply that ended with another status than OK: the error's name, and "1" when this
 * attempt has surely changed nothing. */
#define LANES_ERROR_TRAILER       "hgp-error"
#define LANES_NOT_APPLIED_TRAILER "hgp-not-applied"

/* What a counter takes in one message: as much as batch.operations may be. */
#define LANES_OPS_MAX 65536u
/* The longest key: a client's, and what a batch's items get behind the batch's. Any bytes but zero,
 * as a header's: a message is refused as a whole, with what others have in it. */
#define LANES_KEY_MAX (255 + 24)

/* What err_name() has written; ERR_INTERNAL for a name that isn't an error's. */
enum err lanes_error_named(struct slice name);

/* ApplyRequest */
void lanes_write_apply(struct buf *out, const struct message *message);
MUST_CHECK enum err lanes_read_apply(struct slice bytes, struct arena *arena, size_t max_ops,
                                     struct message *out, struct proto_problem *problem);

/* ApplyResponse: an answer for every operation of the request, in its order. */
void lanes_write_answers(struct buf *out, const struct answer *answers, size_t count,
                         int64_t store_now_ms);
/* 'count' is the request's: any other number of answers is ERR_INVALID. */
MUST_CHECK enum err lanes_read_answers(struct slice bytes, struct answer *answers, size_t count,
                                       int64_t *out_store_now_ms, struct proto_problem *problem);

/* HelloResponse; HelloRequest is empty. */
struct lanes_hello {
    uint64_t store_id;
    int64_t store_now_ms;    /* the store's clock (core/applier.h) */
    struct slice durability; /* "local": the mode in force */
    struct slice guarantee;  /* a sentence: what that means on this store */
    struct slice version;    /* of the counter service */
};
void lanes_write_hello(struct buf *out, const struct lanes_hello *hello);
MUST_CHECK enum err lanes_read_hello(struct slice bytes, struct lanes_hello *out,
                                     struct proto_problem *problem);

#endif
