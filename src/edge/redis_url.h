/* redis_url.h - where a Redis is, as an operator writes it.
 *
 *     redis://[user[:password]@]host:port[/db]     redis+unix:///path[?db=N&user=U]
 *     rediss://… the same by TLS
 *     redis-sentinel://[user[:password]@]host:port,host:port/name[/db]     credentials: the
 * primary's
 *
 * "redis://:password@…" is the default user; a user alone has the password elsewhere. '%41' stands
 * for a byte in user, password and path.
 *
 * Threads    Plain functions.
 */
#ifndef EDGE_REDIS_URL_H
#define EDGE_REDIS_URL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/slice.h"

#define REDIS_URL_TEXT_BYTES 256
#define REDIS_URL_NAME_BYTES 64

struct redis_url {
    bool is_unix;
    bool is_tls;
    bool is_sentinel;
    bool is_cluster;
    char address[REDIS_URL_TEXT_BYTES]; /* "host:port", several of Sentinels or a Cluster, a path */
    char master[REDIS_URL_NAME_BYTES];  /* the name that Sentinels know it by */
    char user[REDIS_URL_TEXT_BYTES];    /* "": the default one */
    char password[REDIS_URL_TEXT_BYTES];
    unsigned db;
};

/* Starts with a scheme that redis_url_parse() knows. */
bool redis_url_is(struct slice text);

/* ERR_INVALID with a sentence that doesn't repeat the password. */
MUST_CHECK enum err redis_url_parse(struct slice text, struct redis_url *out,
                                    const char **out_problem);

/* The 'i'th node of a Cluster's URL, counted round; credentials are the same. */
void redis_url_node(const struct redis_url *url, unsigned i, struct redis_url *out);

/* For logs: without user and password; NUL-terminated. */
void redis_url_name(const struct redis_url *url, char *out, size_t size);

#endif
