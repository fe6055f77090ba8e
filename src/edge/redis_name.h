/* redis_name.h - a counter's name in one line, as Redis keys have it: <resource_id>:<counter_type>,
 * in the type '%' and ':' written %25 and %3A (CONTRACT A). redis_counter_id() writes it.
 *
 * Threads    Plain functions.
 */
#ifndef EDGE_REDIS_NAME_H
#define EDGE_REDIS_NAME_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

/* The resource borrows from 'name'; the type is decoded into 'out_type', which is replaced.
 * ERR_INVALID: it is no such name; ERR_NO_MEMORY. */
MUST_CHECK enum err redis_name_read(struct slice name, struct slice *out_resource,
                                    struct buf *out_type);

#endif
