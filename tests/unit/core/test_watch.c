/* test_watch.c - who is told what and when, in virtual time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/random.h"
#include "core/watch.h"
#include "test.h"

#define INTERVAL  100
#define HEARTBEAT 15000
#define STALE     1000
#define FIRST     2000
#define TOPICS    40
#define FOLLOWED  4

static struct world {
    struct watch *watch;
    int64_t now_ms;
    int64_t next_ms; /* as the last poll said */
    struct fake_topic *topics[TOPICS];
    int alive; /* topics */
    int values[TOPICS];
    enum err err; /* of reads from now on */
    enum err refusal;
    bool by_hand; /* reads are answered by answer(), else at once behind the turn */
} world;

/* ---- topics that are numbers ---------------------------------------------- */

struct fake_topic {
    struct watch_topic topic;
    int number;
    int value;
    int reads;
    bool reading;
    int taken; /* the value as it was when the read began */
    char name[8];
};

static struct fake_topic *of(struct watch_topic *topic) {
    return CONTAINER_OF(topic, struct fake_topic, topic);
}

static enum err begin_read(struct watch_topic *topic, int64_t now_ms) {
    struct fake_topic *fake = of(topic);

    assert_int_equal(now_ms, world.now_ms);
    assert_false(fake->reading);
    if (world.refusal != ERR_OK)
        return world.refusal;
    fake->reads++;
    fake->reading = true;
    fake->taken = world.values[fake->number];
    return ERR_OK;
}

static void free_topic(struct watch_topic *topic) {
    struct fake_topic *fake = of(topic);

    assert_false(fake->reading);
    world.topics[fake->number] = NULL;
    world.alive--;
    free(fake);
}

static struct watch_kind kind = {begin_read, free_topic, 1};

static struct fake_topic *topic_of(int number) {
    char name[8];

    (void)snprintf(name, sizeof(name), "t%d", number);
    struct watch_topic *found = watch_find(world.watch, slice_str(name));
    if (found)
        return of(found);
    struct fake_topic *fake = calloc(1, sizeof(*fake));
    assert_non_null(fake);
    fake->number = number;
    memcpy(fake->name, name, sizeof(name));
    fake->topic.kind = &kind;
    fake->topic.name = slice_str(fake->name);
    if (watch_insert(world.watch, &fake->topic) != ERR_OK) {
        free(fake);
        return NULL;
    }
    world.topics[number] = fake;
    world.alive++;
    return fake;
}

static void answer(struct fake_topic *fake) {
    bool changed = fake->taken != fake->value;

    assert_true(fake->reading);
    fake->reading = false;
    if (world.err == ERR_OK)
        fake->value = fake->taken;
    watch_answered(&fake->topic, world.err, changed, world.now_ms);
}

/* ---- watchers that remember ------------------------------------------------ */

struct client {
    struct watcher watcher;
    struct watch_item items[FOLLOWED];
    bool busy;
    int told;
    int firsts;
    int quiets;
    int ended;
    enum err failed;
    int changes;        /* of the last time */
    int seen[TOPICS];   /* the latest values */
    bool stale[TOPICS]; /* likewise */
    int64_t told_ms;
    int64_t gap_ms; /* the shortest between two */
};

static bool is_ready(const struct watcher *watcher) {
    return !CONTAINER_OF(watcher, const struct client, watcher)->busy;
}

static void on_tell(struct watcher *watcher, bool first) {
    struct client *client = CONTAINER_OF(watcher, struct client, watcher);
    const struct watch_topic *topic;

    assert_true(first == (client->told == 0));
    if (!first && world.now_ms - client->told_ms < client->gap_ms)
        client->gap_ms = world.now_ms - client->told_ms;
    client->told++;
    client->told_ms = world.now_ms;
    client->changes = 0;
    while ((topic = watcher_next(watcher))) {
        const struct fake_topic *fake = CONTAINER_OF(topic, const struct fake_topic, topic);

        client->changes++;
        client->seen[fake->number] = fake->value;
        client->stale[fake->number] = topic->stale;
    }
}

static void on_quiet(struct watcher *watcher) {
    CONTAINER_OF(watcher, struct client, watcher)->quiets++;
}

static void on_failed(struct watcher *watcher, enum err err) {
    CONTAINER_OF(watcher, struct client, watcher)->failed = err;
}

static void on_ended(struct watcher *watcher) {
    CONTAINER_OF(watcher, struct client, watcher)->ended++;
}

static const struct watcher_events events = {is_ready, on_tell, on_quiet, on_failed, on_ended};

/* Follows 'count' topics from 'first' on. */
static void join(struct client *client, int first, int count) {
    *client = (struct client){.gap_ms = INT64_MAX};
    watcher_init(&client->watcher, &events, client->items, FOLLOWED);
    for (int i = 0; i < count; i++)
        watch_follow(&client->watcher, &topic_of(first + i)->topic);
    assert_int_equal(watch_start(world.watch, &client->watcher, world.now_ms), ERR_OK);
}

/* ---- time ------------------------------------------------------------------ */

static void turn(void) {
    world.next_ms = watch_poll(world.watch, world.now_ms);
    for (int i = 0; !world.by_hand && i < TOPICS; i++)
        if (world.topics[i] && world.topics[i]->reading)
            answer(world.topics[i]);
    if (!world.by_hand)
        world.next_ms = watch_poll(world.watch, world.now_ms);
}

/* As a loop does: only when it is asked to. */
static void run_to(int64_t at_ms) {
    while (world.next_ms <= at_ms) {
        assert_true(world.next_ms > world.now_ms);
        world.now_ms = world.next_ms;
        turn();
    }
    world.now_ms = at_ms;
}

static void run_for(int64_t ms) {
    run_to(world.now_ms + ms);
}

static int set_up(void **state) {
    struct watch_conf conf = {.interval_ms = INTERVAL,
                              .heartbeat_ms = HEARTBEAT,
                              .first_ms = FIRST,
                              .stale_ms = STALE,
                              .budget = 10,
                              .topics_max = TOPICS - 1,
                              .seed = {3, 5}};

    (void)state;
    world = (struct world){.now_ms = 1000, .next_ms = INT64_MAX};
    world.watch = watch_new(&conf);
    return world.watch ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    assert_int_equal(world.alive, 0);
    assert_true(watch_idle(world.watch));
    watch_free(world.watch);
    return 0;
}

static void leave(struct client *client) {
    watch_leave(&client->watcher);
    turn();
}

/* ---- tests ----------------------------------------------------------------- */

static void test_told_all_first_then_what_changed(void **state) {
    struct client client;

    (void)state;
    world.values[0] = 7;
    join(&client, 0, 3);
    turn();
    assert_int_equal(client.told, 1);
    assert_int_equal(client.changes, 3);
    assert_int_equal(client.seen[0], 7);
    run_for(1000);
    assert_int_equal(client.told, 1);
    world.values[1] = 5;
    run_for(INTERVAL);
    assert_int_equal(client.told, 2);
    assert_int_equal(client.changes, 1);
    assert_int_equal(client.seen[1], 5);
    leave(&client);
}

static void test_nobody_there_nothing_done(void **state) {
    struct client client;

    (void)state;
    turn();
    assert_true(world.next_ms == INT64_MAX);
    join(&client, 0, 2);
    turn();
    assert_true(world.next_ms <= world.now_ms + INTERVAL);
    leave(&client);
    assert_true(world.next_ms == INT64_MAX);
}

static void test_one_read_for_all_who_watch(void **state) {
    static struct client clients[30];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(clients); i++)
        join(&clients[i], 0, 1);
    turn();
    assert_int_equal(world.topics[0]->reads, 1);
    world.values[0] = 1;
    run_for(INTERVAL * 10);
    assert_int_equal(world.topics[0]->reads, 11);
    for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
        assert_int_equal(clients[i].told, 2);
        assert_int_equal(clients[i].seen[0], 1);
        leave(&clients[i]);
    }
}

static void test_followed_twice_is_once(void **state) {
    struct client client = {.gap_ms = INT64_MAX};

    (void)state;
    watcher_init(&client.watcher, &events, client.items, FOLLOWED);
    for (int i = 0; i < 10; i++)
        watch_follow(&client.watcher, &topic_of(0)->topic);
    assert_int_equal(watch_start(world.watch, &client.watcher, world.now_ms), ERR_OK);
    turn();
    assert_int_equal(client.changes, 1);
    leave(&client);
}

/* Changes at random moments, three clients, an hour: nobody is told more than once an interval, and
 * each knows every value at most two intervals later. */
static void test_coalesces(void **state) {
    static struct client clients[3];
    uint64_t seed = 42;
    int64_t changed_ms[6] = {0};

    (void)state;
    for (int i = 0; i < 3; i++)
        join(&clients[i], i, FOLLOWED);
    turn();
    while (world.now_ms < 3600000) {
        int number = (int)(random_next(&seed) % 6);

        world.values[number]++;
        changed_ms[number] = world.now_ms;
        run_for((int64_t)(random_next(&seed) % 50));
        for (int i = 0; i < 3; i++)
            for (int n = i; n < i + FOLLOWED; n++)
                if (world.now_ms - changed_ms[n] > 2 * INTERVAL)
                    assert_int_equal(clients[i].seen[n], world.values[n]);
    }
    run_for(2 * INTERVAL);
    for (int i = 0; i < 3; i++) {
        assert_true(clients[i].gap_ms >= INTERVAL);
        assert_true(clients[i].told > 30000);
        for (int n = i; n < i + FOLLOWED; n++)
            assert_int_equal(clients[i].seen[n], world.values[n]);
        leave(&clients[i]);
    }
}

static void test_a_slow_one_gets_the_latest(void **state) {
    struct client slow;
    struct client quick;

    (void)state;
    join(&slow, 0, 1);
    join(&quick, 0, 1);
    turn();
    slow.busy = true;
    for (int i = 0; i < 20; i++) {
        world.values[0]++;
        run_for(INTERVAL);
    }
    assert_int_equal(slow.told, 1);
    assert_true(quick.told >= 20);
    slow.busy = false;
    run_for(INTERVAL);
    assert_int_equal(slow.told, 2);
    assert_int_equal(slow.seen[0], 20);
    run_for(1000);
    assert_int_equal(slow.told, 2);
    leave(&slow);
    leave(&quick);
}

/* It may have been told a value by an increment that the read under way doesn't know of. */
static void test_the_first_is_read_behind_the_start(void **state) {
    struct client early;
    struct client late;

    (void)state;
    world.by_hand = true;
    join(&early, 0, 1);
    turn();
    world.values[0] = 1;
    join(&late, 0, 1);
    turn();
    answer(world.topics[0]); /* of the read that took 0 */
    turn();
    assert_int_equal(early.told, 1);
    assert_int_equal(early.seen[0], 0);
    assert_int_equal(late.told, 0);
    answer(world.topics[0]);
    turn();
    assert_int_equal(late.told, 1);
    assert_int_equal(late.seen[0], 1);
    leave(&late);
    leave(&early);
}

static void test_leaves_while_it_is_read(void **state) {
    struct client client;

    (void)state;
    world.by_hand = true;
    join(&client, 0, 1);
    turn();
    leave(&client);
    assert_true(world.next_ms == INT64_MAX);
    assert_false(watch_idle(world.watch));
    join(&client, 0, 1); /* and comes back */
    turn();
    answer(world.topics[0]);
    turn();
    assert_int_equal(client.told, 0);
    leave(&client);
    assert_int_equal(world.alive, 1);
    answer(world.topics[0]);
    assert_int_equal(world.alive, 0);
}

static void test_first_read_fails(void **state) {
    struct client read;
    struct client refused;

    (void)state;
    world.err = ERR_UNREACHABLE;
    join(&read, 0, 2);
    turn();
    assert_int_equal(read.failed, ERR_UNREACHABLE);
    assert_int_equal(read.told, 0);
    world.refusal = ERR_BUSY;
    join(&refused, 0, 2);
    turn();
    assert_int_equal(refused.failed, ERR_BUSY);
    assert_int_equal(world.alive, 0);
}

/* The read that it needs can't even begin, because the one under way hangs. */
static void test_first_read_takes_too_long(void **state) {
    struct client early;
    struct client late;

    (void)state;
    join(&early, 0, 1);
    turn();
    world.by_hand = true;
    run_for(INTERVAL);
    join(&late, 0, 1);
    run_for(FIRST - INTERVAL);
    assert_int_equal(late.failed, ERR_OK);
    run_for(INTERVAL * 2);
    assert_int_equal(late.failed, ERR_DEADLINE);
    assert_int_equal(early.told, 2); /* that it is stale */
    leave(&early);
    answer(world.topics[0]);
}

static void test_says_when_it_is_stale(void **state) {
    struct client client;

    (void)state;
    join(&client, 0, 1);
    turn();
    world.err = ERR_UNAVAILABLE;
    run_for(STALE - INTERVAL);
    assert_int_equal(client.told, 1);
    run_for(2 * INTERVAL);
    assert_int_equal(client.told, 2);
    assert_true(client.stale[0]);
    run_for(10000);
    assert_int_equal(client.told, 2);
    world.err = ERR_OK;
    run_for(INTERVAL);
    assert_int_equal(client.told, 3);
    assert_false(client.stale[0]);
    leave(&client);
}

static void test_a_read_that_hangs(void **state) {
    struct client client;

    (void)state;
    join(&client, 0, 1);
    turn();
    world.by_hand = true;
    run_for(STALE);
    assert_int_equal(client.told, 1);
    run_for(INTERVAL * 2);
    assert_int_equal(client.told, 2);
    assert_true(client.stale[0]);
    world.values[0] = 1;
    answer(world.topics[0]); /* of what it was when the read began */
    turn();
    assert_false(client.stale[0]);
    assert_int_equal(client.seen[0], 0);
    world.by_hand = false;
    run_for(INTERVAL);
    assert_int_equal(client.seen[0], 1);
    leave(&client);
}

/* 36 topics and a budget of 10 an interval: each is read every fourth. */
static void test_the_budget(void **state) {
    static struct client clients[9];

    (void)state;
    for (int i = 0; i < 9; i++)
        join(&clients[i], i * FOLLOWED, FOLLOWED);
    turn();
    uint64_t before = watch_reads(world.watch);
    run_for(INTERVAL * 40);
    assert_true(watch_reads(world.watch) - before <= 400);
    for (int i = 0; i < 36; i++)
        assert_in_range(world.topics[i]->reads, 11, 13); /* the first, and 400 / 36 */
    for (int i = 0; i < 9; i++)
        leave(&clients[i]);
}

static void test_dear_topics(void **state) {
    struct client client;

    (void)state;
    kind.cost = 10;
    join(&client, 0, FOLLOWED);
    turn();
    run_for(INTERVAL * 8);
    for (int i = 0; i < FOLLOWED; i++)
        assert_int_equal(world.topics[i]->reads, 3);
    kind.cost = 1;
    leave(&client);
}

static void test_heartbeats(void **state) {
    struct client client;

    (void)state;
    join(&client, 0, 1);
    turn();
    run_for(HEARTBEAT - INTERVAL * 3);
    assert_int_equal(client.quiets, 0);
    world.values[0] = 1;
    run_for(INTERVAL * 2);
    assert_int_equal(client.told, 2);
    run_for(HEARTBEAT - INTERVAL * 3);
    assert_int_equal(client.quiets, 0);
    run_for(INTERVAL * 2);
    assert_int_equal(client.quiets, 1);
    run_for(HEARTBEAT * 3);
    assert_int_equal(client.quiets, 4);
    leave(&client);
}

static void test_the_end(void **state) {
    struct client told;
    struct client waiting;
    struct client late = {.gap_ms = INT64_MAX};

    (void)state;
    join(&told, 0, 1);
    turn();
    world.by_hand = true;
    join(&waiting, 1, 1);
    turn();
    watch_end(world.watch);
    assert_int_equal(told.ended, 1);
    assert_int_equal(waiting.ended, 1);
    answer(world.topics[1]);
    assert_true(watch_idle(world.watch));
    watcher_init(&late.watcher, &events, late.items, FOLLOWED);
    watch_follow(&late.watcher, &topic_of(0)->topic);
    assert_int_equal(watch_start(world.watch, &late.watcher, world.now_ms), ERR_UNAVAILABLE);
    watch_leave(&late.watcher);
}

static void test_too_many_topics(void **state) {
    static struct client clients[TOPICS - 1];

    (void)state;
    for (int i = 0; i < TOPICS - 1; i++)
        join(&clients[i], i, 1);
    assert_null(topic_of(TOPICS - 1));
    leave(&clients[0]);
    join(&clients[0], TOPICS - 1, 1);
    for (int i = 0; i < TOPICS - 1; i++)
        leave(&clients[i]);
}

#define T(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(told_all_first_then_what_changed),
        T(nobody_there_nothing_done),
        T(one_read_for_all_who_watch),
        T(followed_twice_is_once),
        T(coalesces),
        T(a_slow_one_gets_the_latest),
        T(the_first_is_read_behind_the_start),
        T(leaves_while_it_is_read),
        T(first_read_fails),
        T(first_read_takes_too_long),
        T(says_when_it_is_stale),
        T(a_read_that_hangs),
        T(the_budget),
        T(dear_topics),
        T(heartbeats),
        T(the_end),
        T(too_many_topics),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
