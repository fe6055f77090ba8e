/* layout.h - what a store was made with, fixed at its first start (RELIABILITY 3.1).
 *
 * Threads    Plain functions.
 */
#ifndef CORE_LAYOUT_H
#define CORE_LAYOUT_H

#include <stdint.h>

#include "core/meta_record.h"

struct layout {
    uint32_t lanes;
    uint64_t store_id;
    int64_t created_ms;
};

/* Its key in KV_META. */
struct slice layout_key(void);

void layout_encode(const struct layout *layout, struct buf *out);

/* ERR_CORRUPT; ERR_NEWER with the version found. */
MUST_CHECK enum err layout_decode(struct slice record, struct layout *out, unsigned *out_version);

#endif
