/* fuzz_lanes.c - any bytes as any message of counter.internal.Lanes.
 *
 * What is read keeps the rules of lanes_codec.h, and what is written from it reads the same.
 */
#include <stdio.h>
#include <stdlib.h>

#include "edge/lanes_codec.h"
#include "wire/uri.h"

#define OPS_MAX     8
#define ANSWERS_MAX 4
#define ARENA_CAP   (1u << 20)

#define CHECK(ok)                                                                                  \
    do {                                                                                           \
        if (!(ok)) {                                                                               \
            (void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #ok);                         \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_refusal(const struct proto_problem *problem, enum err err) {
    size_t len = strnlen(problem->text, sizeof(problem->text));

    CHECK(err == ERR_INVALID || err == ERR_TOO_LARGE);
    CHECK(len > 0 && len < sizeof(problem->text));
}

/* ---- ApplyRequest ---- */

static void check_name(struct slice name) {
    CHECK(name.len > 0);
    CHECK(!memchr(name.ptr, '\0', name.len));
    CHECK(utf8_valid(name));
}

static void check_op(const struct op *op) {
    CHECK(op->kind == OP_ADD || op->kind == OP_SET || op->kind == OP_RESET || op->kind == OP_GET);
    CHECK(op->kind != OP_ADD || op->arg != 0);
    check_name(op->resource_id);
    check_name(op->counter_type);
    CHECK(!op->key.ptr == (op->key.len == 0));
    if (op->key.ptr) {
        CHECK(!memchr(op->key.ptr, '\0', op->key.len));
        CHECK(op->key.len <= LANES_KEY_MAX);
    }
}

static void check_message(const struct message *message) {
    CHECK(message->producer.hi || message->producer.lo);
    CHECK(message->number > 0);
    CHECK(message->count > 0 && message->count <= OPS_MAX);
    for (size_t i = 0; i < message->count; i++)
        check_op(&message->ops[i]);
}

static void check_same(const struct message *a, const struct message *b) {
    CHECK(a->producer.hi == b->producer.hi && a->producer.lo == b->producer.lo);
    CHECK(a->number == b->number && a->issued_ms == b->issued_ms && a->count == b->count);
    for (size_t i = 0; i < a->count; i++) {
        CHECK(a->ops[i].kind == b->ops[i].kind && a->ops[i].arg == b->ops[i].arg);
        CHECK(slice_eq(a->ops[i].resource_id, b->ops[i].resource_id));
        CHECK(slice_eq(a->ops[i].counter_type, b->ops[i].counter_type));
        CHECK(slice_eq(a->ops[i].key, b->ops[i].key));
    }
}

static void check_apply(struct slice bytes) {
    struct proto_problem problem = {""};
    struct message message, again;
    struct buf out = {0};
    struct arena arena;

    arena_init(&arena, 4096, ARENA_CAP);
    enum err err = lanes_read_apply(bytes, &arena, OPS_MAX, &message, &problem);
    if (err == ERR_OK) {
        check_message(&message);
        lanes_write_apply(&out, &message);
        CHECK(lanes_read_apply(buf_slice(&out), &arena, OPS_MAX, &again, &problem) == ERR_OK);
        check_same(&message, &again);
    } else {
        check_refusal(&problem, err);
    }
    arena_release(&arena);
    buf_release(&out);
}

/* ---- ApplyResponse ---- */

static void check_answers(struct slice bytes, size_t count) {
    struct answer answers[ANSWERS_MAX], again[ANSWERS_MAX];
    struct proto_problem problem = {""};
    int64_t now_ms = 0, again_ms = 0;
    struct buf out = {0};
    enum err err = lanes_read_answers(bytes, answers, count, &now_ms, &problem);

    if (err != ERR_OK) {
        check_refusal(&problem, err);
        return;
    }
    lanes_write_answers(&out, answers, count, now_ms);
    CHECK(lanes_read_answers(buf_slice(&out), again, count, &again_ms, &problem) == ERR_OK);
    CHECK(again_ms == now_ms);
    for (size_t i = 0; i < count; i++) {
        CHECK(answers[i].err < ERR_COUNT && answers[i].err == again[i].err);
        CHECK(answers[i].value == again[i].value && answers[i].time_ms == again[i].time_ms);
        CHECK(answers[i].replayed == again[i].replayed);
    }
    buf_release(&out);
}

/* ---- HelloResponse ---- */

static void check_hello(struct slice bytes) {
    struct proto_problem problem = {""};
    struct lanes_hello hello, again;
    struct buf out = {0};
    enum err err = lanes_read_hello(bytes, &hello, &problem);

    if (err != ERR_OK) {
        check_refusal(&problem, err);
        return;
    }
    CHECK(hello.store_id != 0 && utf8_valid(hello.durability));
    CHECK(utf8_valid(hello.guarantee) && utf8_valid(hello.version));
    lanes_write_hello(&out, &hello);
    CHECK(lanes_read_hello(buf_slice(&out), &again, &problem) == ERR_OK);
    CHECK(hello.store_id == again.store_id && hello.store_now_ms == again.store_now_ms);
    CHECK(slice_eq(hello.durability, again.durability));
    CHECK(slice_eq(hello.guarantee, again.guarantee) && slice_eq(hello.version, again.version));
    buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice bytes = slice_of((const char *)data, size);

    check_apply(bytes);
    for (size_t count = 0; count <= ANSWERS_MAX; count++)
        check_answers(bytes, count);
    check_hello(bytes);
    return 0;
}
