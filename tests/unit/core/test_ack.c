/* When an answer of a store with replicas may leave. */
#include "core/ack.h"
#include "test.h"

struct call {
    struct list node;
};

static size_t count_of(struct list *list) {
    size_t count = 0;

    while (list_pop_front(list))
        count++;
    return count;
}

static void test_nothing_is_held_where_no_replica_is_asked_for(void **state) {
    struct ack ack;
    struct call call;

    (void)state;
    list_init(&call.node);
    ack_init(&ack, 0);
    ack_sent(&ack);
    assert_false(ack_due(&ack));
    assert_false(ack_hold(&ack, &call.node));
}

static void test_one_wait_for_the_calls_of_a_tick(void **state) {
    struct ack ack;

    (void)state;
    ack_init(&ack, 2);
    assert_false(ack_due(&ack));
    ack_sent(&ack);
    ack_sent(&ack);
    assert_true(ack_due(&ack));
    assert_false(ack_due(&ack));
}

static void test_fewer_replicas_than_asked_for_are_not_enough(void **state) {
    struct ack ack;
    struct call calls[2];
    struct list out;

    (void)state;
    ack_init(&ack, 2);
    for (size_t i = 0; i < 2; i++) {
        list_init(&calls[i].node);
        assert_true(ack_hold(&ack, &calls[i].node));
    }
    assert_false(ack_enough(&ack, 0));
    assert_false(ack_enough(&ack, 1));
    assert_true(ack_enough(&ack, 2));
    assert_true(ack_enough(&ack, 3));
    ack_take(&ack, &out);
    assert_ptr_equal(out.next, &calls[0].node);
    assert_int_equal(count_of(&out), 2);
    ack_take(&ack, &out);
    assert_int_equal(count_of(&out), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_held_where_no_replica_is_asked_for),
        cmocka_unit_test(test_one_wait_for_the_calls_of_a_tick),
        cmocka_unit_test(test_fewer_replicas_than_asked_for_are_not_enough),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
