/* consul_json.h - what Consul's HTTP API says, and what it is told.
 *
 * Threads    Pure functions, any thread.
 * Errors     ERR_INVALID with a static sentence, ERR_NO_MEMORY past the arena's cap. Outputs are
 *            untouched on failure. Unknown fields are ignored.
 */
#ifndef WIRE_CONSUL_JSON_H
#define WIRE_CONSUL_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/instance.h"
#include "base/slice.h"

/* GET /v1/health/service/NAME?passing: every entry's Service.Address, or its Node.Address where
 * that is empty, Service.Port and Weights.Passing. Entries without a port are left out: there is
 * nothing to connect to. */
MUST_CHECK enum err consul_read_health(struct slice body, struct arena *arena,
                                       struct instances *out, const char **out_problem);

/* GET /v1/kv/KEY: the one entry. */
struct consul_value {
    uint64_t modify_index;
    uint64_t flags;
    struct slice base64; /* in the arena or in 'body'; "" where the value is empty */
};
MUST_CHECK enum err consul_read_value(struct slice body, struct arena *arena,
                                      struct consul_value *out, const char **out_problem);

/* GET /v1/kv/PREFIX?keys: calls each() for every one. */
MUST_CHECK enum err consul_read_keys(struct slice body, struct arena *arena,
                                     void (*each)(void *ctx, struct slice key), void *ctx,
                                     const char **out_problem);

/* PUT /v1/agent/service/register. */
struct consul_registration {
    const char *id;
    const char *name;
    const char *address; /* "": the agent's own */
    unsigned port;
    const char *tags; /* "a,b" */
    uint32_t weight;
    const char *version; /* Meta, with the others */
    const char *role;
    const char *admin;
    const char *check_kind; /* "HTTP" or "GRPC" */
    const char *check_target;
    bool check_tls; /* without looking at the certificate: the check says whether we live, not who
                       we are */
    int64_t check_ms;
    bool passing; /* until the first check */
};
void consul_write_registration(struct buf *out, const struct consul_registration *registration);

#endif
