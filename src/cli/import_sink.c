/* import_sink.c - a store, a way to it, and a batcher, as a worker has them. */
#include "cli/import_sink.h"

#include <stdlib.h>

#include "base/clock.h"
#include "cli/exit.h"
#include "cli/secure.h"
#include "cli/store.h"
#include "cli/store_url.h"
#include "cli/way.h"
#include "edge/loop_batcher.h"
#include "loop/resolver.h"
#include "loop/timer.h"

#define SHARDS      4
#define CONNECT_MS  10000
#define QUESTION_MS 30000

struct asked {
    struct waiter waiter;
    struct import_sink *sink;
    struct import_question *question;
};

struct import_sink {
    struct loop *loop;
    struct metrics *metrics;
    struct resolver *resolver;
    struct secure secure;
    struct store store;
    struct ways ways;
    struct way way;
    bool way_open;
    struct loop_batcher *batcher;
    struct timer kick;
    bool reached;
    size_t pending;
    struct asked asked[IMPORT_BATCH];
};

static void on_kick(struct timer *timer) {
    (void)timer; /* the turn that it makes is all it is for */
}

static void on_patience(struct timer *timer) {
    loop_stop(CONTAINER_OF(timer, struct import_sink, kick)->loop);
}

static void on_delivered(void *ctx, struct delivery *delivery) {
    loop_batcher_delivered(((struct import_sink *)ctx)->batcher, delivery);
}

static void on_clock(void *ctx, int64_t ahead_ms) {
    struct import_sink *sink = ctx;

    sink->reached = true;
    loop_batcher_set_clock(sink->batcher, ahead_ms);
    loop_stop(sink->loop);
}

static void on_changed(void *ctx, bool up) {
    (void)ctx, (void)up;
}

static void on_failed(void *ctx) {
    (void)ctx; /* what is asked from now on gets an error */
}

static bool owes(void *ctx) {
    (void)ctx;
    return false;
}

static void on_published(void *ctx, const struct batcher_stats *now) {
    (void)ctx, (void)now;
}

static int open_store(struct import_sink *sink, const struct config *config) {
    struct store_conf conf = {.config = config,
                              .metrics = sink->metrics,
                              .resolver = sink->resolver,
                              .tls = sink->secure.redis,
                              .loops = 1,
                              .shard = 1,
                              .locked_hint =
                                  ". An import writes the folder itself: stop the service "
                                  "while it runs",
                              .on_failed = on_failed};
    int code = store_open(&sink->store, &conf);

    sink->ways = (struct ways){.counter = sink->store.counter, .redis = sink->store.redis};
    return code;
}

static bool make_way(struct import_sink *sink, const struct config *config) {
    struct gateway_backend backend = store_gateway_backend(&sink->store);
    struct way_user user = {.ctx = sink,
                            .delivered = {[WAY_GATEWAY] = on_delivered},
                            .clock_learned = on_clock,
                            .changed = on_changed};
    struct loop_batcher_conf conf = {.ops_max = IMPORT_BATCH,
                                     .queue_max = IMPORT_BATCH,
                                     .in_flight_max = config->batch_in_flight,
                                     .clock_ahead_ms = backend.clock_ahead_ms,
                                     .clock_unknown = backend.clock_unknown,
                                     .attempt_ms = backend.attempt_ms};
    struct loop_batcher_user published = {.ctx = sink, .owes = owes, .published = on_published};

    sink->reached = backend.clock_unknown == ERR_OK;
    sink->way_open = way_open(&sink->way, &sink->ways, sink->loop, 0, &user);
    if (!sink->way_open)
        return false;
    sink->batcher =
        loop_batcher_new(sink->loop, &conf, way_upstream(&sink->way, WAY_GATEWAY), &published);
    return sink->batcher && way_connect(&sink->way);
}

static int await_store(struct import_sink *sink) {
    sink->kick.fire = on_patience;
    if (!sink->reached) {
        timer_start(sink->loop, &sink->kick, CONNECT_MS);
        if (loop_run(sink->loop) != ERR_OK)
            return EX_OSERR;
        timer_stop(sink->loop, &sink->kick);
    }
    return sink->reached
               ? EX_OK
               : give_up("the store can't be reached", "no answer in time", EX_UNAVAILABLE);
}

static int open_all(struct import_sink *sink, const struct config *config) {
    const char *problem =
        store_url_is_tls(config) ? secure_open(&sink->secure, config, SECURE_REDIS) : NULL;

    if (problem)
        return give_up("TLS can't be used", problem, EX_CONFIG);
    sink->metrics = metrics_new(SHARDS);
    sink->resolver = resolver_new();
    if (!sink->metrics || !sink->resolver ||
        loop_new(&(struct loop_conf){.backend = LOOP_EPOLL}, &sink->loop) != ERR_OK)
        return give_up("out of memory", "while starting", EX_OSERR);
    int code = open_store(sink, config);
    if (code != EX_OK)
        return code;
    return make_way(sink, config) ? await_store(sink)
                                  : give_up("out of memory", "while starting", EX_OSERR);
}

int import_sink_open(const struct config *config, struct import_sink **out) {
    struct import_sink *sink = calloc(1, sizeof(*sink));
    int code = sink ? open_all(sink, config) : give_up("out of memory", "while starting", EX_OSERR);

    if (code == EX_OK)
        *out = sink;
    else
        import_sink_close(sink);
    return code;
}

static void on_closed(void *ctx) {
    loop_stop(((struct import_sink *)ctx)->loop);
}

void import_sink_close(struct import_sink *sink) {
    if (!sink)
        return;
    if (sink->way_open && way_must_close(&sink->way)) {
        way_close(&sink->way, on_closed, sink);
        if (loop_run(sink->loop) != ERR_OK)
            abort(); /* epoll itself fails: nothing can be taken apart any more */
    }
    loop_batcher_free(sink->batcher);
    if (sink->way_open)
        way_release(&sink->way);
    store_close(&sink->store);
    if (sink->loop)
        loop_free(sink->loop);
    resolver_free(sink->resolver);
    metrics_free(sink->metrics);
    secure_close(&sink->secure);
    free(sink);
}

static void on_answer(struct waiter *waiter, const struct answer *answer) {
    struct asked *asked = CONTAINER_OF(waiter, struct asked, waiter);

    asked->question->answer = *answer;
    if (--asked->sink->pending == 0)
        loop_stop(asked->sink->loop);
}

void import_sink_ask(struct import_sink *sink, struct import_question *questions, size_t count) {
    int64_t deadline_ms = clock_mono_ms() + QUESTION_MS;

    for (size_t i = 0; i < count; i++) {
        struct asked *asked = &sink->asked[i];

        *asked = (struct asked){.waiter = {.done = on_answer, .deadline_ms = deadline_ms},
                                .sink = sink,
                                .question = &questions[i]};
        questions[i].answer = (struct answer){
            .err = loop_batcher_add(sink->batcher, &questions[i].op, &asked->waiter)};
        sink->pending += questions[i].answer.err == ERR_OK;
    }
    /* What was added leaves at the end of a turn, so there must be one. */
    sink->kick.fire = on_kick;
    timer_start(sink->loop, &sink->kick, 0);
    while (sink->pending && loop_run(sink->loop) == ERR_OK)
        ;
    timer_stop(sink->loop, &sink->kick);
}
