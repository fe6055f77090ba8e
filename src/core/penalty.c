/* penalty.c */
#include "core/penalty.h"

#include <stdlib.h>
#include <string.h>

#include "base/siphash.h"

struct place {
    struct in6_addr client;
    int64_t until_ms;   /* its penalty ends */
    int64_t lasting_ms; /* it lasted so long; 0: a free place */
};

struct penalty_table {
    struct penalty_conf conf;
    size_t mask; /* number of sets - 1 */
    struct place places[];
};

struct penalty_table *penalty_new(const struct penalty_conf *conf) {
    size_t sets = 1;

    while (sets * PENALTY_WAYS < conf->clients)
        sets *= 2;
    struct penalty_table *table =
        calloc(1, sizeof(*table) + sets * PENALTY_WAYS * sizeof(struct place));
    if (!table)
        return NULL;
    table->conf = *conf;
    if (table->conf.first_ms > conf->max_ms)
        table->conf.first_ms = conf->max_ms;
    table->mask = sets - 1;
    return table;
}

void penalty_free(struct penalty_table *table) {
    free(table);
}

static size_t set_of(const struct penalty_table *table, const struct in6_addr *client) {
    struct slice key = slice_of((const char *)client->s6_addr, sizeof(client->s6_addr));

    return (siphash(table->conf.seed, key) & table->mask) * PENALTY_WAYS;
}

static bool is_of(const struct place *place, const struct in6_addr *client) {
    return place->lasting_ms && memcmp(&place->client, client, sizeof(*client)) == 0;
}

/* Its place in the set; else the one to use for it. */
static struct place *find(struct place *set, const struct in6_addr *client) {
    struct place *first_to_end = set;

    for (size_t i = 0; i < PENALTY_WAYS; i++) {
        if (is_of(&set[i], client))
            return &set[i];
        if (set[i].until_ms < first_to_end->until_ms)
            first_to_end = &set[i];
    }
    return first_to_end;
}

static int64_t next_ms(const struct penalty_table *table, int64_t lasting_ms) {
    return lasting_ms < table->conf.max_ms / 2 ? lasting_ms * 2 : table->conf.max_ms;
}

int64_t penalty_offend(struct penalty_table *table, const struct in6_addr *client, int64_t now_ms) {
    struct place *place = find(&table->places[set_of(table, client)], client);
    bool again = is_of(place, client) && now_ms < place->until_ms + table->conf.max_ms;

    if (again && now_ms < place->until_ms)
        return 0;
    place->lasting_ms = again ? next_ms(table, place->lasting_ms) : table->conf.first_ms;
    place->until_ms = now_ms + place->lasting_ms;
    place->client = *client;
    return place->lasting_ms;
}

int64_t penalty_left_ms(const struct penalty_table *table, const struct in6_addr *client,
                        int64_t now_ms) {
    const struct place *set = &table->places[set_of(table, client)];

    for (size_t i = 0; i < PENALTY_WAYS; i++)
        if (is_of(&set[i], client))
            return set[i].until_ms > now_ms ? set[i].until_ms - now_ms : 0;
    return 0;
}
