/* kafka_config.c - by librdkafka's names. */
#include "edge/kafka_config.h"

bool kafka_set(rd_kafka_conf_t *conf, const char *name, const char *value,
               struct kafka_detail *detail) {
    return rd_kafka_conf_set(conf, name, value, detail->text, sizeof(detail->text)) ==
           RD_KAFKA_CONF_OK;
}

bool kafka_set_common(rd_kafka_conf_t *conf, const struct kafka_url *url,
                      struct kafka_detail *detail) {
    return kafka_set(conf, "bootstrap.servers", url->brokers, detail) &&
           kafka_set(conf, "client.id", "highgopress", detail) &&
           kafka_set(conf, "socket.keepalive.enable", "true", detail) &&
           kafka_set(conf, "reconnect.backoff.max.ms", "2000", detail) &&
           kafka_set(conf, "log.connection.close", "false", detail) &&
           kafka_set(conf, "log.queue", "true", detail);
}
