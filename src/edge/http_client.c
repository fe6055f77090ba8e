/* http_client.c - libcurl's multi interface, and the little that it lacks. */
#include "edge/http_client.h"

#include <assert.h>
#include <curl/curl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

struct http_client {
    const struct http_client_conf *conf;
    CURLM *multi;
    struct curl_slist *headers;
    struct list waiting; /* fetches that aren't due yet */
    struct list running;
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void init_curl(void) {
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

static bool add_header(struct http_client *client, const char *line) {
    struct curl_slist *longer = curl_slist_append(client->headers, line);

    if (longer)
        client->headers = longer;
    return longer != NULL;
}

struct http_client *http_client_new(const struct http_client_conf *conf) {
    struct http_client *client = calloc(1, sizeof(*client));

    (void)pthread_once(&curl_once, init_curl);
    if (!client)
        return NULL;
    client->conf = conf;
    list_init(&client->waiting);
    list_init(&client->running);
    client->multi = curl_multi_init();
    /* Without this one libcurl waits for "100 Continue" before larger bodies. */
    if (client->multi && add_header(client, "Expect:") &&
        (!conf->header || add_header(client, conf->header)))
        return client;
    http_client_free(client);
    return NULL;
}

/* ---- one fetch ---- */

static size_t take_body(char *bytes, size_t size, size_t count, void *ctx) {
    struct http_fetch *fetch = ctx;
    size_t len = size * count;

    if (fetch->own.answer.len + len > fetch->own.answer_max)
        return 0; /* libcurl gives up with CURLE_WRITE_ERROR */
    buf_add(&fetch->own.answer, bytes, len);
    return buf_failed(&fetch->own.answer) ? 0 : len;
}

static size_t give_body(char *out, size_t size, size_t count, void *ctx) {
    struct http_fetch *fetch = ctx;
    struct slice left = slice_skip(fetch->body, fetch->own.sent);
    size_t len = left.len < size * count ? left.len : size * count;

    memcpy(out, left.ptr, len);
    fetch->own.sent += len;
    return len;
}

static void set_tls(CURL *easy, const struct http_client_conf *conf) {
    if (conf->ca_file[0])
        curl_easy_setopt(easy, CURLOPT_CAINFO, conf->ca_file);
    if (conf->cert_file[0]) {
        curl_easy_setopt(easy, CURLOPT_SSLCERT, conf->cert_file);
        curl_easy_setopt(easy, CURLOPT_SSLKEY, conf->key_file);
    }
}

static void set_request(CURL *easy, struct http_fetch *fetch) {
    curl_easy_setopt(easy, CURLOPT_URL, fetch->url);
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, fetch->method);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)fetch->timeout_ms);
    if (strcmp(fetch->method, "PUT") != 0)
        return;
    curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, give_body);
    curl_easy_setopt(easy, CURLOPT_READDATA, fetch);
    curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)fetch->body.len);
}

static CURL *make_easy(struct http_client *client, struct http_fetch *fetch) {
    CURL *easy = curl_easy_init();

    if (!easy)
        return NULL;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, fetch);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, client->headers);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, fetch->own.problem);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, fetch);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)client->conf->connect_ms);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    /* A proxy of the environment is for what leaves the house; and the token isn't for it. */
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    set_tls(easy, client->conf);
    set_request(easy, fetch);
    return easy;
}

static void end(struct http_client *client, struct http_fetch *fetch) {
    if (!fetch->own.easy)
        return;
    (void)curl_multi_remove_handle(client->multi, fetch->own.easy);
    curl_easy_cleanup(fetch->own.easy);
    fetch->own.easy = NULL;
}

/* ---- life ---- */

void http_client_start(struct http_client *client, struct http_fetch *fetch, int64_t delay_ms) {
    assert(!fetch->own.easy);
    fetch->own.at_ms = clock_mono_ms() + delay_ms;
    fetch->own.answer_max = client->conf->body_bytes_max;
    list_push_back(&client->waiting, &fetch->own.node);
}

void http_client_cancel(struct http_client *client, struct http_fetch *fetch) {
    if (fetch->own.node.next)
        list_remove(&fetch->own.node);
    end(client, fetch);
    buf_release(&fetch->own.answer);
}

static void cancel_all(struct http_client *client, struct list *list) {
    struct list *node;

    while ((node = list_pop_front(list)))
        http_client_cancel(client, CONTAINER_OF(node, struct http_fetch, own.node));
}

void http_client_free(struct http_client *client) {
    if (!client)
        return;
    cancel_all(client, &client->waiting);
    cancel_all(client, &client->running);
    if (client->multi)
        (void)curl_multi_cleanup(client->multi);
    curl_slist_free_all(client->headers);
    free(client);
}

void http_client_wake(struct http_client *client) {
    (void)curl_multi_wakeup(client->multi);
}

/* ---- turns ---- */

static void begin(struct http_client *client, struct http_fetch *fetch) {
    struct http_answer failed = {.problem = "out of memory"};

    fetch->own.sent = 0;
    fetch->own.problem[0] = '\0';
    buf_clear(&fetch->own.answer);
    fetch->own.easy = make_easy(client, fetch);
    if (fetch->own.easy && curl_multi_add_handle(client->multi, fetch->own.easy) == CURLM_OK) {
        list_push_back(&client->running, &fetch->own.node);
        return;
    }
    if (fetch->own.easy)
        curl_easy_cleanup(fetch->own.easy);
    fetch->own.easy = NULL;
    fetch->done(fetch, &failed);
}

static void begin_due(struct http_client *client) {
    int64_t now_ms = clock_mono_ms();
    struct list *node = client->waiting.next;

    while (node != &client->waiting) {
        struct http_fetch *fetch = CONTAINER_OF(node, struct http_fetch, own.node);

        node = node->next;
        if (fetch->own.at_ms > now_ms)
            continue;
        list_remove(&fetch->own.node);
        begin(client, fetch);
    }
}

static int64_t next_due_ms(const struct http_client *client, int64_t until_ms) {
    for (const struct list *node = client->waiting.next; node != &client->waiting;
         node = node->next) {
        const struct http_fetch *fetch = CONTAINER_OF(node, const struct http_fetch, own.node);

        if (fetch->own.at_ms < until_ms)
            until_ms = fetch->own.at_ms;
    }
    return until_ms;
}

static void hand_over(struct http_client *client, CURL *easy, CURLcode code) {
    char *private = NULL;
    struct http_answer answer = {0};

    (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
    struct http_fetch *fetch = (struct http_fetch *)private;
    if (code == CURLE_OK) {
        (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &answer.status);
        answer.body = buf_slice(&fetch->own.answer);
    } else if (code == CURLE_WRITE_ERROR) {
        answer.problem = "the answer is too large";
    } else {
        answer.problem = fetch->own.problem[0] ? fetch->own.problem : curl_easy_strerror(code);
    }
    list_remove(&fetch->own.node);
    /* The handle, which has the headers, lives until the caller has looked; but he may start the
     * fetch again. */
    void *finished = fetch->own.easy;
    fetch->own.easy = NULL;
    (void)curl_multi_remove_handle(client->multi, finished);
    answer.easy = finished;
    fetch->done(fetch, &answer);
    curl_easy_cleanup(finished);
}

static bool hand_over_all(struct http_client *client) {
    bool any = false;
    int running;
    int left;
    CURLMsg *message;

    (void)curl_multi_perform(client->multi, &running);
    while ((message = curl_multi_info_read(client->multi, &left))) {
        if (message->msg != CURLMSG_DONE)
            continue;
        hand_over(client, message->easy_handle, message->data.result);
        any = true;
    }
    return any;
}

/* Whoever got an answer may wait for no more of them: then there is no sleep. */
void http_client_turn(struct http_client *client, int64_t wait_ms) {
    begin_due(client);
    if (hand_over_all(client))
        return;
    int64_t now_ms = clock_mono_ms();
    int64_t left_ms = next_due_ms(client, now_ms + wait_ms) - now_ms;

    (void)curl_multi_poll(client->multi, NULL, 0, left_ms > 0 ? (int)left_ms : 0, NULL);
}

struct slice http_answer_header(const struct http_answer *answer, const char *name) {
    struct curl_header *header = NULL;

    if (answer->problem ||
        curl_easy_header(answer->easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
        return SLICE("");
    return slice_str(header->value);
}
