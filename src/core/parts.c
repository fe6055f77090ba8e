/* parts.c - fates, counted. */
#include "core/parts.h"

#include "core/rules.h"

void parts_begin(struct parts *parts, uint32_t count) {
    *parts = (struct parts){.count = count, .open = count};
}

bool parts_answered(struct parts *parts) {
    return --parts->open == 0;
}

bool parts_refused(struct parts *parts, enum err err) {
    parts->refused++;
    parts->err = err;
    return --parts->open == 0;
}

bool parts_unknown(struct parts *parts) {
    if (!RULE(RULE_PART_UNKNOWN))
        return parts_refused(parts, ERR_UNAVAILABLE);
    parts->unknown = true;
    return --parts->open == 0;
}

enum err parts_outcome(const struct parts *parts, bool *out_not_applied) {
    *out_not_applied = false;
    if (parts->unknown)
        return ERR_UNKNOWN;
    if (parts->refused < parts->count)
        return ERR_OK;
    *out_not_applied = true;
    return parts->err;
}

bool parts_may_go_ahead(bool has_client_keys) {
    return !has_client_keys || !RULE(RULE_KEYS_WAIT);
}
