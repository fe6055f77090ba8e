/* remote_fixture.c - see remote_fixture.h. */
#include "remote_fixture.h"

#include <stdlib.h>
#include <string.h>

struct remote_test t;

void on_delivered(void *ctx, struct delivery *delivery) {
    (void)ctx;
    t.delivered = delivery;
    t.deliveries++;
}

void on_clock(void *ctx, int64_t ahead_ms) {
    (void)ctx;
    t.ahead_ms = ahead_ms;
    t.clocks++;
}

void on_changed(void *ctx, bool up) {
    (void)ctx;
    if (up)
        t.ups++;
    else
        t.downs++;
}

void on_closed(void *ctx) {
    (void)ctx;
    t.closes++;
}

void start(const char *counters) {
    struct config_problems problems = {0};
    struct remote_user user = {
        .delivered = on_delivered, .clock_learned = on_clock, .changed = on_changed};

    memset(&t, 0, sizeof(t));
    fake_reset();
    config_defaults(&t.config);
    assert_true(config_set(&t.config, "counter", counters,
                           (struct config_source){.layer = CONFIG_FLAG}, &problems));
    t.metrics = metrics_new(1);
    assert_non_null(t.metrics);
    assert_int_equal(loop_new(&(struct loop_conf){.backend = LOOP_EPOLL}, &t.loop), ERR_OK);
    t.fleet = remote_fleet_new(&t.config, t.metrics, NULL, NULL);
    assert_non_null(t.fleet);
    t.remote = remote_new(t.fleet, t.loop, 0, &user);
    assert_non_null(t.remote);
    remote_connect(t.remote);
}

void stop(void) {
    remote_close(t.remote, on_closed, NULL);
    fake_finish_closing();
    assert_int_equal(t.closes, 1);
    assert_int_equal(fake.call_count, 0);
    remote_fleet_free(t.fleet);
    loop_free(t.loop);
    metrics_free(t.metrics);
    fake_reset();
}

bool up(void) {
    struct gateway_backend backend = remote_fleet_backend(t.fleet);

    return backend.up(backend.ctx);
}

struct gateway_pool pool(void) {
    struct gateway_backend backend = remote_fleet_backend(t.fleet);
    struct gateway_pool out;

    backend.pool(backend.ctx, &out);
    return out;
}

const char *problem_of(size_t address) {
    static struct gateway_problem problem;
    struct gateway_backend backend = remote_fleet_backend(t.fleet);

    assert_true(backend.problem(backend.ctx, address, &problem));
    return problem.text;
}

void say_hello(size_t i, uint64_t store_id, int64_t store_now_ms) {
    struct buf bytes = {0};
    struct lanes_hello hello = {.store_id = store_id,
                                .store_now_ms = store_now_ms,
                                .durability = SLICE("local"),
                                .guarantee = SLICE("it is kept"),
                                .version = SLICE("1")};

    assert_true(slice_eq(fake.calls[i].path, SLICE(LANES_HELLO_PATH)));
    lanes_write_hello(&bytes, &hello);
    fake_answer(i, buf_slice(&bytes));
    buf_release(&bytes);
}

void become_usable(size_t channel) {
    fake_state(channel, GRPC_CHANNEL_READY);
    say_hello(fake.call_count - 1, STORE, 1000);
}

/* ---- a message ---- */

static struct op ops[2] = {
    {.kind = OP_ADD, .arg = 1, .resource_id = TEXT("a"), .counter_type = TEXT("like")},
    {.kind = OP_ADD, .arg = -7, .resource_id = TEXT("b"), .counter_type = TEXT("like")},
};
static struct message message = {
    .producer = {7, 9}, .number = 3, .issued_ms = 500, .ops = ops, .count = 2};
struct answer answers[2];

struct delivery delivery_of(unsigned attempt) {
    memset(answers, 0, sizeof(answers));
    return (struct delivery){
        .message = &message, .answers = answers, .attempt = attempt, .deadline_ms = 4242};
}

enum err send_it(struct delivery *delivery) {
    struct upstream *upstream = remote_upstream(t.remote);

    return upstream->send(upstream, delivery);
}

void answer_apply(size_t i, size_t count, int64_t store_now_ms) {
    static const struct answer sent[3] = {
        {.value = 41, .time_ms = 5}, {.err = ERR_RANGE, .value = 2}, {.value = 3}};
    struct buf bytes = {0};

    assert_true(slice_eq(fake.calls[i].path, SLICE(LANES_APPLY_PATH)));
    lanes_write_answers(&bytes, sent, count, store_now_ms);
    fake_answer(i, buf_slice(&bytes));
    buf_release(&bytes);
}
