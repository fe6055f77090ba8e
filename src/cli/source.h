/* source.h - where an analytics process gets its events: from a counter elsewhere.
 *
 * Threads    The feed is its consumer's; source_up() any thread; the rest the main thread.
 */
#ifndef CLI_SOURCE_H
#define CLI_SOURCE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/config.h"
#include "edge/feed_maker.h"
#include "edge/outbox_feed.h"

struct source {
    const struct config *config;
    struct resolver *resolver;
    struct tls *tls;            /* NULL: plain */
    struct outbox_feed *outbox; /* the consumer's */
    atomic_bool up;             /* it has events now */
};

/* What is wrong with the configuration of an analytics process. */
void source_check(const struct config *config, struct config_problems *problems);

struct feed_maker source_feed_maker(struct source *source);

#endif
