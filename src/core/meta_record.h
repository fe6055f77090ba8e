/* meta_record.h - the frame of what is in KV_META: a version byte before, a check behind.
 *
 * These few records steer everything else, so a flipped bit in one is found
 * here and not in a counter's value.
 *
 * Threads    Plain functions.
 */
#ifndef CORE_META_RECORD_H
#define CORE_META_RECORD_H

#include "base/attr.h"
#include "base/err.h"
#include "core/bytes.h"

#define META_RECORD_VERSION 1

/* Empties 'out' and begins a record in it; meta_record_end() closes it. */
void meta_record_begin(struct buf *out);
void meta_record_end(struct buf *out);

/* 'out' reads the fields between. ERR_NEWER: '*out_version' is what it was written with. */
MUST_CHECK enum err meta_record_open(struct slice record, struct bytes_reader *out,
                                     unsigned *out_version);

#endif
