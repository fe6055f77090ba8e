/* redis_command.h - commands as Redis reads them: arrays of bulk strings (RESP 2).
 *
 * Threads    Plain functions.
 * Ownership  Appends to the caller's buffer; check buf_failed() behind the last argument.
 */
#ifndef EDGE_REDIS_COMMAND_H
#define EDGE_REDIS_COMMAND_H

#include "base/buf.h"

/* Exactly 'args' calls of redis_command_arg() follow. */
static inline void redis_command_begin(struct buf *out, size_t args) {
    buf_add_char(out, '*');
    buf_add_u64(out, args);
    buf_add_str(out, "\r\n");
}

static inline void redis_command_arg(struct buf *out, struct slice arg) {
    buf_add_char(out, '$');
    buf_add_u64(out, arg.len);
    buf_add_str(out, "\r\n");
    buf_add_slice(out, arg);
    buf_add_str(out, "\r\n");
}

#endif
