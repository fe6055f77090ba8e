/* redis_one.h - one increment on a real Redis, by either way through the script, in either layout,
 * at a time that the test says.
 *
 *     open ─► commands of the test's ─► send ─► reply as text, all that is stored
 *
 * Threads    One; the Redis is the test's own.
 */
#ifndef TESTS_UNIT_REDIS_ONE_H
#define TESTS_UNIT_REDIS_ONE_H

#include "edge/redis_apply.h"
#include "redis_fixture.h"

#define ONE_T0       4000000000000 /* the future: no key of a test expires while it runs */
#define ONE_STORE_ID 0x0123456789abcdef

/* The ways: apply_one.lua as far as it goes, and what all other messages take. */
enum one_way { ONE_SHORT, ONE_LONG };

/* A database, which holds a store of one lane. */
struct one_store {
    redisContext *client;
    bool cluster;
    struct redis_tag tags[1];
    uint64_t epochs[1];
    struct redis_layout layout;
    struct redis_plan plan;
    struct buf command;
    int64_t wall_ms;
};

struct one_increment {
    uint64_t producer, number;
    int64_t issued_ms;
    const char *id; /* of its counter */
    int64_t delta;
    uint32_t index; /* operations before it, which are none */
};

/* Loads the scripts with the test's clock in the place of TIME. */
void one_load(redisContext *client);

/* Database 'db' of the server, emptied. one_release() also closes the connection. */
void one_open(struct one_store *store, const struct redis_fixture *server, int db, bool cluster);
void one_release(struct one_store *store);

void one_set_time(struct one_store *store, int64_t wall_ms);

/* A command, its words by blanks. M, W, OUT: the lane's meta, windows, outbox; K: what has the
 * clock; P3: producer 3's field of the meta; S3:7: its slot 7 of the windows; @-5: five before
 * ONE_T0; "COUNT id value": a counter, "SPOIL id": one that isn't; "BREAK id": nor is where it
 * would be; '~' is a blank in a word. The reply as text, until the next call. */
const char *one_do(struct one_store *store, const char *words);

/* Those words' meanings. */
const char *one_words(struct one_store *store, const char *words);

/* The script's reply as text: its strings with '|' between them, or the error. */
const char *one_send(struct one_store *store, const struct one_increment *increment,
                     enum one_way way);

/* The reply to any message, for redis_plan_answers() or redis_plan_hear(); NULL, and '*out_error'
 * until the next call, when it is an error. freeReplyObject() it. */
redisReply *one_call(struct one_store *store, const struct message *message,
                     const char **out_error);

/* Every key with its type, whether it expires, and its value as DUMP has it. Appends. */
void one_dump(struct one_store *store, struct buf *out);

#endif
