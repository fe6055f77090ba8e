/* layout.c - the record "layout". */
#include "core/layout.h"

#include "core/applier.h"

struct slice layout_key(void) {
    return SLICE("layout");
}

void layout_encode(const struct layout *layout, struct buf *out) {
    meta_record_begin(out);
    bytes_add_be32(out, layout->lanes);
    bytes_add_be64(out, layout->store_id);
    bytes_add_be64(out, (uint64_t)layout->created_ms);
    meta_record_end(out);
}

enum err layout_decode(struct slice record, struct layout *out, unsigned *out_version) {
    struct bytes_reader in;
    struct layout layout;
    enum err err = meta_record_open(record, &in, out_version);

    if (err != ERR_OK)
        return err;
    layout.lanes = bytes_be32(&in);
    layout.store_id = bytes_be64(&in);
    layout.created_ms = (int64_t)bytes_be64(&in);
    if (!bytes_done(&in) || layout.lanes == 0 || layout.lanes > APPLIER_MAX_LANES)
        return ERR_CORRUPT;
    *out = layout;
    return ERR_OK;
}
