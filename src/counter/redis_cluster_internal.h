/* redis_cluster_internal.h - what the files of a Cluster's store share.
 *
 * redis_cluster.c       the store's life, up and down, the clock
 * redis_cluster_node.c  a node's connection: hello, usable, its scripts
 * redis_cluster_map.c   who serves which slot
 * redis_cluster_open.c  what the store was made with; lays out a new one
 * redis_cluster_call.c  a message's parts out, its answers in
 * redis_cluster_part.c  one part: sent, sent elsewhere, sent again
 * redis_cluster_tidy.c  lanes' housekeeping
 */
#ifndef COUNTER_REDIS_CLUSTER_INTERNAL_H
#define COUNTER_REDIS_CLUSTER_INTERNAL_H

#include "core/parts.h"
#include "counter/redis_cluster.h"
#include "edge/redis_map.h"

struct cluster_node {
    struct list link; /* in 'nodes' or 'leaving' */
    struct redis_cluster *cluster;
    struct redis_url url;
    struct redis_conn *conn;
    bool usable;
    bool tried;  /* it was reached, or not, once */
    bool needed; /* by the map that was just read */
    struct redis_given given;
    struct redis_given heard; /* becomes 'given' when all is answered */
    struct redis_request info;
    struct redis_request config;
    struct redis_request wait; /* may we? */
    int64_t look_ms;           /* when the settings are looked at again; INT64_MAX: under way */
    struct redis_request load; /* after NOSCRIPT */
    bool loading;
    struct redis_hold hold;
    enum err refused; /* its settings won't do */
    int64_t ahead_ms; /* its lanes' clock minus the loop's, as heard last */
    bool clock_known;
};

struct cluster_call;

/* A lane's part of a message. */
struct cluster_part {
    struct redis_request request;
    struct redis_request asking;
    struct list waiting; /* in 'waiting' until 'due_ms'; or answered, and held */
    struct cluster_call *call;
    struct cluster_node *node; /* where it was sent */
    struct cluster_node *ask;  /* where it goes next, once; NULL: to its slot's node */
    uint32_t index;            /* in the plan */
    unsigned sent;             /* how many times */
    bool by_script;            /* and not as plain commands, though it may only read */
    int64_t due_ms;
    int64_t give_up_ms;
};

/* A message under way. */
struct cluster_call {
    struct list link; /* in 'free' or 'local' */
    struct redis_cluster *cluster;
    struct redis_port *port;
    struct delivery *delivery;
    struct redis_plan plan;
    struct cluster_part *parts;
    size_t parts_cap;
    struct parts fates; /* of 'parts' */
    int64_t sent_ns;
};

struct cluster_opening { /* one at a time */
    bool under_way;
    bool making;
    struct redis_layout_said said;
    struct redis_layout layout; /* said's, for keys */
    struct redis_request meta;
    struct cluster_lane *lanes;
    uint32_t open; /* lanes not answered */
    enum err err;
    char detail[REDIS_DETAIL_BYTES];
    int64_t clock_ms;
};

struct redis_cluster {
    struct redis_store *store;
    struct redis_fleet *fleet;
    struct loop *loop;
    struct list nodes;
    struct list leaving;
    unsigned seeds_turn;
    unsigned usable; /* nodes */
    bool opened;     /* the store there is the one we know */
    bool counted_up; /* in the fleet's loops_up */
    bool told;
    bool told_up;
    bool failed; /* something has, so that not being up is news */
    bool closing;
    int64_t damage_ms; /* told last */
    uint64_t random;

    struct redis_map map;
    struct cluster_node *owners[REDIS_NODES_MAX]; /* by the map's numbers */
    struct redis_map fresh;                       /* being read */
    struct redis_request slots;
    struct cluster_node *asked; /* for the slots; NULL: nobody */
    bool map_wanted;
    struct timer look; /* at the map, or for the opening, again */

    struct cluster_opening opening;

    struct list free;
    struct list local;   /* calls that no server needs to see */
    struct list waiting; /* parts */
    struct timer again;  /* for those */
    struct timer later;  /* for 'local', and for closed() */
    struct buf command;
    struct slice *strings;
    size_t strings_cap;

    struct {
        struct redis_request request;
        struct cluster_node *node; /* it goes to */
        bool under_way;
        uint32_t lane;
        int64_t next_ms;
    } tidy;

    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* redis_cluster.c */
int64_t cluster_jitter(struct redis_cluster *cluster, int64_t ms); /* between half of it and it */
void cluster_tell(struct redis_cluster *cluster);                  /* the user, if it is news */
void cluster_problem(struct redis_cluster *cluster, enum err err, const char *why);
bool cluster_all_tried(const struct redis_cluster *cluster); /* and none can be used */
/* A node says that it can't apply: another store is there, or a lane of ours is damaged. */
void cluster_damage(struct redis_cluster *cluster, struct slice detail);
void cluster_learn_clock(struct redis_cluster *cluster);
bool cluster_read_strings(struct redis_cluster *cluster, const struct redis_reply *reply);
void cluster_rest(struct redis_cluster *cluster); /* nothing is left of it: closed() follows */

/* redis_cluster_node.c */
struct cluster_node *cluster_node_at(struct redis_cluster *cluster, const char *address); /* NULL:
                                                                                          memory */
/* Of those that can be used; NULL: none. */
const struct redis_given *cluster_weakest(const struct redis_cluster *cluster);
void cluster_node_leave(struct cluster_node *node);
/* The script again, behind what is sent; unless another one is being loaded. */
void cluster_node_load(struct cluster_node *node, const struct redis_script *script);
void cluster_node_look(struct cluster_node *node); /* at its settings, if it is time */

/* redis_cluster_map.c */
bool cluster_map_seeds(struct redis_cluster *cluster); /* false: memory */
void cluster_map_want(struct redis_cluster *cluster);
void cluster_map_node_ready(struct redis_cluster *cluster, struct cluster_node *node);
void cluster_map_node_changed(struct redis_cluster *cluster, struct cluster_node *node);
struct cluster_node *cluster_map_owner(const struct redis_cluster *cluster, uint16_t slot);
void cluster_map_moved(struct redis_cluster *cluster, const struct redis_redirect *to);

/* redis_cluster_open.c: begins when all slots are served, unless it is done or under way. */
void cluster_open(struct redis_cluster *cluster);
void cluster_open_release(struct cluster_opening *opening);

/* redis_cluster_part.c */
void cluster_part_begin(struct cluster_part *part, struct cluster_call *call, uint32_t index);
/* ERR_OK: one of the three of redis_cluster_call.c follows, on a later turn. */
MUST_CHECK enum err cluster_part_send(struct cluster_part *part);
void cluster_part_give_back(struct redis_cluster *cluster); /* all that wait */
void cluster_part_again(struct timer *timer);

/* redis_cluster_call.c: what came of a part; the last one of a message answers it. */
void cluster_call_hear(struct cluster_part *part, const struct redis_reply *reply);
void cluster_call_heard(struct cluster_part *part); /* in the plan already */
void cluster_call_refuse(struct cluster_part *part, enum err err);
void cluster_call_unknown(struct cluster_part *part);
void cluster_call_release(struct list *node, enum err err); /* a part's 'waiting' */
void cluster_call_local(struct redis_cluster *cluster);     /* answers those */
void cluster_calls_free(struct redis_cluster *cluster);

/* redis_cluster_tidy.c: behind other traffic. */
void cluster_tidy(struct redis_cluster *cluster);

#endif
