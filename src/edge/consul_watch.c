/* consul_watch.c - blocking queries by their rules (developer.hashicorp.com/consul/api-docs/
 * features/blocking): the index of an answer goes into the next question; one that goes backwards,
 * or is none, begins anew; a query that fails is made again later, with the index it had. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "edge/consul.h"

/* Consul adds up to a sixteenth of the wait, so that not all ask again at once. */
#define WAIT_S     30
#define TIMEOUT_MS (WAIT_S * 1000 + WAIT_S * 1000 / 16 + 5000)
/* Between answers to one watch: something that changes all the time isn't followed faster. */
#define SPACING_MS 50

static void on_answer(struct http_fetch *fetch, const struct http_answer *answer);

static void ask(struct consul_watch *watch, int64_t delay_ms) {
    char index[64] = "";

    if (watch->index)
        (void)snprintf(index, sizeof(index), "%cindex=%" PRIu64 "&wait=%ds",
                       strchr(watch->path, '?') ? '&' : '?', watch->index, WAIT_S);
    consul_url(watch->consul, watch->url, "%s%s", watch->path, index);
    watch->fetch.method = "GET";
    watch->fetch.url = watch->url;
    watch->fetch.timeout_ms = TIMEOUT_MS;
    watch->fetch.done = on_answer;
    http_client_start(watch->consul->http, &watch->fetch, delay_ms);
}

static void failed(struct consul_watch *watch, const struct http_answer *answer) {
    char text[256];

    watch->failures++;
    consul_heard(watch->consul, consul_problem(answer, text, sizeof(text)));
    ask(watch, consul_pause_ms(watch->consul, watch->failures));
}

static void on_answer(struct http_fetch *fetch, const struct http_answer *answer) {
    struct consul_watch *watch = CONTAINER_OF(fetch, struct consul_watch, fetch);

    if (answer->problem || (answer->status != 200 && answer->status != 404)) {
        failed(watch, answer);
        return;
    }
    int64_t now_ms = clock_mono_ms();
    uint64_t index = consul_index(answer);
    bool moved = index == 0 || index != watch->index;
    int64_t early_ms = watch->heard_ms + SPACING_MS - now_ms;

    consul_heard(watch->consul, NULL);
    watch->failures = 0;
    watch->heard_ms = now_ms;
    /* Backwards: Consul's own data were restored, or lost. */
    watch->index = index < watch->index ? 0 : index;
    if (moved)
        watch->changed(watch, answer);
    /* Without an index the query doesn't block: not more often than the pause after failures. */
    if (watch->index == 0)
        ask(watch, consul_pause_ms(watch->consul, UINT32_MAX));
    else
        ask(watch, early_ms > 0 ? early_ms : 0);
}

void consul_watch_start(struct consul_watch *watch, struct consul *consul) {
    watch->consul = consul;
    watch->heard_ms = clock_mono_ms() - SPACING_MS;
    ask(watch, 0);
}

void consul_watch_stop(struct consul_watch *watch) {
    if (watch->consul)
        http_client_cancel(watch->consul->http, &watch->fetch);
}
