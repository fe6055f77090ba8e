/* live_ranking.c */
#include "gateway/live_ranking.h"

#include <stdlib.h>

#include "core/hash.h"

/* A question costs analytics' thread about as much as so many reads cost a store: an interval has
 * room for 20 of them. */
#define COST 50

static bool same(const struct top_answer *a, const struct top_answer *b) {
    if (a->count != b->count || a->certainty.exact != b->certainty.exact ||
        a->certainty.max_error != b->certainty.max_error)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!slice_eq(top_item(a, i)->resource_id, top_item(b, i)->resource_id) ||
            top_item(a, i)->tally.sum != top_item(b, i)->tally.sum)
            return false;
    return true;
}

static uint64_t digest_of(const struct top_answer *answer) {
    uint64_t state[3] = {answer->count, answer->certainty.exact,
                         (uint64_t)answer->certainty.max_error};

    for (size_t i = 0; i < answer->count; i++) {
        state[0] = hash64(slice_of((const char *)state, sizeof(state)));
        state[1] = hash64(top_item(answer, i)->resource_id);
        state[2] = (uint64_t)top_item(answer, i)->tally.sum;
    }
    return hash64(slice_of((const char *)state, sizeof(state)));
}

static void show(struct live_ranking *ranking) {
    ranking->digest = digest_of(&ranking->ask.top_answer);
    buf_clear(&ranking->json);
    analytics_add_top(&ranking->json, &ranking->ask);
    top_answer_release(&ranking->shown);
    ranking->shown = ranking->ask.top_answer;
    ranking->ask.top_answer = (struct top_answer){.count = 0};
}

static void on_answer(struct analytics_ask *ask) {
    struct live_ranking *ranking = ask->ctx;
    struct gateway *gateway = ranking->gateway;
    bool changed =
        ask->err == ERR_OK && (ranking->json.len == 0 || !same(&ask->top_answer, &ranking->shown));

    if (changed)
        show(ranking);
    live_answered(gateway->live, &ranking->topic, ask->err, changed);
    gateway_check_drained(gateway);
}

static enum err read_ranking(struct watch_topic *topic, int64_t now_ms) {
    struct live_ranking *ranking = CONTAINER_OF(topic, struct live_ranking, topic);

    /* As whoever answers finds it elsewhere: empty. */
    top_answer_release(&ranking->ask.top_answer);
    ranking->ask.top_answer = (struct top_answer){.count = 0};
    ranking->ask.deadline_ms = now_ms + ranking->gateway->fleet->config->timeouts_request_ms;
    return analytics_ask(ranking->gateway->analytics, &ranking->ask);
}

static void free_ranking(struct watch_topic *topic) {
    struct live_ranking *ranking = CONTAINER_OF(topic, struct live_ranking, topic);

    top_answer_release(&ranking->ask.top_answer);
    top_answer_release(&ranking->shown);
    buf_release(&ranking->json);
    free(ranking);
}

const struct watch_kind live_ranking_kind = {
    .read = read_ranking,
    .free = free_ranking,
    .cost = COST,
};

/* Its name: what tells it from counters, what is asked, the type. */
static struct live_ranking *make(struct gateway *gateway, const struct analytics_params *params) {
    uint32_t asked[2] = {(uint32_t)params->range, params->limit};
    size_t head = 1 + sizeof(asked);
    size_t len = head + params->counter_type.len;
    struct live_ranking *ranking = calloc(1, sizeof(*ranking) + len);

    if (!ranking)
        return NULL;
    ranking->name[0] = 't';
    memcpy(ranking->name + 1, asked, sizeof(asked));
    memcpy(ranking->name + head, params->counter_type.ptr, params->counter_type.len);
    ranking->gateway = gateway;
    ranking->topic.kind = &live_ranking_kind;
    ranking->topic.name = slice_of(ranking->name, len);
    ranking->ask.kind = ASK_TOP;
    ranking->ask.top =
        (struct top_query){.counter_type = slice_of(ranking->name + head, params->counter_type.len),
                           .range = params->range,
                           .limit = params->limit};
    ranking->ask.done = on_answer;
    ranking->ask.ctx = ranking;
    return ranking;
}

enum err live_ranking_follow(struct gateway *gateway, struct watcher *watcher,
                             const struct analytics_params *params) {
    struct live_ranking *ranking = make(gateway, params);

    return ranking ? live_adopt(gateway->live, watcher, &ranking->topic) : ERR_NO_MEMORY;
}
