/* rpc.h - a gRPC call that blocks, for tools.
 *
 * Threads    The caller's; a loop of its own inside.
 */
#ifndef CLI_RPC_H
#define CLI_RPC_H

#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

struct rpc;
struct tls;

/* To "host:port", which is copied; 'tls' is borrowed, NULL: plain. An answer may take 'answer_ms'.
 * NULL when memory runs out. */
struct rpc *rpc_new(struct slice address, struct tls *tls, int64_t answer_ms);

/* NULL is fine. */
void rpc_free(struct rpc *rpc);

/* Connects first, if need be. ERR_UNREACHABLE: nobody answers there, or not now; ERR_INVALID: the
 * answer was another error; '*out_problem' says what, until the next call. ERR_OK: 'out' has the
 * response. */
MUST_CHECK enum err rpc_call(struct rpc *rpc, struct slice path, struct slice request,
                             struct buf *out, const char **out_problem);

#endif
