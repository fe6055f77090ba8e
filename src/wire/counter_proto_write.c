/* counter_proto_write.c - response messages, encoded by hand.
 *
 * Every response has the same few fields, so packing them is a handful of puts;
 * protobuf-c would want a generated struct filled first. The unit test compares
 * with what protobuf-c packs, byte for byte.
 */
#include "wire/counter_proto.h"
#include "wire/proto_write.h"

/* IncrementResponse and IncrementResult; the first three and the names are
 * GetCounterResponse's too, and its updated_at is our timestamp. */
enum {
    SUCCESS = 1,
    CURRENT_VALUE = 2,
    MESSAGE = 3,
    RESOURCE_ID = 4,
    COUNTER_TYPE = 5,
    TIMESTAMP = 6,
    REPLAYED = 7, /* of a change; of a read: stale, */
    AS_OF = 8,    /* and as_of */
    CODE = 8,
};

/* Of BatchGetResponse and BatchIncrementResponse. */
enum { ELEMENTS = 1 };

/* ---- a counter that has an answer ---- */

static size_t done_size(const struct proto_counter *counter) {
    return proto_number_size(1) + proto_number_size(counter->value) +
           proto_text_size(counter->resource_id) + proto_text_size(counter->counter_type) +
           proto_number_size(counter->time_s) + proto_number_size(counter->replayed) +
           proto_number_size(counter->as_of_s);
}

static char *put_done(char *p, const struct proto_counter *counter) {
    p = proto_put_number(p, SUCCESS, 1);
    p = proto_put_number(p, CURRENT_VALUE, counter->value);
    p = proto_put_text(p, RESOURCE_ID, counter->resource_id);
    p = proto_put_text(p, COUNTER_TYPE, counter->counter_type);
    p = proto_put_number(p, TIMESTAMP, counter->time_s);
    p = proto_put_number(p, REPLAYED, counter->replayed);
    return proto_put_number(p, AS_OF, counter->as_of_s);
}

/* ---- an item that failed ---- */

static size_t failed_size(const struct proto_counter *counter) {
    return proto_text_size(slice_str(err_text(counter->err))) +
           proto_text_size(counter->resource_id) + proto_text_size(counter->counter_type) +
           proto_number_size(err_grpc(counter->err));
}

static char *put_failed(char *p, const struct proto_counter *counter) {
    p = proto_put_text(p, MESSAGE, slice_str(err_text(counter->err)));
    p = proto_put_text(p, RESOURCE_ID, counter->resource_id);
    p = proto_put_text(p, COUNTER_TYPE, counter->counter_type);
    return proto_put_number(p, CODE, err_grpc(counter->err));
}

/* ---- messages ---- */

static char *begin(struct buf *out, size_t room) {
    return buf_reserve(out, room) ? out->ptr + out->len : NULL;
}

static void end(struct buf *out, const char *p) {
    out->len = (size_t)(p - out->ptr);
}

void proto_write_increment(struct buf *out, const struct proto_counter *counter) {
    char *p = begin(out, done_size(counter));

    if (p)
        end(out, put_done(p, counter));
}

void proto_write_get(struct buf *out, const struct proto_counter *counter) {
    struct proto_counter read = *counter;

    read.replayed = false; /* a field that GetCounterResponse doesn't have */
    proto_write_increment(out, &read);
}

static bool write_element(struct buf *out, const struct proto_counter *counter) {
    bool done = counter->err == ERR_OK;
    size_t size = done ? done_size(counter) : failed_size(counter);
    char *p = begin(out, proto_message_size(size));

    if (!p)
        return false;
    p = proto_put_message(p, ELEMENTS, size);
    end(out, done ? put_done(p, counter) : put_failed(p, counter));
    return true;
}

void proto_write_batch_get(struct buf *out, const struct proto_counter *counters, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct proto_counter read = counters[i];

        read.replayed = false;
        read.err = ERR_OK;
        if (!write_element(out, &read))
            return;
    }
}

void proto_write_watch(struct buf *out, const struct proto_counter *counter) {
    struct proto_counter read = *counter;

    read.err = ERR_OK;
    read.replayed = counter->stale;
    (void)write_element(out, &read);
}

void proto_write_batch_increment(struct buf *out, const struct proto_counter *counters,
                                 size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!write_element(out, &counters[i]))
            return;
}
