/* Every rule of the window, in virtual time: each row is a short story of waits and rests. */
#include "test.h"

#include <inttypes.h>
#include <stddef.h>

#include "base/attr.h"
#include "loop/poll_window.h"

#define US        INT64_C(1000)
#define MS        INT64_C(1000000)
#define MAX_STEPS 10

enum act { END, WAITED, RESTS, LATER };

struct step {
    enum act act;
    int64_t ns;        /* how long; of RESTS, how long it has polled before */
    int64_t window_ns; /* then */
};

/* clang-format off */
static const struct {
    const char *name;
    int64_t max_ns;
    struct step steps[MAX_STEPS];
} stories[] = {
    {"it begins closed", 200 * US, {{LATER, 1, 0}}},
    {"short waits open it, doubling", 200 * US,
     {{WAITED, 150 * US, 10 * US}, {WAITED, 150 * US, 20 * US}, {WAITED, 150 * US, 40 * US},
      {WAITED, 150 * US, 80 * US}, {WAITED, 150 * US, 160 * US}, {WAITED, 150 * US, 160 * US}}},
    {"found by polling, it stays", 200 * US,
     {{WAITED, 15 * US, 10 * US}, {WAITED, 15 * US, 20 * US}, {WAITED, 15 * US, 20 * US},
      {WAITED, 20 * US, 20 * US}, {WAITED, 1, 20 * US}}},
    {"never over the longest", 50 * US,
     {{WAITED, 50 * US, 10 * US}, {WAITED, 50 * US, 20 * US}, {WAITED, 50 * US, 40 * US},
      {WAITED, 50 * US, 50 * US}, {WAITED, 50 * US, 50 * US}}},
    {"nor the first one", 5 * US, {{WAITED, 5 * US, 5 * US}}},
    {"one long wait closes it", 200 * US,
     {{WAITED, 100 * US, 10 * US}, {WAITED, 200 * US + 1, 0}, {WAITED, 100 * US, 10 * US}}},
    {"an idle loop never has one", 200 * US, {{WAITED, 1000 * MS, 0}, {WAITED, MS, 0}}},
    {"a loop that may not", 0, {{WAITED, 1, 0}, {WAITED, 100 * US, 0}}},
    {"who rests doesn't poll, and begins again with the first", 200 * US,
     {{WAITED, 100 * US, 10 * US}, {WAITED, 100 * US, 20 * US}, {RESTS, 0, 0},
      {LATER, 100 * MS - 1, 0}, {LATER, 1, 0}, {WAITED, 100 * US, 10 * US}}},
    {"a short wait of its rest opens it when that is over", 200 * US,
     {{RESTS, 0, 0}, {WAITED, 100 * US, 0}, {LATER, 100 * MS, 10 * US}}},
    {"disturbed again, it rests for twice as long", 200 * US,
     {{RESTS, 0, 0}, {LATER, 100 * MS, 0}, {WAITED, 100 * US, 10 * US}, {RESTS, 50 * MS, 0},
      {WAITED, 100 * US, 0}, {LATER, 200 * MS - 1, 0}, {LATER, 1, 10 * US}}},
    {"left alone for as long, as short as at first", 200 * US,
     {{RESTS, 0, 0}, {LATER, 100 * MS, 0}, {RESTS, 100 * MS, 0}, {WAITED, 100 * US, 0},
      {LATER, 100 * MS - 1, 0}, {LATER, 1, 10 * US}}},
};
/* clang-format on */

static int64_t take(struct poll_window *w, const struct step *step, int64_t now_ns) {
    if (step->act == WAITED) /* time passes by LATER alone, which keeps the rows' sums plain */
        poll_window_waited(w, step->ns);
    else
        now_ns += step->ns;
    if (step->act == RESTS)
        poll_window_rest(w, now_ns);
    return now_ns;
}

static void test_stories(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(stories); i++) {
        struct poll_window w = {.max_ns = stories[i].max_ns};
        int64_t now_ns = 3600 * 1000 * MS;

        for (size_t s = 0; s < MAX_STEPS && stories[i].steps[s].act != END; s++) {
            const struct step *step = &stories[i].steps[s];

            now_ns = take(&w, step, now_ns);
            if (poll_window_ns(&w, now_ns) != step->window_ns)
                fail_msg("%s: step %zu: %" PRId64 " ns", stories[i].name, s,
                         poll_window_ns(&w, now_ns));
        }
    }
}

/* However often it is disturbed, it looks again after a second. */
static void test_longest_rest(void **state) {
    struct poll_window w = {.max_ns = 200 * US};
    int64_t now_ns = 3600 * 1000 * MS;

    (void)state;
    for (int i = 0; i < 10; i++) {
        poll_window_rest(&w, now_ns);
        now_ns = w.rest_until_ns;
    }
    poll_window_waited(&w, 100 * US);
    assert_int_equal(poll_window_ns(&w, now_ns - 1), 0);
    assert_int_equal(poll_window_ns(&w, now_ns), 10 * US);
    poll_window_rest(&w, now_ns);
    assert_int_equal(w.rest_until_ns - now_ns, 1000 * MS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stories),
        cmocka_unit_test(test_longest_rest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
