/* redis_script.h - the store's scripts, embedded from lua/ by tools/embed_lua.
 *
 * Threads    Constants.
 */
#ifndef EDGE_REDIS_SCRIPT_H
#define EDGE_REDIS_SCRIPT_H

#include "base/slice.h"

struct redis_script {
    char sha1[41];
    struct slice text;
};

/* What a connection loads when it is made; NULL behind the last. A list of more doesn't compile. */
#define REDIS_SCRIPTS_MAX 6
struct redis_scripts {
    const struct redis_script *each[REDIS_SCRIPTS_MAX];
};

extern const struct redis_script redis_script_apply;         /* with lua/…_standalone.lua */
extern const struct redis_script redis_script_apply_cluster; /* with lua/…_cluster.lua */
extern const struct redis_script redis_script_cluster_lane;
extern const struct redis_script redis_script_cluster_meta;
extern const struct redis_script redis_script_consumer;
extern const struct redis_script redis_script_lease;
extern const struct redis_script redis_script_open;
extern const struct redis_script redis_script_recover;
extern const struct redis_script redis_script_tidy;
extern const struct redis_script redis_script_verify;

#endif
