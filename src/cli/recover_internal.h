/* recover_internal.h - what the files of `recover` share.
 *
 * recover.c        the order of things, and what is told
 * recover_topic.c  the topic, from its beginning to its end
 * recover_redis.c  what counters have, and the script
 */
#ifndef CLI_RECOVER_INTERNAL_H
#define CLI_RECOVER_INTERNAL_H

#include "cli/verify_internal.h"
#include "cli/verify_redis.h"
#include "core/rewind.h"

struct recover {
    struct verify tool; /* configuration, output, waiting: reading a Redis is verify's */
    struct redis_reading redis;
    struct rewind *rewind;
    uint64_t changed; /* counters */
    bool there;       /* the one that was asked for last, */
    int64_t value;    /* and what it has */
    struct buf key;   /* its key, and its field of a hash */
    struct buf field;
};

/* recover_topic.c: 'take' gets each event of this store's. An exit code. */
typedef enum err (*recover_take_fn)(struct rewind *rewind, const struct event *event);
MUST_CHECK int recover_topic(struct recover *recover, recover_take_fn take);

/* recover_redis.c. Both: exit codes. */

/* Tells of each counter whose value changes, if it was asked for; '*out_good' is false when one
 * would leave the range. */
MUST_CHECK int recover_look(struct recover *recover, uint32_t lane, bool *out_good);
MUST_CHECK int recover_lane(struct recover *recover, uint32_t lane);

#endif
