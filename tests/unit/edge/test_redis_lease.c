/* test_redis_lease.c - lua/lease.lua on a real Redis: random instances that come, go, fall silent
 * and come back. Time is the test's; a seed is a whole history (HGP_SEED runs one alone).
 *
 * Whatever has happened: nobody takes what a living instance has, or, where instances keep what is
 * theirs, what a dead one has. And once all that live have renewed in turn, each has its share and
 * nothing is left over.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "../core/core_random.h"
#include "edge/redis_script.h"
#include "redis_fixture.h"
#include "test.h"

#define SEEDS      100
#define STEPS      80
#define INSTANCES  5
#define GROUPS_MAX 16
#define LEASE_MS   5000
#define NOBODY     (-1)

static struct redis_fixture server;
static redisContext *client;
static char sha1[41];

struct history {
    uint64_t random;
    uint64_t seed;
    int64_t now_ms;
    uint32_t groups;
    const char *mode; /* how they renew: "renew" or "keep" */
    int64_t until_ms[INSTANCES];
    int owner[GROUPS_MAX];
};

static void load_script(void) {
    static const char look[] = "redis.call('TIME')";
    static const char table[] = "{redis.call('GET','t:s'),redis.call('GET','t:u')}";
    struct slice script = redis_script_lease.text;
    const char *at = memmem(script.ptr, script.len, look, sizeof(look) - 1);
    struct buf text = {0};

    assert_non_null(at);
    buf_add(&text, script.ptr, (size_t)(at - script.ptr));
    buf_add_str(&text, table);
    buf_add_slice(&text, slice_skip(script, (size_t)(at - script.ptr) + sizeof(look) - 1));
    redisReply *reply = redis_fixture_do(client, "SCRIPT LOAD %b", text.ptr, text.len);
    (void)snprintf(sha1, sizeof(sha1), "%s", reply->str);
    freeReplyObject(reply);
    buf_release(&text);
}

static void set_time(struct history *h, int64_t by_ms) {
    h->now_ms += by_ms;
    freeReplyObject(redis_fixture_do(client, "MSET t:s %lld t:u %lld", (long long)h->now_ms / 1000,
                                     (long long)(h->now_ms % 1000 * 1000)));
}

static bool alive(const struct history *h, int instance) {
    return h->until_ms[instance] > h->now_ms;
}

static redisReply *ask(struct history *h, int instance, const char *mode) {
    return redis_fixture_do(client, "EVALSHA %s 1 leases %d %u %d %s", sha1, instance, h->groups,
                            LEASE_MS, mode);
}

/* Who has what by now; gives how many are 'instance's. */
static uint32_t read_owners(struct history *h, int instance, int out[GROUPS_MAX]) {
    uint32_t count = 0;

    for (uint32_t group = 0; group < h->groups; group++) {
        redisReply *reply = redis_fixture_do(client, "HGET leases g:%u", group);

        out[group] = reply->str ? atoi(reply->str) : NOBODY;
        count += out[group] == instance;
        freeReplyObject(reply);
    }
    return count;
}

static bool may_be_taken(const struct history *h, int owner) {
    return owner == NOBODY || (strcmp(h->mode, "renew") == 0 && !alive(h, owner));
}

/* The reply names what is its own in the hash, and no one else has lost what is protected. */
static void check(struct history *h, int instance, const redisReply *mine) {
    int owner[GROUPS_MAX];
    uint32_t count = read_owners(h, instance, owner);

    assert_int_equal(mine->elements, count);
    for (size_t i = 0; i < mine->elements; i++)
        assert_int_equal(owner[mine->element[i]->integer], instance);
    for (uint32_t group = 0; group < h->groups; group++) {
        if (owner[group] != h->owner[group] && h->owner[group] != instance &&
            !may_be_taken(h, h->owner[group]))
            fail_msg("seed %" PRIu64 ": %d takes group %u from %d", h->seed, instance, group,
                     h->owner[group]);
        h->owner[group] = owner[group];
    }
}

static void renew(struct history *h, int instance) {
    redisReply *reply = ask(h, instance, h->mode);

    check(h, instance, reply);
    h->until_ms[instance] = h->now_ms + LEASE_MS;
    freeReplyObject(reply);
}

/* "leave" gives all back, "rest" nothing. */
static void end(struct history *h, int instance, const char *mode) {
    redisReply *reply = ask(h, instance, mode);
    int owner[GROUPS_MAX];
    uint32_t had = 0;

    for (uint32_t group = 0; group < h->groups; group++)
        had += h->owner[group] == instance;
    assert_int_equal(reply->elements, 0);
    assert_int_equal(read_owners(h, instance, owner), strcmp(mode, "rest") == 0 ? had : 0);
    for (uint32_t group = 0; group < h->groups; group++) {
        assert_true(owner[group] == h->owner[group] || h->owner[group] == instance);
        h->owner[group] = owner[group];
    }
    h->until_ms[instance] = 0;
    freeReplyObject(reply);
}

static void look(struct history *h, int instance) {
    redisReply *reply = ask(h, instance, "look");
    int others = 0;

    for (int i = 0; i < INSTANCES; i++)
        others += i != instance && alive(h, i);
    assert_int_equal(reply->integer, others);
    freeReplyObject(reply);
}

static void step(struct history *h) {
    int instance = (int)random_roll(&h->random, INSTANCES);
    uint64_t what = random_roll(&h->random, 100);

    set_time(h,
             (int64_t)random_roll(&h->random, random_chance(&h->random, 5) ? 2 * LEASE_MS : 800));
    if (what < 80)
        renew(h, instance);
    else if (what < 86)
        end(h, instance, "leave");
    else if (what < 92)
        end(h, instance, "rest");
    else
        look(h, instance);
}

/* All that live renew in turn, twice: who has too many gives back, then the others take it. */
static void settle(struct history *h) {
    uint32_t living = 0;
    uint32_t counted[INSTANCES] = {0};
    uint32_t ownerless = 0;

    renew(h, 0);
    for (int turn = 0; turn < 2; turn++)
        for (int i = 0; i < INSTANCES; i++)
            if (alive(h, i))
                renew(h, i);
    for (int i = 0; i < INSTANCES; i++)
        living += alive(h, i);
    for (uint32_t group = 0; group < h->groups; group++) {
        int owner = h->owner[group];

        ownerless += owner == NOBODY || (strcmp(h->mode, "renew") == 0 && !alive(h, owner));
        if (owner != NOBODY)
            counted[owner]++;
    }
    if (ownerless)
        fail_msg("seed %" PRIu64 ": %u groups are nobody's", h->seed, ownerless);
    for (int i = 0; i < INSTANCES; i++)
        if (alive(h, i) && counted[i] > (h->groups + living - 1) / living)
            fail_msg("seed %" PRIu64 ": %d has %u of %u groups, %u live", h->seed, i, counted[i],
                     h->groups, living);
}

static void run(uint64_t seed, const char *mode) {
    struct history h = {.random = seed, .seed = seed, .now_ms = 1000000000000, .mode = mode};

    h.groups = (uint32_t)(1 + random_roll(&h.random, GROUPS_MAX));
    for (uint32_t group = 0; group < GROUPS_MAX; group++)
        h.owner[group] = NOBODY;
    freeReplyObject(redis_fixture_do(client, "DEL leases"));
    set_time(&h, 0);
    for (int i = 0; i < STEPS; i++)
        step(&h);
    settle(&h);
}

static void run_all(const char *mode) {
    const char *only = getenv("HGP_SEED");
    uint64_t from = only ? strtoull(only, NULL, 10) : 1;

    for (uint64_t seed = from; seed <= (only ? from : SEEDS); seed++)
        run(seed, mode);
}

static void test_shared(void **state) {
    (void)state;
    run_all("renew");
}

static void test_kept(void **state) {
    (void)state;
    run_all("keep");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_shared), cmocka_unit_test(test_kept)};

    if (!redis_fixture_start(&server, false, NULL)) {
        puts("no redis-server here: skipped");
        return 77;
    }
    client = redis_fixture_connect(&server);
    load_script();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    redisFree(client);
    redis_fixture_stop(&server);
    return failed;
}
