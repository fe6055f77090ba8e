/* consul_kv.c */
#include "edge/consul_kv.h"

#include <stdio.h>

#define CALL_MS 5000

struct waiting {
    struct http_fetch fetch;
    struct consul_kv_call *call;
    enum consul_kv got;
    bool over;
};

static void on_answer(struct http_fetch *fetch, const struct http_answer *answer) {
    struct waiting *waiting = CONTAINER_OF(fetch, struct waiting, fetch);
    struct consul_kv_call *call = waiting->call;
    char text[256];

    waiting->over = true;
    call->index = consul_index(answer);
    if (!answer->problem && answer->status == 200) {
        buf_add_slice(call->out, answer->body);
        waiting->got = CONSUL_KV_FOUND;
    } else if (!answer->problem && answer->status == 404) {
        waiting->got = CONSUL_KV_NONE;
    } else {
        (void)snprintf(call->problem, sizeof(call->problem), "%s",
                       consul_problem(answer, text, sizeof(text)));
    }
}

enum consul_kv consul_kv_call(struct consul *consul, struct consul_kv_call *call) {
    char url[CONSUL_URL_BYTES];
    struct waiting waiting = {.fetch = {.method = call->method,
                                        .url = url,
                                        .body = call->body,
                                        .timeout_ms = call->timeout_ms ? call->timeout_ms : CALL_MS,
                                        .done = on_answer},
                              .call = call,
                              .got = CONSUL_KV_FAILED};

    consul_url(consul, url, "%s", call->path);
    http_client_start(consul->http, &waiting.fetch, 0);
    while (!waiting.over)
        http_client_turn(consul->http, CALL_MS);
    http_client_cancel(consul->http, &waiting.fetch);
    return waiting.got;
}

enum consul_kv consul_kv_read_once(const struct config *config, const char *key,
                                   struct consul_kv_call *call) {
    enum consul_kv got = CONSUL_KV_FAILED;
    struct consul consul;
    char path[CONSUL_URL_BYTES];
    const char *why = consul_open(&consul, config);

    call->method = "GET";
    call->path = path;
    (void)snprintf(path, sizeof(path), "kv/%s?raw", key);
    if (why)
        (void)snprintf(call->problem, sizeof(call->problem), "%s", why);
    else
        got = consul_kv_call(&consul, call);
    consul_close(&consul);
    return got;
}
