/* core_fixture.h - a simulated store with an applier on it, and one-line messages. */
#ifndef TESTS_UNIT_CORE_FIXTURE_H
#define TESTS_UNIT_CORE_FIXTURE_H

#include <inttypes.h>
#include <stdio.h>

#include "core/applier.h"
#include "core/inspect.h"
#include "sim_kv.h"
#include "test.h"

#define OPS_MAX 256

struct fixture {
    struct sim_kv *sim;
    struct applier *applier;
    struct applier_conf conf;
    int64_t now_ms;        /* monotonic */
    int64_t wall_ahead_ms; /* the wall clock minus that */
    struct answer answers[OPS_MAX];
};

static const struct producer_id producer_a UNUSED = {1, 2};
static const struct producer_id producer_b UNUSED = {3, 4};

static inline struct op op_on(enum op_kind kind, const char *id, int64_t arg, const char *key) {
    return (struct op){kind, arg, slice_str(id), SLICE("like"), slice_str(key)};
}

static inline struct applier_time fixture_time(const struct fixture *f) {
    return (struct applier_time){f->now_ms, f->now_ms + f->wall_ahead_ms};
}

/* What a producer that knows the store's clock issues by. */
static inline int64_t fixture_clock(const struct fixture *f) {
    return f->now_ms + applier_ahead_ms(f->applier);
}

static inline void fixture_open(struct fixture *f) {
    const char *detail;
    enum err err =
        applier_open(sim_kv_base(f->sim), &f->conf, fixture_time(f), &f->applier, &detail);

    if (err != ERR_OK)
        fail_msg("open: %s (%s)", err_name(err), detail);
}

static inline void fixture_init(struct fixture *f, uint32_t lanes) {
    *f = (struct fixture){.sim = sim_kv_new(), .now_ms = 1000000};
    f->conf = (struct applier_conf){.lanes = lanes,
                                    .key_ttl_ms = 3600000,
                                    .outbox_max_bytes = 1 << 30,
                                    .outbox_max_age_ms = 86400000,
                                    .cache_counters = 1000,
                                    .coalesce = true,
                                    .hash_seed = {11, 22}};
    fixture_open(f);
}

static inline void fixture_release(struct fixture *f) {
    applier_close(f->applier);
    sim_kv_free(f->sim);
}

static inline void fixture_reopen(struct fixture *f) {
    applier_close(f->applier);
    sim_kv_kill(f->sim);
    fixture_open(f);
}

/* Applies without a commit; answers are in f->answers. */
static inline void fixture_apply(struct fixture *f, struct producer_id producer, uint64_t number,
                                 const struct op *ops, size_t count) {
    struct message message = {producer, number, fixture_clock(f), ops, count};

    assert_true(count <= OPS_MAX);
    assert_int_equal(applier_apply(f->applier, &message, fixture_time(f), f->answers), ERR_OK);
}

static inline void fixture_commit(struct fixture *f) {
    assert_int_equal(applier_commit(f->applier, true), ERR_OK);
}

/* One operation in a message and a group of its own. */
static inline struct answer fixture_one(struct fixture *f, uint64_t number, struct op op) {
    fixture_apply(f, producer_a, number, &op, 1);
    fixture_commit(f);
    return f->answers[0];
}

static inline void assert_answer(struct answer got, enum err err, bool replayed, int64_t value) {
    assert_string_equal(err_name(got.err), err_name(err));
    assert_int_equal(got.replayed, replayed);
    assert_true(got.value == value);
}

#endif
