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

extern const struct redis_script redis_script_apply;
extern const struct redis_script redis_script_open;
extern const struct redis_script redis_script_tidy;

#endif
