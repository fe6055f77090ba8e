/* test_batcher_pause.c - the process is stopped (SIGSTOP, a suspended machine) with a message in
 * hand, and goes on when everybody's deadline has passed and the message is older than a lane
 * accepts: whatever the loop sees first, nothing is sent any more. */
#include "batcher_fixture.h"

#define PAUSE_MS    90000
#define DEADLINE_MS 2000

/* Where the message is when the process stops. */
enum where { QUEUED, IN_FLIGHT, BACKING_OFF, LOST, SECOND_TRY, WHERES };

/* What the loop turns to first when it goes on. */
enum first { POLL, FLUSH, ANSWER, FAILURE, NOT_APPLIED, FINAL, NEW_REQUEST, FIRSTS };

static const char *const where_names[] = {"queued", "in flight", "backing off", "lost",
                                          "second try"};
static const char *const first_names[] = {"poll",        "flush", "answer",     "failure",
                                          "not applied", "final", "new request"};

struct scene {
    struct batcher *b;
    struct fake fake;
    struct request request;
    struct request blocker; /* QUEUED: fills the one place in flight */
    int64_t stopped_ms;
};

/* The next wake-up, and past it: an attempt is lost, or a backoff over. */
static int64_t wake_up(struct scene *scene, int64_t now_ms) {
    int64_t next_ms = batcher_poll(scene->b, now_ms);

    if (next_ms > now_ms)
        now_ms = next_ms;
    batcher_poll(scene->b, now_ms);
    return now_ms;
}

static void set(struct scene *scene, enum where where) {
    struct batcher_conf conf = usual;

    conf.in_flight_max = 1;
    *scene = (struct scene){.b = NULL};
    scene->b = start(&scene->fake, &conf);
    scene->request = request_of(5, DEADLINE_MS);
    scene->blocker = request_of(7, DEADLINE_MS);
    if (where == QUEUED) {
        add(scene->b, &scene->blocker);
        batcher_flush(scene->b, 0, 0);
    }
    if (where == BACKING_OFF)
        scene->fake.refuse = ERR_UNAVAILABLE;
    add(scene->b, &scene->request);
    batcher_flush(scene->b, 0, 0);
    scene->fake.refuse = ERR_OK;
    if (where == LOST || where == SECOND_TRY)
        scene->stopped_ms = wake_up(scene, 0);
    while (where == SECOND_TRY && scene->fake.sends == 1)
        scene->stopped_ms = wake_up(scene, scene->stopped_ms);
}

static void go_on(struct scene *scene, enum first first, int64_t now_ms) {
    struct fake *fake = &scene->fake;
    static const enum err errs[FIRSTS] = {
        [FAILURE] = ERR_UNAVAILABLE, [NOT_APPLIED] = ERR_UNAVAILABLE, [FINAL] = ERR_INTERNAL};

    if (first == POLL)
        batcher_poll(scene->b, now_ms);
    else if (first == FLUSH)
        batcher_flush(scene->b, now_ms, now_ms);
    else if (fake->count > 0 && first != NEW_REQUEST) {
        fake->held[fake->count - 1]->not_applied = first == NOT_APPLIED;
        deliver(scene->b, fake, fake->count - 1, errs[first], now_ms);
    }
}

static void check(enum where where, enum first first) {
    struct scene scene;
    struct request late = request_of(9, PAUSE_MS * 2);

    set(&scene, where);
    unsigned sends = scene.fake.sends;
    int64_t now_ms = scene.stopped_ms + PAUSE_MS;

    if (first == NEW_REQUEST)
        add(scene.b, &late);
    go_on(&scene, first, now_ms);
    /* Past every backoff, but not past the new request's attempt. */
    for (int64_t end_ms = now_ms + usual.attempt_ms; now_ms < end_ms; now_ms++) {
        batcher_flush(scene.b, now_ms, now_ms);
        batcher_poll(scene.b, now_ms);
    }
    /* The new request's message, and no other. */
    if (scene.fake.sends != sends + (first == NEW_REQUEST))
        fail_msg("%s, then %s: sent again", where_names[where], first_names[first]);
    if (scene.request.calls != 1)
        fail_msg("%s, then %s: answered %d times", where_names[where], first_names[first],
                 scene.request.calls);
    drain(scene.b, &scene.fake, now_ms);
    assert_int_equal(scene.request.calls, 1);
    if (first == NEW_REQUEST)
        expect(&late, ERR_OK);
    stop(scene.b);
}

static void test_nothing_leaves_after_a_long_pause(void **state) {
    (void)state;
    for (enum where where = 0; where < WHERES; where++)
        for (enum first first = 0; first < FIRSTS; first++)
            check(where, first);
}

/* Somebody still waits: it is tried again as it was, number and time of issue, so that the lane
 * answers from its window or refuses it for its age. */
static void test_an_old_message_stays_itself(void **state) {
    (void)state;
    struct fake fake;
    struct batcher *b = start(&fake, &usual);
    struct request request = request_of(5, NO_DEADLINE);
    int64_t now_ms = PAUSE_MS;

    add(b, &request);
    batcher_flush(b, 0, 1000);
    batcher_flush(b, now_ms, now_ms + 1000); /* the attempt is lost */
    while (fake.sends == 1)
        batcher_poll(b, ++now_ms);
    assert_int_equal(fake.last_number, 1);
    assert_int_equal(fake.last_issued_ms, 1000);
    drain(b, &fake, now_ms);
    expect(&request, ERR_OK);
    stop(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_leaves_after_a_long_pause),
        cmocka_unit_test(test_an_old_message_stays_itself),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
