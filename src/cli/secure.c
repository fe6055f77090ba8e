/* secure.c - which keys of the configuration become which context. */
#include "cli/secure.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "edge/http_server.h"
#include "edge/tls.h"

#define DAY_S     86400
#define WARN_DAYS 14 /* before a certificate ends: time to find out why it wasn't renewed */

static void log_context(const char *what, struct tls *tls) {
    int64_t expires_s = tls_expires_s(tls);
    int64_t days = (expires_s - clock_wall_ms() / 1000) / DAY_S;

    if (expires_s == INT64_MAX)
        log_line(LOG_INFO, "TLS is on", LOG_STR("for", what));
    else if (days >= WARN_DAYS)
        log_line(LOG_INFO, "TLS is on", LOG_STR("for", what),
                 LOG_INT("certificate_valid_days", days));
    else
        log_line(LOG_WARN, "TLS is on with a certificate that ends soon or has ended",
                 LOG_STR("for", what), LOG_INT("certificate_valid_days", days));
}

static const char *open_one(const char *what, const struct tls_conf *conf, struct tls **out) {
    static char sentence[TLS_PROBLEM_BYTES + 32];
    struct tls_problem problem;

    if (tls_new(conf, out, &problem) != ERR_OK) {
        (void)snprintf(sentence, sizeof(sentence), "%s: %s", what, problem.text);
        return sentence;
    }
    log_context(what, *out);
    return NULL;
}

static const char *open_http(struct secure *secure, const struct config *config) {
    struct tls_conf conf = {
        .side = TLS_SERVER,
        .cert_file = config->http_tls_cert_file,
        .key_file = config->http_tls_key_file,
        .alpn = {HTTP_SERVER_ALPN},
        .handshake_ms = config->timeouts_header_ms,
    };

    return config->http_tls_cert_file[0] ? open_one("http_tls", &conf, &secure->http) : NULL;
}

static struct tls_conf between_services(enum tls_side side, const struct config *config) {
    return (struct tls_conf){
        .side = side,
        .cert_file = config->grpc_tls_cert_file,
        .key_file = config->grpc_tls_key_file,
        .ca_file = config->grpc_tls_ca_file,
        .names = config->grpc_tls_names,
        .alpn = {"h2"}, /* RFC 9113 3.2 */
        .alpn_required = true,
        .handshake_ms = config->timeouts_header_ms,
    };
}

static const char *open_grpc(struct secure *secure, const struct config *config) {
    struct tls_conf conf = between_services(TLS_SERVER, config);

    if (config->grpc_tls_cert_file[0])
        return open_one("grpc_tls", &conf, &secure->grpc);
    if (config->grpc_tls_ca_file[0])
        return "grpc_tls.ca_file is set and grpc_tls.cert_file is not: this listener would be "
               "plain, and let in everybody";
    return NULL;
}

static const char *open_upstream(struct secure *secure, const struct config *config) {
    struct tls_conf conf = between_services(TLS_CLIENT, config);

    if (!config->grpc_tls_ca_file[0] && !config->grpc_tls_cert_file[0])
        return NULL;
    return open_one("grpc_tls", &conf, &secure->upstream);
}

static const char *open_redis(struct secure *secure, const struct config *config) {
    struct tls_conf conf = {
        .side = TLS_CLIENT,
        .cert_file = config->redis_tls_cert_file,
        .key_file = config->redis_tls_key_file,
        .ca_file = config->redis_tls_ca_file,
        .handshake_ms = config->timeouts_header_ms,
    };

    return open_one("redis_tls", &conf, &secure->redis);
}

const char *secure_open(struct secure *secure, const struct config *config, unsigned which) {
    const char *problem = NULL;

    *secure = (struct secure){0};
    if (which & SECURE_HTTP)
        problem = open_http(secure, config);
    if (!problem && which & SECURE_GRPC)
        problem = open_grpc(secure, config);
    if (!problem && which & SECURE_UPSTREAM)
        problem = open_upstream(secure, config);
    if (!problem && which & SECURE_REDIS)
        problem = open_redis(secure, config);
    if (problem)
        secure_close(secure);
    return problem;
}

void secure_close(struct secure *secure) {
    tls_free(secure->http);
    tls_free(secure->grpc);
    tls_free(secure->upstream);
    tls_free(secure->redis);
    *secure = (struct secure){0};
}

static void reload_one(const char *what, struct tls *tls) {
    struct tls_problem problem;

    if (!tls)
        return;
    if (tls_reload(tls, &problem) == ERR_OK) {
        log_line(LOG_INFO, "certificates were read again", LOG_STR("for", what));
        log_context(what, tls);
    } else {
        log_line(LOG_ERROR, "certificates could not be read again: those from before stay",
                 LOG_STR("for", what), LOG_STR("detail", problem.text));
    }
}

void secure_reload(struct secure *secure) {
    if (!secure->http && !secure->grpc && !secure->upstream && !secure->redis)
        log_line(LOG_INFO, "there is nothing to read again: TLS is off");
    reload_one("http_tls", secure->http);
    reload_one("grpc_tls", secure->grpc);
    reload_one("grpc_tls of upstreams", secure->upstream);
    reload_one("redis_tls", secure->redis);
}
