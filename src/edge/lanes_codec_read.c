/* lanes_codec_read.c - counter.internal.Lanes' messages, decoded.
 *
 * A known field with another wire type is refused, not taken for an unknown one as protobuf's
 * readers do: an argument that silently becomes 0 would be applied.
 */
#include <stdio.h>

#include "edge/lanes_codec.h"
#include "edge/lanes_fields.h"
#include "wire/proto_scan.h"
#include "wire/uri.h"

#define NO_INDEX SIZE_MAX

/* ---- problems ---- */

/* Where a problem is said. */
struct place {
    struct proto_problem *problem;
    const char *list; /* "operations", "answers"; NULL: outside of any */
    size_t index;
};

/* "field: sentence", in a list "operations[3].field: sentence". */
static enum err bad_field(const struct place *place, const char *field, const char *sentence) {
    if (place->list)
        (void)snprintf(place->problem->text, sizeof(place->problem->text), "%s[%zu].%s: %s",
                       place->list, place->index, field, sentence);
    else
        (void)snprintf(place->problem->text, sizeof(place->problem->text), "%s: %s", field,
                       sentence);
    return ERR_INVALID;
}

static enum err bad_message(const struct place *place, const char *type) {
    if (place->list)
        (void)snprintf(place->problem->text, sizeof(place->problem->text),
                       "%s[%zu]: not a valid counter.internal.%s", place->list, place->index, type);
    else
        (void)snprintf(place->problem->text, sizeof(place->problem->text),
                       "the message is not a valid counter.internal.%s", type);
    return ERR_INVALID;
}

/* ---- fields ---- */

/* Wire types by field number; what is beyond is unknown to us and skipped. */
struct layout {
    const char *name;
    uint32_t last;
    uint8_t types[6];
};

/* clang-format off */
static const struct layout apply_layout = {"ApplyRequest", APPLY_OPERATIONS, {
    [APPLY_PRODUCER_HI] = PROTO_FIXED64, [APPLY_PRODUCER_LO] = PROTO_FIXED64,
    [APPLY_NUMBER] = PROTO_VARINT, [APPLY_ISSUED] = PROTO_VARINT,
    [APPLY_OPERATIONS] = PROTO_LENGTH}};
static const struct layout operation_layout = {"Operation", OPERATION_KEY, {
    [OPERATION_KIND] = PROTO_VARINT, [OPERATION_ARG] = PROTO_VARINT,
    [OPERATION_ID] = PROTO_LENGTH, [OPERATION_TYPE] = PROTO_LENGTH,
    [OPERATION_KEY] = PROTO_LENGTH}};
static const struct layout response_layout = {"ApplyResponse", RESPONSE_STORE_NOW, {
    [RESPONSE_ANSWERS] = PROTO_LENGTH, [RESPONSE_STORE_NOW] = PROTO_VARINT}};
static const struct layout answer_layout = {"Answer", ANSWER_TIME, {
    [ANSWER_ERROR] = PROTO_LENGTH, [ANSWER_REPLAYED] = PROTO_VARINT,
    [ANSWER_VALUE] = PROTO_VARINT, [ANSWER_TIME] = PROTO_VARINT}};
static const struct layout hello_layout = {"HelloResponse", HELLO_VERSION, {
    [HELLO_STORE_ID] = PROTO_FIXED64, [HELLO_STORE_NOW] = PROTO_VARINT,
    [HELLO_DURABILITY] = PROTO_LENGTH, [HELLO_GUARANTEE] = PROTO_LENGTH,
    [HELLO_VERSION] = PROTO_LENGTH}};
/* clang-format on */

/* The next field that 'layout' knows; false at the end or when 'scan' has gone bad. */
static inline bool next_known(struct proto_scan *scan, const struct layout *layout,
                              struct proto_field *out) {
    while (proto_scan_next(scan, out)) {
        if (UNLIKELY(out->number > layout->last))
            continue;
        scan->bad = out->type != layout->types[out->number];
        return !scan->bad;
    }
    return false;
}

/* No store key may hold it. */
static enum err check_no_nul(const struct place *place, const char *field, struct slice text) {
    if (text.len && memchr(text.ptr, '\0', text.len))
        return bad_field(place, field, "must not contain U+0000");
    return ERR_OK;
}

static enum err check_text(const struct place *place, const char *field, struct slice text) {
    enum err err = check_no_nul(place, field, text);

    if (err == ERR_OK && !utf8_valid(text))
        return bad_field(place, field, "must be valid UTF-8");
    return err;
}

static enum err check_name(const struct place *place, const char *field, struct slice text) {
    if (text.len == 0)
        return bad_field(place, field, "must not be empty");
    return check_text(place, field, text);
}

/* ---- ApplyRequest ---- */

static enum err check_op(const struct place *place, const struct op *op) {
    if (op->kind == OP_ADD && op->arg == 0)
        return bad_field(place, "arg", "must not be 0");
    enum err err = check_name(place, "resource_id", op->resource_id);
    if (err == ERR_OK)
        err = check_name(place, "counter_type", op->counter_type);
    if (err == ERR_OK && op->key.len > LANES_KEY_MAX)
        err = bad_field(place, "key", "must have at most 279 bytes");
    return err == ERR_OK ? check_no_nul(place, "key", op->key) : err;
}

static enum err read_op(const struct place *place, struct slice bytes, struct op *out) {
    struct proto_scan scan = proto_scan_of(bytes);
    struct proto_field field;
    uint64_t kind = 0;

    *out = (struct op){.kind = OP_GET};
    while (next_known(&scan, &operation_layout, &field)) {
        if (field.number == OPERATION_KIND)
            kind = field.value;
        else if (field.number == OPERATION_ARG)
            out->arg = proto_unzigzag(field.value);
        else if (field.number == OPERATION_ID)
            out->resource_id = field.bytes;
        else if (field.number == OPERATION_TYPE)
            out->counter_type = field.bytes;
        else
            out->key = field.bytes.len ? field.bytes : (struct slice){NULL, 0};
    }
    if (scan.bad)
        return bad_message(place, operation_layout.name);
    if (kind < KIND_FIRST + OP_ADD || kind > KIND_FIRST + OP_GET)
        return bad_field(place, "kind", "must be ADD, SET, RESET or GET");
    out->kind = (enum op_kind)(kind - KIND_FIRST);
    return check_op(place, out);
}

/* All but the operations, which are counted. */
static enum err read_head(const struct place *place, struct slice bytes, struct message *out) {
    struct proto_scan scan = proto_scan_of(bytes);
    struct proto_field field;

    while (next_known(&scan, &apply_layout, &field)) {
        if (field.number == APPLY_OPERATIONS)
            out->count++;
        else if (field.number == APPLY_PRODUCER_HI)
            out->producer.hi = field.value;
        else if (field.number == APPLY_PRODUCER_LO)
            out->producer.lo = field.value;
        else if (field.number == APPLY_NUMBER)
            out->number = field.value;
        else
            out->issued_ms = (int64_t)field.value;
    }
    if (scan.bad)
        return bad_message(place, apply_layout.name);
    if (out->producer.hi == 0 && out->producer.lo == 0)
        return bad_field(place, "producer_lo", "producer_hi and producer_lo must not both be 0");
    if (out->number == 0)
        return bad_field(place, "number", "must not be 0");
    if (out->count == 0)
        return bad_field(place, "operations", "must not be empty");
    return ERR_OK;
}

static enum err read_ops(struct proto_problem *problem, struct slice bytes, struct op *out) {
    struct place place = {problem, "operations", 0};
    struct proto_scan scan = proto_scan_of(bytes);
    struct proto_field field;
    enum err err = ERR_OK;

    while (err == ERR_OK && next_known(&scan, &apply_layout, &field)) {
        if (field.number != APPLY_OPERATIONS)
            continue;
        err = read_op(&place, field.bytes, &out[place.index]);
        place.index++;
    }
    return err;
}

enum err lanes_read_apply(struct slice bytes, struct arena *arena, size_t max_ops,
                          struct message *out, struct proto_problem *problem) {
    struct place place = {problem, NULL, NO_INDEX};
    struct message message = {.number = 0};
    enum err err = read_head(&place, bytes, &message);

    if (err != ERR_OK)
        return err;
    if (message.count > max_ops) {
        (void)snprintf(problem->text, sizeof(problem->text),
                       "operations: must be at most %zu, found %zu", max_ops, message.count);
        return ERR_TOO_LARGE;
    }
    struct op *ops = arena_alloc(arena, message.count * sizeof(*ops));
    if (!ops) {
        (void)snprintf(problem->text, sizeof(problem->text),
                       "the message needs more memory than one request may use");
        return ERR_NO_MEMORY;
    }
    err = read_ops(problem, bytes, ops);
    if (err != ERR_OK)
        return err;
    message.ops = ops;
    *out = message;
    return ERR_OK;
}

/* ---- ApplyResponse ---- */

enum err lanes_error_named(struct slice name) {
    static const struct slice names[ERR_COUNT] = {
#define ERR(name, http, grpc, retryable, sentence) {#name, sizeof(#name) - 1},
#include "base/err.def"
#undef ERR
    };

    for (unsigned i = ERR_OK + 1; i < ERR_COUNT; i++)
        if (slice_eq(names[i], name))
            return (enum err)i;
    return ERR_INTERNAL; /* a newer counter's: refused for a reason that we don't know */
}

static enum err read_error(const struct place *place, struct slice name, enum err *out) {
    *out = lanes_error_named(name);
    return *out == ERR_INTERNAL ? check_text(place, "error", name) : ERR_OK;
}

static enum err read_answer(const struct place *place, struct slice bytes, struct answer *out) {
    struct proto_scan scan = proto_scan_of(bytes);
    struct slice error = {NULL, 0};
    struct proto_field field;

    *out = (struct answer){.err = ERR_OK};
    while (next_known(&scan, &answer_layout, &field)) {
        if (field.number == ANSWER_VALUE)
            out->value = proto_unzigzag(field.value);
        else if (field.number == ANSWER_TIME)
            out->time_ms = (int64_t)field.value;
        else if (field.number == ANSWER_REPLAYED)
            out->replayed = field.value != 0;
        else
            error = field.bytes;
    }
    if (scan.bad)
        return bad_message(place, answer_layout.name);
    return error.len ? read_error(place, error, &out->err) : ERR_OK;
}

/* Into 'answers' or, when that is NULL, only to see that each reads and how many there are. */
static enum err scan_answers(struct proto_problem *problem, struct slice bytes,
                             struct answer *answers, size_t *out_count, int64_t *out_now_ms) {
    struct place place = {problem, "answers", 0};
    struct proto_scan scan = proto_scan_of(bytes);
    struct proto_field field;
    struct answer only_looked_at;
    enum err err = ERR_OK;

    *out_now_ms = 0;
    while (err == ERR_OK && next_known(&scan, &response_layout, &field)) {
        if (field.number == RESPONSE_STORE_NOW) {
            *out_now_ms = (int64_t)field.value;
            continue;
        }
        err = read_answer(&place, field.bytes, answers ? &answers[place.index] : &only_looked_at);
        place.index++;
    }
    *out_count = place.index;
    place.list = NULL;
    return scan.bad ? bad_message(&place, response_layout.name) : err;
}

enum err lanes_read_answers(struct slice bytes, struct answer *answers, size_t count,
                            int64_t *out_store_now_ms, struct proto_problem *problem) {
    int64_t now_ms;
    size_t found;
    enum err err = scan_answers(problem, bytes, NULL, &found, &now_ms);

    if (err != ERR_OK)
        return err;
    if (found != count) {
        (void)snprintf(problem->text, sizeof(problem->text),
                       "answers: there are %zu for %zu operations", found, count);
        return ERR_INVALID;
    }
    err = scan_answers(problem, bytes, answers, &found, out_store_now_ms);
    return err;
}

/* ---- HelloResponse ---- */

static enum err check_hello(const struct place *place, const struct lanes_hello *hello) {
    if (hello->store_id == 0)
        return bad_field(place, "store_id", "must not be 0");
    enum err err = check_text(place, "durability", hello->durability);
    if (err == ERR_OK)
        err = check_text(place, "guarantee", hello->guarantee);
    return err == ERR_OK ? check_text(place, "version", hello->version) : err;
}

enum err lanes_read_hello(struct slice bytes, struct lanes_hello *out,
                          struct proto_problem *problem) {
    struct place place = {problem, NULL, NO_INDEX};
    struct proto_scan scan = proto_scan_of(bytes);
    struct lanes_hello hello = {.store_id = 0};
    struct proto_field field = {.number = 0};

    while (next_known(&scan, &hello_layout, &field)) {
        if (field.number == HELLO_STORE_ID)
            hello.store_id = field.value;
        else if (field.number == HELLO_STORE_NOW)
            hello.store_now_ms = (int64_t)field.value;
        else if (field.number == HELLO_DURABILITY)
            hello.durability = field.bytes;
        else if (field.number == HELLO_GUARANTEE)
            hello.guarantee = field.bytes;
        else
            hello.version = field.bytes;
    }
    if (scan.bad)
        return bad_message(&place, hello_layout.name);
    enum err err = check_hello(&place, &hello);
    if (err == ERR_OK)
        *out = hello;
    return err;
}
