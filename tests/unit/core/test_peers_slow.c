/* test_peers_slow.c - instances that answer late or not at all, in virtual time: when they are set
 * aside, when they come back, and what isn't their fault.
 *
 * A gateway's loop sends a message every few milliseconds. Each comes back when its instance's
 * latency is over, or fails at its deadline; while the loop itself stands still nothing does.
 */
#include <inttypes.h>
#include <string.h>

#include "base/attr.h"
#include "base/random.h"
#include "core/peers.h"
#include "test.h"

#define DEADLINE_MS 2000
#define USUAL_MS    4
#define PHASES_MAX  6
#define MOMENTS_MAX 12
#define UNDER_WAY   8192
#define ALL         PEERS_MAX /* instances */
#define LOOP        (PEERS_MAX + 1)
#define FROZEN      (-1)
#define FOREVER     INT64_MAX

struct phase {
    size_t peer; /* or ALL, or LOOP: stands still */
    int64_t from_ms;
    int64_t to_ms;
    int64_t latency_ms; /* FROZEN: whatever it has is answered at the end */
};

struct message {
    size_t peer;
    int64_t sent_ms;
    int64_t latency_ms;
    int64_t look_ms; /* is it lost? */
    bool retry;      /* or lost: it isn't looked at */
    bool used;
};

struct scene {
    struct peers peers;
    const struct phase *phases;
    int64_t every_ms; /* a message is sent */
    uint64_t noise;   /* a seed; 0: everything takes what it usually does */
    uint64_t sent[PEERS_MAX];
    uint64_t lost;
    int64_t waited_ms; /* the longest, until answered or lost */
    struct message under_way[UNDER_WAY];
    size_t end; /* of those that may be used */
};

static const struct phase *phase_of(const struct scene *scene, size_t peer, int64_t now_ms) {
    for (size_t i = 0; i < PHASES_MAX; i++) {
        const struct phase *phase = &scene->phases[i];
        bool is = phase->peer == peer || (phase->peer == ALL && peer < ALL);

        if (is && phase->from_ms <= now_ms && now_ms < phase->to_ms)
            return phase;
    }
    return NULL;
}

/* A machine that is short of processors: mostly a little, now and then far too long. */
static int64_t noise_ms(uint64_t *seed) {
    int64_t ms = (int64_t)(random_next(seed) % 60);

    for (int64_t more = 60; random_next(seed) % 4 == 0 && more < DEADLINE_MS / 4; more *= 2)
        ms += more;
    return ms;
}

static int64_t latency_ms(struct scene *scene, size_t peer, int64_t now_ms) {
    const struct phase *phase = phase_of(scene, peer, now_ms);
    int64_t ms = phase && phase->latency_ms != FROZEN ? phase->latency_ms : USUAL_MS;

    return ms + (scene->noise ? noise_ms(&scene->noise) : 0);
}

static bool is_answered(const struct scene *scene, const struct message *message, int64_t now_ms) {
    const struct phase *phase = phase_of(scene, message->peer, now_ms);

    if (phase && phase->latency_ms == FROZEN)
        return false;
    return now_ms - message->sent_ms >= message->latency_ms;
}

static void send(struct scene *scene, bool retry, int64_t now_ms) {
    bool budget;
    size_t i = 0;
    size_t peer = peers_pick(&scene->peers, retry, now_ms, &budget);

    if (peer == PEERS_NONE)
        return;
    while (i < UNDER_WAY && scene->under_way[i].used)
        i++;
    assert_true(i < UNDER_WAY);
    if (i == scene->end)
        scene->end++;
    scene->under_way[i] = (struct message){
        peer, now_ms, latency_ms(scene, peer, now_ms), 0, retry, true,
    };
    scene->sent[peer]++;
}

static void note_wait(struct scene *scene, int64_t ms) {
    if (ms > scene->waited_ms)
        scene->waited_ms = ms;
}

static void look(struct scene *scene, struct message *message, int64_t now_ms) {
    message->look_ms = peers_lost_ms(&scene->peers, message->peer, now_ms);
    if (message->look_ms > now_ms)
        return;
    message->retry = true;
    scene->lost++;
    note_wait(scene, now_ms - message->sent_ms);
    send(scene, true, now_ms);
}

static void turn(struct scene *scene, int64_t now_ms) {
    for (size_t i = 0; i < scene->end; i++) {
        struct message *message = &scene->under_way[i];
        int64_t took_ms = now_ms - message->sent_ms;

        if (message->used && is_answered(scene, message, now_ms)) {
            message->used = false;
            if (!message->retry)
                note_wait(scene, took_ms);
            peers_returned(&scene->peers, message->peer, false, took_ms, now_ms);
        } else if (message->used && took_ms >= DEADLINE_MS) {
            message->used = false;
            peers_returned(&scene->peers, message->peer, true, PEERS_UNTIMED, now_ms);
        }
    }
    for (size_t i = 0; i < scene->end; i++)
        if (scene->under_way[i].used && !scene->under_way[i].retry &&
            scene->under_way[i].look_ms <= now_ms)
            look(scene, &scene->under_way[i], now_ms);
    if (now_ms % scene->every_ms == 0)
        send(scene, false, now_ms);
}

/* ---- scenes ---- */

enum { CLOSED = PEER_CLOSED, OPEN = PEER_OPEN, HALF = PEER_HALF_OPEN };

/* clang-format off */
static const struct {
    const char *name;
    size_t peers;
    int64_t every_ms;
    struct phase phases[PHASES_MAX];
    struct {
        int64_t at_ms; /* in order; 0: no more */
        size_t peer;
        int state;
    } moments[MOMENTS_MAX];
    uint64_t ejections;
    uint64_t lost;       /* messages */
    int64_t waited_ms;   /* the longest that one was waited for */
} scenes[] = {
    {"nobody is slow", 3, 5, {{0}},
     {{60000, 0, CLOSED}, {60000, 1, CLOSED}, {60000, 2, CLOSED}}, 0, 0, 4},
    {"frozen: after 600 ms, and it comes back when it thaws", 2, 10, {{1, 5000, 11000, FROZEN}},
     {{5500, 1, CLOSED}, {5650, 1, OPEN}, {15590, 1, OPEN}, {15900, 1, CLOSED}, {15900, 0, CLOSED}}, 1, 1, 600},
    {"frozen for good: 10, 20, 40 s, a probe each", 2, 10, {{1, 5000, FOREVER, FROZEN}},
     {{5650, 1, OPEN}, {15590, 1, OPEN}, {15700, 1, HALF}, {16000, 1, OPEN}, {35850, 1, OPEN},
      {36500, 1, OPEN}, {76300, 1, HALF}, {76600, 1, OPEN}, {90000, 0, CLOSED}}, 4, 4, 600},
    {"frozen for less than it takes to be sure", 2, 10, {{1, 5000, 5550, FROZEN}},
     {{60000, 1, CLOSED}}, 0, 0, 540},
    {"200 ms late: after a second", 2, 10, {{1, 5000, FOREVER, 200}},
     {{6000, 1, CLOSED}, {6400, 1, OPEN}, {16100, 1, OPEN}, {16350, 1, HALF}, {17200, 1, OPEN},
      {36000, 1, OPEN}, {60000, 0, CLOSED}}, 3, 0, 200},
    {"200 ms late, and well again", 2, 10, {{1, 5000, 9000, 200}},
     {{6400, 1, OPEN}, {16100, 1, OPEN}, {16500, 1, CLOSED}, {60000, 1, CLOSED}}, 1, 0, 200},
    {"60 ms late is late where the others take 4", 3, 10, {{2, 5000, FOREVER, 60}},
     {{7000, 2, OPEN}, {7000, 0, CLOSED}, {7000, 1, CLOSED}}, 3, 0, 60},
    {"50 ms is never late", 3, 10, {{2, 5000, FOREVER, 50}}, {{60000, 2, CLOSED}}, 0, 0, 50},
    {"twice what the others take isn't late", 2, 20, {{0, 0, FOREVER, 150}, {1, 0, FOREVER, 300}},
     {{60000, 1, CLOSED}}, 0, 0, 300},
    {"three times is", 2, 20, {{0, 0, FOREVER, 150}, {1, 0, FOREVER, 450}}, {{4000, 1, OPEN}}, 3, 2, 450},
    {"less than a second of it is nothing", 2, 10, {{1, 5000, 5900, 200}}, {{60000, 1, CLOSED}}, 0, 0, 200},
    {"with few messages five of them", 2, 1000, {{1, 9000, FOREVER, 300}},
     {{17000, 1, CLOSED}, {19000, 1, OPEN}}, 3, 0, 300},
    {"alone it can only be compared with itself", 1, 10, {{0, 5000, FOREVER, 400}},
     {{60000, 0, CLOSED}}, 0, 0, 400},
    {"the store is slow: nobody", 3, 10, {{ALL, 5000, 20000, 400}},
     {{5900, 0, CLOSED}, {20000, 1, CLOSED}, {60000, 2, CLOSED}}, 0, 0, 400},
    {"the store stands still: nobody", 3, 10, {{ALL, 5000, 6900, FROZEN}},
     {{6000, 0, CLOSED}, {7000, 1, CLOSED}, {60000, 2, CLOSED}}, 0, 0, 1900},
    {"the store is away: what fails is another matter", 3, 100, {{ALL, 5000, 8000, FROZEN}},
     {{6999, 0, CLOSED}, {6999, 1, CLOSED}, {6999, 2, CLOSED}}, 0, 2, 2000},
    {"we ourselves stand still", 3, 1, {{LOOP, 5001, 6500, 0}, {LOOP, 9001, 9700, 0}},
     {{6600, 0, CLOSED}, {9800, 1, CLOSED}, {60000, 2, CLOSED}}, 0, 0, 1503},
    {"two of three are slow: one of them stays", 3, 10, {{1, 5000, 14000, FROZEN}, {2, 5000, 14000, FROZEN}},
     {{5700, 0, CLOSED}, {5700, 1, CLOSED}, {5700, 2, OPEN}, {60000, 1, CLOSED}, {60000, 2, CLOSED}}, 1, 6, 600},
    {"two of four: both", 4, 10, {{1, 5000, 14000, FROZEN}, {2, 5000, 14000, FROZEN}},
     {{5700, 0, CLOSED}, {5700, 1, OPEN}, {5700, 2, OPEN}, {5700, 3, CLOSED}, {60000, 1, CLOSED},
      {60000, 2, CLOSED}}, 2, 2, 600},
};
/* clang-format on */

static void run(struct scene *scene, size_t row) {
    size_t next = 0;

    for (int64_t now_ms = 0; now_ms <= 60000 || scenes[row].moments[next].at_ms; now_ms++) {
        for (; scenes[row].moments[next].at_ms == now_ms && now_ms; next++) {
            size_t peer = scenes[row].moments[next].peer;
            int got = (int)peers_state(&scene->peers, peer, now_ms);

            if (got != scenes[row].moments[next].state)
                fail_msg("%s: at %" PRId64 " ms %zu is in state %d instead of %d", scenes[row].name,
                         now_ms, peer, got, scenes[row].moments[next].state);
        }
        if (!phase_of(scene, LOOP, now_ms))
            turn(scene, now_ms);
    }
}

static void begin(struct scene *scene, size_t peers, int64_t every_ms, const struct phase *phases) {
    memset(scene, 0, sizeof(*scene));
    scene->phases = phases;
    scene->every_ms = every_ms;
    peers_init(&scene->peers, peers, 0);
    for (size_t i = 0; i < peers; i++)
        peers_set_usable(&scene->peers, i, true, 0);
}

static struct scene scene;

static void test_scenes(void **state) {
    (void)state;
    for (size_t row = 0; row < ARRAY_LEN(scenes); row++) {
        begin(&scene, scenes[row].peers, scenes[row].every_ms, scenes[row].phases);
        run(&scene, row);
        uint64_t got = scene.peers.ejections[PEER_SLOW];

        if (got != scenes[row].ejections || scene.lost != scenes[row].lost ||
            scene.waited_ms != scenes[row].waited_ms)
            fail_msg("%s: %" PRIu64 " ejections, %" PRIu64 " lost, waited for %" PRId64 " ms",
                     scenes[row].name, got, scene.lost, scene.waited_ms);
    }
}

/* A connection that was stuck gives all of its answers at once: they are one late answer. */
static void test_at_once_is_once(void **state) {
    (void)state;
    struct peers peers;
    bool budget;

    peers_init(&peers, 2, 0);
    peers_set_usable(&peers, 0, true, 0);
    assert_int_equal(peers_pick(&peers, false, 0, &budget), 0);
    peers_returned(&peers, 0, false, USUAL_MS, USUAL_MS);
    peers_set_usable(&peers, 0, false, 10);
    peers_set_usable(&peers, 1, true, 10);
    for (int i = 0; i < 9; i++)
        assert_int_equal(peers_pick(&peers, false, 700, &budget), 1);
    peers_set_usable(&peers, 0, true, 700);
    for (int i = 0; i < 4; i++)
        peers_returned(&peers, 1, false, 300, 1000);
    for (int i = 0; i < 4; i++)
        peers_returned(&peers, 1, false, 1400, 2100);
    assert_int_equal(peers_state(&peers, 1, 2100), PEER_CLOSED);
}

/* However long it lasts: what is lost on it gets less and less. */
static void test_probes_are_few(void **state) {
    (void)state;
    static const struct phase phases[PHASES_MAX] = {{1, 0, FOREVER, FROZEN}};

    begin(&scene, 2, 10, phases);
    for (int64_t now_ms = 0; now_ms < 600000; now_ms++)
        turn(&scene, now_ms);
    assert_in_range(scene.sent[1], 4, 40); /* in half a second at first, then one each time */
    assert_int_equal(scene.peers.ejections[PEER_SLOW], 6); /* 10, 20, 40, 80, 160, 300 s */
}

/* Latencies as on a machine with far too much to do, the same for all: for ten minutes nobody is an
 * outlier. And one that is 300 ms slower than that is, even so. */
static void test_noise(void **state) {
    (void)state;
    static const struct phase even[PHASES_MAX] = {{0}};
    static const struct phase slow[PHASES_MAX] = {{1, 0, FOREVER, 300}};

    for (uint64_t seed = 1; seed <= 20; seed++) {
        begin(&scene, 2 + seed % 3, 7, even);
        scene.noise = seed;
        for (int64_t now_ms = 0; now_ms < 600000; now_ms++)
            turn(&scene, now_ms);
        assert_int_equal(scene.peers.ejections[PEER_SLOW], 0);
        begin(&scene, 2 + seed % 3, 7, slow);
        scene.noise = seed;
        for (int64_t now_ms = 0; now_ms < 60000; now_ms++)
            turn(&scene, now_ms);
        if (peers_state(&scene.peers, 1, 60000) == PEER_CLOSED)
            fail_msg("it isn't noticed: seed %" PRIu64, seed);
        for (size_t i = 0; i < scene.peers.count; i++)
            if (i != 1)
                assert_int_equal(peers_state(&scene.peers, i, 60000), PEER_CLOSED);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scenes),
        cmocka_unit_test(test_at_once_is_once),
        cmocka_unit_test(test_probes_are_few),
        cmocka_unit_test(test_noise),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
