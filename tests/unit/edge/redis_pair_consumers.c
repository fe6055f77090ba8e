/* redis_pair_consumers.c - who reads the events, and what is trimmed because of that (RELIABILITY
 * 3.6): lua/consumer.lua and tidy.lua beside core/consumers.c and outbox_trim.c. */
#include <inttypes.h>
#include <stdio.h>

#include "redis_pair.h"
#include "test.h"

#define CALLS_MAX 100

const struct slice pair_consumers[PAIR_CONSUMERS] = {{"kafka", 5}, {"analytics", 9}};

static const char *tag_of(const struct pair *p, uint32_t lane) {
    static char tag[16];

    if (p->layout.tags)
        return p->layout.tags[lane].text;
    (void)snprintf(tag, sizeof(tag), "%u", lane);
    return tag;
}

void pair_compare_position(struct pair *p, int consumer, uint32_t lane,
                           struct event_position want) {
    char text[64];
    redisReply *reply = redis_fixture_do(p->client, "HGET %s c:%s", pair_key(p, lane, "m"),
                                         pair_consumers[consumer].ptr);

    (void)snprintf(text, sizeof(text), "%" PRIu64 " %" PRIu64, want.epoch, want.seq);
    if (reply->type != REDIS_REPLY_STRING || strcmp(reply->str, text) != 0)
        fail_msg("seed %" PRIu64 " lane %u: %s is at %s, want %s", p->seed, lane,
                 pair_consumers[consumer].ptr, reply->str ? reply->str : "nothing", text);
    freeReplyObject(reply);
}

static void ask_consumer(struct pair *p, int consumer, const char *what) {
    for (uint32_t lane = 0; lane < p->conf.lanes; lane++)
        freeReplyObject(redis_fixture_do(p->client, "EVALSHA %s 0 %s 1 %s %s",
                                         redis_script_consumer.sha1, tag_of(p, lane),
                                         pair_consumers[consumer].ptr, what));
}

static void join(struct pair *p, int consumer) {
    const struct event_position *at;

    assert_int_equal(applier_consumer_add(p->applier, pair_consumers[consumer], &at), ERR_OK);
    ask_consumer(p, consumer, "join");
    p->joined[consumer] = true;
    for (uint32_t lane = 0; lane < p->conf.lanes; lane++)
        pair_compare_position(p, consumer, lane, at[lane]);
}

static void leave(struct pair *p, int consumer) {
    applier_consumer_remove(p->applier, pair_consumers[consumer]);
    ask_consumer(p, consumer, "leave");
    p->joined[consumer] = false;
}

/* ---- housekeeping ---- */

/* True: there is more to trim. 'report': a consumer's, "" for none. */
static bool tidy_lane(struct pair *p, uint32_t lane, const char *report) {
    char command[512];
    int64_t max_bytes = (int64_t)p->conf.outbox_max_bytes;
    int64_t max_age_ms = p->conf.outbox_max_age_ms;

    if (p->layout.tags)
        (void)snprintf(command, sizeof(command), "EVALSHA %s 1 %s %s 1 %" PRId64 " %" PRId64 " %s",
                       p->sha1_tidy, pair_key(p, lane, "m"), tag_of(p, lane), max_bytes, max_age_ms,
                       report);
    else
        (void)snprintf(command, sizeof(command), "EVALSHA %s 0 %s 1 %" PRId64 " %" PRId64 " %s",
                       p->sha1_tidy, tag_of(p, lane), max_bytes, max_age_ms, report);
    redisReply *reply = redis_fixture_do(p->client, command);
    if (reply->type != REDIS_REPLY_ARRAY)
        fail_msg("seed %" PRIu64 ": tidy: %s", p->seed, reply->str);
    bool more = reply->element[3]->integer;
    freeReplyObject(reply);
    return more;
}

static void tidy_there(struct pair *p, uint32_t lane) {
    int calls = 0;

    while (tidy_lane(p, lane, ""))
        assert_true(calls++ < CALLS_MAX);
}

/* Each run of the applier's takes a bounded number, too, and says only with consumers that there
 * are more. */
static void tidy_here(struct pair *p) {
    uint64_t trimmed;
    struct applier_stats stats;
    int calls = 0;

    do {
        applier_stats(p->applier, &stats);
        trimmed = stats.trimmed_events_total;
        assert_int_equal(applier_tidy(p->applier, pair_now(p)), ERR_OK);
        assert_int_equal(applier_commit(p->applier, true), ERR_OK);
        applier_stats(p->applier, &stats);
        assert_true(calls++ < CALLS_MAX);
    } while (stats.trimmed_events_total > trimmed);
}

void pair_tidy(struct pair *p) {
    tidy_here(p);
    for (uint32_t lane = 0; lane < p->conf.lanes; lane++)
        tidy_there(p, lane);
}

/* Anywhere up to the lane's end, also behind what was reported before. It trims at once there, and
 * with the next run here. */
static void report(struct pair *p, int consumer) {
    uint32_t lane = (uint32_t)random_roll(&p->random, p->conf.lanes);
    struct event_position at = applier_lane_end(p->applier, lane);
    char text[96];

    if (random_chance(&p->random, 60))
        at.seq = random_roll(&p->random, at.seq + 1);
    assert_int_equal(applier_consumer_report(p->applier, pair_consumers[consumer], lane, at),
                     ERR_OK);
    (void)snprintf(text, sizeof(text), "%s %" PRIu64 " %" PRIu64, pair_consumers[consumer].ptr,
                   at.epoch, at.seq);
    (void)tidy_lane(p, lane, text);
    pair_tidy(p);
}

void pair_step_consumer(struct pair *p) {
    int consumer = (int)random_roll(&p->random, PAIR_CONSUMERS);

    if (!p->joined[consumer])
        join(p, consumer);
    else if (random_chance(&p->random, 10))
        leave(p, consumer);
    else
        report(p, consumer);
    assert_int_equal(applier_commit(p->applier, true), ERR_OK);
}
