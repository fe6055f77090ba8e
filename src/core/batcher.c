/* batcher.c - numbering, sending, retrying and answering messages.
 *
 *            flush               taken                 answers
 *   queue ──────────► SENDING ──────────► IN FLIGHT ─────────────► resolved
 *                        ▲ │ refused         │ error, or lost        ▲
 *                        │ ▼                 ▼                       │ attempts used up, nobody
 *                        └──────────────  BACKOFF ───────────────────┘ waits, a final error
 *
 * A batch is on 'queue' until it is numbered, then on 'sent' (in order of number)
 * until it is resolved, then on no list until the upstream gave every delivery
 * back. IN FLIGHT is current != NULL, BACKOFF is current == NULL.
 *
 * While the upstream waits for somebody to come back ('parked') messages stay where they are, in
 * the queue or in BACKOFF.
 *
 * Callbacks run when no list is being walked, as they may call batcher_add().
 */
#include "core/batcher.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "core/batch.h"
#include "core/concurrency.h"
#include "core/rules.h"

struct attempt {
    struct delivery delivery;   /* what the upstream sees */
    struct trace_context trace; /* where it is a span of its own */
    struct batch *batch;
    struct list node; /* while free */
};

struct batcher {
    struct batcher_conf conf;
    struct upstream *upstream;

    struct list queue; /* the last one gathers */
    struct list sent;
    struct list over; /* given up, waiters not told yet */
    struct list free_batches;
    struct list free_attempts;

    uint64_t next_number;
    uint64_t random;
    int64_t next_ms; /* nothing is due before; may be early, never late */
    size_t queued;   /* operations in 'queue', */
    size_t sent_ops; /* and in 'sent' */
    size_t open;     /* batches in 'sent' */
    size_t out;      /* deliveries the upstream holds */
    bool parked;     /* something would have been sent, but for the upstream's wait */
    struct concurrency concurrency;
    struct batcher_stats stat;
};

static struct batch *batch_of(struct list *node) {
    return CONTAINER_OF(node, struct batch, node);
}

static void wake_at(struct batcher *b, int64_t at_ms) {
    if (at_ms < b->next_ms)
        b->next_ms = at_ms;
}

static int64_t after(int64_t now_ms, int64_t wait_ms) {
    int64_t at_ms;

    return __builtin_add_overflow(now_ms, wait_ms, &at_ms) ? INT64_MAX : at_ms;
}

struct batcher *batcher_new(const struct batcher_conf *conf, struct upstream *upstream) {
    assert(conf->ops_max > 0 && conf->queue_max > 0 && conf->attempts_max > 0);
    assert(conf->in_flight_max > 0 && conf->in_flight_max <= MESSAGE_WINDOW / 2);
    assert(conf->backoff_min_ms >= 0 && conf->backoff_min_ms <= conf->backoff_max_ms);
    struct batcher *b = calloc(1, sizeof(*b));

    if (!b)
        return NULL;
    b->conf = *conf;
    b->upstream = upstream;
    b->next_number = 1;
    b->random = conf->seed;
    b->next_ms = INT64_MAX;
    concurrency_init(&b->concurrency, conf->queue_max, 0);
    list_init(&b->queue);
    list_init(&b->sent);
    list_init(&b->over);
    list_init(&b->free_batches);
    list_init(&b->free_attempts);
    return b;
}

/* ---- recycled memory ---- */

static struct batch *take_batch(struct batcher *b) {
    struct list *node = list_pop_front(&b->free_batches);

    return node ? batch_of(node) : batch_new(b->conf.ops_max);
}

static void give_batch(struct batcher *b, struct batch *batch) {
    batch_reset(batch);
    list_push_back(&b->free_batches, &batch->node);
}

static struct attempt *take_attempt(struct batcher *b) {
    struct list *node = list_pop_front(&b->free_attempts);

    if (node)
        return CONTAINER_OF(node, struct attempt, node);
    struct attempt *attempt = calloc(1, sizeof(*attempt));

    if (!attempt)
        return NULL;
    attempt->delivery.answers = calloc(b->conf.ops_max, sizeof(struct answer));
    if (!attempt->delivery.answers) {
        free(attempt);
        return NULL;
    }
    list_init(&attempt->node);
    return attempt;
}

static void give_attempt(struct batcher *b, struct attempt *attempt) {
    list_push_back(&b->free_attempts, &attempt->node);
}

/* ---- answering ---- */

static void answer(struct waiter *waiter, const struct answer *with) {
    if (!waiter)
        return;
    assert(!waiter->answered);
    waiter->answered = true;
    waiter->done(waiter, with); /* the waiter may be gone now */
}

static void answer_all(struct batch *batch, enum err err) {
    const struct answer with = {.err = err};

    for (size_t i = 0; i < batch->message.count; i++)
        answer(batch_take_waiter(batch, i), &with);
}

static void answer_expired(struct batcher *b, struct waiter_queue *expired, enum err err) {
    const struct answer with = {.err = err};

    for (struct waiter *waiter = expired->first; waiter;) {
        struct waiter *next = waiter->next;

        b->stat.expired_total++;
        answer(waiter, &with);
        waiter = next;
    }
}

static void close_batch(struct batcher *b, struct batch *batch) {
    list_remove(&batch->node);
    batch->resolved = true;
    b->sent_ops -= batch->message.count;
    b->open--;
}

/* Tells the waiters of what was given up. */
static void finish_over(struct batcher *b) {
    struct list *node;

    while ((node = list_pop_front(&b->over))) {
        struct batch *batch = batch_of(node);

        answer_all(batch, batch->verdict);
        if (batch->out == 0)
            give_batch(b, batch);
    }
}

/* ---- sending ---- */

static void give_up(struct batcher *b, struct batch *batch, enum err verdict) {
    close_batch(b, batch);
    batch->verdict = verdict;
    list_push_back(&b->over, &batch->node);
}

/* Full jitter (RELIABILITY 3.9): anywhere in 0 .. min, then 0 .. 2 min, 0 .. 4 min, up to max. */
static int64_t backoff_ms(struct batcher *b, unsigned attempts) {
    int64_t top_ms = b->conf.backoff_min_ms;

    while (attempts-- > 1 && top_ms < b->conf.backoff_max_ms)
        top_ms = top_ms > b->conf.backoff_max_ms / 2 ? b->conf.backoff_max_ms : top_ms * 2;
    return (int64_t)(random_next(&b->random) % ((uint64_t)top_ms + 1));
}

/* What the waiters are told when the attempts are used up, the last one with 'err'. */
static enum err verdict_of(const struct batch *batch, enum err err) {
    if (batch->unsure)
        return ERR_UNKNOWN;
    return err == ERR_UNREACHABLE ? ERR_UNREACHABLE : ERR_UNAVAILABLE;
}

/* The attempt waited for has failed, or could not be sent. */
static void attempt_failed(struct batcher *b, struct batch *batch, enum err err,
                           struct pushback pushback, int64_t now_ms) {
    batch->current = NULL;
    if (!err_retryable(err)) {
        /* Final, but an earlier attempt may have been applied: then nobody knows. */
        give_up(b, batch, batch->unsure ? ERR_UNKNOWN : err);
        return;
    }
    /* Nobody to tell any more: another attempt would only add load (DESIGN 13). */
    if (batch->attempts >= b->conf.attempts_max || batch->waiting == 0 ||
        (pushback.given && pushback.ms < 0)) {
        give_up(b, batch, verdict_of(batch, err));
        return;
    }
    int64_t wait_ms = pushback.given ? pushback.ms : backoff_ms(b, batch->attempts);
    batch->due_ms = after(now_ms, wait_ms);
    if (pushback.given && batch->due_ms >= batch->latest_ms) {
        give_up(b, batch, verdict_of(batch, err));
        return;
    }
    wake_at(b, batch->due_ms);
}

static void number_again(struct batcher *b, struct batch *batch) {
    batch->message.number = b->next_number++;
    list_remove(&batch->node);
    list_push_back(&b->sent, &batch->node);
}

/* The attempt's trace: a span of its own, that the requests it carries are told of. */
static const struct trace_context *make_span(struct batcher *b, struct attempt *attempt) {
    struct batch *batch = attempt->batch;
    struct trace_context *own = &attempt->trace;

    if (!b->conf.spans || !trace_sampled(batch->trace))
        return batch->trace;
    uint64_t id = random_next(&b->random);
    *own = *batch->trace;
    memcpy(own->parent_id, batch->trace->span_id, sizeof(own->parent_id));
    id |= id == 0; /* all zeroes is invalid */
    memcpy(own->span_id, &id, sizeof(own->span_id));
    for (size_t i = 0; i < batch->message.count; i++) {
        struct trace_context *request = batch->waiters[i] ? batch->waiters[i]->trace : NULL;

        if (!request)
            continue;
        memcpy(request->batch.trace_id, own->trace_id, sizeof(own->trace_id));
        memcpy(request->batch.span_id, own->span_id, sizeof(own->span_id));
    }
    return own;
}

/* When to look whether the attempt that is waited for is lost. */
static int64_t look_ms(struct batcher *b, const struct batch *batch, int64_t now_ms) {
    struct upstream *upstream = b->upstream;

    if (batch->attempts > 1 || !upstream->lost_ms || batch->lost_ms <= now_ms)
        return batch->lost_ms;
    int64_t at_ms = upstream->lost_ms(upstream, &batch->current->delivery, now_ms);

    return at_ms < batch->lost_ms ? at_ms : batch->lost_ms;
}

static void send_attempt(struct batcher *b, struct batch *batch, int64_t now_ms) {
    struct attempt *attempt = take_attempt(b);
    enum err err = ERR_NO_MEMORY;

    batch->attempts++;
    if (batch->attempts > 1) {
        b->stat.retries_total++;
        if (!RULE(RULE_SAME_NUMBER))
            number_again(b, batch);
    }
    if (attempt) {
        attempt->batch = batch;
        attempt->delivery.message = &batch->message;
        attempt->delivery.err = ERR_OK;
        attempt->delivery.not_applied = false;
        attempt->delivery.pushback = (struct pushback){.given = false};
        attempt->delivery.store_now_ms = 0;
        attempt->delivery.attempt = batch->attempts;
        attempt->delivery.deadline_ms = batch->latest_ms;
        attempt->delivery.trace = make_span(b, attempt);
        attempt->delivery.sent_ns = 0;
        attempt->delivery.upstream_data = NULL;
        err = b->upstream->send(b->upstream, &attempt->delivery);
        if (err != ERR_OK)
            give_attempt(b, attempt);
    }
    if (err != ERR_OK) {
        attempt_failed(b, batch, err, (struct pushback){.given = false}, now_ms);
        return;
    }
    batch->current = attempt;
    batch->unsure++;
    batch->out++;
    b->out++;
    batch->lost_ms = b->conf.attempt_ms ? after(now_ms, b->conf.attempt_ms) : INT64_MAX;
    batch->due_ms = look_ms(b, batch, now_ms);
    wake_at(b, batch->due_ms);
}

static bool must_wait(struct batcher *b, int64_t now_ms) {
    struct upstream *upstream = b->upstream;
    int64_t until_ms = upstream->wait_until_ms ? upstream->wait_until_ms(upstream) : INT64_MIN;

    if (until_ms <= now_ms)
        return false;
    b->parked = true;
    wake_at(b, until_ms);
    return true;
}

/* Lanes remember MESSAGE_WINDOW numbers: going further would make them forget a
 * message that may still have to be retried (RELIABILITY 3.2). */
static bool window_open(const struct batcher *b) {
    if (list_empty(&b->sent) || !RULE(RULE_WINDOW_SPAN))
        return true;
    return b->next_number - batch_of(b->sent.next)->message.number < MESSAGE_WINDOW;
}

static void send_queued(struct batcher *b, int64_t now_ms, int64_t store_now_ms) {
    if (list_empty(&b->queue) || must_wait(b, now_ms))
        return;
    while (b->open < b->conf.in_flight_max && !list_empty(&b->queue) && window_open(b)) {
        struct batch *batch = batch_of(list_pop_front(&b->queue));

        batch->message.producer = b->conf.producer;
        batch->message.number = b->next_number++;
        batch->message.issued_ms = store_now_ms;
        b->queued -= batch->message.count;
        b->sent_ops += batch->message.count;
        b->stat.messages_total++;
        b->stat.operations_total += batch->message.count;
        b->open++;
        list_push_back(&b->sent, &batch->node);
        send_attempt(b, batch, now_ms);
    }
}

/* ---- what time brings ---- */

struct expired {
    struct waiter_queue sent;
    struct waiter_queue unsent; /* or surely not applied: their operations are out of the message */
};

static void queue_due(struct batcher *b, int64_t now_ms, struct expired *out) {
    for (struct list *node = b->queue.next, *next; node != &b->queue; node = next) {
        struct batch *batch = batch_of(node);

        next = node->next;
        if (batch->earliest_ms <= now_ms)
            b->queued -= batch_expire(batch, now_ms, &out->unsent);
        wake_at(b, batch->earliest_ms);
        if (batch->message.count == 0) {
            list_remove(&batch->node);
            give_batch(b, batch);
        }
    }
}

static void sent_due(struct batcher *b, struct batch *batch, int64_t now_ms, struct expired *out) {
    size_t before = batch->message.count;

    if (batch->earliest_ms <= now_ms)
        batch_expire(batch, now_ms, batch->unsure ? &out->sent : &out->unsent);
    b->sent_ops -= before - batch->message.count;
    wake_at(b, batch->earliest_ms);
    if (batch->current && batch->due_ms <= now_ms)
        batch->due_ms = look_ms(b, batch, now_ms);
    if (!batch->current && batch->waiting == 0)
        give_up(b, batch, ERR_DEADLINE);
    else if (batch->due_ms > now_ms)
        wake_at(b, batch->due_ms);
    else if (batch->current)
        /* Lost; its answer may still come. */
        attempt_failed(b, batch, ERR_UNAVAILABLE, (struct pushback){.given = false}, now_ms);
    else if (!must_wait(b, now_ms))
        send_attempt(b, batch, now_ms);
}

/* Walks every open message, but only when something may be due: next_ms bounds all
 * of their deadlines, so in between this costs one comparison. */
static void run_due(struct batcher *b, int64_t now_ms) {
    struct expired expired;

    if (now_ms < b->next_ms)
        return;
    waiter_queue_init(&expired.sent);
    waiter_queue_init(&expired.unsent);
    b->next_ms = INT64_MAX;
    b->parked = false;
    queue_due(b, now_ms, &expired);
    for (struct list *node = b->sent.next, *next; node != &b->sent; node = next) {
        next = node->next;
        sent_due(b, batch_of(node), now_ms, &expired);
    }
    answer_expired(b, &expired.sent, ERR_DEADLINE);
    answer_expired(b, &expired.unsent, ERR_EXPIRED);
}

/* ---- the interface ---- */

/* Into the newest batch, unless there is none, it is full, or its bytes are used up. */
static bool joins_newest(struct batcher *b, const struct op *op, struct waiter *waiter) {
    if (list_empty(&b->queue))
        return false;
    struct batch *newest = batch_of(b->queue.prev);

    return newest->message.count < b->conf.ops_max && batch_push(newest, op, waiter) == ERR_OK;
}

enum err batcher_admit(struct batcher *b) {
    if (LIKELY(concurrency_admits(&b->concurrency, b->queued + b->sent_ops)))
        return ERR_OK;
    b->stat.shed_total++;
    return ERR_BUSY;
}

void batcher_limit(struct batcher *b, int64_t least_ms, int64_t most_ms) {
    concurrency_set(&b->concurrency, least_ms, most_ms);
}

enum err batcher_add(struct batcher *b, const struct op *op, struct waiter *waiter) {
    if (b->queued >= b->conf.queue_max) {
        b->stat.refused_total++;
        return ERR_BUSY;
    }
    if (!joins_newest(b, op, waiter)) {
        struct batch *batch = take_batch(b);

        if (!batch)
            return ERR_NO_MEMORY;
        if (batch_push(batch, op, waiter) != ERR_OK) {
            give_batch(b, batch);
            return ERR_NO_MEMORY;
        }
        list_push_back(&b->queue, &batch->node);
    }
    waiter->next = NULL;
    waiter->answered = false;
    b->queued++;
    wake_at(b, waiter->deadline_ms);
    return ERR_OK;
}

/* Only those at the end can be new. */
static void stamp(struct batcher *b, int64_t now_ms) {
    for (struct list *node = b->queue.prev; node != &b->queue; node = node->prev) {
        struct batch *batch = batch_of(node);

        if (batch->since_ms)
            return;
        batch->since_ms = now_ms;
    }
}

void batcher_flush(struct batcher *b, int64_t now_ms, int64_t store_now_ms) {
    if (b->parked)
        b->next_ms = INT64_MIN; /* is the wait over? */
    run_due(b, now_ms);         /* an operation past its deadline must not be sent */
    stamp(b, now_ms);
    send_queued(b, now_ms, store_now_ms);
    finish_over(b);
    concurrency_turn(&b->concurrency, b->queued + b->sent_ops, now_ms);
}

/* A store of several servers refuses for one of them alone. That attempt has changed nothing there;
 * an earlier one, of which nothing was heard, may have. */
static struct answer final_answer(const struct answer *answer, bool unsure) {
    struct answer final = *answer;

    if (unsure && answer->err != ERR_OK && err_retryable(answer->err) && RULE(RULE_PART_AGAIN))
        final.err = ERR_UNKNOWN;
    return final;
}

static void resolve(struct batcher *b, struct batch *batch, const struct answer *answers) {
    bool unsure = batch->unsure > 1;

    close_batch(b, batch);
    for (size_t i = 0; i < batch->message.count; i++) {
        struct answer final = final_answer(&answers[i], unsure);

        answer(batch_take_waiter(batch, i), &final);
    }
}

void batcher_delivered(struct batcher *b, struct delivery *delivery, int64_t now_ms) {
    struct attempt *attempt = CONTAINER_OF(delivery, struct attempt, delivery);
    struct batch *batch = attempt->batch;

    b->out--;
    batch->out--;
    if (!batch->resolved && delivery->err == ERR_OK) {
        concurrency_answered(&b->concurrency, batch->message.count, now_ms - batch->since_ms);
        resolve(b, batch, delivery->answers);
    } else if (!batch->resolved && attempt == batch->current) {
        if (delivery->not_applied || !err_retryable(delivery->err))
            batch->unsure--;
        attempt_failed(b, batch, delivery->err, delivery->pushback, now_ms);
    }
    give_attempt(b, attempt);
    /* One that was just given up is on 'over' and goes with it. */
    if (batch->resolved && batch->out == 0 && list_empty(&batch->node))
        give_batch(b, batch);
    finish_over(b);
}

int64_t batcher_poll(struct batcher *b, int64_t now_ms) {
    run_due(b, now_ms);
    finish_over(b);
    if (list_empty(&b->queue) && list_empty(&b->sent))
        b->next_ms = INT64_MAX;
    return b->next_ms;
}

bool batcher_idle(const struct batcher *b) {
    return list_empty(&b->queue) && list_empty(&b->sent) && b->out == 0;
}

void batcher_stats(const struct batcher *b, struct batcher_stats *out) {
    *out = b->stat;
    out->queued = b->queued;
    out->limit = b->concurrency.limit;
    out->in_flight = b->open;
}

static void free_batches(struct list *list) {
    struct list *node;

    while ((node = list_pop_front(list)))
        batch_free(batch_of(node));
}

void batcher_free(struct batcher *b) {
    struct list *node;

    if (!b)
        return;
    assert(list_empty(&b->sent) && b->out == 0);
    b->conf.queue_max = 0; /* a callback that adds again is refused */
    while ((node = list_pop_front(&b->queue))) {
        struct batch *batch = batch_of(node);

        answer_all(batch, ERR_CANCELLED);
        batch_free(batch);
    }
    free_batches(&b->free_batches);
    while ((node = list_pop_front(&b->free_attempts))) {
        struct attempt *attempt = CONTAINER_OF(node, struct attempt, node);

        free(attempt->delivery.answers);
        free(attempt);
    }
    free(b);
}
