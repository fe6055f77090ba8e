/* test_front_values.c - the values of all counters by pages, of a real store, for calls that the
 * test makes.
 *
 * The test's thread is the loop's.
 */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "counter/feed.h"
#include "counter/front_values.h"
#include "edge/rocks_kv.h"
#include "edge/values_codec.h"
#include "fake_grpc.h"
#include "loop/mailbox.h"
#include "test.h"

#define COUNTERS 900 /* more than one page of such names */
#define NAME     "%04u-of-a-name-that-is-as-long-as-it-takes-to-have-more-than-one-page-of-so-few"
#define BATCH    45

struct fixture {
    char dir[64];
    struct rocks_kv *rocks;
    struct metrics *metrics;
    struct counter_service *service;
    struct counter_port *port;
    struct loop *loop;
    struct front_values *values;
    struct grpc_method method;
    enum durability durability;
    uint64_t number;
    unsigned settled;
    struct buf items;
};

static void on_failed(void *ctx) {
    (void)ctx;
    abort();
}

/* What the tests wait for comes by mail to the loop. */
static void on_delivered(void *ctx, struct delivery *delivery) {
    (void)delivery;
    loop_stop(((struct fixture *)ctx)->loop);
}

static void on_settled(void *ctx) {
    struct fixture *f = ctx;

    f->settled++;
    loop_stop(f->loop);
}

static void start(struct fixture *f) {
    static const struct rocks_kv_conf rocks_conf = {1 << 20, 1 << 20};
    struct counter_conf conf = {
        .applier = {.lanes = 1,
                    .key_ttl_ms = 3600000,
                    .outbox_max_bytes = 1 << 30,
                    .outbox_max_age_ms = 86400000,
                    .cache_counters = 1000,
                    .hash_seed = {11, 22}},
        .durability = f->durability,
        .metrics = f->metrics,
        .on_failed = on_failed,
    };
    const char *detail = "";

    if (rocks_kv_open(f->dir, &rocks_conf, &f->rocks, &detail) != ERR_OK)
        fail_msg("%s", detail);
    conf.kv = rocks_kv_view(f->rocks);
    conf.scanner = rocks_kv_scanner(f->rocks);
    if (counter_start(&conf, &f->service, &detail) != ERR_OK)
        fail_msg("%s", detail);
    f->port = counter_port_new(f->service, loop_mailbox(f->loop), on_delivered, f);
    f->values = front_values_new(f->loop, f->service, f->dir, on_settled, f);
    assert_true(f->port && f->values);
    front_values_method(f->values, &f->method);
}

static void stop(struct fixture *f) {
    front_values_free(f->values);
    counter_stop(f->service);
    counter_port_free(f->port);
    rocks_kv_close(f->rocks);
}

static int up(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));

    snprintf(f->dir, sizeof(f->dir), "/tmp/hgp-values-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->metrics = metrics_new(1);
    f->durability = DURABILITY_LOCAL;
    assert_int_equal(loop_new(&(struct loop_conf){.backend = LOOP_EPOLL}, &f->loop), ERR_OK);
    start(f);
    *state = f;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int down(void **state) {
    struct fixture *f = *state;

    stop(f);
    loop_free(f->loop);
    metrics_free(f->metrics);
    nftw(f->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    buf_release(&f->items);
    free(f);
    return 0;
}

static void restart(struct fixture *f) {
    stop(f);
    start(f);
}

/* Each of these counters gets as much; waits for the answers. */
static void add(struct fixture *f, unsigned first, unsigned count, int64_t delta) {
    static const struct producer_id producer = {1, 2};
    char names[BATCH][128];
    struct op ops[BATCH];
    struct answer answers[BATCH];

    assert_true(count <= BATCH);
    for (unsigned i = 0; i < count; i++) {
        snprintf(names[i], sizeof(names[i]), NAME, first + i);
        ops[i] = (struct op){OP_ADD, delta, slice_str(names[i]), SLICE("like"), {NULL, 0}};
    }
    struct message message = {producer, ++f->number,
                              clock_mono_ms() + counter_clock_ahead_ms(f->service), ops, count};
    struct delivery delivery = {.message = &message, .answers = answers};
    struct upstream *upstream = counter_port_upstream(f->port);

    assert_int_equal(upstream->send(upstream, &delivery), ERR_OK);
    assert_int_equal(loop_run(f->loop), ERR_OK);
    assert_int_equal(delivery.err, ERR_OK);
    assert_int_equal(answers[0].err, ERR_OK);
}

static void add_all(struct fixture *f) {
    for (unsigned i = 0; i < COUNTERS; i += BATCH)
        add(f, i, BATCH, 1);
}

/* ---- calls ---- */

static struct grpc_call *send(struct fixture *f, const struct values_ask *ask) {
    struct grpc_call *call = fake_call_new(4096);
    struct buf bytes = {0};

    values_write_ask(&bytes, ask);
    fake_call_message(&f->method, call, buf_slice(&bytes));
    buf_release(&bytes);
    return call;
}

/* Its answer; 'f->items' and the call have the values until the next one. */
static struct grpc_call *page_of(struct fixture *f, const struct values_ask *ask,
                                 struct values_page *out) {
    struct grpc_call *call = send(f, ask);

    assert_int_equal(fake_status(call), -1); /* never inside */
    assert_int_equal(loop_run(f->loop), ERR_OK);
    assert_int_equal(fake_status(call), GRPC_OK);
    assert_int_equal(fake_sent_count(call), 1);
    assert_int_equal(values_read_page(fake_sent(call, 0), &f->items, out), ERR_OK);
    return call;
}

static const struct values_item *item(const struct fixture *f, size_t i) {
    return (const struct values_item *)(const void *)f->items.ptr + i;
}

static void test_pages_of_one_moment(void **state) {
    struct fixture *f = *state;
    struct values_ask ask = {.walk = 7};
    struct values_page page = {0};
    char id[128] = "";
    unsigned seen = 0;
    unsigned pages = 0;

    add_all(f);
    while (!page.complete) {
        struct grpc_call *call = page_of(f, &ask, &page);

        assert_true(page.store_id == counter_store_id(f->service));
        assert_true(page.start == counter_start_id(f->service));
        for (size_t i = 0; i < page.count; i++, seen++) {
            char want[128];

            snprintf(want, sizeof(want), NAME, seen);
            assert_true(slice_eq(item(f, i)->resource_id, slice_str(want)));
            assert_true(slice_eq(item(f, i)->counter_type, SLICE("like")));
            assert_int_equal(item(f, i)->value, 1);
            snprintf(id, sizeof(id), "%s", want);
        }
        ask.resource_id = slice_str(id);
        ask.counter_type = SLICE("like");
        fake_call_free(call);
        add(f, COUNTERS - BATCH, BATCH, 1); /* behind the moment of the walk */
        pages++;
    }
    assert_int_equal(seen, COUNTERS);
    assert_true(pages > 1 && f->settled == pages && front_values_idle(f->values));
}

static void test_another_walk_looks_anew(void **state) {
    struct fixture *f = *state;
    struct values_page page;

    add_all(f);
    for (unsigned n = 1; n <= 3; n++) {
        struct grpc_call *call = page_of(f, &(struct values_ask){.walk = n}, &page);

        assert_false(page.complete); /* its look is kept */
        assert_int_equal(item(f, 0)->value, n);
        fake_call_free(call);
        add(f, 0, 1, 1);
    }
}

static void test_a_walk_goes_on_behind_a_restart(void **state) {
    struct fixture *f = *state;
    struct values_page first;
    struct values_page second;
    char id[128];

    add_all(f);
    struct grpc_call *call = page_of(f, &(struct values_ask){.walk = 7}, &first);
    fake_call_free(call);
    restart(f);
    snprintf(id, sizeof(id), NAME, COUNTERS - 2);
    struct values_ask rest = {7, slice_str(id), SLICE("like")};
    call = page_of(f, &rest, &second);
    assert_true(first.store_id == second.store_id && first.start != second.start);
    assert_true(second.complete && second.count == 1);
    fake_call_free(call);
}

/* Nothing there is complete, too. */
static void test_no_counters(void **state) {
    struct fixture *f = *state;
    struct values_page page;
    struct grpc_call *call = page_of(f, &(struct values_ask){.walk = 1}, &page);

    assert_true(page.complete && page.count == 0);
    fake_call_free(call);
}

/* What was read is on disk with the last page: in mode fast that comes a second later by itself. */
static void test_the_last_page_is_on_disk(void **state) {
    struct fixture *f = *state;
    struct values_page page;
    struct counter_feed *feed;

    f->durability = DURABILITY_FAST;
    restart(f);
    feed = counter_feed_new(f->service, "test", loop_mailbox(f->loop));
    assert_non_null(feed);
    add(f, 0, 1, 1); /* the first since the start: its second begins now */
    struct grpc_call *call = page_of(f, &(struct values_ask){.walk = 1}, &page);
    assert_true(page.complete && page.count == 1);
    assert_int_equal(feed_end(counter_feed_base(feed), 0).seq, 1);
    counter_feed_free(feed);
    fake_call_free(call);
}

static void test_one_page_at_a_time(void **state) {
    struct fixture *f = *state;

    struct grpc_call *first = send(f, &(struct values_ask){.walk = 1});
    struct grpc_call *second = send(f, &(struct values_ask){.walk = 2});
    assert_int_equal(fake_status(second), GRPC_RESOURCE_EXHAUSTED);
    assert_false(front_values_idle(f->values));
    assert_int_equal(loop_run(f->loop), ERR_OK);
    assert_int_equal(fake_status(first), GRPC_OK);
    fake_call_free(first);
    fake_call_free(second);
}

/* A drain waits for the page all the same. */
static void test_a_call_that_has_gone(void **state) {
    struct fixture *f = *state;
    struct grpc_call *call = send(f, &(struct values_ask){.walk = 1});

    fake_call_cancel(&f->method, call);
    assert_int_equal(fake_status(call), GRPC_CANCELLED);
    assert_false(front_values_idle(f->values));
    assert_int_equal(loop_run(f->loop), ERR_OK);
    assert_true(front_values_idle(f->values) && f->settled == 1);
    assert_int_equal(fake_sent_count(call), 0);
    fake_call_free(call);
}

static void test_a_folder_that_cannot_be_read(void **state) {
    struct fixture *f = *state;
    struct grpc_call *call = fake_call_new(4096);
    struct grpc_method method;
    struct front_values *values =
        front_values_new(f->loop, f->service, "/tmp/hgp-values-none", on_settled, f);

    assert_non_null(values);
    front_values_method(values, &method);
    fake_call_message(&method, call, SLICE(""));
    assert_int_equal(loop_run(f->loop), ERR_OK);
    assert_true(fake_status(call) > GRPC_OK && fake_sent_count(call) == 0);
    front_values_free(values);
    fake_call_free(call);
}

static void test_refusals(void **state) {
    struct fixture *f = *state;
    struct grpc_call *call = fake_call_new(4096);
    struct grpc_method method;
    struct front_values *none = front_values_new(f->loop, NULL, "", on_settled, f);

    fake_call_message(&f->method, call, SLICE("\xff"));
    assert_int_equal(fake_status(call), GRPC_INVALID_ARGUMENT);
    fake_call_free(call);
    call = send(f, &(struct values_ask){1, SLICE("a"), SLICE("")});
    assert_int_equal(fake_status(call), GRPC_INVALID_ARGUMENT);
    fake_call_free(call);
    assert_non_null(none);
    front_values_method(none, &method);
    call = fake_call_new(4096);
    fake_call_message(&method, call, SLICE(""));
    assert_int_equal(fake_status(call), GRPC_UNIMPLEMENTED);
    front_values_free(none);
    fake_call_free(call);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pages_of_one_moment, up, down),
        cmocka_unit_test_setup_teardown(test_another_walk_looks_anew, up, down),
        cmocka_unit_test_setup_teardown(test_a_walk_goes_on_behind_a_restart, up, down),
        cmocka_unit_test_setup_teardown(test_no_counters, up, down),
        cmocka_unit_test_setup_teardown(test_the_last_page_is_on_disk, up, down),
        cmocka_unit_test_setup_teardown(test_one_page_at_a_time, up, down),
        cmocka_unit_test_setup_teardown(test_a_call_that_has_gone, up, down),
        cmocka_unit_test_setup_teardown(test_a_folder_that_cannot_be_read, up, down),
        cmocka_unit_test_setup_teardown(test_refusals, up, down),
    };

    return cmocka_run_group_tests_name("counter/front_values", tests, NULL, NULL);
}
