/* reply.c - success, and every failure in the shape its route promises.
 *
 * Routes of the contract's part A keep the old error bodies, unless the client
 * asks for application/problem+json; everything else answers RFC 9457.
 */
#include <stdio.h>

#include "gateway/internal.h"

#define JSON_TYPE       SLICE("application/json; charset=utf-8")
#define PROBLEM_TYPE    SLICE("application/problem+json")
#define PREFERS_PROBLEM 0x10000u
#define ARM_SHIFT       17
#define RETRY_AFTER     SLICE("Retry-After: 1\r\n")

void reply_route(struct http_exchange *exchange, const struct http1_request *http, unsigned route) {
    struct slice accept = http ? http1_header(http, SLICE("Accept")) : (struct slice){NULL, 0};
    bool problem = accept.len && memmem(accept.ptr, accept.len, PROBLEM_TYPE.ptr, PROBLEM_TYPE.len);

    http_set_tag(exchange, route | (problem ? PREFERS_PROBLEM : 0));
}

unsigned reply_route_of(const struct http_exchange *exchange) {
    return http_tag(exchange) & (PREFERS_PROBLEM - 1);
}

void reply_arm(struct http_exchange *exchange, enum canary_arm arm) {
    http_set_tag(exchange, http_tag(exchange) | (unsigned)arm << ARM_SHIFT);
}

enum canary_arm reply_arm_before(const struct http_exchange *exchange) {
    return (enum canary_arm)(http_tag_before(exchange) >> ARM_SHIFT);
}

enum canary_arm reply_arm_of(const struct http_exchange *exchange) {
    return (enum canary_arm)(http_tag(exchange) >> ARM_SHIFT);
}

static bool keeps_old_shape(const struct http_exchange *exchange) {
    return (route_at(reply_route_of(exchange))->flags & ROUTE_FROZEN) &&
           !(http_tag(exchange) & PREFERS_PROBLEM);
}

void reply_json(struct http_exchange *exchange, int status, const struct buf *body,
                struct slice headers) {
    if (UNLIKELY(buf_failed(body))) {
        reply_problem(exchange, ERR_NO_MEMORY, (struct slice){NULL, 0}, RETRY_AFTER);
        return;
    }
    http_reply(exchange, &(struct http_reply){.status = status,
                                              .content_type = JSON_TYPE,
                                              .headers = headers,
                                              .body = buf_slice(body)});
}

/* After these the rest of the input can't be trusted or isn't wanted. */
static bool ends_connection(enum err err) {
    return err == ERR_SLOW || err == ERR_VERSION;
}

void reply_problem(struct http_exchange *exchange, enum err err, struct slice detail,
                   struct slice headers) {
    int status = err_http(err);
    struct buf *body = http_body(exchange);

    http_set_failure(exchange, err, detail.len ? detail : slice_str(err_text(err)));
    json_write_problem(body, status, http_reason(status),
                       detail.len ? detail : slice_str(err_text(err)));
    http_reply(exchange, &(struct http_reply){.status = status,
                                              .content_type = PROBLEM_TYPE,
                                              .headers = headers,
                                              .body = buf_slice(body),
                                              .close = ends_connection(err)});
}

static void reply_old_shape(struct http_exchange *exchange, int status, enum err err,
                            struct slice detail, struct slice error) {
    struct buf *body = http_body(exchange);

    http_set_failure(exchange, err, detail);
    json_write_error(body, detail, error, false);
    reply_json(exchange, status, body, status == 503 ? RETRY_AFTER : SLICE(""));
}

/* Came with the split: CONTRACT A gives it a shape of its own. */
static void reply_unreachable(struct http_exchange *exchange, struct slice detail) {
    struct buf *body = http_body(exchange);

    http_set_failure(exchange, ERR_UNREACHABLE, detail);
    json_write_error(body, detail, SLICE("Counter service unavailable"), true);
    reply_json(exchange, err_http(ERR_UNREACHABLE), body, RETRY_AFTER);
}

void reply_bad_request(struct http_exchange *exchange, struct slice detail) {
    if (keeps_old_shape(exchange))
        reply_old_shape(exchange, 400, ERR_INVALID, detail, SLICE("Invalid request format"));
    else
        reply_problem(exchange, ERR_INVALID, detail, SLICE(""));
}

void reply_failure(struct http_exchange *exchange, enum err err, struct slice detail) {
    int status = err_http(err);

    if (!detail.len)
        detail = slice_str(err_text(err));
    if (err == ERR_UNREACHABLE && keeps_old_shape(exchange)) {
        reply_unreachable(exchange, detail);
        return;
    }
    /* 422 and 409 came with the idempotency keys, which the old API never had. */
    if (keeps_old_shape(exchange) && status != 422 && status != 409)
        reply_old_shape(exchange, status, err, detail, route_at(reply_route_of(exchange))->failure);
    else
        reply_problem(exchange, err, detail, status == 503 ? RETRY_AFTER : SLICE(""));
}
