/* consul.c - the agent's address and credentials, and how it is doing. */
#include "edge/consul.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/random.h"
#include "edge/private_file.h"

#define CONNECT_MS 1000
#define BODY_MAX   (4u << 20)
/* Few instances ask, and an agent is next door: it shall be found soon when it is back. */
#define PAUSE_MIN_MS 100
#define PAUSE_MAX_MS 2000

#define PLAIN "consul://"
#define TLS   "consuls://"

bool consul_is(const char *url) {
    return strncmp(url, PLAIN, strlen(PLAIN)) == 0 || strncmp(url, TLS, strlen(TLS)) == 0;
}

bool consul_is_name(struct slice text) {
    for (size_t i = 0; i < text.len; i++)
        if (!isalnum((unsigned char)text.ptr[i]) && !strchr("-_.", text.ptr[i]))
            return false;
    return text.len > 0;
}

static const char *read_token(struct consul *consul) {
    static const char name[] = "X-Consul-Token: ";
    const char *why = NULL;

    if (!consul->config->consul_token_file[0])
        return NULL;
    memcpy(consul->token, name, sizeof(name));
    if (private_file_line(consul->config->consul_token_file, consul->token + sizeof(name) - 1,
                          sizeof(consul->token) - sizeof(name) + 1, &why) != ERR_OK)
        return why;
    return NULL;
}

static const char *read_url(struct consul *consul) {
    const char *url = consul->config->discovery_url;
    bool tls = strncmp(url, TLS, strlen(TLS)) == 0;
    const char *host = strstr(url, "://") + 3;

    int len =
        snprintf(consul->base, sizeof(consul->base), "%s://%s/v1/", tls ? "https" : "http", host);
    return len < 0 || (size_t)len >= sizeof(consul->base) ? "the address is too long" : NULL;
}

const char *consul_open(struct consul *consul, const struct config *config) {
    *consul = (struct consul){.config = config, .seed = random_u64()};
    const char *problem = read_url(consul);

    if (!problem)
        problem = read_token(consul);
    if (problem)
        return problem;
    consul->conf = (struct http_client_conf){
        .header = consul->token[0] ? consul->token : NULL,
        .ca_file = config->consul_ca_file,
        .cert_file = config->consul_cert_file,
        .key_file = config->consul_key_file,
        .connect_ms = CONNECT_MS,
        .body_bytes_max = BODY_MAX,
    };
    consul->http = http_client_new(&consul->conf);
    return consul->http ? NULL : err_text(ERR_NO_MEMORY);
}

void consul_close(struct consul *consul) {
    http_client_free(consul->http);
    consul->http = NULL;
    explicit_bzero(consul->token, sizeof(consul->token));
}

void consul_url(const struct consul *consul, char out[CONSUL_URL_BYTES], const char *path, ...) {
    const char *datacenter = consul->config->consul_datacenter;
    int len = snprintf(out, CONSUL_URL_BYTES, "%s", consul->base);
    va_list args;

    va_start(args, path);
    len += vsnprintf(out + len, CONSUL_URL_BYTES - (size_t)len, path, args);
    va_end(args);
    if (datacenter[0] && len < CONSUL_URL_BYTES)
        (void)snprintf(out + len, CONSUL_URL_BYTES - (size_t)len, "%cdc=%s",
                       strchr(out, '?') ? '&' : '?', datacenter);
}

void consul_heard(struct consul *consul, const char *problem) {
    if (problem)
        atomic_fetch_add(&consul->errors, 1);
    atomic_store(&consul->up, !problem);
    if (problem && !consul->told_down)
        log_line(LOG_WARN, "Consul doesn't answer: what it said last stays in use",
                 LOG_STR("consul", consul->config->discovery_url), LOG_STR("detail", problem));
    if (!problem && consul->told_down)
        log_line(LOG_INFO, "Consul answers again",
                 LOG_STR("consul", consul->config->discovery_url));
    consul->told_down = problem != NULL;
}

const char *consul_problem(const struct http_answer *answer, char *out, size_t size) {
    if (answer->problem)
        return answer->problem;
    /* A proxy's page is long and says little. */
    int len = answer->body.len < 160 ? (int)answer->body.len : 160;

    (void)snprintf(out, size, "HTTP %ld: %.*s", answer->status, len,
                   answer->body.len ? answer->body.ptr : "");
    return out;
}

uint64_t consul_index(const struct http_answer *answer) {
    struct slice text = http_answer_header(answer, "X-Consul-Index");

    return text.len ? strtoull(text.ptr, NULL, 10) : 0;
}

int64_t consul_pause_ms(struct consul *consul, unsigned failures) {
    int64_t most_ms = PAUSE_MIN_MS;

    for (unsigned i = 1; i < failures && most_ms < PAUSE_MAX_MS; i++)
        most_ms *= 2;
    if (most_ms > PAUSE_MAX_MS)
        most_ms = PAUSE_MAX_MS;
    return 1 + (int64_t)(random_next(&consul->seed) % (uint64_t)most_ms);
}
