/* err.h - the one table of errors, for every layer and every protocol.
 *
 * A fallible function returns enum err and is MUST_CHECK. Foreign errors
 * (errno, RocksDB, ...) are translated in the one file that includes that
 * library. The table itself is err.def.
 *
 * Threads    Pure functions, any thread.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdbool.h>

enum err {
#define ERR(name, http, grpc, retryable, sentence) ERR_##name,
#include "base/err.def"
#undef ERR
    ERR_COUNT
};

/* Stable upper-case name, for logs and metrics: "RANGE". */
const char *err_name(enum err err);

/* A sentence for people, without a full stop. */
const char *err_text(enum err err);

/* The HTTP status code this error is answered with. */
int err_http(enum err err);

/* The gRPC status code (grpc/status.md) this error is answered with. */
int err_grpc(enum err err);

/* What a read is told that failed with 'err': it has no outcome that could be unknown, and no key
 * to be repeated under. */
enum err err_of_read(enum err err);

/* The same call with the same identity may succeed later. */
bool err_retryable(enum err err);

#endif
