/* discovery_self.h - what this process tells Consul of itself.
 *
 * Threads    Plain functions.
 */
#ifndef CLI_DISCOVERY_SELF_H
#define CLI_DISCOVERY_SELF_H

#include "base/buf.h"
#include "base/config.h"
#include "cli/listen.h"
#include "cli/role.h"

#define DISCOVERY_ID_BYTES 160

/* The HTTP API, and over gRPC the counter or analytics. */
enum discovery_service {
    DISCOVERY_GATEWAY,
    DISCOVERY_COUNTER,
    DISCOVERY_ANALYTICS,
    DISCOVERY_SERVICES
};

const char *discovery_service_name(enum discovery_service which);

struct discovery_self {
    const struct config *config;
    const char *version;
    enum role role;
    const struct listen_names *names;
    bool up;
};

/* "high-go-press-counter-HOSTNAME-PORT": the same after a restart, so that who was killed doesn't
 * stay as somebody else. False: this process has no such service. */
MUST_CHECK bool discovery_describe(const struct discovery_self *self, enum discovery_service which,
                                   char out_id[DISCOVERY_ID_BYTES], struct buf *out_body);

#endif
