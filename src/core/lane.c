/* lane.c - the record "lane" + number. */
#include "core/lane.h"

void lane_init(struct lane *lane) {
    *lane = (struct lane){.epoch = 1, .outbox_epoch = 1, .forgotten_ms = INT64_MIN};
}

void lane_key(uint32_t number, struct buf *out) {
    buf_clear(out);
    buf_add_str(out, "lane");
    bytes_add_be32(out, number);
}

void lane_encode(const struct lane *lane, struct buf *out) {
    meta_record_begin(out);
    bytes_add_be64(out, lane->epoch);
    bytes_add_be64(out, lane->seq);
    bytes_add_be64(out, lane->chain);
    bytes_add_be64(out, (uint64_t)lane->last_et_ms);
    bytes_add_be64(out, (uint64_t)lane->forgotten_ms);
    bytes_add_be64(out, (uint64_t)lane->clock_ms);
    bytes_add_be64(out, lane->outbox_bytes);
    bytes_add_be64(out, lane->outbox_epoch);
    bytes_add_be64(out, lane->outbox_seq);
    meta_record_end(out);
}

enum err lane_decode(struct slice record, struct lane *out, unsigned *out_version) {
    struct bytes_reader in;
    struct lane lane = {0};
    enum err err = meta_record_open(record, &in, out_version);

    if (err != ERR_OK)
        return err;
    lane.epoch = bytes_be64(&in);
    lane.seq = bytes_be64(&in);
    lane.chain = bytes_be64(&in);
    lane.last_et_ms = (int64_t)bytes_be64(&in);
    lane.forgotten_ms = (int64_t)bytes_be64(&in);
    lane.clock_ms = (int64_t)bytes_be64(&in);
    lane.outbox_bytes = bytes_be64(&in);
    lane.outbox_epoch = bytes_be64(&in);
    lane.outbox_seq = bytes_be64(&in);
    if (!bytes_done(&in) || lane.epoch == 0 || lane.outbox_epoch > lane.epoch)
        return ERR_CORRUPT;
    *out = lane;
    return ERR_OK;
}
