/* redis_link.h - a connection to a node: commands in order, replies in order.
 *
 * A command that is under way arrives whatever becomes of who sent it, unless the node dies.
 *
 * Ownership  A command is its sender's, embedded: handed over by link_send(), given back once by
 *            done(): answered, or not any more. A link lives until link_close(), and as long as a
 *            command is under way.
 */
#ifndef TESTS_SIM_REDIS_LINK_H
#define TESTS_SIM_REDIS_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "core/event.h"
#include "core/message.h"
#include "history.h"
#include "profile.h"

struct redis;
struct redis_node;
struct redis_link;

enum command_kind {
    COMMAND_APPLY,
    COMMAND_TOUCH,
    COMMAND_WAIT,
    COMMAND_REGISTER, /* a consumer; tells its positions */
    COMMAND_READ,     /* the lane's events behind a position */
    COMMAND_REPORT    /* a consumer's position */
};

/* May a node do it, as far as the lane is concerned? */
enum slot_verdict {
    SLOT_RUN,
    SLOT_MOVED, /* it is another node's */
    SLOT_ASK,   /* gone to another already, which is to be asked this once, behind ASKING */
    SLOT_AGAIN  /* on its way: TRYAGAIN, or HGPMOVING (lua/keys_cluster.lua) */
};

struct command {
    enum command_kind kind;
    const struct message *message; /* APPLY */
    unsigned replicas;             /* WAIT for so many, */
    int64_t patience_ms;           /* so long */
    uint32_t lane;                 /* READ, REPORT; with several masters APPLY, too */
    bool asking;                   /* behind ASKING */
    struct event_position at;      /* the same */

    struct answer *answers; /* APPLY's, room for them is the sender's */
    struct facts facts;
    int64_t count;                             /* WAIT's */
    struct event_position reported[LANES_MAX]; /* REGISTER's */
    struct event *events;                      /* READ's; the sender frees */
    size_t events_count;
    enum err err;           /* ERR_UNAVAILABLE: a replica, nothing was done; ERR_UNKNOWN: broken */
    enum slot_verdict slot; /* not SLOT_RUN: nothing was done */
    unsigned master;        /* SLOT_MOVED, SLOT_ASK: there */
    bool replied;           /* else it never will be */
    void *ctx;              /* the sender's */

    /* Once. The link may be closed in here. */
    void (*done)(struct command *command);

    struct list node; /* the link's, or the node's */
    struct redis_link *link;
    size_t offset; /* what has to be synced before the reply */
};

struct link_user {
    /* The server has closed it, or seems to be away. Every command comes back. */
    void (*broken)(void *ctx, struct redis_link *link);
    void *ctx;
    unsigned endpoint;
};

/* To whom Sentinel says is the primary; NULL: nobody answers there. */
struct redis_link *link_open(struct redis *redis, const struct link_user *user);
void link_send(struct redis_link *link, struct command *command);
void link_close(struct redis_link *link);
unsigned link_node(const struct redis_link *link);

#endif
