/* redis_fixture.h - a real redis-server for a test, and a plain blocking client of it.
 *
 * Threads    The test's.
 * Ownership  redis_fixture_stop() ends the server that redis_fixture_start() began, and only it;
 *            the server also ends when the test dies.
 */
#ifndef TESTS_LIB_REDIS_FIXTURE_H
#define TESTS_LIB_REDIS_FIXTURE_H

#include <stdbool.h>
#include <sys/types.h>

#include <hiredis/hiredis.h>

#include "base/slice.h"

struct redis_fixture {
    pid_t pid;
    char folder[64]; /* of its own: the socket, and what the server writes */
    char socket[96];
    int port; /* of 127.0.0.1; 0: the socket only */
    const char *const *options;
};

/* 'options': further arguments of redis-server, NULL at the end, kept; may be NULL. false: there is
 * no redis-server on this machine. Aborts when one is there but doesn't start. */
bool redis_fixture_start(struct redis_fixture *server, bool tcp, const char *const *options);
void redis_fixture_stop(struct redis_fixture *server);

/* Kills it (what wasn't saved is gone), and starts it again at the same place. */
void redis_fixture_kill(struct redis_fixture *server);
void redis_fixture_again(struct redis_fixture *server);

/* Aborts on failure. */
redisContext *redis_fixture_connect(const struct redis_fixture *server);

/* The reply to one command in RESP; aborts when the connection fails. freeReplyObject() it. */
redisReply *redis_fixture_ask(redisContext *client, struct slice command);

/* One command in printf's manner of hiredis; aborts also on an error reply. */
redisReply *redis_fixture_do(redisContext *client, const char *format, ...);

#endif
