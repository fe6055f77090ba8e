/* test_front_apply.c - gateways' messages at a real counter service, whose disk is simulated.
 *
 * The test's thread is the loop's. Where something must be under way, the store waits inside a
 * commit until the test lets it go on.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "counter/front_apply.h"
#include "counter/service.h"
#include "edge/lanes_codec.h"
#include "fake_grpc.h"
#include "gate_kv.h"
#include "loop/mailbox.h"
#include "sim_kv.h"
#include "test.h"

#define PATIENCE_MS 20000

/* ---- the fixture ---- */

struct fixture {
    struct sim_kv *sim;
    struct gate_kv gate;
    struct metrics *metrics;
    struct counter_service *service;
    struct counter_backend backend;
    struct counter_port *port;
    struct loop *loop;
    struct front_apply *apply;
    struct grpc_method methods[FRONT_APPLY_METHODS];
    atomic_uint failed;
    int64_t deadline_ms; /* of the calls to come; 0: none */
};

static void on_failed(void *ctx) {
    atomic_fetch_add(&((struct fixture *)ctx)->failed, 1);
}

static void start_service(struct fixture *f) {
    struct counter_conf conf = {
        .kv = &f->gate.kv,
        .applier = {.key_ttl_ms = 3600000,
                    .outbox_max_bytes = 1 << 30,
                    .outbox_max_age_ms = 86400000,
                    .cache_counters = 1000,
                    .hash_seed = {11, 22}},
        .durability = DURABILITY_LOCAL,
        .metrics = f->metrics,
        .on_failed = on_failed,
        .on_failed_ctx = f,
    };
    const char *detail = "";

    if (counter_start(&conf, &f->service, &detail) != ERR_OK)
        fail_msg("start: %s", detail);
}

static void to_apply(void *ctx, struct delivery *delivery) {
    front_apply_delivered(((struct fixture *)ctx)->apply, delivery);
}

static void start_apply(struct fixture *f, size_t messages_max, size_t bytes_max) {
    counter_port_free(f->port);
    f->port = counter_port_new(f->service, loop_mailbox(f->loop), to_apply, f);
    assert_non_null(f->port);
    f->backend = counter_service_backend(f->service);
    struct front_apply_conf conf = {
        .loop = f->loop,
        .upstream = counter_port_upstream(f->port),
        .backend = &f->backend,
        .version = "1.2.3",
        .message_bytes_max = 4u << 20,
        .messages_max = messages_max,
        .bytes_max = bytes_max,
    };

    front_apply_free(f->apply);
    f->apply = front_apply_new(&conf);
    assert_non_null(f->apply);
    front_apply_methods(f->apply, f->methods);
}

static int up(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    struct loop_conf loop = {.backend = LOOP_EPOLL};

    f->sim = sim_kv_new();
    gate_kv_init(&f->gate, sim_kv_base(f->sim));
    f->metrics = metrics_new(1);
    assert_int_equal(loop_new(&loop, &f->loop), ERR_OK);
    start_service(f);
    start_apply(f, 100, 64u << 20);
    *state = f;
    return 0;
}

static int down(void **state) {
    struct fixture *f = *state;

    counter_stop(f->service);
    front_apply_free(f->apply);
    counter_port_free(f->port);
    loop_free(f->loop);
    metrics_free(f->metrics);
    gate_kv_release(&f->gate);
    sim_kv_free(f->sim);
    free(f);
    return 0;
}

/* ---- calls ---- */

static struct op add(const char *id, int64_t arg) {
    return (struct op){OP_ADD, arg, slice_str(id), SLICE("like"), {NULL, 0}};
}

static struct op get(const char *id) {
    return (struct op){OP_GET, 0, slice_str(id), SLICE("like"), {NULL, 0}};
}

static int64_t store_now_ms(const struct fixture *f) {
    return loop_now_ms(f->loop) + counter_clock_ahead_ms(f->service);
}

static const struct producer_id producer_a = {1, 2};
static const struct producer_id producer_b = {3, 4};

static struct message message_of(const struct fixture *f, struct producer_id producer,
                                 uint64_t number, const struct op *ops, size_t count) {
    return (struct message){producer, number, store_now_ms(f), ops, count};
}

static struct grpc_call *send_bytes(struct fixture *f, struct slice bytes) {
    struct grpc_call *call = fake_call_new(4096);

    if (f->deadline_ms)
        fake_call_deadline(call, f->deadline_ms);
    fake_call_message(&f->methods[0], call, bytes);
    return call;
}

static struct grpc_call *send(struct fixture *f, const struct message *message) {
    struct buf bytes = {0};

    lanes_write_apply(&bytes, message);
    struct grpc_call *call = send_bytes(f, buf_slice(&bytes));
    buf_release(&bytes);
    return call;
}

static void drain_mail(struct fixture *f) {
    mailbox_wait(loop_mailbox(f->loop), PATIENCE_MS);
    assert_true(mailbox_drain(loop_mailbox(f->loop)) > 0);
}

static void wait_for(struct fixture *f, const struct grpc_call *call) {
    while (fake_status(call) < 0)
        drain_mail(f);
}

/* A call's answers, after it has ended well. */
static void take_answers(struct grpc_call *call, struct answer *answers, size_t count) {
    struct proto_problem problem = {""};
    int64_t now_ms = 0;

    assert_int_equal(fake_status(call), GRPC_OK);
    assert_int_equal(fake_sent_count(call), 1);
    if (lanes_read_answers(fake_sent(call, 0), answers, count, &now_ms, &problem) != ERR_OK)
        fail_msg("%s", problem.text);
    assert_true(now_ms > 0);
    fake_call_free(call);
}

static void apply(struct fixture *f, const struct message *message, struct answer *answers) {
    struct grpc_call *call = send(f, message);

    wait_for(f, call);
    take_answers(call, answers, message->count);
}

/* One operation in a message of its own. */
static struct answer one(struct fixture *f, struct producer_id producer, uint64_t number,
                         struct op op) {
    struct message message = message_of(f, producer, number, &op, 1);
    struct answer answer;

    apply(f, &message, &answer);
    return answer;
}

static int64_t value_of(struct fixture *f, const char *id) {
    static uint64_t number;

    return one(f, (struct producer_id){9, 9}, ++number, get(id)).value;
}

static void assert_refused(struct grpc_call *call, enum err err, bool not_applied) {
    assert_int_equal(fake_status(call), err_grpc(err));
    assert_string_equal(fake_trailer(call, LANES_ERROR_TRAILER), err_name(err));
    assert_string_equal(fake_trailer(call, LANES_NOT_APPLIED_TRAILER), not_applied ? "1" : "");
    struct slice pushback = pushback_for(err);
    assert_string_equal(fake_trailer(call, PUSHBACK_FIELD), pushback.len ? pushback.ptr : "");
    assert_int_equal(fake_sent_count(call), 0);
    assert_true(fake_status_message(call).len > 0);
    fake_call_free(call);
}

/* ---- identity ---- */

static void test_applied_once(void **state) {
    struct fixture *f = *state;
    struct op ops[] = {add("a", 3), add("b", -4), add("a", 1)};
    struct message message = message_of(f, producer_a, 1, ops, 3);
    struct answer first[3], again[3];

    apply(f, &message, first);
    assert_true(first[0].value == 3 && first[1].value == -4 && first[2].value == 4);
    one(f, producer_b, 1, add("a", 100));
    for (int i = 0; i < 3; i++) {
        apply(f, &message, again);
        for (size_t n = 0; n < 3; n++)
            assert_true(again[n].err == ERR_OK && again[n].value == first[n].value &&
                        again[n].time_ms == first[n].time_ms);
    }
    assert_true(value_of(f, "a") == 104);
}

static void test_two_at_once(void **state) {
    struct fixture *f = *state;
    struct op op = add("a", 3);
    struct message message = message_of(f, producer_a, 1, &op, 1);
    struct answer first, second;

    struct grpc_call *one_call = send(f, &message);
    struct grpc_call *other_call = send(f, &message);
    wait_for(f, one_call);
    wait_for(f, other_call);
    take_answers(one_call, &first, 1);
    take_answers(other_call, &second, 1);
    assert_true(first.value == 3 && second.value == 3);
    assert_true(value_of(f, "a") == 3);
}

static void test_out_of_order(void **state) {
    struct fixture *f = *state;
    static const uint64_t numbers[] = {5, 2, 64, 1, 7};
    int64_t sum = 0;

    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        sum += (int64_t)numbers[i];
        assert_true(one(f, producer_a, numbers[i], add("a", (int64_t)numbers[i])).value == sum);
    }
    assert_true(one(f, producer_a, 2, add("a", 2)).value == 7); /* 5 + 2: the first answer */
    assert_true(value_of(f, "a") == sum);
}

static void test_out_of_the_window(void **state) {
    struct fixture *f = *state;

    one(f, producer_a, 1, add("a", 1));
    one(f, producer_a, 1 + MESSAGE_WINDOW, add("a", 1));
    assert_int_equal(one(f, producer_a, 1, add("a", 1)).err, ERR_TOO_OLD);
    assert_true(value_of(f, "a") == 2);
}

static void test_issued_too_long_ago(void **state) {
    struct fixture *f = *state;
    struct op op = add("a", 1);
    struct message message = message_of(f, producer_a, 1, &op, 1);
    struct answer answer;

    message.issued_ms -= MESSAGE_MAX_AGE_MS + 1000;
    apply(f, &message, &answer);
    assert_int_equal(answer.err, ERR_TOO_OLD);
    assert_true(value_of(f, "a") == 0);
}

static void test_over_a_restart(void **state) {
    struct fixture *f = *state;
    uint64_t store_id = counter_store_id(f->service);
    struct op op = add("a", 3);
    struct message message = message_of(f, producer_a, 1, &op, 1);
    struct answer answer;

    apply(f, &message, &answer);
    counter_stop(f->service);
    sim_kv_crash(f->sim, 0);
    start_service(f);
    start_apply(f, 100, 64u << 20);
    assert_true(store_id && counter_store_id(f->service) == store_id);
    apply(f, &message, &answer);
    assert_true(answer.err == ERR_OK && answer.value == 3);
    assert_true(value_of(f, "a") == 3);
}

/* ---- what is under way ---- */

/* The call is over for its client, whose request's memory is gone; the message isn't. */
static void test_cancelled_under_way(void **state) {
    struct fixture *f = *state;
    struct op ops[] = {add("a", 3), add("a", 4)};
    struct message message = message_of(f, producer_a, 1, ops, 2);
    struct answer answers[2];

    gate_kv_shut(&f->gate);
    struct grpc_call *call = send(f, &message);
    gate_kv_wait(&f->gate);
    fake_call_cancel(&f->methods[0], call);
    assert_int_equal(fake_status(call), -1);
    gate_kv_open(&f->gate);
    wait_for(f, call);
    fake_call_free(call);
    apply(f, &message, answers);
    assert_true(answers[1].value == 7 && value_of(f, "a") == 7);
}

/* It waits for the store until its deadline is over: it is left out, and says so. */
static void test_deadline_passes_in_the_queue(void **state) {
    struct fixture *f = *state;
    struct op op = add("a", 1);
    struct message first = message_of(f, producer_a, 1, &op, 1);
    struct message second = message_of(f, producer_a, 2, &op, 1);

    gate_kv_shut(&f->gate);
    struct grpc_call *applied = send(f, &first);
    gate_kv_wait(&f->gate);
    f->deadline_ms = loop_now_ms(f->loop) + 1;
    struct grpc_call *late = send(f, &second);
    f->deadline_ms = 0;
    while (clock_mono_ms() <= loop_now_ms(f->loop) + 1)
        ;
    gate_kv_open(&f->gate);
    wait_for(f, applied);
    fake_call_free(applied);
    wait_for(f, late);
    assert_refused(late, ERR_EXPIRED, true);
    assert_true(value_of(f, "a") == 1);
    assert_true(one(f, producer_a, 2, op).value == 2); /* the number is free */
}

/* ---- bounds ---- */

static void test_too_many_under_way(void **state) {
    struct fixture *f = *state;
    struct op op = add("a", 1);
    struct grpc_call *calls[2];

    start_apply(f, 2, 64u << 20);
    gate_kv_shut(&f->gate);
    for (uint64_t i = 0; i < 2; i++) {
        struct message message = message_of(f, producer_a, 1 + i, &op, 1);

        calls[i] = send(f, &message);
    }
    struct message message = message_of(f, producer_a, 3, &op, 1);
    assert_refused(send(f, &message), ERR_BUSY, true);
    gate_kv_wait(&f->gate);
    gate_kv_open(&f->gate);
    for (size_t i = 0; i < 2; i++) {
        wait_for(f, calls[i]);
        fake_call_free(calls[i]);
    }
    assert_true(one(f, producer_a, 3, op).value == 3); /* the same message, later */
}

/* A message that is larger than the bound goes alone, and nothing beside it. */
static void test_too_many_bytes_under_way(void **state) {
    struct fixture *f = *state;
    struct op op = add("a", 1);
    struct message message = message_of(f, producer_a, 1, &op, 1);

    start_apply(f, 100, 10);
    gate_kv_shut(&f->gate);
    struct grpc_call *call = send(f, &message);
    message.number = 2;
    assert_refused(send(f, &message), ERR_BUSY, true);
    gate_kv_wait(&f->gate);
    gate_kv_open(&f->gate);
    wait_for(f, call);
    fake_call_free(call);
    assert_true(one(f, producer_a, 2, op).value == 2);
}

struct flood {
    struct mailbox *home;
    struct delivery deliveries[20000];
    struct answer answer;
    size_t sent;
    size_t returned;
};

static void flood_back(void *ctx, struct delivery *delivery) {
    assert_int_equal(delivery->err, ERR_OK);
    ((struct flood *)ctx)->returned++;
}

static void test_mailbox_full(void **state) {
    struct fixture *f = *state;
    struct flood *flood = calloc(1, sizeof(*flood));
    struct op op = add("a", 1), read = get("a");
    struct message message = message_of(f, producer_a, 1, &op, 1);
    struct message reading = message_of(f, producer_b, 1, &read, 1);

    flood->home = mailbox_new(ARRAY_LEN(flood->deliveries));
    struct counter_port *port = counter_port_new(f->service, flood->home, flood_back, flood);
    struct upstream *upstream = counter_port_upstream(port);
    gate_kv_shut(&f->gate);
    struct grpc_call *call = send(f, &message);
    gate_kv_wait(&f->gate);
    for (;; flood->sent++) {
        assert_true(flood->sent < ARRAY_LEN(flood->deliveries));
        struct delivery *delivery = &flood->deliveries[flood->sent];

        *delivery = (struct delivery){.message = &reading, .answers = &flood->answer};
        if (upstream->send(upstream, delivery) != ERR_OK)
            break;
    }
    message.number = 2;
    assert_refused(send(f, &message), ERR_BUSY, true);
    gate_kv_open(&f->gate);
    wait_for(f, call);
    fake_call_free(call);
    while (flood->returned < flood->sent) {
        mailbox_wait(flood->home, PATIENCE_MS);
        assert_true(mailbox_drain(flood->home) > 0);
    }
    assert_true(one(f, producer_a, 2, op).value == 2);
    counter_port_free(port);
    mailbox_free(flood->home);
    free(flood);
}

/* ---- refusals ---- */

static void test_malformed(void **state) {
    struct fixture *f = *state;
    struct op op = add("a", 0);
    struct message message = message_of(f, producer_a, 1, &op, 1);

    assert_refused(send_bytes(f, SLICE("\xFF")), ERR_INVALID, true);
    assert_refused(send_bytes(f, SLICE("")), ERR_INVALID, true);
    assert_refused(send(f, &message), ERR_INVALID, true);
    assert_true(value_of(f, "a") == 0);
}

static void test_too_many_operations(void **state) {
    struct fixture *f = *state;
    struct op *ops = calloc(LANES_OPS_MAX + 1, sizeof(*ops));

    for (size_t i = 0; i <= LANES_OPS_MAX; i++)
        ops[i] = add("a", 1);
    struct message message = message_of(f, producer_a, 1, ops, LANES_OPS_MAX + 1);
    assert_refused(send(f, &message), ERR_TOO_LARGE, true);
    message.count = LANES_OPS_MAX;
    struct grpc_call *call = send(f, &message);
    wait_for(f, call);
    assert_int_equal(fake_status(call), GRPC_OK);
    fake_call_free(call);
    free(ops);
    assert_true(value_of(f, "a") == LANES_OPS_MAX);
}

static void test_deadline_passed(void **state) {
    struct fixture *f = *state;
    struct op op = add("a", 1);
    struct message message = message_of(f, producer_a, 1, &op, 1);
    struct grpc_call *call = fake_call_new(4096);
    struct buf bytes = {0};

    lanes_write_apply(&bytes, &message);
    fake_call_deadline(call, loop_now_ms(f->loop));
    fake_call_message(&f->methods[0], call, buf_slice(&bytes));
    buf_release(&bytes);
    assert_refused(call, ERR_EXPIRED, true);
    assert_true(value_of(f, "a") == 0);
}

static void test_store_failed(void **state) {
    struct fixture *f = *state;
    struct op op = add("a", 1);
    struct message message = message_of(f, producer_a, 1, &op, 1);

    sim_kv_fail_commit(f->sim, true);
    struct grpc_call *call = send(f, &message);
    wait_for(f, call);
    assert_refused(call, ERR_UNKNOWN, false); /* the commit may have reached the log */
    assert_int_equal(atomic_load(&f->failed), 1);
    message.number = 2;
    call = send(f, &message);
    wait_for(f, call);
    assert_refused(call, ERR_UNAVAILABLE, true); /* not even looked at */
}

/* ---- Hello ---- */

static void test_hello(void **state) {
    struct fixture *f = *state;
    struct grpc_call *call = fake_call_new(4096);
    struct proto_problem problem = {""};
    struct lanes_hello hello;

    fake_call_message(&f->methods[1], call, SLICE("\x08\x01")); /* a newer one's field */
    assert_int_equal(fake_status(call), GRPC_OK);
    assert_int_equal(lanes_read_hello(fake_sent(call, 0), &hello, &problem), ERR_OK);
    assert_true(hello.store_id == counter_store_id(f->service));
    assert_true(hello.store_now_ms == store_now_ms(f));
    assert_true(slice_eq(hello.durability, SLICE("local")));
    assert_true(slice_eq(hello.guarantee, slice_str(counter_guarantee(DURABILITY_LOCAL))));
    assert_true(slice_eq(hello.version, SLICE("1.2.3")));
    fake_call_free(call);
    call = fake_call_new(4096);
    fake_call_message(&f->methods[1], call, SLICE("\x08"));
    assert_refused(call, ERR_INVALID, true);
}

static struct grpc_call *say_hello(struct fixture *f) {
    struct grpc_call *call = fake_call_new(4096);

    fake_call_message(&f->methods[1], call, SLICE(""));
    return call;
}

/* A gateway must not take its clock from a counter that has none, nor count where nobody counts. */
static void test_hello_without_a_store(void **state) {
    struct fixture *f = *state;

    front_apply_set_serving(f->apply, false);
    assert_refused(say_hello(f), ERR_UNAVAILABLE, true);
    front_apply_set_serving(f->apply, true);
    struct grpc_call *call = say_hello(f);
    assert_int_equal(fake_status(call), GRPC_OK);
    fake_call_free(call);
    f->backend.clock_unknown = ERR_UNAVAILABLE; /* as the next one finds it */
    struct front_apply_conf conf = {.loop = f->loop,
                                    .upstream = counter_port_upstream(f->port),
                                    .backend = &f->backend,
                                    .version = "1.2.3"};
    front_apply_free(f->apply);
    f->apply = front_apply_new(&conf);
    front_apply_methods(f->apply, f->methods);
    assert_refused(say_hello(f), ERR_UNAVAILABLE, true);
    front_apply_set_clock(f->apply, 5);
    call = say_hello(f);
    assert_int_equal(fake_status(call), GRPC_OK);
    fake_call_free(call);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_applied_once),          TEST(test_two_at_once),
        TEST(test_out_of_order),          TEST(test_out_of_the_window),
        TEST(test_issued_too_long_ago),   TEST(test_over_a_restart),
        TEST(test_cancelled_under_way),   TEST(test_deadline_passes_in_the_queue),
        TEST(test_too_many_under_way),    TEST(test_too_many_bytes_under_way),
        TEST(test_mailbox_full),          TEST(test_malformed),
        TEST(test_too_many_operations),   TEST(test_deadline_passed),
        TEST(test_store_failed),          TEST(test_hello),
        TEST(test_hello_without_a_store),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
