/* otlp_post.c - by libcurl; the connection is kept between messages. */
#include "edge/otlp_post.h"

#include <curl/curl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "wire/otlp.h"

#define CONNECT_MS    2000L
#define TOO_MANY      429L
#define BAD_GATEWAY   502L
#define UNAVAILABLE   503L
#define GATEWAY_TIMES 504L

struct otlp_post {
    CURL *easy;
    struct curl_slist *headers;
    char error[CURL_ERROR_SIZE];
    _Atomic int64_t until_ms;
};

static bool add_header(struct otlp_post *post, const char *line) {
    struct curl_slist *longer = curl_slist_append(post->headers, line);

    if (longer)
        post->headers = longer;
    return longer != NULL;
}

/* "name=value" with percent-encoding in the value. */
static bool add_pair(struct otlp_post *post, const char *pair, size_t len) {
    const char *equals = memchr(pair, '=', len);
    int decoded_len = 0;

    if (!equals || equals == pair)
        return false;
    char *value = curl_easy_unescape(post->easy, equals + 1,
                                     (int)(len - 1 - (size_t)(equals - pair)), &decoded_len);
    if (!value)
        return false;
    size_t size = (size_t)(equals - pair) + (size_t)decoded_len + 3;
    char *line = malloc(size);
    /* A line feed would begin another header. */
    bool added = line && strlen(value) == (size_t)decoded_len && !strpbrk(value, "\r\n");
    if (added) {
        (void)snprintf(line, size, "%.*s: %s", (int)(equals - pair), pair, value);
        added = add_header(post, line);
    }
    free(line);
    curl_free(value);
    return added;
}

static bool add_headers(struct otlp_post *post, const char *headers) {
    if (!add_header(post, "Content-Type: " OTLP_CONTENT_TYPE) || !add_header(post, "Expect:"))
        return false;
    while (*headers) {
        size_t len = strcspn(headers, ",");

        if (len && !add_pair(post, headers, len))
            return false;
        headers += len + (headers[len] == ',');
    }
    return true;
}

/* The answer's body says nothing that its status doesn't. */
static size_t ignore(char *bytes, size_t size, size_t count, void *ctx) {
    (void)bytes;
    (void)ctx;
    return size * count;
}

static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
    struct otlp_post *post = ctx;

    (void)a;
    (void)b;
    (void)c;
    (void)d;
    return clock_mono_ms() > atomic_load(&post->until_ms);
}

static void set_up(struct otlp_post *post, const char *url, int64_t timeout_ms) {
    CURL *easy = post->easy;

    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, post->headers);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, post->error);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, ignore);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, post);
}

struct otlp_post *otlp_post_new(const char *url, const char *headers, int64_t timeout_ms) {
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return NULL;
    struct otlp_post *post = calloc(1, sizeof(*post));

    if (!post) {
        curl_global_cleanup();
        return NULL;
    }
    atomic_init(&post->until_ms, INT64_MAX);
    post->easy = curl_easy_init();
    if (!post->easy || !add_headers(post, headers)) {
        otlp_post_free(post);
        return NULL;
    }
    set_up(post, url, timeout_ms);
    return post;
}

void otlp_post_free(struct otlp_post *post) {
    if (!post)
        return;
    curl_easy_cleanup(post->easy);
    curl_slist_free_all(post->headers);
    free(post);
    curl_global_cleanup();
}

enum otlp_verdict otlp_post_send(struct otlp_post *post, struct slice body,
                                 char out_problem[OTLP_PROBLEM_BYTES]) {
    long status = 0;

    curl_easy_setopt(post->easy, CURLOPT_POSTFIELDS, body.ptr);
    curl_easy_setopt(post->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
    post->error[0] = '\0';
    CURLcode code = curl_easy_perform(post->easy);
    if (code != CURLE_OK) {
        (void)snprintf(out_problem, OTLP_PROBLEM_BYTES, "%s",
                       post->error[0] ? post->error : curl_easy_strerror(code));
        return OTLP_LATER;
    }
    curl_easy_getinfo(post->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 200 && status < 300)
        return OTLP_TAKEN;
    (void)snprintf(out_problem, OTLP_PROBLEM_BYTES, "the collector answers %ld", status);
    return status == TOO_MANY || status == BAD_GATEWAY || status == UNAVAILABLE ||
                   status == GATEWAY_TIMES
               ? OTLP_LATER
               : OTLP_REFUSED;
}

void otlp_post_abort(struct otlp_post *post, int64_t until_ms) {
    atomic_store(&post->until_ms, until_ms);
}
