/* test_peers.c - turns, load, ejection and the retry budget, as scripts.
 *
 * A script is a list of steps at a time; a pick says which peer it has to be. */
#include <inttypes.h>
#include <string.h>

#include "base/attr.h"
#include "base/random.h"
#include "core/peers.h"
#include "test.h"

#define STEPS_MAX 48
#define NONE      PEERS_NONE

enum verb {
    END,
    UP,    /* peer becomes usable */
    DOWN,  /* no longer */
    FIRST, /* a first attempt goes to peer */
    RETRY, /* a retry */
    OK,    /* a message comes back from peer, well */
    FAIL   /* or not */
};

struct step {
    int64_t at_ms;
    enum verb verb;
    size_t peer;
};

/* clang-format off */
/* It alone gets five, which fail one after the other. */
#define FAIL_5(at, i)                                                                              \
    {(at), FIRST, (i)}, {(at), FIRST, (i)}, {(at), FIRST, (i)}, {(at), FIRST, (i)},                \
    {(at), FIRST, (i)}, {(at) + 1, FAIL, (i)}, {(at) + 2, FAIL, (i)}, {(at) + 3, FAIL, (i)},       \
    {(at) + 4, FAIL, (i)}, {(at) + 5, FAIL, (i)}

/* Peer 1 is set aside at 'at' + 5; peer 0 is there from then on. */
#define EJECT_1(at)                                                                                \
    {(at), UP, 1}, {(at), DOWN, 0}, {(at), FIRST, 1}, {(at), FIRST, 1}, {(at), FIRST, 1},          \
    {(at), FIRST, 1}, {(at), FIRST, 1}, {(at), UP, 0}, {(at) + 1, FAIL, 1}, {(at) + 2, FAIL, 1},   \
    {(at) + 3, FAIL, 1}, {(at) + 4, FAIL, 1}, {(at) + 5, FAIL, 1}

static const struct {
    const char *name;
    size_t count;
    struct step steps[STEPS_MAX];
} rows[] = {
    {"nobody is there at first", 2, {{0, FIRST, NONE}, {0, RETRY, NONE}}},
    {"nobody at all", 0, {{0, FIRST, NONE}}},
    {"the usable one", 3, {{0, UP, 1}, {0, FIRST, 1}, {0, FIRST, 1}, {0, DOWN, 1}, {0, FIRST, NONE}}},
    {"equals take turns", 3,
     {{0, UP, 0}, {0, UP, 1}, {0, UP, 2},
      {0, FIRST, 0}, {0, OK, 0}, {0, FIRST, 1}, {0, OK, 1}, {0, FIRST, 2}, {0, OK, 2}, {0, FIRST, 0}}},
    {"the fewest under way", 2,
     {{0, UP, 0}, {0, UP, 1}, {0, FIRST, 0}, {0, FIRST, 1}, {0, FIRST, 0}, {0, FIRST, 1},
      {0, OK, 1}, {0, OK, 1}, {0, FIRST, 1}, {0, FIRST, 1}, {0, FIRST, 0}}},
    {"a silent one gets no more until it speaks", 2,
     {{0, UP, 0}, {0, UP, 1}, {0, FIRST, 0}, {0, FIRST, 1}, {10, OK, 1}, {10, FIRST, 1}, {400, OK, 1},
      {499, FIRST, 1}, {499, FIRST, 0}, {500, FIRST, 1}, {500, FIRST, 1}, {500, RETRY, 1}, {510, FIRST, 1},
      {510, OK, 0}, {510, FIRST, 0}, {510, FIRST, 0}, {510, FIRST, 0}}},
    {"all of them silent: the fewest under way", 2,
     {{0, UP, 0}, {0, UP, 1}, {0, FIRST, 0}, {0, FIRST, 1}, {900, FIRST, 0}, {900, FIRST, 1}, {900, FIRST, 0}}},
    {"nothing under way is no silence", 2,
     {{0, UP, 0}, {0, UP, 1}, {0, FIRST, 0}, {0, FIRST, 1}, {1, OK, 0}, {1, OK, 1}, {9000, FIRST, 0}}},
    {"one that comes back is even until it is loaded", 2,
     {{0, UP, 0}, {0, FIRST, 0}, {0, FIRST, 0}, {0, UP, 1}, {0, FIRST, 1}, {0, FIRST, 1}, {0, FIRST, 0}}},

    {"a retry rather goes where nothing failed", 2,
     {{0, UP, 0}, {0, UP, 1}, {0, FIRST, 0}, {0, FIRST, 1}, {0, FIRST, 0}, {0, FAIL, 0}, {0, FAIL, 0},
      {0, RETRY, 1}, {0, RETRY, 1}, {0, FIRST, 0}}},
    {"to the one that failed when it is alone", 2,
     {{0, UP, 0}, {0, FIRST, 0}, {0, FAIL, 0}, {0, RETRY, 0}}},
    {"serving ends the row of failures", 2,
     {{0, UP, 0}, {0, UP, 1}, {0, FIRST, 0}, {1, FAIL, 0}, {1, DOWN, 1}, {1, FIRST, 0}, {2, OK, 0},
      {2, UP, 1}, {2, FIRST, 1}, {2, RETRY, 0}}},

    {"five in a row: aside for 30 s", 2,
     {EJECT_1(0), {10, FIRST, 0}, {10, FIRST, 0}, {30004, FIRST, 0},
      {30005, FIRST, 1}, {30005, FIRST, 1}}},
    {"four and a success are none", 2,
     {{0, UP, 1}, {0, FIRST, 1}, {0, FIRST, 1}, {0, FIRST, 1}, {0, FIRST, 1}, {0, FIRST, 1}, {0, FIRST, 1},
      {0, FIRST, 1}, {0, FIRST, 1}, {0, FIRST, 1}, {0, UP, 0},
      {1, FAIL, 1}, {2, FAIL, 1}, {3, FAIL, 1}, {4, FAIL, 1}, {5, OK, 1}, {6, FAIL, 1}, {7, FAIL, 1},
      {8, FAIL, 1}, {9, FAIL, 1}, {9, FIRST, 0}, {9, FIRST, 1}}},
    {"a lost connection's messages are one failure", 2,
     {{0, UP, 1}, {0, FIRST, 1}, {0, FIRST, 1}, {0, FIRST, 1}, {0, FIRST, 1}, {0, FIRST, 1}, {0, FIRST, 1},
      {0, UP, 0}, {7, FAIL, 1}, {7, FAIL, 1}, {7, FAIL, 1}, {7, FAIL, 1}, {7, FAIL, 1}, {7, FAIL, 1},
      {7, FIRST, 0}, {7, FIRST, 1}}},
    {"never the last usable one", 2,
     {{0, UP, 1}, FAIL_5(0, 1), FAIL_5(10, 1), {20, FIRST, 1}, {20, UP, 0}, {20, FIRST, 0}, {20, OK, 0},
      {20, OK, 1}, {21, FIRST, 1}}},
    {"the last one is aside already when the other goes", 2,
     {EJECT_1(0), {10, FIRST, 0}, {10, DOWN, 0}, {10, FIRST, 1}, {10, UP, 0}, {10, FIRST, 0},
      {10, FIRST, 0}}},
    {"the other one is not set aside too", 2,
     {EJECT_1(0), FAIL_5(10, 0), {20, FIRST, 0}, {20, FIRST, 0}}},
    {"what was under way before changes nothing: a failure", 2,
     {{0, UP, 1}, {0, FIRST, 1}, EJECT_1(0), {29000, FAIL, 1}, {30004, FIRST, 0}, {30005, FIRST, 1}}},
    {"what was under way before changes nothing: a success", 2,
     {{0, UP, 1}, {0, FIRST, 1}, EJECT_1(0), {29000, OK, 1}, {30004, FIRST, 0}, {30004, FIRST, 0}}},
    {"again: twice as long", 2,
     {EJECT_1(0), EJECT_1(30005), {90005, FIRST, 0}, {90005, FIRST, 0}, {90006, FIRST, 1}}},
    {"half open: one failure, and it is aside again", 2,
     {EJECT_1(0), {30005, DOWN, 0}, {30005, FIRST, 1}, {30005, UP, 0}, {30006, FAIL, 1},
      {30007, FIRST, 0}, {90005, FIRST, 0}, {90006, FIRST, 1}}},
    {"half open: two that serve aren't enough", 2,
     {EJECT_1(0), {30005, DOWN, 0}, {30005, FIRST, 1}, {30005, OK, 1}, {30005, FIRST, 1}, {30005, OK, 1},
      {30005, FIRST, 1}, {30005, UP, 0}, {30006, FAIL, 1}, {30007, FIRST, 0}, {30007, FIRST, 0}}},
    {"half open: never aside when it is the last", 2,
     {EJECT_1(0), {30005, DOWN, 0}, {30005, FIRST, 1}, {30006, FAIL, 1}, {30007, UP, 0}, {30007, FIRST, 1},
      {30007, FIRST, 0}}},
    {"again after it had served: 30 s", 2,
     {EJECT_1(0), {30005, DOWN, 0}, {30005, FIRST, 1}, {30005, OK, 1},
      {30005, FIRST, 1}, {30005, OK, 1}, {30005, FIRST, 1}, {30005, OK, 1}, EJECT_1(30005), {60009, FIRST, 0}, {60009, FIRST, 0},
      {60010, FIRST, 1}}},
};
/* clang-format on */

static void pick(struct peers *peers, const char *name, const struct step *step) {
    bool budget = false;
    size_t got = peers_pick(peers, step->verb == RETRY, step->at_ms, &budget);

    if (got != step->peer || !budget)
        fail_msg("%s: at %" PRId64 " ms peer %zu instead of %zu", name, step->at_ms, got,
                 step->peer);
}

static void run_step(struct peers *peers, const char *name, const struct step *step) {
    switch (step->verb) {
    case UP:
    case DOWN:
        peers_set_usable(peers, step->peer, step->verb == UP, step->at_ms);
        break;
    case FIRST:
    case RETRY:
        pick(peers, name, step);
        break;
    default:
        peers_returned(peers, step->peer, step->verb == FAIL, PEERS_UNTIMED, step->at_ms);
        break;
    }
}

static void test_scripts(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct peers peers;

        peers_init(&peers, rows[i].count, 0);
        for (const struct step *step = rows[i].steps; step->verb != END; step++)
            run_step(&peers, rows[i].name, step);
    }
}

/* 30, 60, 120, 240, then 300 s however often. */
static void test_ejections_double(void **state) {
    (void)state;
    static const int64_t want_ms[] = {30000, 60000, 120000, 240000, 300000, 300000, 300000};
    struct peers peers;
    int64_t now_ms = 0;
    bool budget;

    peers_init(&peers, 2, 0);
    peers_set_usable(&peers, 0, true, 0);
    for (size_t i = 0; i < ARRAY_LEN(want_ms); i++) {
        for (int k = 0; k < (i == 0 ? 5 : 1); k++) {
            peers_set_usable(&peers, 1, false, now_ms);
            assert_int_equal(peers_pick(&peers, false, now_ms, &budget), 0);
            peers_set_usable(&peers, 1, true, now_ms);
            assert_false(peers_ejected(&peers, 0, now_ms));
            peers_returned(&peers, 0, true, PEERS_UNTIMED, ++now_ms);
        }
        assert_true(peers_ejected(&peers, 0, now_ms + want_ms[i] - 1));
        assert_false(peers_ejected(&peers, 0, now_ms + want_ms[i]));
        now_ms += want_ms[i];
    }
}

/* ---- the breaker ---- */

static void eject_1(struct peers *peers) {
    bool budget;

    peers_set_usable(peers, 1, true, 0);
    for (int k = 0; k < 5; k++)
        assert_int_equal(peers_pick(peers, false, 0, &budget), 1);
    peers_set_usable(peers, 0, true, 0);
    for (int k = 0; k < 5; k++)
        peers_returned(peers, 1, true, PEERS_UNTIMED, k);
    assert_int_equal(peers_state(peers, 1, 30003), PEER_OPEN);
    assert_int_equal(peers_state(peers, 1, 30004), PEER_HALF_OPEN);
}

static void test_half_open_has_ten_at_most(void **state) {
    (void)state;
    struct peers peers;
    bool budget;
    int to_1 = 0;

    peers_init(&peers, 2, 0);
    eject_1(&peers);
    for (int k = 0; k < 100; k++)
        to_1 += peers_pick(&peers, false, 30004, &budget) == 1;
    assert_int_equal(to_1, 10);
    for (int k = 0; k < 3; k++)
        peers_returned(&peers, 1, false, PEERS_UNTIMED, 30005);
    assert_int_equal(peers_state(&peers, 1, 30005), PEER_CLOSED);
    for (int k = 0; k < 20; k++) /* the fewest under way, but it begins slowly */
        to_1 += peers_pick(&peers, false, 30005, &budget) == 1;
    assert_in_range(to_1, 11, 13);
    for (int k = 0; k < 20; k++)
        assert_int_equal(peers_pick(&peers, false, 36000, &budget), 1);
}

/* ---- shares ---- */

/* Of 'picks', each back before the next, how many went to each. */
static void share_out(struct peers *peers, int picks, int64_t now_ms, int *out) {
    bool budget;

    memset(out, 0, PEERS_MAX * sizeof(*out));
    for (int k = 0; k < picks; k++) {
        size_t i = peers_pick(peers, false, now_ms, &budget);

        out[i]++;
        peers_returned(peers, i, false, PEERS_UNTIMED, now_ms);
    }
}

static void test_turns_by_weight(void **state) {
    (void)state;
    struct peers peers;
    int got[PEERS_MAX];

    peers_init(&peers, 0, 0);
    peers_add(&peers, 0, 5);
    peers_add(&peers, 1, 1);
    peers_add(&peers, 7, 2);
    for (size_t i = 0; i < 8; i += i == 1 ? 6 : 1)
        peers_set_usable(&peers, i, true, 0);
    share_out(&peers, 80, 10000, got);
    assert_int_equal(got[0], 50);
    assert_int_equal(got[1], 10);
    assert_int_equal(got[7], 20);
    peers_set_weight(&peers, 0, 1);
    share_out(&peers, 80, 10000, got);
    assert_in_range(got[0], 18, 25);
    assert_in_range(got[7], 36, 42);
}

/* Two that hold what they get: one has three times the other's, whoever is asked first. */
static void test_load_by_weight(void **state) {
    (void)state;
    struct peers peers;
    bool budget;

    peers_init(&peers, 2, 0);
    peers_set_weight(&peers, 1, 3);
    peers_set_usable(&peers, 0, true, 0);
    peers_set_usable(&peers, 1, true, 0);
    for (int k = 0; k < 400; k++)
        (void)peers_pick(&peers, false, 10000, &budget);
    assert_int_equal(peers.peer[0].out, 100);
    assert_int_equal(peers.peer[1].out, 300);
}

static const struct {
    int64_t age_ms;
    int least; /* of 1000 messages that two share */
    int most;
} ages[] = {
    {0, 85, 100}, {1000, 210, 225}, {2500, 350, 360}, {4999, 495, 505}, {5000, 495, 505},
};

static void test_slow_start(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ages); i++) {
        struct peers peers;
        int got[PEERS_MAX];

        peers_init(&peers, 1, 0);
        peers_set_usable(&peers, 0, true, 0);
        peers_add(&peers, 1, 1);
        peers_set_usable(&peers, 1, true, 20000);
        share_out(&peers, 1000, 20000 + ages[i].age_ms, got);
        if (got[1] < ages[i].least || got[1] > ages[i].most)
            fail_msg("%" PRId64 " ms after it came: %d of 1000", ages[i].age_ms, got[1]);
    }
}

/* However much the others have under way: its share is its share. */
static void test_slow_start_under_load(void **state) {
    (void)state;
    struct peers peers;
    bool budget;
    int to_1 = 0;

    peers_init(&peers, 2, 0);
    peers_set_usable(&peers, 0, true, 0);
    peers_set_usable(&peers, 1, true, 20000);
    for (int k = 0; k < 1000; k++)
        to_1 += peers_pick(&peers, false, 20000, &budget) == 1;
    assert_in_range(to_1, 85, 100);
}

/* Who leaves is not chosen, who comes to the same place begins anew. */
static void test_who_comes_and_goes(void **state) {
    (void)state;
    struct peers peers;
    int got[PEERS_MAX];

    peers_init(&peers, 3, 0);
    for (size_t i = 0; i < 3; i++)
        peers_set_usable(&peers, i, true, 0);
    peers_remove(&peers, 1);
    share_out(&peers, 10, 10000, got);
    assert_int_equal(got[0] + got[2], 10);
    peers_remove(&peers, 2);
    assert_int_equal(peers.count, 1);
    peers_add(&peers, 1, 1);
    share_out(&peers, 10, 10000, got);
    assert_int_equal(got[0], 10); /* it isn't usable yet */
    peers_set_usable(&peers, 1, true, 10000);
    share_out(&peers, 100, 20000, got);
    assert_int_equal(got[1], 50);
}

/* Whatever happens: only the moves of the picture, somebody is found while somebody is usable, and
 * one that is half open has ten at most unless there is nobody else. */
static void test_breaker_property(void **state) {
    (void)state;
    uint64_t seed = 5;

    for (unsigned round = 0; round < 300; round++) {
        struct peers peers;
        size_t count = 1 + (size_t)(random_next(&seed) % 5);
        enum peer_state was[PEERS_MAX] = {PEER_CLOSED};
        int64_t now_ms = 0;

        peers_init(&peers, count, 0);
        for (unsigned step = 0; step < 2000; step++) {
            size_t i = (size_t)(random_next(&seed) % count);
            bool budget;

            now_ms += (int64_t)(random_next(&seed) % (step % 100 ? 3 : 40000));
            if (random_next(&seed) % 20 == 0)
                peers_set_usable(&peers, i, random_next(&seed) % 3 != 0, now_ms);
            if (random_next(&seed) % 2 == 0) {
                size_t got = peers_pick(&peers, false, now_ms, &budget);
                bool others = false;

                for (size_t k = 0; k < count; k++) {
                    assert_true(got != PEERS_NONE || !peers.peer[k].usable);
                    others |= k != got && peers.peer[k].usable &&
                              peers_state(&peers, k, now_ms) == PEER_CLOSED;
                }
                if (got != PEERS_NONE && others) {
                    assert_int_not_equal(peers_state(&peers, got, now_ms), PEER_OPEN);
                    if (peers_state(&peers, got, now_ms) == PEER_HALF_OPEN)
                        assert_in_range(peers.peer[got].out, 1, 10);
                }
            } else if (peers.peer[i].out > 0) {
                /* Some fail mostly, some hardly ever. */
                peers_returned(&peers, i, random_next(&seed) % (2 + i * 3) == 0, PEERS_UNTIMED,
                               now_ms);
            }
            for (size_t k = 0; k < count; k++) {
                enum peer_state is = peers_state(&peers, k, now_ms);

                assert_false(was[k] == PEER_OPEN && is == PEER_CLOSED);
                assert_false(was[k] == PEER_CLOSED && is == PEER_HALF_OPEN && now_ms < 30000);
                was[k] = is;
            }
        }
    }
}

/* ---- the budget ---- */

static bool allowed(struct peers *peers, bool retry, int64_t now_ms) {
    bool budget;
    size_t i = peers_pick(peers, retry, now_ms, &budget);

    assert_int_equal(i != PEERS_NONE, budget);
    if (i != PEERS_NONE)
        peers_returned(peers, i, false, PEERS_UNTIMED, now_ms);
    return budget;
}

static void begin(struct peers *peers, int64_t now_ms) {
    peers_init(peers, 1, now_ms);
    peers_set_usable(peers, 0, true, 0);
}

/* As many retries as the budget gives right now. */
static int spend(struct peers *peers, int64_t now_ms) {
    int retries = 0;

    while (allowed(peers, true, now_ms))
        retries++;
    return retries;
}

static const struct {
    const char *name;
    int firsts; /* after the budget was spent */
    int64_t wait_ms;
    int want; /* retries */
} budgets[] = {
    {"nothing", 0, 0, 0},
    {"a tenth of a second is one retry", 0, 100, 1},
    {"not quite", 0, 99, 0},
    {"10 a second", 0, 1000, 10},
    {"no more than 100 are saved up", 0, 3600000, 100},
    {"however long the pause", 0, INT64_MAX / 2, 100},
    {"one in five", 5, 0, 1},
    {"not quite one in five", 4, 0, 0},
    {"20 %", 100, 0, 20},
    {"both", 50, 1000, 20},
    {"no more than 100 of both", 2000, 20000, 100},
};

static void test_budget(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(budgets); i++) {
        const int64_t begin_ms = 5000;
        struct peers peers;

        begin(&peers, begin_ms);
        assert_int_equal(spend(&peers, begin_ms), 100);
        for (int k = 0; k < budgets[i].firsts; k++)
            assert_true(allowed(&peers, false, begin_ms));
        int got = spend(&peers, begin_ms + budgets[i].wait_ms);

        if (got != budgets[i].want)
            fail_msg("%s: %d retries instead of %d", budgets[i].name, got, budgets[i].want);
    }
}

/* Without anybody to send to nothing is spent. */
static void test_budget_is_kept_when_nobody_is_there(void **state) {
    (void)state;
    struct peers peers;
    bool budget;

    begin(&peers, 0);
    peers_set_usable(&peers, 0, false, 0);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(peers_pick(&peers, true, 0, &budget), PEERS_NONE);
        assert_true(budget);
    }
    peers_set_usable(&peers, 0, true, 0);
    assert_int_equal(spend(&peers, 0), 100);
}

/* A minute in which every message fails at 1,000 a second: 20 % and 10 a second, and 100. */
static void test_amplification(void **state) {
    (void)state;
    struct peers peers;
    int retries = 0;

    begin(&peers, 0);
    for (int64_t now_ms = 0; now_ms < 60000; now_ms++) {
        assert_true(allowed(&peers, false, now_ms));
        retries += allowed(&peers, true, now_ms);
        retries += allowed(&peers, true, now_ms);
    }
    assert_in_range(retries, 12000 + 600, 12000 + 600 + 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scripts),
        cmocka_unit_test(test_ejections_double),
        cmocka_unit_test(test_half_open_has_ten_at_most),
        cmocka_unit_test(test_turns_by_weight),
        cmocka_unit_test(test_load_by_weight),
        cmocka_unit_test(test_slow_start),
        cmocka_unit_test(test_slow_start_under_load),
        cmocka_unit_test(test_who_comes_and_goes),
        cmocka_unit_test(test_breaker_property),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_budget_is_kept_when_nobody_is_there),
        cmocka_unit_test(test_amplification),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
