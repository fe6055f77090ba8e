/* Mail: order, bound, waking a sleeping receiver, and what is left at the end. */
#include "test.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/attr.h"
#include "base/clock.h"
#include "loop/mailbox.h"

#define SENDERS 4
#define LETTERS 20000

struct letter {
    struct mail mail;
    unsigned sender;
    unsigned number;
};

static unsigned next_number[SENDERS];
static size_t ran;
static size_t dropped;

static void on_run(struct mail *mail) {
    struct letter *letter = CONTAINER_OF(mail, struct letter, mail);

    assert_int_equal(letter->number, next_number[letter->sender]);
    next_number[letter->sender]++;
    ran++;
}

static void on_drop(struct mail *mail) {
    (void)mail;
    dropped++;
}

static int setup(void **state) {
    (void)state;
    ran = dropped = 0;
    for (size_t i = 0; i < SENDERS; i++)
        next_number[i] = 0;
    return 0;
}

static struct letter letters[SENDERS][LETTERS];

static void write_letters(void) {
    for (unsigned s = 0; s < SENDERS; s++)
        for (unsigned i = 0; i < LETTERS; i++)
            letters[s][i] = (struct letter){{.run = on_run, .drop = on_drop}, s, i};
}

static void test_runs_in_order_and_once(void **state) {
    struct mailbox *mb = mailbox_new(10);

    (void)state;
    write_letters();
    assert_int_equal(mailbox_drain(mb), 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(mailbox_send(mb, &letters[0][i].mail), ERR_OK);
    assert_int_equal(ran, 0);
    assert_int_equal(mailbox_drain(mb), 5);
    assert_int_equal(ran, 5);
    assert_int_equal(mailbox_drain(mb), 0);
    mailbox_free(mb);
    assert_int_equal(dropped, 0);
}

static void test_bound(void **state) {
    struct mailbox *mb = mailbox_new(2);

    (void)state;
    write_letters();
    assert_int_equal(mailbox_send(mb, &letters[0][0].mail), ERR_OK);
    assert_int_equal(mailbox_send(mb, &letters[0][1].mail), ERR_OK);
    assert_int_equal(mailbox_send(mb, &letters[0][2].mail), ERR_BUSY);
    assert_int_equal(mailbox_drain(mb), 2);
    assert_int_equal(mailbox_send(mb, &letters[0][2].mail), ERR_OK);
    assert_int_equal(mailbox_drain(mb), 1);
    mailbox_free(mb);
}

static void test_free_drops_the_rest(void **state) {
    struct mailbox *mb = mailbox_new(10);

    (void)state;
    write_letters();
    assert_int_equal(mailbox_send(mb, &letters[0][0].mail), ERR_OK);
    assert_int_equal(mailbox_send(mb, &letters[0][1].mail), ERR_OK);
    mailbox_free(mb);
    assert_int_equal(ran, 0);
    assert_int_equal(dropped, 2);
    mailbox_free(NULL);
}

/* Sent while the mail runs: left for the next drain, so one that answers itself
 * can't hold the receiver. */
static struct mailbox *own;
static struct letter second;

static void on_run_send(struct mail *mail) {
    (void)mail;
    ran++;
    assert_int_equal(mailbox_send(own, &second.mail), ERR_OK);
}

static void test_sent_while_running(void **state) {
    struct letter first = {.mail = {.run = on_run_send}};

    (void)state;
    second = (struct letter){.mail = {.run = on_run_send}};
    own = mailbox_new(10);
    assert_int_equal(mailbox_send(own, &first.mail), ERR_OK);
    assert_int_equal(mailbox_drain(own), 1);
    assert_int_equal(ran, 1);
    assert_int_equal(mailbox_drain(own), 1);
    assert_int_equal(ran, 2);
    second.mail.drop = on_drop;
    mailbox_free(own);
    assert_int_equal(dropped, 1);
}

static bool readable(struct mailbox *mb) {
    struct pollfd p = {.fd = mailbox_fd(mb), .events = POLLIN};

    return poll(&p, 1, 0) == 1;
}

static void test_eventfd_only_for_a_sleeper(void **state) {
    struct mailbox *mb = mailbox_new(10);

    (void)state;
    write_letters();
    assert_int_equal(mailbox_send(mb, &letters[0][0].mail), ERR_OK);
    assert_false(readable(mb)); /* nobody sleeps: no system call was spent */
    mailbox_wait(mb, -1);       /* there is mail: returns at once */
    assert_int_equal(mailbox_drain(mb), 1);
    mailbox_free(mb);
}

static void test_wait_times_out(void **state) {
    struct mailbox *mb = mailbox_new(10);
    int64_t start_ms = clock_mono_ms();

    (void)state;
    mailbox_wait(mb, 0);
    mailbox_wait(mb, 20);
    assert_true(clock_mono_ms() >= start_ms + 19);
    mailbox_free(mb);
}

struct sender {
    struct mailbox *mb;
    unsigned number;
};

static void *send_all(void *arg) {
    struct sender *sender = arg;

    for (size_t i = 0; i < LETTERS; i++)
        while (mailbox_send(sender->mb, &letters[sender->number][i].mail) != ERR_OK)
            sched_yield();
    return NULL;
}

/* Few slots, so that all of it happens: full, empty, asleep, awake. A lost
 * wake-up hangs here (the test runner's time-out is the judge). */
static void test_many_senders(void **state) {
    struct mailbox *mb = mailbox_new(64);
    struct sender senders[SENDERS];
    pthread_t threads[SENDERS];

    (void)state;
    write_letters();
    for (unsigned i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){mb, i};
        assert_int_equal(pthread_create(&threads[i], NULL, send_all, &senders[i]), 0);
    }
    while (ran < (size_t)SENDERS * LETTERS) {
        mailbox_wait(mb, -1);
        assert_true(mailbox_drain(mb) > 0); /* it never returns for nothing */
    }
    for (size_t i = 0; i < SENDERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(next_number[i], LETTERS);
    }
    mailbox_free(mb);
    assert_int_equal(dropped, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_runs_in_order_and_once, setup),
        cmocka_unit_test_setup(test_bound, setup),
        cmocka_unit_test_setup(test_free_drops_the_rest, setup),
        cmocka_unit_test_setup(test_sent_while_running, setup),
        cmocka_unit_test_setup(test_eventfd_only_for_a_sleeper, setup),
        cmocka_unit_test_setup(test_wait_times_out, setup),
        cmocka_unit_test_setup(test_many_senders, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
