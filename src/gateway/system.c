/* system.c - /api/v1/system/…: the old system's pools as what they have become.
 *
 * general_pool  connections: capacity = limits.connections, running = with a request under way,
 *               waiting = requests pipelined behind another one, free = capacity - open
 * counter_pool  operations: capacity = batch.queue of all loops, running = messages with the
 *               store, waiting = operations queued for it, free = capacity - waiting
 * object-pools  recycled objects; a hit needed no memory from the system
 */
#include <stdlib.h>

#include "gateway/internal.h"
#include "loop/mailbox.h"

#define TEST_TASKS 10

static uint64_t relaxed(const _Atomic uint64_t *figure) {
    return atomic_load_explicit(figure, memory_order_relaxed);
}

struct pool {
    uint64_t capacity;
    uint64_t running;
    uint64_t waiting;
    uint64_t used;
};

static void add_pool(struct buf *body, const char *name, const struct pool *pool) {
    uint64_t free_now = pool->capacity > pool->used ? pool->capacity - pool->used : 0;

    buf_printf(body, "\"%s\":{\"capacity\":%llu,\"running\":%llu,\"waiting\":%llu,\"free\":%llu}",
               name, (unsigned long long)pool->capacity, (unsigned long long)pool->running,
               (unsigned long long)pool->waiting, (unsigned long long)free_now);
}

void handle_pools(struct request *request) {
    const struct gateway_fleet *fleet = request->gateway->fleet;
    struct pool general = {.capacity = (uint64_t)fleet->config->limits_connections};
    struct pool counter = {.capacity = (uint64_t)fleet->config->batch_queue * fleet->loops};
    uint64_t exchanges = 0;

    for (unsigned i = 0; i < fleet->loops; i++) {
        const struct gateway_gauges *gauges = &fleet->gauges[i];

        general.used += relaxed(&gauges->http->connections);
        general.running += relaxed(&gauges->http->busy_connections);
        exchanges += relaxed(&gauges->http->exchanges);
        counter.running += relaxed(&gauges->messages_in_flight);
        counter.waiting += relaxed(&gauges->operations_queued);
    }
    general.waiting = exchanges > general.running ? exchanges - general.running : 0;
    counter.used = counter.waiting;
    struct buf *body = http_body(request->exchange);

    buf_add_slice(body, SLICE("{\"data\":{"));
    add_pool(body, "general_pool", &general);
    buf_add_char(body, ',');
    add_pool(body, "counter_pool", &counter);
    buf_add_slice(body, SLICE("},\"status\":\"success\",\"timestamp\":"));
    buf_add_i64(body, loop_wall_ms(request->gateway->loop) / 1000);
    buf_add_char(body, '}');
    reply_json(request->exchange, 200, body, SLICE(""));
}

/* ---- object pools ---- */

static void add_object_pool(struct buf *body, const struct gateway_fleet *fleet, const char *name,
                            size_t offset) {
    uint64_t gets = 0;
    uint64_t puts = 0;
    uint64_t hits = 0;

    for (unsigned i = 0; i < fleet->loops; i++) {
        const struct http_pool_stats *stats =
            (const struct http_pool_stats *)((const char *)fleet->gauges[i].http + offset);

        gets += relaxed(&stats->gets);
        puts += relaxed(&stats->puts);
        hits += relaxed(&stats->hits);
    }
    buf_printf(body, "\"%s\":{\"gets\":%llu,\"puts\":%llu,\"hit_rate\":%.4f}", name,
               (unsigned long long)gets, (unsigned long long)puts,
               gets ? (double)hits / (double)gets : 0.0);
}

void handle_object_pools(struct request *request) {
    static const struct {
        const char *name;
        size_t offset;
    } pools[] = {
        {"response", offsetof(struct http_server_stats, reply_pool)},
        {"request", offsetof(struct http_server_stats, exchange_pool)},
        {"buffer", offsetof(struct http_server_stats, output_pool)},
        {"string_slice", offsetof(struct http_server_stats, arena_pool)},
    };
    struct buf *body = http_body(request->exchange);

    buf_add_slice(body, SLICE("{\"data\":{"));
    for (size_t i = 0; i < ARRAY_LEN(pools); i++) {
        if (i)
            buf_add_char(body, ',');
        add_object_pool(body, request->gateway->fleet, pools[i].name, pools[i].offset);
    }
    buf_add_slice(body, SLICE("},\"status\":\"success\"}"));
    reply_json(request->exchange, 200, body, SLICE(""));
}

/* ---- ten real tasks over the loops ---- */

struct pool_test;

struct task {
    struct mail mail;
    struct pool_test *test;
};

struct pool_test {
    struct http_exchange *exchange;
    struct mailbox *home;
    unsigned waiting;
    bool failed;
    struct task tasks[TEST_TASKS];
};

static void finish_test(struct pool_test *test) {
    struct buf *body = http_body(test->exchange);

    if (test->failed) {
        reply_failure(test->exchange, ERR_BUSY, (struct slice){NULL, 0});
        return;
    }
    buf_printf(body,
               "{\"message\":\"Worker pool test completed\",\"status\":\"success\","
               "\"tasks_submitted\":%d}",
               TEST_TASKS);
    reply_json(test->exchange, 200, body, SLICE(""));
}

static void task_over(struct pool_test *test) {
    if (--test->waiting == 0)
        finish_test(test);
}

static void task_returned(struct mail *mail) {
    task_over(CONTAINER_OF(mail, struct task, mail)->test);
}

static void task_dropped(struct mail *mail) {
    (void)mail; /* a loop that stops: its exchanges go with it */
}

/* On the other loop: the work is the way there and back. */
static void task_run(struct mail *mail) {
    struct task *task = CONTAINER_OF(mail, struct task, mail);

    mail->run = task_returned;
    mail->drop = task_dropped;
    if (mailbox_send(task->test->home, mail) != ERR_OK)
        abort(); /* a mailbox holds far more than all tests that can be under way */
}

void handle_pools_test(struct request *request) {
    struct gateway_fleet *fleet = request->gateway->fleet;
    struct pool_test *test = arena_alloc(http_arena(request->exchange), sizeof(*test));

    if (!test) {
        reply_failure(request->exchange, ERR_NO_MEMORY, (struct slice){NULL, 0});
        return;
    }
    *test = (struct pool_test){.exchange = request->exchange,
                               .home = loop_mailbox(request->gateway->loop),
                               .waiting = TEST_TASKS + 1};
    for (unsigned i = 0; i < TEST_TASKS; i++) {
        struct task *task = &test->tasks[i];

        *task = (struct task){.mail = {.run = task_run, .drop = task_dropped}, .test = test};
        if (mailbox_send(fleet->gauges[i % fleet->loops].mailbox, &task->mail) != ERR_OK) {
            test->failed = true;
            test->waiting--;
        }
    }
    task_over(test);
}

/* ---- events ---- */

static void reply_no_events(struct request *request) {
    struct buf *body = http_body(request->exchange);
    static const struct slice detail = {"this process runs without that part", 35};

    http_set_failure(request->exchange, ERR_NOT_IMPL, detail);
    json_write_error(body, detail, SLICE("Not configured"), true);
    reply_json(request->exchange, 501, body, SLICE(""));
}

/* Each event is a message of its own. */
void handle_kafka(struct request *request) {
    const struct gateway_backend *backend = &request->gateway->fleet->backend;
    struct buf *body = http_body(request->exchange);
    struct gateway_events events;

    if (!backend->events) {
        reply_no_events(request);
        return;
    }
    backend->events(backend->events_ctx, &events);
    buf_printf(body,
               "{\"data\":{\"messages_sent\":%llu,\"events_sent\":%llu,\"messages_queued\":%llu,"
               "\"events_queued\":%llu,\"errors_count\":%llu,\"last_message_time\":%lld},"
               "\"status\":\"success\"}",
               (unsigned long long)events.sent, (unsigned long long)events.sent,
               (unsigned long long)events.in_flight, (unsigned long long)events.queued,
               (unsigned long long)events.errors, (long long)events.last_sent_s);
    reply_json(request->exchange, 200, body, SLICE(""));
}
