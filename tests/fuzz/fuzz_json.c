/* fuzz_json.c - the JSON parser and the body readers against jansson.
 *
 * Any input: both accept it or both reject it, and each reader answers what
 * the contract, said a second time over jansson's tree, says. Known to differ:
 *   - jansson converts numbers while it parses and stops at those past an int64
 *     or a double, and at U+0000 in a name: nothing is compared then;
 *   - jansson overlooks a raw NUL behind a number or a word: ruled out beforehand;
 *   - we stop at JSON_MAX_DEPTH levels, jansson at 2,048;
 *   - we refuse a wrong type in an overridden duplicate, jansson forgets it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "json_oracle.h"
#include "wire/counter_json.h"
#include "wire/json.h"
#include "wire/uri.h"

#define MAX_ITEMS 8
#define ARENA_CAP (16u << 20)

#define CHECK(ok)                                                                                  \
    do {                                                                                           \
        if (!(ok)) {                                                                               \
            (void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #ok);                         \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One input on its way through the checks. */
struct run {
    struct slice body;
    struct oracle *oracle;
    struct arena arena;
    struct json_problem problem;
    bool comparable; /* the oracle accepts it, and it isn't too deep for us */
    bool exact;      /* without duplicates, so both must agree on refusals too */
};

/* ---- what holds for every input, oracle or not ---- */

static void check_id(struct slice id) {
    CHECK(id.len > 0);
    CHECK(!memchr(id.ptr, '\0', id.len));
    CHECK(utf8_valid(id));
}

static void check_item(const struct json_item *item) {
    check_id(item->resource_id);
    check_id(item->counter_type);
    CHECK(item->delta != 0);
    if (item->idempotency_key.ptr) {
        check_id(item->idempotency_key);
        CHECK(item->idempotency_key.len <= 255);
    }
}

/* A refusal has a sentence, and the reply that carries it is JSON. */
static void check_refusal(const struct run *run, enum err err) {
    struct buf out = {0};
    struct json_error error;
    size_t len = strnlen(run->problem.text, sizeof(run->problem.text));

    CHECK(err == ERR_INVALID);
    CHECK(len > 0 && len < sizeof(run->problem.text));
    json_write_error(&out, slice_str(run->problem.text), SLICE("Invalid request format"), false);
    CHECK(json_validate(buf_slice(&out), &error));
    buf_release(&out);
}

/* What was read comes back from a reply, as another parser reads it. */
static void check_reply(const struct json_item *item) {
    struct json_counter counter = {
        .resource_id = item->resource_id, .counter_type = item->counter_type, .value = item->delta};
    struct buf out = {0};

    json_write_increment(&out, &counter);
    struct oracle *oracle = oracle_new(out.ptr, out.len);
    CHECK(oracle_verdict(oracle) == ORACLE_ACCEPTS);
    CHECK(slice_eq(oracle_data_text(oracle, "resource_id"), item->resource_id));
    CHECK(slice_eq(oracle_data_text(oracle, "counter_type"), item->counter_type));
    oracle_free(oracle);
    buf_release(&out);
}

/* ---- against the oracle ---- */

static void check_syntax(struct run *run) {
    struct json_error error;
    bool valid = json_validate(run->body, &error);
    enum oracle_verdict verdict = oracle_verdict(run->oracle);

    if (!valid)
        CHECK(error.what && error.at <= run->body.len);
    if (valid)
        CHECK(verdict != ORACLE_REJECTS);
    if (!valid && verdict == ORACLE_ACCEPTS)
        CHECK(oracle_depth(run->oracle) > JSON_MAX_DEPTH);
    run->comparable = valid && verdict == ORACLE_ACCEPTS;
    run->exact = run->comparable && !oracle_has_duplicates(run->oracle);
}

static void check_same(const struct json_item *ours, const struct oracle_item *theirs) {
    CHECK(slice_eq(ours->resource_id, theirs->resource_id));
    CHECK(slice_eq(ours->counter_type, theirs->counter_type));
    CHECK(slice_eq(ours->idempotency_key, theirs->idempotency_key));
    CHECK(ours->delta == theirs->delta);
}

static void check_increment(struct run *run) {
    struct json_item item;
    struct oracle_item theirs;
    enum err err = json_read_increment(run->body, &run->arena, &item, &run->problem);

    if (err == ERR_OK) {
        check_item(&item);
        check_reply(&item);
    } else {
        check_refusal(run, err);
    }
    if (run->comparable && err == ERR_OK) {
        CHECK(oracle_increment(run->oracle, &theirs));
        check_same(&item, &theirs);
    }
    if (run->exact)
        CHECK(oracle_increment(run->oracle, &theirs) == (err == ERR_OK));
}

static bool batch_is_fine(const struct oracle *oracle) {
    struct oracle_item item;
    size_t count;

    if (!oracle_batch(oracle, &count) || count > MAX_ITEMS)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!oracle_batch_item(oracle, i, &item))
            return false;
    return true;
}

static void check_batch(struct run *run) {
    struct json_item *items;
    struct oracle_item theirs;
    size_t count = 0;
    size_t their_count;
    enum err err =
        json_read_batch_increment(run->body, &run->arena, MAX_ITEMS, &items, &count, &run->problem);

    if (err != ERR_OK)
        check_refusal(run, err);
    CHECK(count <= MAX_ITEMS);
    for (size_t i = 0; i < count; i++)
        check_item(&items[i]);
    if (run->exact)
        CHECK(batch_is_fine(run->oracle) == (err == ERR_OK));
    if (!run->comparable || err != ERR_OK)
        return;
    CHECK(oracle_batch(run->oracle, &their_count) && their_count == count);
    for (size_t i = 0; i < count; i++) {
        CHECK(oracle_batch_item(run->oracle, i, &theirs));
        check_same(&items[i], &theirs);
    }
}

/* Batch get: fine wherever batch increment is, with the same ids. */
static void check_batch_get(struct run *run) {
    struct json_item *full;
    struct json_item *ids;
    size_t full_count;
    size_t count;
    struct json_problem unused;

    if (json_read_batch_increment(run->body, &run->arena, MAX_ITEMS, &full, &full_count, &unused) !=
        ERR_OK)
        return;
    CHECK(json_read_batch_get(run->body, &run->arena, MAX_ITEMS, &ids, &count, &unused) == ERR_OK);
    CHECK(count == full_count);
    for (size_t i = 0; i < count; i++) {
        CHECK(slice_eq(ids[i].resource_id, full[i].resource_id));
        CHECK(ids[i].delta == 1 && !ids[i].idempotency_key.ptr);
    }
}

static void check_value(struct run *run) {
    int64_t value;
    int64_t theirs;
    enum err err = json_read_value(run->body, &run->arena, &value, &run->problem);

    if (err != ERR_OK)
        check_refusal(run, err);
    if (run->comparable && err == ERR_OK)
        CHECK(oracle_value(run->oracle, &theirs) && theirs == value);
    if (run->exact)
        CHECK(oracle_value(run->oracle, &theirs) == (err == ERR_OK));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct run run = {.body = slice_of((const char *)data, size)};

    run.oracle = oracle_new(data, size);
    arena_init(&run.arena, 4096, ARENA_CAP);
    check_syntax(&run);
    check_increment(&run);
    check_batch(&run);
    check_batch_get(&run);
    check_value(&run);
    arena_release(&run.arena);
    oracle_free(run.oracle);
    return 0;
}
