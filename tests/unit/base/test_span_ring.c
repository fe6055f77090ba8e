/* test_span_ring.c - what was pushed comes out once, in each thread's order; full says so. */
#include "base/span_ring.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "test.h"

#define THREADS 4
#define EACH    20000

static struct span numbered(int64_t number) {
    struct span span = {.start_ns = number};

    return span;
}

static void test_full_and_empty(void **state) {
    (void)state;
    struct span_ring *ring = span_ring_new(3); /* four slots */
    struct span out[8];
    size_t pushed = 99;

    assert_int_equal(span_ring_pop(ring, out, 8), 0);
    for (int round = 0; round < 3; round++) {
        for (int64_t n = 0; n < 4; n++) {
            struct span span = numbered(n);

            assert_true(span_ring_push(ring, &span, &pushed));
            assert_int_equal(pushed, round * 4 + n);
        }
        struct span more = numbered(4);
        assert_false(span_ring_push(ring, &more, &pushed));
        assert_int_equal(span_ring_pop(ring, out, 1), 1);
        assert_int_equal(span_ring_pop(ring, out + 1, 7), 3);
        for (int64_t n = 0; n < 4; n++)
            assert_int_equal(out[n].start_ns, n);
    }
    span_ring_free(ring);
    span_ring_free(NULL);
}

struct writer {
    struct span_ring *ring;
    int64_t number;
    int64_t refused;
};

static _Atomic unsigned writing;

static void *push_all(void *arg) {
    struct writer *writer = arg;
    size_t pushed;

    for (int64_t n = 0; n < EACH; n++) {
        struct span span = {.start_ns = writer->number, .end_ns = n};

        if (!span_ring_push(writer->ring, &span, &pushed))
            writer->refused++;
    }
    atomic_fetch_sub(&writing, 1);
    return NULL;
}

static void test_threads(void **state) {
    (void)state;
    struct span_ring *ring = span_ring_new(64);
    struct writer writers[THREADS];
    pthread_t threads[THREADS];
    int64_t last[THREADS] = {-1, -1, -1, -1};
    struct span out[16];
    int64_t got = 0;
    int64_t refused = 0;
    size_t count;

    atomic_store(&writing, THREADS);
    for (int i = 0; i < THREADS; i++) {
        writers[i] = (struct writer){.ring = ring, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, push_all, &writers[i]), 0);
    }
    for (bool going = true; going;) {
        going = atomic_load(&writing) > 0;
        while ((count = span_ring_pop(ring, out, 16)) > 0) {
            for (size_t i = 0; i < count; i++) {
                assert_true(out[i].end_ns > last[out[i].start_ns]);
                last[out[i].start_ns] = out[i].end_ns;
            }
            got += (int64_t)count;
        }
        sched_yield();
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        refused += writers[i].refused;
    }
    assert_int_equal(got + refused, THREADS * EACH);
    assert_true(got >= 64);
    span_ring_free(ring);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_and_empty),
        cmocka_unit_test(test_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
