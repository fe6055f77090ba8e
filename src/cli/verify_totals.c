/* verify_totals.c - what analytics has of the counters that were read, at the positions they were
 * read at (api/proto/analytics/internal/totals.proto).
 *
 *     verify_hold() ─► a part of the store is read, verify_counter() … ─► verify_totals()
 *          ▲                                                                    │
 *          └── an instance was away, or has counted on meanwhile: that part again
 *
 * Every instance is asked for every counter; the one that counts its lane knows.
 */
#include <stdlib.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/random.h"
#include "cli/secure.h"
#include "cli/verify_internal.h"
#include "edge/grpc_channel.h"
#include "edge/totals_codec.h"
#include "loop/timer.h"

#define CONNECT_MS     2000
#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 500
#define KEEPALIVE_MS   20000
#define CALL_MS        5000 /* it answers within two seconds */
#define PAUSE_MS       50   /* before an instance that was away is tried again */

/* In one call: well below what a gRPC message may have (limits.grpc_message_bytes). */
#define PIECE_BYTES ((size_t)256 << 10)

#define RESPONSE_BYTES_MAX (16u << 20)

struct instance {
    struct verify_totals *totals;
    char address[CONFIG_TEXT_BYTES];
    struct grpc_channel *channel;
    struct grpc_out_call call;
    struct hold_ask hold;
    enum err err; /* of the last call */
    char problem[256];
};

struct verify_totals {
    struct verify *verify;
    struct secure secure;
    struct resolver *resolver;
    struct loop *loop;
    struct instance instances[CONFIG_UPSTREAMS_MAX];
    size_t count;
    size_t waiting;     /* calls, or channels that close; the loop stops at 0 */
    struct timer pause; /* the loop stops then, too */
    int64_t give_up_ms; /* 0: nothing has failed since the last part was answered */
    struct buf read;    /* struct total: of the part; their names are in 'names', as offsets */
    struct buf names;
    struct buf request;
};

struct piece { /* of one instance */
    struct grpc_out_call call;
    struct instance *instance;
    struct totals_ask ask;
};

/* ---- calls, and waiting for them ---- */

static int run(struct verify_totals *t) {
    if (t->waiting && loop_run(t->loop) != ERR_OK)
        return verify_give_up(t->verify, EX_OSERR, "the event loop broke");
    return EX_OK;
}

static void one_less(struct verify_totals *t) {
    if (--t->waiting == 0)
        loop_stop(t->loop);
}

static void fail(struct instance *instance, enum err err, struct slice why) {
    instance->err = err;
    (void)snprintf(instance->problem, sizeof(instance->problem), "%.*s", SLICE_ARGS(why));
}

static void call_ended(struct instance *instance, const struct grpc_result *result, enum err read) {
    if (result->status == GRPC_UNIMPLEMENTED)
        fail(instance, ERR_NOT_IMPL, SLICE("there is no analytics, or an older one"));
    else if (result->status != GRPC_OK)
        fail(instance, ERR_UNAVAILABLE, result->message);
    else if (read != ERR_OK)
        fail(instance, ERR_CORRUPT, SLICE("its answer is none"));
    one_less(instance->totals);
}

static void start_call(struct instance *instance, struct grpc_out_call *call, struct slice path) {
    struct verify_totals *t = instance->totals;
    enum err err = buf_failed(&t->request)
                       ? ERR_NO_MEMORY
                       : grpc_channel_call(instance->channel, call, path, buf_slice(&t->request),
                                           clock_mono_ms() + CALL_MS);
    const char *problem = grpc_channel_problem(instance->channel);

    if (err == ERR_OK)
        t->waiting++;
    else
        fail(instance, ERR_UNAVAILABLE,
             slice_str(err != ERR_UNREACHABLE ? err_text(err)
                       : problem              ? problem
                                              : "not connected"));
}

static void pause_is_over(struct timer *timer) {
    one_less(CONTAINER_OF(timer, struct verify_totals, pause));
}

/* What it waits for may have come. */
static void on_state(void *ctx, enum grpc_channel_state state) {
    struct verify_totals *t = ctx;

    if (state == GRPC_CHANNEL_READY && timer_armed(&t->pause)) {
        timer_stop(t->loop, &t->pause);
        one_less(t);
    }
}

static int rest(struct verify_totals *t) {
    t->pause.fire = pause_is_over;
    t->waiting++;
    timer_start(t->loop, &t->pause, PAUSE_MS);
    return run(t);
}

/* The same again, after a while; or the reason why not. */
static int again_or_give_up(struct verify_totals *t, const char *who, const char *why) {
    int64_t now_ms = clock_mono_ms();

    if (!t->give_up_ms)
        t->give_up_ms =
            now_ms + (t->verify->wait_ms > CONNECT_MS ? t->verify->wait_ms : CONNECT_MS);
    if (now_ms >= t->give_up_ms)
        return verify_give_up(t->verify, EX_UNAVAILABLE, "analytics%s%s: %s", *who ? " at " : "",
                              who, why);
    return rest(t);
}

/* ---- hold ---- */

static void on_held(struct grpc_out_call *call, const struct grpc_result *result) {
    struct instance *instance = CONTAINER_OF(call, struct instance, call);
    enum err err = result->status == GRPC_OK
                       ? totals_read_hold_answer(result->response, &instance->hold)
                       : ERR_OK;

    call_ended(instance, result, err);
}

static int ask_to_hold(struct verify_totals *t) {
    buf_clear(&t->request);
    for (size_t i = 0; i < t->count; i++) {
        t->instances[i].err = ERR_OK;
        t->instances[i].call.done = on_held;
        start_call(&t->instances[i], &t->instances[i].call, SLICE(TOTALS_HOLD_PATH));
    }
    return run(t);
}

/* NULL: all have answered. */
static const struct instance *first_failed(const struct verify_totals *t) {
    for (size_t i = 0; i < t->count; i++)
        if (t->instances[i].err != ERR_OK)
            return &t->instances[i];
    return NULL;
}

int verify_hold(struct verify *verify) {
    struct verify_totals *t = verify->totals;
    const struct instance *failed = NULL;
    int code = EX_OK;

    if (!t)
        return EX_OK;
    buf_clear(&t->read);
    buf_clear(&t->names);
    do {
        code = ask_to_hold(t);
        failed = first_failed(t);
        if (code == EX_OK && failed && failed->err == ERR_NOT_IMPL)
            code =
                verify_give_up(verify, EX_UNAVAILABLE, "%s: %s", failed->address, failed->problem);
        else if (code == EX_OK && failed)
            code = again_or_give_up(t, failed->address, failed->problem);
    } while (code == EX_OK && failed);
    return code;
}

/* ---- what is read meanwhile ---- */

enum err verify_counter(struct verify *verify, uint32_t lane, struct slice resource_id,
                        struct slice counter_type, int64_t value, struct event_position at) {
    struct verify_totals *t = verify->totals;
    struct total total = {.resource_id.len = resource_id.len,
                          .counter_type.len = counter_type.len,
                          .lane = lane,
                          .at = at};

    if (verify->take)
        return verify->take(verify->take_ctx, resource_id, counter_type, value);
    if (t) {
        buf_add_slice(&t->names, resource_id);
        buf_add_slice(&t->names, counter_type);
        buf_add(&t->read, &total, sizeof(total));
    }
    return audit_counter(verify->audit, lane, resource_id, counter_type, value, at);
}

static struct total *all_read(const struct verify_totals *t, size_t *out_count) {
    *out_count = t->read.len / sizeof(struct total);
    return (struct total *)(void *)t->read.ptr;
}

/* Offsets become what they stand for, as 'names' doesn't move any more. */
static bool set_names(struct verify_totals *t) {
    size_t count;
    struct total *totals = all_read(t, &count);
    const char *at = t->names.ptr;

    if (buf_failed(&t->read) || buf_failed(&t->names))
        return false;
    for (size_t i = 0; i < count; i++) {
        totals[i].resource_id.ptr = at;
        at += totals[i].resource_id.len;
        totals[i].counter_type.ptr = at;
        at += totals[i].counter_type.len;
    }
    return true;
}

/* ---- asking ---- */

static void on_totals(struct grpc_out_call *call, const struct grpc_result *result) {
    struct piece *piece = CONTAINER_OF(call, struct piece, call);
    enum err err =
        result->status == GRPC_OK ? totals_read_answer(result->response, &piece->ask) : ERR_OK;

    call_ended(piece->instance, result, err);
}

static size_t piece_length(const struct total *totals, size_t count) {
    size_t bytes = 0;
    size_t n = 0;

    while (n < count && (n == 0 || bytes < PIECE_BYTES)) {
        bytes += totals[n].resource_id.len + totals[n].counter_type.len + 32;
        n++;
    }
    return n;
}

/* Pieces go out together: the last one ends the hold. */
static size_t ask_instance(struct instance *instance, struct total *totals, size_t count,
                           struct piece *pieces) {
    struct verify_totals *t = instance->totals;
    size_t made = 0;

    instance->err = ERR_OK;
    while (count) {
        size_t n = piece_length(totals, count);
        struct piece *piece = &pieces[made++];

        *piece = (struct piece){
            .call.done = on_totals,
            .instance = instance,
            .ask = {
                .hold = instance->hold.number, .more = n < count, .totals = totals, .count = n}};
        buf_clear(&t->request);
        totals_write_question(&t->request, &piece->ask);
        start_call(instance, &piece->call, SLICE(TOTALS_GET_PATH));
        totals += n;
        count -= n;
    }
    return made;
}

/* What each instance says, one behind the other in 'answers'. */
static int ask_all(struct verify_totals *t, struct total *answers, size_t count) {
    struct piece *pieces = calloc(t->count * count, sizeof(*pieces));
    size_t made = 0;

    if (!pieces)
        return verify_give_up(t->verify, EX_OSERR, "out of memory");
    for (size_t i = 0; i < t->count; i++) {
        memcpy(answers + i * count, t->read.ptr, t->read.len);
        made += ask_instance(&t->instances[i], answers + i * count, count, pieces + made);
    }
    int code = run(t);
    free(pieces);
    return code;
}

/* ---- what they say together ---- */

/* By how much it says: the lane's instance says more than any other. */
static int rank(enum total_state state) {
    static const int ranks[TOTAL_STATES] = {
        [TOTAL_ELSEWHERE] = 0, [TOTAL_AHEAD] = 1,    [TOTAL_PASSED] = 2, [TOTAL_HALTED] = 3,
        [TOTAL_UNHEARD] = 4,   [TOTAL_NOT_HELD] = 5, [TOTAL_KNOWN] = 6};

    return ranks[state];
}

static const struct total *best_of(const struct verify_totals *t, const struct total *answers,
                                   size_t count, size_t index) {
    const struct total *best = &answers[index];

    for (size_t i = 1; i < t->count; i++)
        if (rank(answers[i * count + index].state) > rank(best->state))
            best = &answers[i * count + index];
    return best;
}

static int not_now(struct verify_totals *t, const struct total *total) {
    if (total->state == TOTAL_HALTED)
        return verify_give_up(t->verify, EX_UNAVAILABLE,
                              "analytics has halted lane %u: an event was missing there "
                              "(docs/analytics.md)",
                              total->lane);
    return again_or_give_up(t, "",
                            total->state == TOTAL_PASSED
                                ? "it counted on while the store was read: that took too long"
                                : "it hasn't counted all events of what was read yet");
}

static int take(struct verify_totals *t, const struct total *answers, size_t count,
                bool *out_again) {
    for (size_t i = 0; i < count; i++) {
        const struct total *best = best_of(t, answers, count, i);

        if (rank(best->state) <= rank(TOTAL_HALTED)) {
            *out_again = true;
            return not_now(t, best);
        }
        audit_total(t->verify->audit, best);
    }
    t->give_up_ms = 0;
    return EX_OK;
}

static int check_stores(const struct verify_totals *t) {
    for (size_t i = 0; i < t->count; i++)
        if (t->instances[i].hold.store_id != t->verify->store_id)
            return verify_give_up(t->verify, EX_DATAERR, "%s counts another store's events",
                                  t->instances[i].address);
    return EX_OK;
}

int verify_totals(struct verify *verify, bool *out_again) {
    struct verify_totals *t = verify->totals;
    size_t count = 0;

    *out_again = false;
    if (!t)
        return EX_OK;
    (void)all_read(t, &count);
    struct total *answers = calloc(t->count * count + 1, sizeof(*answers));
    if (!answers || !set_names(t)) {
        free(answers);
        return verify_give_up(verify, EX_OSERR, "out of memory");
    }
    int code = check_stores(t);
    if (code == EX_OK && count)
        code = ask_all(t, answers, count);
    const struct instance *failed = first_failed(t);
    *out_again = failed != NULL;
    if (code == EX_OK && failed)
        code = again_or_give_up(t, failed->address, failed->problem);
    else if (code == EX_OK)
        code = take(t, answers, count, out_again);
    free(answers);
    return code;
}

/* ---- open and close ---- */

static bool connect_to(struct verify_totals *t, struct slice address) {
    struct instance *instance = &t->instances[t->count];
    struct grpc_channel_conf conf = {
        .resolver = t->resolver,
        .address = address,
        .connect_ms = CONNECT_MS,
        .backoff_min_ms = BACKOFF_MIN_MS,
        .backoff_max_ms = BACKOFF_MAX_MS,
        .keepalive_ms = KEEPALIVE_MS,
        .keepalive_timeout_ms = KEEPALIVE_MS,
        .message_bytes_max = RESPONSE_BYTES_MAX,
        .tls = t->secure.upstream,
        .on_state = on_state,
        .ctx = t,
        .seed = random_u64(),
    };

    instance->totals = t;
    (void)snprintf(instance->address, sizeof(instance->address), "%.*s", SLICE_ARGS(address));
    instance->channel = grpc_channel_new(t->loop, &conf);
    t->count += instance->channel != NULL;
    return instance->channel != NULL;
}

static int open_all(struct verify_totals *t) {
    struct slice list = slice_str(t->verify->config->gateway_analytics);
    const char *problem = secure_open(&t->secure, t->verify->config, SECURE_UPSTREAM);
    struct slice address;
    bool made = true;

    if (problem)
        return verify_give_up(t->verify, EX_CONFIG, "%s", problem);
    t->resolver = resolver_new();
    if (!t->resolver || loop_new(&(struct loop_conf){.backend = LOOP_EPOLL}, &t->loop) != ERR_OK)
        return verify_give_up(t->verify, EX_OSERR, "out of memory");
    while (made && (address = config_next_upstream(&list)).len)
        made = connect_to(t, address);
    return made ? EX_OK : verify_give_up(t->verify, EX_OSERR, "out of memory");
}

int verify_totals_open(struct verify *verify) {
    const struct config *config = verify->config;

    /* A gateway's default is a guess. */
    if (config->source[CONFIG_KEY_gateway_analytics].layer == CONFIG_DEFAULT ||
        strcmp(config->gateway_analytics, "none") == 0)
        return EX_OK;
    if (strcmp(config->gateway_analytics, "discovery") == 0)
        return verify_give_up(verify, EX_CONFIG,
                              "gateway.analytics is discovery: name every instance by --analytics");
    verify->totals = calloc(1, sizeof(*verify->totals));
    if (!verify->totals)
        return verify_give_up(verify, EX_OSERR, "out of memory");
    verify->totals->verify = verify;
    verify->analytics = config->gateway_analytics;
    return open_all(verify->totals);
}

static void closed(void *ctx) {
    one_less(ctx);
}

void verify_totals_close(struct verify *verify) {
    struct verify_totals *t = verify->totals;

    if (!t)
        return;
    t->waiting = t->count;
    for (size_t i = 0; i < t->count; i++)
        grpc_channel_close(t->instances[i].channel, closed, t);
    if (run(t) == EX_OK) {
        loop_free(t->loop);
        resolver_free(t->resolver);
    }
    secure_close(&t->secure);
    buf_release(&t->read);
    buf_release(&t->names);
    buf_release(&t->request);
    free(t);
    verify->totals = NULL;
}
