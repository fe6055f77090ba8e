/* store_url.h - the configuration's store, read.
 *
 * Threads    The main thread.
 */
#ifndef CLI_STORE_URL_H
#define CLI_STORE_URL_H

#include "base/attr.h"
#include "base/config.h"
#include "edge/redis_url.h"

bool store_url_is_redis(const struct config *config);
bool store_url_is_tls(const struct config *config);

#define STORE_NAME_BYTES 1024

/* Where it is, for people: the Redis without credentials, or the data folder. */
void store_name(const struct config *config, char *out, size_t size);

/* What is wrong with it by itself, without a look at files or servers. */
void store_url_check(const struct config *config, struct config_problems *problems);

/* Likewise, of one that this process and others count on at the same time. */
void store_url_check_shared(const struct config *config, struct config_problems *problems);

/* With the password of redis.password_file. NULL, or a sentence why not. Only where
 * store_url_check() found nothing. */
MUST_CHECK const char *store_url_read(const struct config *config, struct redis_url *out);

#endif
