/* analytics.c - GET /api/v1/analytics/top and /api/v1/analytics/stats/{id}/{type}.
 *
 *     query ─► ask ─► analytics, wherever it is ─► on_answer() ─► reply
 */
#include <stdlib.h>

#include "core/analytics_ask.h"
#include "gateway/analytics_query.h"
#include "gateway/internal.h"

struct inquiry {
    struct analytics_ask ask;
    struct gateway *gateway;
    struct http_exchange *exchange;
    unsigned metrics; /* a set of enum stats_metric */
};

static void reply_answer(struct inquiry *inquiry) {
    struct buf *body = http_body(inquiry->exchange);

    if (inquiry->ask.kind == ASK_TOP)
        analytics_write_top(body, &inquiry->ask);
    else
        analytics_write_stats(body, &inquiry->ask, inquiry->metrics);
    reply_json(inquiry->exchange, 200, body, SLICE(""));
}

/* It can't be reached, wholly or in part, or it says itself that it has no answer. */
static void reply_away(struct inquiry *inquiry) {
    const struct gateway_service *service = &inquiry->gateway->fleet->analytics;
    char why[GATEWAY_DOWN_BYTES] = ANALYTICS_AWAY;

    bool missing = coverage_missing(&inquiry->ask.coverage) > 0;

    if (service->ctx && (missing || !service->up(service->ctx)))
        service->down(service->ctx, why, sizeof(why));
    reply_failure(inquiry->exchange, ERR_UNAVAILABLE, slice_str(why));
}

static void on_answer(struct analytics_ask *ask) {
    struct inquiry *inquiry = ask->ctx;

    if (ask->err == ERR_OK)
        reply_answer(inquiry);
    else if (ask->err == ERR_UNAVAILABLE)
        reply_away(inquiry);
    else
        reply_failure(inquiry->exchange, ask->err, (struct slice){NULL, 0});
    top_answer_release(&ask->top_answer);
    free(inquiry);
}

/* The parameters outlive the request's slices: decoded values may be the request itself. */
static struct slice keep(struct request *request, struct slice text) {
    return arena_copy(http_arena(request->exchange), text);
}

static void inquire(struct request *request, const struct analytics_params *params, bool top) {
    struct gateway *gateway = request->gateway;
    struct inquiry *inquiry = calloc(1, sizeof(*inquiry));
    enum err err = ERR_NO_MEMORY;
    int64_t deadline_ms;

    if (!request_deadline(request, &deadline_ms)) {
        free(inquiry);
        return;
    }
    if (inquiry) {
        struct slice type = top ? params->counter_type : request->parts[1];

        inquiry->gateway = gateway;
        inquiry->exchange = request->exchange;
        inquiry->metrics = params->metrics;
        inquiry->ask.kind = top ? ASK_TOP : ASK_STATS;
        inquiry->ask.deadline_ms = deadline_ms;
        inquiry->ask.top =
            (struct top_query){keep(request, type), params->range, params->offset, params->limit};
        inquiry->ask.stats = (struct stats_query){keep(request, request->parts[0]),
                                                  inquiry->ask.top.counter_type, params->range};
        inquiry->ask.done = on_answer;
        inquiry->ask.ctx = inquiry;
        if (!arena_overflowed(http_arena(request->exchange)))
            err = analytics_ask(gateway->analytics, &inquiry->ask);
    }
    if (err == ERR_OK)
        return;
    free(inquiry);
    reply_failure(request->exchange, err, (struct slice){NULL, 0});
}

bool request_analytics(struct request *request) {
    if (request->gateway->analytics)
        return true;
    reply_problem(request->exchange, ERR_NOT_IMPL, SLICE("this process runs without analytics"),
                  SLICE(""));
    return false;
}

static void handle(struct request *request, bool top) {
    struct analytics_params params = ANALYTICS_DEFAULTS;
    const char *detail = NULL;

    if (!request_analytics(request))
        return;
    enum err err = analytics_read_params(request->http->query, top, http_arena(request->exchange),
                                         &params, &detail);
    if (err == ERR_OK && top && params.offset + params.limit > request->gateway->analytics->reach) {
        err = ERR_INVALID;
        detail = "offset: with limit at most 1000 where several analytics instances answer";
    }
    if (err == ERR_OK)
        inquire(request, &params, top);
    else if (err == ERR_INVALID)
        reply_bad_request(request->exchange, slice_str(detail));
    else
        reply_failure(request->exchange, err, (struct slice){NULL, 0});
}

void handle_analytics_top(struct request *request) {
    handle(request, true);
}

void handle_analytics_stats(struct request *request) {
    handle(request, false);
}
