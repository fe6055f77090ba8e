/* However long one kind of work would go on, the other one has as long, and neither waits for ever.
 */
#include "base/attr.h"
#include "core/time_share.h"
#include "test.h"

#define SLICE_NS 1000
#define AHEAD_NS 1000
#define RUN_NS   10000000

/* Both always have something to do, in pieces that take so long; in each turn the one does so many,
 * and the other one a slice, if it is due. */
static const struct {
    int64_t piece_ns;
    unsigned pieces; /* in a turn */
    int64_t answer_ns;
} rows[] = {
    {100, 10, 10}, {100, 10, 900}, {100, 1, 10},     {100, 1, 2500},
    {5000, 1, 10}, {1, 1, 700},    {100, 80, 50000}, {7, 3, 1000},
};

static void test_half(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct time_share share = {0};
        int64_t now_ns = 1;
        int64_t shared_ns = 0;
        int64_t waited_ns = 0;
        int64_t longest_ns = 0;

        while (now_ns < RUN_NS) {
            int64_t turn_ns = rows[i].piece_ns * rows[i].pieces;
            int64_t began_ns;

            now_ns += turn_ns;
            waited_ns += turn_ns;
            longest_ns = waited_ns > longest_ns ? waited_ns : longest_ns;
            if (!time_share_due(&share, now_ns, AHEAD_NS))
                continue;
            for (began_ns = now_ns; now_ns - began_ns < SLICE_NS;)
                now_ns += rows[i].answer_ns;
            time_share_took(&share, began_ns, now_ns);
            shared_ns += now_ns - began_ns;
            waited_ns = 0;
        }
        int64_t most_ns = SLICE_NS + rows[i].answer_ns + AHEAD_NS;
        assert_true(shared_ns <= now_ns / 2 + most_ns);
        assert_true(longest_ns <= rows[i].piece_ns * rows[i].pieces + most_ns);
    }
}

/* What was owed is forgotten where nobody else wants the thread; never is something gained. */
static void test_waived(void **state) {
    struct time_share share = {0};

    (void)state;
    time_share_took(&share, 100, 200);
    assert_false(time_share_due(&share, 299, 0));
    assert_true(time_share_due(&share, 299, 1));
    assert_true(time_share_due(&share, 300, 0));
    time_share_waive(&share, 250);
    assert_true(time_share_due(&share, 250, 0));
    time_share_waive(&share, 400);
    time_share_took(&share, 400, 500);
    assert_false(time_share_due(&share, 599, 0));
    assert_true(time_share_due(&share, 600, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_half),
        cmocka_unit_test(test_waived),
    };

    return cmocka_run_group_tests_name("core/time_share", tests, NULL, NULL);
}
