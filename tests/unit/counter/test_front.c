/* test_front.c - the whole front under a real client: messages whose client goes, and the drain.
 *
 * The front runs on a thread of its own; the store waits inside a commit until the test lets it go
 * on.
 */
#include <stdlib.h>

#include "../edge/grpc_fixture.h"
#include "base/clock.h"
#include "counter/front.h"
#include "counter/service.h"
#include "edge/lanes_codec.h"
#include "gate_kv.h"
#include "loop/stream.h"
#include "sim_kv.h"

#define TURNS 50

struct fixture {
    struct sim_kv *sim;
    struct gate_kv gate;
    struct config config;
    struct counter_service *service;
    struct front_fleet fleet;
    struct grpc_host_fleet host_fleet;
    struct loop *loop;
    struct grpc_host *host;
    struct front *front;
    struct server at; /* only its port, for the client */
    pthread_t thread;
    sem_t ready;
    struct mail turn, drain;
    sem_t turned;
    atomic_bool drained;
    bool runs, draining;
};

static void on_failed(void *ctx) {
    (void)ctx;
    abort();
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
        .metrics = f->fleet.metrics,
        .shard = 1,
        .on_failed = on_failed,
    };
    const char *detail = "";

    if (counter_start(&conf, &f->service, &detail) != ERR_OK)
        fail_msg("start: %s", detail);
    f->fleet.backend = counter_service_backend(f->service);
}

static void to_front(void *ctx, struct delivery *delivery) {
    front_delivered(((struct fixture *)ctx)->front, delivery);
}

static void message_to_front(void *ctx, struct delivery *delivery) {
    front_message_delivered(((struct fixture *)ctx)->front, delivery);
}

static void must(bool ok) {
    if (!ok)
        abort(); /* not the test's thread: cmocka can't fail here */
}

static void *serve(void *arg) {
    struct fixture *f = arg;
    char name[64];
    int fd = -1;

    must(loop_new(&(struct loop_conf){.backend = fixture_backend}, &f->loop) == ERR_OK);
    struct counter_port *port = counter_port_new(f->service, loop_mailbox(f->loop), to_front, f);
    struct counter_port *messages =
        counter_port_new(f->service, loop_mailbox(f->loop), message_to_front, f);
    must(port && messages && socket_listen(SLICE("127.0.0.1:0"), 0, &fd) == ERR_OK);
    socket_name(fd, name, sizeof(name));
    f->at.port = atoi(strrchr(name, ':') + 1);
    struct front_upstreams upstreams = {counter_port_upstream(port),
                                        counter_port_upstream(messages), f->service};
    struct grpc_service services[FRONT_SERVICES];
    f->front = front_new(&f->fleet, f->loop, 0, &upstreams);
    must(f->front);
    front_services(f->front, services);
    f->host = grpc_host_new(&f->host_fleet, f->loop, 0, services, FRONT_SERVICES);
    must(f->host && grpc_host_listen(f->host, fd));
    front_attach(f->front, f->host);
    sem_post(&f->ready);
    must(loop_run(f->loop) == ERR_OK);
    grpc_host_free(f->host);
    front_free(f->front);
    counter_port_free(port);
    counter_port_free(messages);
    loop_free(f->loop);
    return NULL;
}

static void start_front(struct fixture *f) {
    atomic_store(&f->drained, false);
    f->draining = false;
    f->runs = true;
    must(pthread_create(&f->thread, NULL, serve, f) == 0);
    sem_wait(&f->ready);
}

static void on_drained(void *ctx) {
    struct fixture *f = ctx;

    atomic_store(&f->drained, true);
    loop_stop(f->loop);
}

static void on_host_drained(void *ctx) {
    struct fixture *f = ctx;

    front_drain(f->front, on_drained, f);
}

static void run_drain(struct mail *mail) {
    struct fixture *f = CONTAINER_OF(mail, struct fixture, drain);

    grpc_host_drain(f->host, on_host_drained, f);
}

static void run_turn(struct mail *mail) {
    sem_post(&CONTAINER_OF(mail, struct fixture, turn)->turned);
}

/* What has come to the front's sockets before is handled when this returns. */
static void let_it_turn(struct fixture *f) {
    for (int i = 0; i < TURNS; i++) {
        must(mailbox_send(loop_mailbox(f->loop), &f->turn) == ERR_OK);
        sem_wait(&f->turned);
    }
}

static void drain(struct fixture *f) {
    f->draining = true;
    must(mailbox_send(loop_mailbox(f->loop), &f->drain) == ERR_OK);
}

/* Waits for the end of the drain. */
static void stop_front(struct fixture *f) {
    if (!f->draining)
        drain(f);
    pthread_join(f->thread, NULL);
    f->runs = false;
    assert_true(atomic_load(&f->drained));
}

static int up(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    size_t count;

    f->sim = sim_kv_new();
    gate_kv_init(&f->gate, sim_kv_base(f->sim));
    config_defaults(&f->config);
    f->fleet.config = &f->config;
    f->fleet.version = "1.2.3";
    f->fleet.metrics = metrics_new(2);
    front_fleet_init(&f->fleet);
    f->host_fleet.config = &f->config;
    f->host_fleet.metrics = f->fleet.metrics;
    const struct slice *paths = front_paths(&count);
    assert_true(grpc_host_fleet_init(&f->host_fleet, paths, count));
    sem_init(&f->ready, 0, 0);
    sem_init(&f->turned, 0, 0);
    f->turn.run = run_turn;
    f->drain.run = run_drain;
    start_service(f);
    start_front(f);
    *state = f;
    return 0;
}

static int down(void **state) {
    struct fixture *f = *state;

    if (f->runs)
        stop_front(f);
    counter_stop(f->service);
    grpc_host_fleet_release(&f->host_fleet);
    metrics_free(f->fleet.metrics);
    gate_kv_release(&f->gate);
    sem_destroy(&f->ready);
    sem_destroy(&f->turned);
    sim_kv_free(f->sim);
    free(f);
    return 0;
}

/* ---- a client ---- */

/* Message 'number': 3 more on one counter. */
static unsigned send_message(struct fixture *f, struct client *c, uint64_t number) {
    struct op op = {OP_ADD, 3, SLICE("a"), SLICE("like"), {NULL, 0}};
    struct message message = {
        {1, 2}, number, clock_mono_ms() + f->fleet.backend.clock_ahead_ms, &op, 1};
    struct buf bytes = {0};

    lanes_write_apply(&bytes, &message);
    unsigned reply = client_call(c, LANES_APPLY_PATH, buf_slice(&bytes));
    client_flush(c);
    buf_release(&bytes);
    return reply;
}

static void assert_value(const struct reply *reply, int64_t value) {
    struct proto_problem problem = {""};
    struct answer answer;
    int64_t now_ms;

    assert_int_equal(reply->status, GRPC_OK);
    assert_in_range(reply->bytes, 6, sizeof(reply->first));
    struct slice message = slice_of((const char *)reply->first + 5, reply->bytes - 5);
    assert_int_equal(lanes_read_answers(message, &answer, 1, &now_ms, &problem), ERR_OK);
    assert_true(answer.err == ERR_OK && answer.value == value);
}

static void test_reset_under_way(void **state) {
    struct fixture *f = *state;
    struct client *c = client_new(&f->at, 65535);

    gate_kv_shut(&f->gate);
    unsigned lost = send_message(f, c, 1);
    gate_kv_wait(&f->gate);
    nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, (int32_t)(2 * lost + 1),
                              NGHTTP2_CANCEL);
    unsigned hello = client_call(c, LANES_HELLO_PATH, SLICE(""));
    client_wait_closed(c, 2);
    assert_int_equal(c->replies[lost].status, -1);
    assert_int_equal(c->replies[hello].status, GRPC_OK);
    gate_kv_open(&f->gate);
    unsigned again = send_message(f, c, 1);
    unsigned next = send_message(f, c, 2);
    client_wait_closed(c, 4);
    assert_value(&c->replies[again], 3);
    assert_value(&c->replies[next], 6);
    client_free(c);
}

/* The connection is gone, the drain has begun, and the store still has the message. */
static void test_drain_waits_for_the_store(void **state) {
    struct fixture *f = *state;
    struct client *c = client_new(&f->at, 65535);

    gate_kv_shut(&f->gate);
    (void)send_message(f, c, 1);
    gate_kv_wait(&f->gate);
    client_free(c);
    let_it_turn(f);
    drain(f);
    let_it_turn(f);
    assert_false(atomic_load(&f->drained));
    gate_kv_open(&f->gate);
    stop_front(f);

    start_front(f);
    c = client_new(&f->at, 65535);
    unsigned again = send_message(f, c, 1);
    unsigned next = send_message(f, c, 2);
    client_wait_closed(c, 2);
    assert_value(&c->replies[again], 3);
    assert_value(&c->replies[next], 6);
    client_free(c);
}

/* Who is still there gets the answer, behind the GOAWAYs. */
static void test_drain_answers(void **state) {
    struct fixture *f = *state;
    struct client *c = client_new(&f->at, 65535);

    gate_kv_shut(&f->gate);
    unsigned first = send_message(f, c, 1);
    gate_kv_wait(&f->gate);
    unsigned second = send_message(f, c, 2);
    let_it_turn(f);
    drain(f);
    client_wait_goaways(c, 2);
    assert_false(atomic_load(&f->drained));
    gate_kv_open(&f->gate);
    client_wait_closed(c, 2);
    assert_value(&c->replies[first], 3);
    assert_value(&c->replies[second], 6);
    client_wait_end(c);
    client_free(c);
    stop_front(f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, up, down)

static int group(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_reset_under_way),
        TEST(test_drain_waits_for_the_store),
        TEST(test_drain_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
    return fixture_run("front", group);
}
