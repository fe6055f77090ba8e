/* redis_reader.h - hiredis' reader, whose replies live in an arena.
 *
 * hiredis would ask malloc for two pieces per element of a reply. Here a reply is all that is
 * allocated in the arena since its last reset.
 *
 * Threads    One owner at a time.
 * Ownership  Nobody calls freeReplyObject(): arena_reset() frees a reply, once nobody reads it any
 *            more and no other has begun.
 * Limits     The arena's cap. Past it redisReaderGetReply() says REDIS_ERR_OOM.
 */
#ifndef EDGE_REDIS_READER_H
#define EDGE_REDIS_READER_H

#include <hiredis/hiredis.h>

#include "base/arena.h"

/* 'arena' outlives it. NULL when memory runs out; end it with redisReaderFree(). */
redisReader *redis_reader_new(struct arena *arena);

/* An array, still empty, in the same arena, with room for 'count' replies. NULL: no memory. */
redisReply *redis_reader_array(struct arena *arena, size_t count);

#endif
