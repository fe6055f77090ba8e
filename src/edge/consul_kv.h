/* consul_kv.h - Consul's keys and values, for who waits for the answer.
 *
 * Threads    Whoever calls: each call turns the agent's http client until the answer is there.
 * Limits     A value is at most 512 KiB in Consul.
 */
#ifndef EDGE_CONSUL_KV_H
#define EDGE_CONSUL_KV_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "edge/consul.h"

enum consul_kv { CONSUL_KV_FOUND, CONSUL_KV_NONE, CONSUL_KV_FAILED };

struct consul_kv_call {
    const char *method;
    const char *path; /* behind /v1/ */
    struct slice body;
    int64_t timeout_ms; /* 0: 5 s */
    struct buf *out;    /* the answer's body is added */
    uint64_t index;     /* of the answer; 0: none */
    char problem[256];  /* FAILED: why */
};

/* One request. NONE is HTTP 404. */
MUST_CHECK enum consul_kv consul_kv_call(struct consul *consul, struct consul_kv_call *call);

/* The value of 'key', with an agent of its own, into call->out, within call->timeout_ms. */
MUST_CHECK enum consul_kv consul_kv_read_once(const struct config *config, const char *key,
                                              struct consul_kv_call *call);

#endif
