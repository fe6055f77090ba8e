/* test_place_set.c - who has a place, who follows, and who lets go when. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "gateway/place_set.h"
#include "loop/timer.h"
#include "test.h"

/* What a loop was told, as "+0a" (who came), "=0" (a weight), "-0" (who is to go), "!" (mail). */
struct follower {
    struct place_follower follower;
    char said[4096];
    bool releases; /* lets go at once */
    unsigned changes;
};

static struct {
    struct loop *loop;
    struct place_set set;
    struct follower one;
    unsigned freed;
    atomic_bool over; /* nobody changes the set any more */
} t;

static void say(struct follower *follower, const char *what) {
    size_t len = strlen(follower->said);

    (void)snprintf(follower->said + len, sizeof(follower->said) - len, "%s", what);
}

static void on_come(struct place_follower *place, size_t index, uint32_t weight) {
    struct follower *follower = CONTAINER_OF(place, struct follower, follower);
    char text[INSTANCE_ADDRESS_BYTES + 32];

    (void)snprintf(text, sizeof(text), "+%zu%s*%u ", index,
                   place->set->place[index].instance.address, weight);
    say(follower, text);
}

static void on_weigh(struct place_follower *place, size_t index, uint32_t weight) {
    char text[64];

    (void)snprintf(text, sizeof(text), "=%zu*%u ", index, weight);
    say(CONTAINER_OF(place, struct follower, follower), text);
}

static void on_leave(struct place_follower *place, size_t index) {
    struct follower *follower = CONTAINER_OF(place, struct follower, follower);
    char text[64];

    (void)snprintf(text, sizeof(text), "-%zu ", index);
    say(follower, text);
    if (follower->releases)
        place_release(place, index);
}

static void on_change(struct place_follower *place) {
    CONTAINER_OF(place, struct follower, follower)->changes++;
    place_follow(place);
}

static void on_freed(struct place_set *set, size_t index) {
    assert_ptr_equal(set, &t.set);
    assert_string_equal(set->place[index].instance.address, "");
    t.freed++;
}

static void join(struct follower *follower) {
    memset(follower, 0, sizeof(*follower));
    follower->follower = (struct place_follower){
        .changed = on_change,
        .come = on_come,
        .weigh = on_weigh,
        .leave = on_leave,
        .set = &t.set,
        .loop = t.loop,
    };
    place_join(&follower->follower);
}

static struct instances these(const char *letters) {
    struct instances made = {.count = 0};

    for (; *letters; letters++) {
        struct instance *to = &made.instance[made.count++];

        (void)snprintf(to->address, sizeof(to->address), "%c", *letters);
        to->weight = 1;
    }
    return made;
}

static void stop_loop(struct timer *timer) {
    (void)timer;
    loop_stop(t.loop);
}

static void turn(void) {
    for (int i = 0; i < 2; i++) {
        struct timer timer = {.fire = stop_loop};

        timer_start(t.loop, &timer, 0);
        assert_int_equal(loop_run(t.loop), ERR_OK);
    }
}

static bool change(const char *letters) {
    struct instances set = these(letters);
    bool all = place_set_change(&t.set, &set);

    turn();
    return all;
}

static void expect(struct follower *follower, const char *said) {
    assert_string_equal(follower->said, said);
    follower->said[0] = '\0';
}

static int setup(void **state) {
    (void)state;
    memset(&t, 0, sizeof(t));
    place_set_init(&t.set, on_freed);
    if (loop_new(&(struct loop_conf){.backend = LOOP_EPOLL}, &t.loop) != ERR_OK)
        return -1;
    join(&t.one);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    if (place_leave(&t.one.follower))
        turn();
    place_set_release(&t.set);
    loop_free(t.loop);
    return 0;
}

static void test_who_comes_and_who_goes(void **state) {
    (void)state;
    assert_true(change("ab"));
    expect(&t.one, "+0a*1 +1b*1 ");
    assert_true(change("b"));
    expect(&t.one, "-0 =1*1 ");
    assert_true(change("b")); /* told once */
    expect(&t.one, "=1*1 ");
    place_release(&t.one.follower, 0);
    assert_int_equal(t.freed, 1);
    assert_true(change("bc"));
    expect(&t.one, "+0c*1 =1*1 ");
}

static void test_a_weight(void **state) {
    (void)state;
    struct instances set = these("a");

    assert_true(change("a"));
    expect(&t.one, "+0a*1 ");
    set.instance[0].weight = 7;
    assert_true(place_set_change(&t.set, &set));
    turn();
    expect(&t.one, "=0*7 ");
}

/* Whoever leaves finishes leaving, whatever comes at its address meanwhile. */
static void test_back_while_it_leaves(void **state) {
    (void)state;
    assert_true(change("a"));
    assert_true(change(""));
    assert_true(change("a"));
    expect(&t.one, "+0a*1 -0 +1a*1 ");
    assert_string_equal(t.set.place[0].instance.address, "a");
    place_release(&t.one.follower, 0);
    assert_string_equal(t.set.place[1].instance.address, "a");
    assert_true(t.set.place[1].wanted);
}

/* Gone and come again between two looks: its old place is left all the same. One mail is enough. */
static void test_back_before_anybody_looked(void **state) {
    (void)state;
    struct instances nobody = these("");
    struct instances same = these("a");

    assert_true(change("a"));
    assert_true(place_set_change(&t.set, &nobody));
    assert_true(place_set_change(&t.set, &same));
    turn();
    expect(&t.one, "+0a*1 -0 +1a*1 ");
    assert_int_equal(t.one.changes, 2);
}

/* A place that nobody has looked at is free at once; one of two loops is enough to hold it. */
static void test_the_last_one_frees(void **state) {
    (void)state;
    static struct follower two;
    struct instances set = these("a");

    assert_true(place_set_change(&t.set, &set));
    set.count = 0;
    assert_true(place_set_change(&t.set, &set));
    assert_int_equal(t.freed, 1);
    join(&two);
    assert_true(change("a"));
    assert_true(change(""));
    place_release(&t.one.follower, 0);
    assert_int_equal(t.freed, 1);
    place_release(&two.follower, 0);
    assert_int_equal(t.freed, 2);
    assert_false(place_leave(&two.follower));
}

static void test_no_place(void **state) {
    (void)state;
    struct instances many = {.count = INSTANCES_MAX};

    for (unsigned i = 0; i < many.count; i++)
        (void)snprintf(many.instance[i].address, sizeof(many.instance[i].address), "c:%u", i);
    assert_true(change("a"));
    assert_false(place_set_change(&t.set, &many));
    turn();
    place_release(&t.one.follower, 0);
    assert_true(place_set_change(&t.set, &many));
}

/* The mail that was under way comes after all: only then may the follower go. */
static void test_mail_outlives_the_follower(void **state) {
    (void)state;
    static struct follower two;
    struct instances set = these("a");

    join(&two);
    assert_true(place_set_change(&t.set, &set));
    assert_true(place_leave(&two.follower));
    turn();
    assert_int_equal(two.changes, 1);
    place_release(&two.follower, 0);
    assert_true(change("b"));
    assert_int_equal(two.changes, 1);
}

/* ---- while another thread changes the set ---- */

static void *change_often(void *arg) {
    static const char *const sets[] = {"abc", "b", "", "cbad", "d", "a"};

    (void)arg;
    for (unsigned i = 0; i < 3000; i++) {
        struct instances set = these(sets[i % ARRAY_LEN(sets)]);

        (void)place_set_change(&t.set, &set); /* the next one asks again */
    }
    atomic_store(&t.over, true);
    return NULL;
}

static void test_threads(void **state) {
    (void)state;
    pthread_t thread;
    struct instances last = these("xy");

    t.one.releases = true;
    assert_int_equal(pthread_create(&thread, NULL, change_often, NULL), 0);
    while (!atomic_load(&t.over)) {
        turn();
        t.one.said[0] = '\0';
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(place_set_change(&t.set, &last));
    turn();
    for (size_t i = 0; i < INSTANCES_MAX; i++) {
        const struct place *place = &t.set.place[i];

        assert_int_equal(place->held, place->wanted);
        assert_int_equal(t.one.follower.hold[i], place->wanted ? PLACE_HELD : PLACE_NONE);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_who_comes_and_who_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_weight, setup, teardown),
        cmocka_unit_test_setup_teardown(test_back_while_it_leaves, setup, teardown),
        cmocka_unit_test_setup_teardown(test_back_before_anybody_looked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_last_one_frees, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_place, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mail_outlives_the_follower, setup, teardown),
        cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
