/* redis_reply.h - what Redis answered, and what its errors mean to us.
 *
 * Threads    Plain functions.
 * Ownership  A reply lives as long as the callback that got it; slices borrow from it.
 */
#ifndef EDGE_REDIS_REPLY_H
#define EDGE_REDIS_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

struct redis_reply;

/* A string, a status or an error's text; {NULL, 0} of anything else. */
struct slice redis_reply_text(const struct redis_reply *reply);

bool redis_reply_is_error(const struct redis_reply *reply);

/* An integer or a string that is one; false of anything else. */
bool redis_reply_i64(const struct redis_reply *reply, int64_t *out);

bool redis_reply_is_nil(const struct redis_reply *reply);

bool redis_reply_is_array(const struct redis_reply *reply);

/* Elements of an array, 0 of anything else. */
size_t redis_reply_count(const struct redis_reply *reply);
const struct redis_reply *redis_reply_at(const struct redis_reply *reply, size_t i);

/* What an error reply comes to. '*out_refused': Redis (or a script of ours, before its first write)
 * has refused the command, so it has surely changed nothing.
 *
 * ERR_OK           no error
 * ERR_NOT_FOUND    NOSCRIPT: load it and ask again
 * ERR_UNAVAILABLE  LOADING, READONLY, MASTERDOWN, NOAUTH …: not on this connection
 * ERR_NO_MEMORY    OOM: maxmemory is reached
 * ERR_IO           MISCONF, NOREPLICAS: it can't persist as it is told to
 * ERR_BUSY         BUSY: somebody's script runs on; and what passes on a Cluster: CLUSTERDOWN,
 *                  TRYAGAIN, HGPMOVING, and MOVED and ASK where redis_map.h isn't asked
 * ERR_LAYOUT       HGPEPOCH: the lanes aren't the caller's (any more)
 * ERR_CORRUPT      HGPDAMAGED; HGPHALTED, behind the first write
 * ERR_INTERNAL     NOPERM: our user may not do this; and anything else */
enum err redis_reply_err(const struct redis_reply *reply, bool *out_refused);

/* An error that may pass by itself: the server loads its data, say, or has too many clients. */
bool redis_reply_passes(const struct redis_reply *reply);

/* An error because our user lacks a right, or the server a command. */
bool redis_reply_denied(const struct redis_reply *reply);

#endif
