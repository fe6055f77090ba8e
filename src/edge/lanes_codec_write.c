/* lanes_codec_write.c - counter.internal.Lanes' messages, encoded. */
#include "edge/lanes_codec.h"
#include "edge/lanes_fields.h"
#include "wire/proto_write.h"

/* Nothing but defaults takes no room, and is still not a failure. */
static char *begin(struct buf *out, size_t room) {
    return buf_reserve(out, room ? room : 1) ? out->ptr + out->len : NULL;
}

static void end(struct buf *out, const char *p) {
    out->len = (size_t)(p - out->ptr);
}

/* ---- ApplyRequest ---- */

static bool write_head(struct buf *out, const struct message *message) {
    char *p = begin(out, proto_fixed64_size(message->producer.hi) +
                             proto_fixed64_size(message->producer.lo) +
                             proto_number_size((int64_t)message->number) +
                             proto_number_size(message->issued_ms));

    if (!p)
        return false;
    p = proto_put_fixed64(p, APPLY_PRODUCER_HI, message->producer.hi);
    p = proto_put_fixed64(p, APPLY_PRODUCER_LO, message->producer.lo);
    p = proto_put_number(p, APPLY_NUMBER, (int64_t)message->number);
    end(out, proto_put_number(p, APPLY_ISSUED, message->issued_ms));
    return true;
}

static size_t op_size(const struct op *op) {
    return proto_number_size((int64_t)op->kind + KIND_FIRST) +
           proto_number_size(proto_zigzag(op->arg)) + proto_text_size(op->resource_id) +
           proto_text_size(op->counter_type) + proto_text_size(op->key);
}

static bool write_op(struct buf *out, const struct op *op) {
    size_t size = op_size(op);
    char *p = begin(out, proto_message_size(size));

    if (!p)
        return false;
    p = proto_put_message(p, APPLY_OPERATIONS, size);
    p = proto_put_number(p, OPERATION_KIND, (int64_t)op->kind + KIND_FIRST);
    p = proto_put_number(p, OPERATION_ARG, proto_zigzag(op->arg));
    p = proto_put_text(p, OPERATION_ID, op->resource_id);
    p = proto_put_text(p, OPERATION_TYPE, op->counter_type);
    end(out, proto_put_text(p, OPERATION_KEY, op->key));
    return true;
}

void lanes_write_apply(struct buf *out, const struct message *message) {
    bool fits = write_head(out, message);

    for (size_t i = 0; fits && i < message->count; i++)
        fits = write_op(out, &message->ops[i]);
}

/* ---- ApplyResponse ---- */

static bool write_answer(struct buf *out, const struct answer *answer) {
    struct slice error =
        answer->err == ERR_OK ? (struct slice){NULL, 0} : slice_str(err_name(answer->err));
    size_t size = proto_text_size(error) + proto_number_size(answer->replayed) +
                  proto_number_size(proto_zigzag(answer->value)) +
                  proto_number_size(answer->time_ms);
    char *p = begin(out, proto_message_size(size));

    if (!p)
        return false;
    p = proto_put_message(p, RESPONSE_ANSWERS, size);
    p = proto_put_text(p, ANSWER_ERROR, error);
    p = proto_put_number(p, ANSWER_REPLAYED, answer->replayed);
    p = proto_put_number(p, ANSWER_VALUE, proto_zigzag(answer->value));
    end(out, proto_put_number(p, ANSWER_TIME, answer->time_ms));
    return true;
}

void lanes_write_answers(struct buf *out, const struct answer *answers, size_t count,
                         int64_t store_now_ms) {
    for (size_t i = 0; i < count; i++)
        if (!write_answer(out, &answers[i]))
            return;
    char *p = begin(out, proto_number_size(store_now_ms));
    if (p)
        end(out, proto_put_number(p, RESPONSE_STORE_NOW, store_now_ms));
}

/* ---- HelloResponse ---- */

void lanes_write_hello(struct buf *out, const struct lanes_hello *hello) {
    char *p =
        begin(out, proto_fixed64_size(hello->store_id) + proto_number_size(hello->store_now_ms) +
                       proto_text_size(hello->durability) + proto_text_size(hello->guarantee) +
                       proto_text_size(hello->version));

    if (!p)
        return;
    p = proto_put_fixed64(p, HELLO_STORE_ID, hello->store_id);
    p = proto_put_number(p, HELLO_STORE_NOW, hello->store_now_ms);
    p = proto_put_text(p, HELLO_DURABILITY, hello->durability);
    p = proto_put_text(p, HELLO_GUARANTEE, hello->guarantee);
    end(out, proto_put_text(p, HELLO_VERSION, hello->version));
}
