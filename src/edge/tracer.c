/* tracer.c - the ring, and the thread that empties it. */
#include "edge/tracer.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "base/span_ring.h"
#include "edge/otlp_post.h"

#define EXPORT_SPANS 512 /* in one message */
#define ATTEMPTS_MAX 3
#define BACKOFF_MS   1000 /* before the second attempt; then twice as long */
#define PER_MILLION  1000000u
#define MS_PER_S     1000
#define NS_PER_MS    1000000

enum outcome { EXPORTED, QUEUE_FULL, FAILED, OUTCOMES };

struct tracer {
    struct tracer_conf conf;
    uint64_t below; /* a random number under this one is sampled */
    struct span_ring *ring;
    struct otlp_post *post;
    sem_t wake;
    pthread_t thread;
    _Atomic bool stopping;
    _Atomic int64_t until_ms; /* when stopping: the end of all waiting */
    _Atomic uint64_t full;    /* spans that found no room */
    _Atomic uint64_t ids;     /* seeds of the ids of children */

    struct { /* the thread's */
        struct span spans[EXPORT_SPANS];
        struct buf body;
        bool failing; /* said so in the log */
        uint64_t full_told;
        metric_series outcome[OUTCOMES];
    } own;
};

/* The process's; fixed while other threads run. */
static struct tracer *tracer;

/* ---- the exporting thread ---- */

static void sleep_until(struct tracer *t, int64_t until_ms) {
    struct timespec until = {.tv_sec = until_ms / MS_PER_S,
                             .tv_nsec = until_ms % MS_PER_S * NS_PER_MS};

    (void)sem_clockwait(&t->wake, CLOCK_MONOTONIC, &until);
}

static void count(struct tracer *t, enum outcome outcome, uint64_t n) {
    metrics_add(t->conf.metrics, t->conf.shard, t->own.outcome[outcome], n);
}

/* Said once when it begins to fail, and once when it works again. */
static void tell(struct tracer *t, bool failing, const char *problem) {
    if (failing && !t->own.failing)
        log_line(LOG_WARN, "spans can't be exported; they are dropped, nothing else suffers",
                 LOG_STR("problem", problem));
    if (!failing && t->own.failing)
        log_line(LOG_INFO, "spans are exported again");
    t->own.failing = failing;
}

static bool may_try_again(struct tracer *t, unsigned attempt) {
    int64_t at_ms = clock_mono_ms() + ((int64_t)BACKOFF_MS << attempt);

    if (attempt + 1 >= ATTEMPTS_MAX)
        return false;
    while (!atomic_load(&t->stopping) && clock_mono_ms() < at_ms)
        sleep_until(t, at_ms);
    return !atomic_load(&t->stopping);
}

static void export(struct tracer *t, size_t spans) {
    char problem[OTLP_PROBLEM_BYTES] = "out of memory";
    enum otlp_verdict verdict = OTLP_REFUSED;

    buf_clear(&t->own.body);
    otlp_write(&t->own.body, &t->conf.resource, t->own.spans, spans);
    for (unsigned attempt = 0; !buf_failed(&t->own.body); attempt++) {
        verdict = otlp_post_send(t->post, buf_slice(&t->own.body), problem);
        if (verdict != OTLP_LATER || !may_try_again(t, attempt))
            break;
    }
    tell(t, verdict != OTLP_TAKEN, problem);
    count(t, verdict == OTLP_TAKEN ? EXPORTED : FAILED, spans);
}

static void count_full(struct tracer *t) {
    uint64_t full = atomic_load_explicit(&t->full, memory_order_relaxed);

    count(t, QUEUE_FULL, full - t->own.full_told);
    t->own.full_told = full;
}

/* Everything that waits; when stopping, as long as there is time. */
static void drain(struct tracer *t) {
    size_t spans;

    while ((spans = span_ring_pop(t->ring, t->own.spans, EXPORT_SPANS)) > 0) {
        if (atomic_load(&t->stopping) && clock_mono_ms() >= atomic_load(&t->until_ms))
            count(t, FAILED, spans);
        else
            export(t, spans);
        count_full(t);
    }
    count_full(t);
}

static void *run(void *arg) {
    struct tracer *t = arg;

    while (!atomic_load(&t->stopping)) {
        sleep_until(t, clock_mono_ms() + t->conf.delay_ms);
        drain(t);
    }
    drain(t);
    return NULL;
}

/* ---- up and down ---- */

static void make_series(struct tracer *t) {
    static const char *const labels[OUTCOMES] = {
        [EXPORTED] = "outcome=\"exported\"",
        [QUEUE_FULL] = "outcome=\"queue_full\"",
        [FAILED] = "outcome=\"failed\"",
    };

    for (unsigned i = 0; i < OUTCOMES; i++)
        t->own.outcome[i] = metrics_series(t->conf.metrics, METRIC_TRACE_SPANS, labels[i]);
}

static void release(struct tracer *t) {
    otlp_post_free(t->post);
    span_ring_free(t->ring);
    buf_release(&t->own.body);
    (void)sem_destroy(&t->wake);
    free(t);
}

bool tracer_open(const struct tracer_conf *conf) {
    struct tracer *t = calloc(1, sizeof(*t));

    if (!t)
        return false;
    t->conf = *conf;
    t->below = UINT64_MAX / PER_MILLION * conf->sample_per_million;
    atomic_init(&t->ids, random_u64());
    (void)sem_init(&t->wake, 0, 0);
    make_series(t);
    t->ring = span_ring_new(conf->queue);
    t->post = otlp_post_new(conf->url, conf->headers, conf->timeout_ms);
    if (!t->ring || !t->post || pthread_create(&t->thread, NULL, run, t) != 0) {
        release(t);
        return false;
    }
    (void)pthread_setname_np(t->thread, "hgp-traces");
    tracer = t;
    return true;
}

void tracer_close(int64_t wait_ms) {
    struct tracer *t = tracer;

    if (!t)
        return;
    tracer = NULL;
    atomic_store(&t->until_ms, clock_mono_ms() + wait_ms);
    otlp_post_abort(t->post, clock_mono_ms() + wait_ms);
    atomic_store(&t->stopping, true);
    (void)sem_post(&t->wake);
    (void)pthread_join(t->thread, NULL);
    release(t);
}

/* ---- spans ---- */

bool tracer_on(void) {
    return tracer != NULL;
}

bool tracer_wants(const struct trace_context *trace) {
    return UNLIKELY(trace_sampled(trace)) && tracer;
}

static void put_id(uint8_t id[SPAN_ID_BYTES], uint64_t number) {
    number |= number == 0; /* all zeroes is invalid */
    memcpy(id, &number, SPAN_ID_BYTES);
}

bool tracer_begin(uint64_t *random, struct trace_context *out) {
    if (!tracer || random_next(random) >= tracer->below)
        return false;
    *out = (struct trace_context){.flags = TRACE_SAMPLED | TRACE_RANDOM_ID, .state = SLICE("")};
    put_id(out->trace_id, random_next(random));
    put_id(out->trace_id + SPAN_ID_BYTES, random_next(random));
    put_id(out->span_id, random_next(random));
    return true;
}

struct trace_context *tracer_sample(uint64_t *random, struct arena *arena) {
    struct trace_context begun;

    if (!tracer_begin(random, &begun))
        return NULL;
    struct trace_context *trace = arena_alloc(arena, sizeof(*trace));

    if (trace)
        *trace = begun;
    return trace;
}

struct span tracer_span(const struct trace_context *trace, enum span_kind kind) {
    struct span span = {.kind = kind, .link = trace->batch};

    memcpy(span.trace_id, trace->trace_id, TRACE_ID_BYTES);
    memcpy(span.span_id, trace->span_id, SPAN_ID_BYTES);
    memcpy(span.parent_id, trace->parent_id, SPAN_ID_BYTES);
    return span;
}

struct span tracer_child(const struct trace_context *trace, enum span_kind kind) {
    struct span span = {.kind = kind};
    uint64_t seed =
        atomic_fetch_add_explicit(&tracer->ids, 0x9e3779b97f4a7c15u, memory_order_relaxed);

    memcpy(span.trace_id, trace->trace_id, TRACE_ID_BYTES);
    put_id(span.span_id, random_next(&seed));
    memcpy(span.parent_id, trace->span_id, SPAN_ID_BYTES);
    return span;
}

void tracer_end(struct span *span, int64_t duration_ns) {
    size_t pushed;

    span->end_ns = clock_wall_ns();
    span->start_ns = span->end_ns - duration_ns;
    if (!span_ring_push(tracer->ring, span, &pushed))
        atomic_fetch_add_explicit(&tracer->full, 1, memory_order_relaxed);
    else if (pushed % EXPORT_SPANS == EXPORT_SPANS - 1)
        (void)sem_post(&tracer->wake);
}
