/* recount_end.c - how far a topic must be read to have all that was counted.
 *
 *     counted ─► the relay of this process, if its events are shipped here, has shipped that ─► the
 *     ends of the partitions, behind it ─► the second service is there: what has not come is gone
 *
 * Time proves nothing: under load there are always events of other lanes to wait for.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/events.h"
#include "cli/recount_internal.h"
#include "edge/kafka_consumer.h"

#define ASK_MS 2000

/* One that reads nothing. */
static bool make_consumer(struct recount_end *end) {
    static const struct kafka_partitions none;
    struct kafka_url url;
    const char *detail = events_url_read(end->conf->config, &url);

    if (!detail && kafka_consumer_new(&(struct kafka_consumer_conf){.url = &url, .read = &none},
                                      &end->consumer, &detail) != ERR_OK)
        end->consumer = NULL;
    explicit_bzero(&url, sizeof(url));
    return end->consumer != NULL;
}

static bool connect_topic(struct recount_end *end) {
    return (end->consumer || make_consumer(end)) &&
           kafka_consumer_open(end->consumer, ASK_MS) == ERR_OK;
}

static bool ask_ends(struct recount_end *end) {
    uint32_t count = kafka_consumer_partitions(end->consumer);
    int64_t *at = calloc(count + 1, sizeof(*at));
    bool known = at != NULL;

    for (uint32_t i = 0; known && i < count; i++) {
        int64_t first;

        known = kafka_consumer_end(end->consumer, i, ASK_MS, &first, &at[i]) == ERR_OK;
    }
    if (!known) {
        free(at);
        return false;
    }
    end->at = at;
    end->partitions = count;
    return true;
}

/* What was counted in this process need not be in the topic yet. */
static bool is_shipped(const struct recount_end *end, const struct analytics_reached *live) {
    const struct store *store = end->conf->store;
    struct event_position *at;
    bool shipped;

    if (!store)
        return true; /* it was read from there */
    at = calloc(live->lanes + 1, sizeof(*at));
    shipped = at && store_consumer_at(store, SHIPPER_CONSUMER, at, live->lanes) == ERR_OK;
    for (uint32_t i = 0; shipped && i < live->lanes; i++)
        shipped = live->at[i].seq == 0 || !event_position_less(at[i], live->at[i]);
    free(at);
    return shipped;
}

bool recount_end_known(struct recount_end *end, const struct analytics_reached *live) {
    return end->at || (is_shipped(end, live) && connect_topic(end) && ask_ends(end));
}

bool recount_end_reached(const struct recount_end *end, const struct analytics_reached *own) {
    uint32_t i = 0;

    while (i < end->partitions && i < own->partitions && own->next[i] >= end->at[i])
        i++;
    return end->at && i == end->partitions;
}

void recount_end_forget(struct recount_end *end) {
    free(end->at);
    end->at = NULL;
    end->partitions = 0;
}

void recount_end_release(struct recount_end *end) {
    recount_end_forget(end);
    kafka_consumer_free(end->consumer);
    end->consumer = NULL;
}
