/* stale.c */
#include "gateway/stale.h"

#include "base/random.h"
#include "core/last_values.h"

static int64_t max_age_ms(const struct gateway *gateway) {
    return CONFIG_HOT(gateway->fleet->config, stale_reads_max_age_ms);
}

/* Made when it is first wanted. NULL: it isn't, or memory has run out. */
static struct last_values *values(struct gateway *gateway) {
    const struct gateway_fleet *fleet = gateway->fleet;

    if (!gateway->last)
        gateway->last = last_values_new(fleet->config->stale_reads_max_bytes / fleet->loops,
                                        (uint64_t[2]){random_u64(), random_u64()});
    return gateway->last;
}

void stale_learn(struct gateway *gateway, struct slice resource_id, struct slice counter_type,
                 const struct answer *answer) {
    /* A replay is an old answer. */
    if (LIKELY(max_age_ms(gateway) == 0) || answer->err != ERR_OK || answer->replayed ||
        !values(gateway))
        return;
    last_values_put(gateway->last, resource_id, counter_type,
                    &(struct last_value){.value = answer->value,
                                         .time_ms = answer->time_ms,
                                         .at_ms = loop_now_ms(gateway->loop)});
}

/* The store, or the way to it, is away or silent. An overload of ours isn't that: it is refused. */
static bool is_away(enum err err) {
    return err == ERR_UNREACHABLE || err == ERR_UNAVAILABLE || err == ERR_UNKNOWN ||
           err == ERR_DEADLINE || err == ERR_EXPIRED;
}

bool stale_answer(struct gateway *gateway, struct json_counter *counter) {
    int64_t now_ms = loop_now_ms(gateway->loop);
    struct last_value known;

    if (!is_away(counter->err) || max_age_ms(gateway) == 0 || !gateway->last ||
        !last_values_find(gateway->last, counter->resource_id, counter->counter_type, now_ms,
                          max_age_ms(gateway), &known))
        return false;
    counter->err = ERR_OK;
    counter->value = known.value;
    counter->time_s = known.time_ms / 1000;
    counter->stale = true;
    counter->as_of_s = (loop_wall_ms(gateway->loop) - (now_ms - known.at_ms)) / 1000;
    return true;
}

void stale_count(struct gateway *gateway, size_t reads) {
    struct gateway_fleet *fleet = gateway->fleet;

    metrics_add(fleet->metrics, gateway->shard, fleet->series.stale_reads, reads);
}
