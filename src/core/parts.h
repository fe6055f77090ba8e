/* parts.h - a message whose lanes are on several servers: a part for each, and what their fates
 * make of it (ADR 12).
 *
 *     answered   its operations have their answers
 *     refused    it has surely changed nothing; its operations get the error
 *     unknown    nobody can tell, of it or of the message: that is sent again under its number, and
 *                parts that were applied answer from their windows
 *
 * Threads    One owner.
 */
#ifndef CORE_PARTS_H
#define CORE_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "core/message.h"

struct parts {
    uint32_t count;
    uint32_t open; /* without a fate */
    uint32_t refused;
    enum err err; /* of the last one refused */
    bool unknown;
};

/* All of them are open. */
void parts_begin(struct parts *parts, uint32_t count);

/* One part's fate, once for each. True: it was the last, see parts_outcome(). */
MUST_CHECK bool parts_answered(struct parts *parts);
MUST_CHECK bool parts_refused(struct parts *parts, enum err err);
MUST_CHECK bool parts_unknown(struct parts *parts);

/* What is delivered once none is open. ERR_OK: each operation by its part's fate; ERR_UNKNOWN; or,
 * when all are refused, the last one's error, and '*out_not_applied' is true. */
MUST_CHECK enum err parts_outcome(const struct parts *parts, bool *out_not_applied);

/* A slot on its way to another server: may the part be sent there before all of the slot is? Not
 * with clients' keys: a record that has not come yet looks there as if it had never been. */
MUST_CHECK bool parts_may_go_ahead(bool has_client_keys);

#endif
