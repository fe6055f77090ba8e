/* grpc_text.h - the texts in gRPC's headers: grpc-message, grpc-timeout, "-bin" values.
 *
 * Rules: grpc/doc/PROTOCOL-HTTP2.md, "Requests" and "Responses".
 *
 * Threads    Pure functions, any thread.
 */
#ifndef WIRE_GRPC_TEXT_H
#define WIRE_GRPC_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/* Percent-Encoded: printable ASCII but '%' stays, every other byte becomes %XX. */
void grpc_percent_encode(struct buf *out, struct slice text);

/* The other way. What isn't a valid %XX stays as it is: the standard forbids failing on it. */
void grpc_percent_decode(struct buf *out, struct slice text);

/* "100m" → 100: at most eight digits and a unit, H M S m u n; rounded up to milliseconds, so that
 * a client's microsecond isn't "no time at all".
 * ERR_INVALID  anything else. */
MUST_CHECK enum err grpc_timeout_parse(struct slice text, int64_t *out_ms);

/* The shortest text of at most eight digits that says 'ms' (0 and more), rounded up where it must
 * be; appends. */
void grpc_timeout_write(struct buf *out, int64_t ms);

/* "-bin" names carry base64 (RFC 4648 4); written without padding. */
void grpc_base64_encode(struct buf *out, struct slice bytes);

/* With or without padding, as receivers must accept both.
 * ERR_INVALID  not base64; 'out' may hold a part. */
MUST_CHECK enum err grpc_base64_decode(struct buf *out, struct slice text);

static inline bool grpc_is_binary_name(struct slice name) {
    return name.len >= 4 && memcmp(name.ptr + name.len - 4, "-bin", 4) == 0;
}

#endif
