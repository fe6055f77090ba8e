/* call.c - what every handler of the counter API does with its request first. */
#include "gateway/internal.h"
#include "gateway/stale.h"
#include "wire/request_timeout.h"

/* How many there are, and the last one. */
static unsigned find_header(const struct http1_request *http, struct slice name,
                            struct slice *out_value) {
    unsigned found = 0;

    if (http1_lacks(http->absent, name))
        return 0;
    for (size_t i = 0; i < http->header_count; i++) {
        if (!slice_eq_nocase(http->headers[i].name, name))
            continue;
        *out_value = http->headers[i].value;
        found++;
    }
    return found;
}

bool request_deadline(struct request *request, int64_t *out_deadline_ms) {
    const struct gateway *gateway = request->gateway;
    int64_t most_ms = gateway->fleet->config->timeouts_request_ms;
    int64_t ms = most_ms;
    struct slice text;
    unsigned found = find_header(request->http, SLICE(REQUEST_TIMEOUT), &text);

    if (UNLIKELY(found > 1 || (found && request_timeout_parse(text, &ms) != ERR_OK))) {
        reply_bad_request(request->exchange,
                          found > 1 ? SLICE(REQUEST_TIMEOUT ": must be given only once")
                                    : SLICE(REQUEST_TIMEOUT ": must be whole seconds as in 2, or "
                                                            "milliseconds as in 250ms"));
        return false;
    }
    *out_deadline_ms = loop_now_ms(gateway->loop) + (ms < most_ms ? ms : most_ms);
    return true;
}

bool request_key(struct request *request) {
    const char *detail = NULL;
    unsigned found = find_header(request->http, SLICE("Idempotency-Key"), &request->key);

    if (found > 1)
        detail = "Idempotency-Key: must be given only once";
    else if (found && (request->key.len == 0 || request->key.len > IDEMPOTENCY_KEY_MAX))
        detail = "Idempotency-Key: must have 1 to 255 bytes";
    if (detail)
        reply_bad_request(request->exchange, slice_str(detail));
    return !detail;
}

bool request_key_required(struct request *request) {
    if (!request_key(request))
        return false;
    if (request->key.ptr || !CONFIG_HOT(request->gateway->fleet->config, idempotency_required))
        return true;
    reply_bad_request(request->exchange,
                      SLICE("Idempotency-Key: this server requires the header on writes"));
    return false;
}

bool request_readable(struct request *request, enum err err, const struct json_problem *problem) {
    if (LIKELY(err == ERR_OK))
        return true;
    if (err == ERR_INVALID)
        reply_bad_request(request->exchange, slice_str(problem->text));
    else
        reply_failure(request->exchange, err, (struct slice){NULL, 0});
    return false;
}

void call_start(struct request *request, const struct op *op, call_done done) {
    struct call *call = arena_alloc(http_arena(request->exchange), sizeof(*call));
    enum err err = ERR_NO_MEMORY;
    int64_t deadline_ms;

    if (!request_deadline(request, &deadline_ms))
        return;
    if (LIKELY(call)) {
        *call = (struct call){
            .waiter = {.done = done,
                       .deadline_ms = deadline_ms,
                       .trace = http_trace(request->exchange)},
            .gateway = request->gateway,
            .exchange = request->exchange,
            .resource_id = arena_copy(http_arena(request->exchange), op->resource_id),
            .counter_type = arena_copy(http_arena(request->exchange), op->counter_type),
        };
        if (LIKELY(!arena_overflowed(http_arena(request->exchange))))
            err = loop_batcher_admit(request->batcher);
        if (LIKELY(err == ERR_OK))
            err = loop_batcher_add(request->batcher, op, &call->waiter);
    }
    if (UNLIKELY(err != ERR_OK))
        reply_failure(request->exchange, err, (struct slice){NULL, 0});
}

void call_learn(const struct call *call, const struct answer *answer) {
    stale_learn(call->gateway, call->resource_id, call->counter_type, answer);
}

struct json_counter call_counter(const struct call *call, const struct answer *answer) {
    return (struct json_counter){
        .resource_id = call->resource_id,
        .counter_type = call->counter_type,
        .value = answer->value,
        .time_s = answer->time_ms / 1000,
        .err = answer->err,
        .replayed = answer->replayed,
    };
}

void call_reply_change(struct waiter *waiter, const struct answer *answer) {
    struct call *call = CONTAINER_OF(waiter, struct call, waiter);

    call_learn(call, answer);
    if (UNLIKELY(answer->err != ERR_OK)) {
        reply_failure(call->exchange, answer->err, (struct slice){NULL, 0});
        return;
    }
    struct json_counter counter = call_counter(call, answer);
    struct buf *body = http_body(call->exchange);

    json_write_increment(body, &counter);
    reply_json(call->exchange, 200, body, answer->replayed ? REPLAYED_HEADER : SLICE(""));
}
