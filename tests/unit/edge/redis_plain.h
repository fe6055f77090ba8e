/* redis_plain.h - what only reads, as edge/redis_reads asks a real Redis, at the test's time.
 *
 * Threads    One; the Redis is the test's own.
 */
#ifndef TESTS_UNIT_REDIS_PLAIN_H
#define TESTS_UNIT_REDIS_PLAIN_H

#include "edge/redis_apply.h"
#include "redis_fixture.h"

enum plain {
    PLAIN_NEVER,  /* no such commands: they are the script's */
    PLAIN_SCRIPT, /* asked, and it takes the script */
    PLAIN_HEARD   /* redis_plan_finish() has the answers */
};

/* The parts 'from' up to 'end' of what redis_plan_make() has planned. The time is not TIME's but in
 * t:s and t:u, as for the scripts. 'command' is room for the commands. */
enum plain plain_ask(redisContext *client, struct redis_plan *plan,
                     const struct redis_layout *layout, const struct message *message,
                     uint32_t from, uint32_t end, struct buf *command);

#endif
