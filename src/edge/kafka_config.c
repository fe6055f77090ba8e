/* kafka_config.c - by librdkafka's names. */
#include "edge/kafka_config.h"

#include <stdio.h>
#include <string.h>

/* Its client repeats its nonce in the last message, which Kafka forgave up to 3.9 (CVE-2024-56128;
 * librdkafka's pull request 4895). */
#define SCRAM_RIGHT_FROM 0x020601ff

const char *kafka_url_caution(const struct kafka_url *url) {
    static char sentence[160];

    if (!url->user[0] || !url->mechanism || strncmp(url->mechanism, "SCRAM", 5) != 0 ||
        (rd_kafka_version() | 0xff) >= SCRAM_RIGHT_FROM)
        return NULL;
    (void)snprintf(sentence, sizeof(sentence),
                   "librdkafka %s is here: brokers from Kafka 4 on refuse its %s, 2.6.1 and later "
                   "are right; kafka.sasl_mechanism plain by TLS works",
                   rd_kafka_version_str(), url->mechanism);
    return sentence;
}

bool kafka_set(rd_kafka_conf_t *conf, const char *name, const char *value,
               struct kafka_detail *detail) {
    return rd_kafka_conf_set(conf, name, value, detail->text, sizeof(detail->text)) ==
           RD_KAFKA_CONF_OK;
}

static bool set_file(rd_kafka_conf_t *conf, const char *name, const char *file,
                     struct kafka_detail *detail) {
    return !file || !file[0] || kafka_set(conf, name, file, detail);
}

static bool set_tls(rd_kafka_conf_t *conf, const struct kafka_url *url,
                    struct kafka_detail *detail) {
    /* The certificate must be signed by who we trust and name the host, whatever the default is. */
    return kafka_set(conf, "enable.ssl.certificate.verification", "true", detail) &&
           kafka_set(conf, "ssl.endpoint.identification.algorithm", "https", detail) &&
           set_file(conf, "ssl.ca.location", url->ca_file, detail) &&
           set_file(conf, "ssl.certificate.location", url->cert_file, detail) &&
           set_file(conf, "ssl.key.location", url->key_file, detail);
}

static bool set_sasl(rd_kafka_conf_t *conf, const struct kafka_url *url,
                     struct kafka_detail *detail) {
    return kafka_set(conf, "sasl.mechanisms", url->mechanism, detail) &&
           kafka_set(conf, "sasl.username", url->user, detail) &&
           kafka_set(conf, "sasl.password", url->password, detail);
}

static bool set_security(rd_kafka_conf_t *conf, const struct kafka_url *url,
                         struct kafka_detail *detail) {
    bool sasl = url->user[0] != '\0';
    const char *protocol = url->is_tls ? sasl ? "sasl_ssl" : "ssl"
                           : sasl      ? "sasl_plaintext"
                                       : "plaintext";

    return kafka_set(conf, "security.protocol", protocol, detail) &&
           (!url->is_tls || set_tls(conf, url, detail)) && (!sasl || set_sasl(conf, url, detail));
}

bool kafka_set_common(rd_kafka_conf_t *conf, const struct kafka_url *url,
                      struct kafka_detail *detail) {
    return kafka_set(conf, "bootstrap.servers", url->brokers, detail) &&
           set_security(conf, url, detail) && kafka_set(conf, "client.id", "highgopress", detail) &&
           kafka_set(conf, "socket.keepalive.enable", "true", detail) &&
           kafka_set(conf, "reconnect.backoff.max.ms", "2000", detail) &&
           kafka_set(conf, "log.connection.close", "false", detail) &&
           kafka_set(conf, "log.queue", "true", detail);
}
