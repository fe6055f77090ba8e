/* gateway.c - one loop's servers, batcher and timer, put together. */
#include "gateway/gateway.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/random.h"
#include "core/last_values.h"
#include "gateway/client_limit.h"
#include "gateway/internal.h"
#include "gateway/observe.h"
#include "wire/uri.h"

/* ---- requests ---- */

static size_t body_limit(const struct config *config, const struct route *route) {
    return route->flags & ROUTE_BATCH ? CONFIG_HOT(config, limits_batch_body_bytes)
                                      : CONFIG_HOT(config, limits_body_bytes);
}

/* A GET as they all come: no body to limit, nothing to refuse before its time. */
static bool plain_get(const struct http1_request *http) {
    return http->method == HTTP_GET && !http->has_body && !http->expects_continue &&
           !http->expectation_failed;
}

static size_t on_head(struct gateway *gateway, unsigned side, const struct http1_request *http,
                      enum err *out_refusal) {
    if (plain_get(http))
        return body_limit(gateway->fleet->config, route_at(ROUTE_NONE));
    struct route_match match = route_find(side, http->method, http->path);
    const struct route *route = route_at(match.route);

    if (http->expectation_failed)
        *out_refusal = ERR_EXPECTATION;
    else if (http->expects_continue && match.route == ROUTE_NONE)
        *out_refusal = match.path_known ? ERR_METHOD : ERR_NOT_FOUND;
    else if ((route->flags & ROUTE_BODY) && !http->has_body)
        *out_refusal = ERR_LENGTH;
    return body_limit(gateway->fleet->config, route);
}

static size_t on_public_head(void *ctx, const struct http1_request *http, enum err *out_refusal) {
    return on_head(ctx, ROUTE_PUBLIC, http, out_refusal);
}

static size_t on_admin_head(void *ctx, const struct http1_request *http, enum err *out_refusal) {
    return on_head(ctx, ROUTE_ADMIN, http, out_refusal);
}

static bool decode_parts(struct request *request, const struct route_match *match) {
    const char *detail = NULL;

    if (request->route->path.ptr[request->route->path.len - 1] != '}')
        return true;
    for (unsigned i = 0; i < 2; i++) {
        enum err err = uri_decode_part(match->parts[i], http_arena(request->exchange),
                                       &request->parts[i], &detail);

        if (err == ERR_INVALID)
            reply_bad_request(request->exchange, slice_str(detail));
        else if (err != ERR_OK)
            reply_failure(request->exchange, err, (struct slice){NULL, 0});
        if (err != ERR_OK)
            return false;
    }
    if (request->parts[0].len && request->parts[1].len)
        return true;
    struct buf *body = http_body(request->exchange);
    http_set_failure(request->exchange, ERR_INVALID, SLICE("an empty path part"));
    json_write_error(body, SLICE(""), SLICE("resource_id and counter_type are required"), false);
    reply_json(request->exchange, 400, body, SLICE(""));
    return false;
}

/* A body we would misread: compressed, or in another charset than UTF-8 (RFC 9110 15.5.16). The
 * media type itself is not looked at: the old API never did, and curl -d sends a form's. */
static bool unreadable_coding(const struct http1_request *http) {
    struct slice coding = http1_header(http, SLICE("Content-Encoding"));
    struct slice type = http1_header(http, SLICE("Content-Type"));
    const char *charset = NULL;

    if (coding.len && !slice_eq_nocase(coding, SLICE("identity")))
        return true;
    bool has_parameter = type.len && memchr(type.ptr, '=', type.len);
    for (size_t i = 0; has_parameter && !charset && i + 8 <= type.len; i++)
        if (strncasecmp(type.ptr + i, "charset=", 8) == 0)
            charset = type.ptr + i + 8;
    if (!charset)
        return false;
    struct slice name = slice_skip(type, (size_t)(charset - type.ptr));
    if (name.len && name.ptr[0] == '"')
        name = slice_skip(name, 1);
    return !(name.len >= 5 && strncasecmp(name.ptr, "utf-8", 5) == 0) &&
           !(name.len >= 4 && strncasecmp(name.ptr, "utf8", 4) == 0) &&
           !(name.len >= 8 && strncasecmp(name.ptr, "us-ascii", 8) == 0);
}

static void reply_no_route(struct request *request, const struct route_match *match) {
    char methods[64];
    char allow[sizeof(methods) + 16];

    if (request->http->path.len == 0 || request->http->path.ptr[0] != '/') {
        /* CONNECT's authority, or the "*" of OPTIONS: not ours to serve (RFC 9110 9.3.6, 9.3.7). */
        reply_problem(request->exchange, ERR_NOT_IMPL, (struct slice){NULL, 0}, SLICE(""));
        return;
    }
    if (!match->path_known) {
        reply_problem(request->exchange, ERR_NOT_FOUND, SLICE("there is nothing at this path"),
                      SLICE(""));
        return;
    }
    route_allow(match->methods, methods, sizeof(methods));
    (void)snprintf(allow, sizeof(allow), "Allow: %s\r\n", methods);
    reply_problem(request->exchange, ERR_METHOD, (struct slice){NULL, 0}, slice_str(allow));
}

/* Before anything is read out of the request: refusing must cost next to nothing. */
static bool admitted(const struct request *request, unsigned side) {
    struct gateway *gateway = request->gateway;
    struct client_limit *limit = gateway->fleet->limit;

    return LIKELY(!client_limit_is_on(limit)) || side != ROUTE_PUBLIC ||
           (request->route->flags & ROUTE_PROBE) ||
           client_limit_admit(limit, request->exchange, request->http, gateway->shard,
                              loop_now_ms(gateway->loop));
}

static bool canary_usable(const struct gateway *gateway) {
    struct upstream *upstream = gateway->ways[GATEWAY_CANARY].upstream;

    return !upstream->usable || upstream->usable(upstream);
}

/* What operators change on the admin listener goes direct. A request that counts nothing only
 * remembers the arm of the one before it for the one behind it. */
static void choose_way(struct request *request, unsigned side) {
    struct gateway *gateway = request->gateway;
    struct canary *canary = gateway->fleet->canary_rule;

    request->batcher = gateway->ways[GATEWAY_MAIN].batcher;
    if (LIKELY(!canary) || side != ROUTE_PUBLIC)
        return;
    enum canary_arm arm = reply_arm_before(request->exchange);

    if (arm == CANARY_NONE && (request->route->flags & ROUTE_COUNTS))
        arm = canary_choose(canary, &gateway->canary, request->http, canary_usable(gateway),
                            gateway->shard);
    reply_arm(request->exchange, arm);
    if (arm == CANARY_GRPC)
        request->batcher = gateway->ways[GATEWAY_CANARY].batcher;
}

static void serve(struct gateway *gateway, unsigned side, struct http_exchange *exchange,
                  const struct http1_request *http, enum err refusal, const char *detail) {
    struct request request = {.gateway = gateway, .exchange = exchange, .http = http};
    struct route_match match = {.route = ROUTE_NONE};

    if (http)
        match = route_find(side, http->method, http->path);
    request.route = route_at(match.route);
    reply_route(exchange, http, match.route);
    if (http)
        choose_way(&request, side);
    if (UNLIKELY(http && !admitted(&request, side)))
        reply_problem(exchange, ERR_LIMITED, (struct slice){NULL, 0}, SLICE(""));
    else if (UNLIKELY(!http || (refusal != ERR_OK && refusal != ERR_METHOD)))
        reply_problem(exchange, refusal, slice_str(detail), SLICE(""));
    else if (UNLIKELY(refusal == ERR_METHOD || match.route == ROUTE_NONE))
        reply_no_route(&request, &match);
    else if (UNLIKELY(http->body.len && unreadable_coding(http)))
        reply_problem(exchange, ERR_ENCODING, (struct slice){NULL, 0},
                      SLICE("Accept-Encoding: identity\r\n"));
    else if (decode_parts(&request, &match))
        request.route->handle(&request);
}

static void on_public_request(void *ctx, struct http_exchange *exchange,
                              const struct http1_request *http, enum err refusal,
                              const char *detail) {
    serve(ctx, ROUTE_PUBLIC, exchange, http, refusal, detail);
}

static void on_admin_request(void *ctx, struct http_exchange *exchange,
                             const struct http1_request *http, enum err refusal,
                             const char *detail) {
    serve(ctx, ROUTE_ADMIN, exchange, http, refusal, detail);
}

/* ---- the batcher ---- */

/* A request answered by its deadline may leave its message with the store: that answer is waited
 * for, since it comes to this gateway. */
void gateway_check_drained(struct gateway *gateway) {
    bool idle = live_idle(gateway->live);

    for (unsigned i = 0; i < GATEWAY_WAYS; i++)
        idle = idle && (!gateway->ways[i].batcher || loop_batcher_idle(gateway->ways[i].batcher));
    if (gateway->drain.done && gateway->drain.waiting == 0 && idle) {
        gateway->drain.done(gateway->drain.ctx);
        gateway->drain.done = NULL;
    }
}

static void show_gauges(struct gateway *gateway) {
    struct gateway_gauges *gauges = &gateway->fleet->gauges[gateway->shard];
    size_t queued = 0;
    size_t in_flight = 0;
    size_t limit = 0;

    for (unsigned i = 0; i < GATEWAY_WAYS; i++) {
        queued += gateway->ways[i].reported.queued;
        in_flight += gateway->ways[i].reported.in_flight;
        limit += gateway->ways[i].reported.limit;
    }
    metrics_set(gateway->fleet->metrics, gateway->shard, gateway->fleet->series.limit, limit);
    atomic_store_explicit(&gauges->operations_queued, queued, memory_order_relaxed);
    atomic_store_explicit(&gauges->messages_in_flight, in_flight, memory_order_relaxed);
}

/* Hot: as the configuration has it at the moment. */
static void set_limit(struct gateway_way *way) {
    const struct config *config = way->gateway->fleet->config;

    loop_batcher_limit(way->batcher, CONFIG_HOT(config, overload_latency_ms),
                       CONFIG_HOT(config, overload_latency_max_ms));
}

static void on_published(void *ctx, const struct batcher_stats *now) {
    struct gateway_way *way = ctx;
    struct gateway *gateway = way->gateway;
    struct gateway_fleet *fleet = gateway->fleet;

    if (now->retries_total != way->reported.retries_total)
        metrics_add(fleet->metrics, gateway->shard, fleet->series.batch_retries,
                    now->retries_total - way->reported.retries_total);
    if (now->refused_total != way->reported.refused_total)
        metrics_add(fleet->metrics, gateway->shard, fleet->series.batch_refused,
                    now->refused_total - way->reported.refused_total);
    if (now->shed_total != way->reported.shed_total)
        metrics_add(fleet->metrics, gateway->shard, fleet->series.shed,
                    now->shed_total - way->reported.shed_total);
    way->reported = *now;
    show_gauges(gateway);
    set_limit(way);
    gateway_check_drained(gateway); /* a read for live streams may have run out of time just now */
}

static bool owes(void *ctx) {
    const struct gateway *gateway = ((const struct gateway_way *)ctx)->gateway;

    return http_server_owes(gateway->http) || http_server_owes(gateway->admin);
}

void gateway_set_analytics(struct gateway *gateway, struct analytics_upstream *analytics) {
    gateway->analytics = analytics;
}

void gateway_set_clock(struct gateway *gateway, enum gateway_which way, int64_t clock_ahead_ms) {
    loop_batcher_set_clock(gateway->ways[way].batcher, clock_ahead_ms);
}

void gateway_delivered(struct gateway *gateway, enum gateway_which way, struct delivery *delivery) {
    loop_batcher_delivered(gateway->ways[way].batcher, delivery);
    gateway_check_drained(gateway);
}

/* ---- composition ---- */

static struct http_server_conf server_conf(const struct config *config,
                                           _Atomic size_t *connections) {
    return (struct http_server_conf){
        .limits = {.line_bytes = (size_t)config->limits_request_line_bytes,
                   .header_bytes = (size_t)config->limits_header_bytes,
                   .header_count = (size_t)config->limits_header_count,
                   .body_bytes = (size_t)config->limits_body_bytes},
        .connections_max = (size_t)config->limits_connections,
        .connections = connections,
        .pipeline_max = (size_t)config->limits_pipeline,
        .streams_max = config->limits_http2_streams,
        .header_ms = config->timeouts_header_ms,
        .body_ms = config->timeouts_body_ms,
        .idle_ms = config->timeouts_idle_ms,
        .drain_idle_ms = config->timeouts_drain_idle_ms,
        .write_ms = config->timeouts_write_ms,
        .id_seed = random_u64(),
    };
}

static struct http_server *make_server(struct gateway *gateway, const struct http_app *app,
                                       enum gateway_audience audience) {
    struct gateway_fleet *fleet = gateway->fleet;
    bool public = audience == GATEWAY_PUBLIC;
    struct http_server_conf conf =
        server_conf(fleet->config, public ? &fleet->http_connections : &fleet->admin_connections);

    if (!public)
        conf.drain_idle_ms = 0; /* a scraper's next request is long away */
    conf.tls = public ? fleet->tls : NULL;
    conf.penalty = public ? fleet->penalty : NULL;
    return http_server_new(gateway->loop, &conf, app);
}

static bool make_servers(struct gateway *gateway) {
    struct gateway_gauges *gauges = &gateway->fleet->gauges[gateway->shard];
    struct http_app app = {
        .ctx = gateway,
        .head = on_public_head,
        .request = on_public_request,
        .replied = gateway_replied,
    };

    gateway->http = make_server(gateway, &app, GATEWAY_PUBLIC);
    app.head = on_admin_head;
    app.request = on_admin_request;
    gateway->admin = make_server(gateway, &app, GATEWAY_OPERATORS);
    if (!gateway->http || !gateway->admin)
        return false;
    gauges->http = http_server_stats(gateway->http);
    gauges->mailbox = loop_mailbox(gateway->loop);
    return true;
}

/* True without effect where there is no such way. */
static bool open_way(struct gateway *gateway, enum gateway_which which, struct upstream *upstream) {
    struct gateway_fleet *fleet = gateway->fleet;
    const struct gateway_backend *backend =
        which == GATEWAY_CANARY ? &fleet->canary : &fleet->backend;
    struct gateway_way *way = &gateway->ways[which];
    const struct config *config = fleet->config;
    struct loop_batcher_conf conf = {
        .ops_max = config->batch_operations,
        .queue_max = config->batch_queue,
        .in_flight_max = config->batch_in_flight,
        .clock_ahead_ms = backend->clock_ahead_ms,
        .clock_unknown = backend->clock_unknown,
        .attempt_ms = backend->attempt_ms,
    };
    struct loop_batcher_user user = {.ctx = way, .owes = owes, .published = on_published};

    if (!upstream)
        return true;
    way->gateway = gateway;
    way->upstream = upstream;
    way->batcher = loop_batcher_new(gateway->loop, &conf, upstream, &user);
    way->reported.limit = conf.queue_max;
    if (way->batcher)
        set_limit(way);
    return way->batcher != NULL;
}

struct gateway *gateway_new(struct gateway_fleet *fleet, struct loop *loop, unsigned shard,
                            struct upstream *const upstreams[GATEWAY_WAYS]) {
    struct gateway *gateway = calloc(1, sizeof(*gateway));
    bool opened;

    if (!gateway)
        return NULL;
    gateway->fleet = fleet;
    gateway->loop = loop;
    gateway->shard = shard;
    gateway->live = live_new(loop, &(struct live_conf){
                                       .shared = &fleet->streams,
                                       .shard = shard,
                                       .heartbeat_ms = fleet->config->stream_heartbeat_ms,
                                       .read_ms = fleet->config->timeouts_request_ms,
                                   });
    gateway->canary.random = random_u64();
    opened = make_servers(gateway);
    for (unsigned i = 0; i < GATEWAY_WAYS; i++)
        opened = opened && open_way(gateway, (enum gateway_which)i, upstreams[i]);
    if (gateway->live && opened) {
        live_use(gateway->live, gateway->ways[GATEWAY_MAIN].batcher);
        show_gauges(gateway);
        return gateway;
    }
    gateway_free(gateway);
    return NULL;
}

bool gateway_listen(struct gateway *gateway, enum gateway_audience audience, int fd) {
    return http_server_listen(audience == GATEWAY_PUBLIC ? gateway->http : gateway->admin, fd) ==
           ERR_OK;
}

void gateway_free(struct gateway *gateway) {
    if (!gateway)
        return;
    http_server_free(gateway->http);
    http_server_free(gateway->admin);
    for (unsigned i = 0; i < GATEWAY_WAYS; i++)
        loop_batcher_free(gateway->ways[i].batcher);
    live_free(gateway->live);
    last_values_free(gateway->last);
    free(gateway);
}

static void server_drained(void *ctx) {
    struct gateway *gateway = ctx;

    gateway->drain.waiting--;
    gateway_check_drained(gateway);
}

void gateway_drain(struct gateway *gateway, void (*done)(void *ctx), void *ctx) {
    gateway->drain.done = done;
    gateway->drain.ctx = ctx;
    gateway->drain.waiting = GATEWAY_AUDIENCES;
    http_server_drain(gateway->http, server_drained, gateway);
    http_server_drain(gateway->admin, server_drained, gateway);
    live_end(gateway->live);
}

void gateway_abort(struct gateway *gateway) {
    http_server_abort(gateway->http);
    http_server_abort(gateway->admin);
}
