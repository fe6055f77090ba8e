/* The turn: its order, its hooks, its mail, and that it sleeps when idle. */
#include "harness.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/attr.h"

static void test_names_and_choice(void **state) {
    static const char *const names[] = {[LOOP_IO_URING] = "io_uring", [LOOP_EPOLL] = "epoll"};
    struct loop *loop = harness_loop();

    (void)state;
    assert_string_equal(loop_backend_name(loop), names[harness_conf.backend]);
    loop_free(loop);
    loop_free(NULL);
    assert_int_equal(loop_new(&(struct loop_conf){.backend = LOOP_AUTO}, &loop), ERR_OK);
    if (harness_conf.backend == LOOP_IO_URING)
        assert_string_equal(loop_backend_name(loop), "io_uring");
    loop_free(loop);
}

static void test_clocks(void **state) {
    struct loop *loop = harness_loop();
    struct timespec now; /* time() reads a coarser clock, which may still show the second before */

    (void)state;
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &now), 0);
    assert_true(loop_now_ms(loop) > 0);
    assert_true(loop_wall_ms(loop) / 1000 <= now.tv_sec);
    assert_true(loop_wall_ms(loop) / 1000 >= now.tv_sec - 60);
    loop_free(loop);
}

/* Hooks */

struct named_hook {
    struct loop_hook hook;
    char name;
    struct loop *loop;
    struct named_hook *adds;
    struct named_hook *removes;
    unsigned stops_at_turn;
};

static char story[64];
static size_t story_len;

static void tell(char name) {
    assert_true(story_len < sizeof(story) - 1);
    story[story_len++] = name;
    story[story_len] = '\0';
}

static void on_hook(struct loop_hook *hook) {
    struct named_hook *named = CONTAINER_OF(hook, struct named_hook, hook);

    tell(named->name);
    if (named->adds)
        loop_hook_add(named->loop, &named->adds->hook);
    if (named->removes)
        loop_hook_remove(&named->removes->hook);
    named->adds = named->removes = NULL;
    if (named->stops_at_turn > 0 && --named->stops_at_turn == 0)
        loop_stop(named->loop);
}

/* Keeps the loop turning without sleeping. */
static void on_tick(struct timer *timer) {
    timer_start(*(struct loop **)(timer + 1), timer, 0);
}

struct ticker {
    struct timer timer;
    struct loop *loop;
};

static void run_hooks(struct named_hook *hooks, size_t count, size_t added, unsigned turns) {
    struct loop *loop = harness_loop();
    struct ticker ticker = {{.fire = on_tick}, loop};

    story_len = 0;
    for (size_t i = 0; i < count; i++) {
        hooks[i].loop = loop;
        hooks[i].hook.run = on_hook;
        if (i < added)
            loop_hook_add(loop, &hooks[i].hook);
    }
    hooks[0].stops_at_turn = turns;
    timer_start(loop, &ticker.timer, 0);
    assert_int_equal(loop_run(loop), ERR_OK);
    loop_free(loop);
}

static void test_hooks_run_in_order(void **state) {
    struct named_hook hooks[] = {{.name = 'a'}, {.name = 'b'}, {.name = 'c'}};

    (void)state;
    run_hooks(hooks, 3, 3, 2);
    assert_string_equal(story, "abcabc");
}

static void test_hook_removes_itself_and_others(void **state) {
    struct named_hook hooks[] = {{.name = 'a'}, {.name = 'b'}, {.name = 'c'}, {.name = 'd'}};

    (void)state;
    hooks[1].removes = &hooks[2]; /* before its turn */
    hooks[3].removes = &hooks[3];
    run_hooks(hooks, 4, 4, 2);
    assert_string_equal(story, "abdab");
}

static void test_hook_removes_one_that_ran(void **state) {
    struct named_hook hooks[] = {{.name = 'a'}, {.name = 'b'}, {.name = 'c'}};

    (void)state;
    hooks[2].removes = &hooks[1];
    run_hooks(hooks, 3, 3, 2);
    assert_string_equal(story, "abcac");
}

static void test_hook_adds_one_for_the_next_turn(void **state) {
    struct named_hook hooks[] = {{.name = 'a'}, {.name = 'b'}, {.name = 'c'}};

    (void)state;
    hooks[0].adds = &hooks[2];
    run_hooks(hooks, 3, 2, 2);
    assert_string_equal(story, "ababc");
}

/* The order of one turn: sockets, mail, timers, hooks. */

struct told_mail {
    struct mail mail;
    struct loop *loop;
};

static void on_told_mail(struct mail *mail) {
    (void)mail;
    tell('m');
}

static struct told_mail told;

static void on_read_all_at_once(struct conn *c, struct slice bytes) {
    (void)bytes;
    tell('r');
    told = (struct told_mail){{.run = on_told_mail}, c->world->loop};
    assert_int_equal(mailbox_send(loop_mailbox(c->world->loop), &told.mail), ERR_OK);
    timer_start(c->world->loop, c->world->user, 0);
}

static void on_told_timer(struct timer *timer) {
    (void)timer;
    tell('t');
}

static void on_told_hook(struct loop_hook *hook) {
    if (story_len > 0) {
        tell('h');
        loop_stop(CONTAINER_OF(hook, struct named_hook, hook)->loop);
    }
}

static void test_order_of_a_turn(void **state) {
    static const struct behaviour behaviour = {.read = on_read_all_at_once};
    struct timer timer = {.fire = on_told_timer};
    struct named_hook hook = {.hook = {.run = on_told_hook}};
    struct world w;
    int fd;

    (void)state;
    story_len = 0;
    world_open(&w, &behaviour, 1);
    w.user = &timer;
    hook.loop = w.loop;
    loop_hook_add(w.loop, &hook.hook);
    fd = client_connect(&w);
    client_write(fd, "x", 1);
    world_run(&w);
    assert_string_equal(story, "rmth");
    close(fd);
    world_close(&w);
}

/* Mail */

#define SENDERS 4
#define LETTERS 5000

struct letter {
    struct mail mail;
    struct loop *loop;
    unsigned sender;
    unsigned number;
};

static struct letter letters[SENDERS][LETTERS];
static unsigned next_number[SENDERS];
static size_t letters_ran;

static void on_letter(struct mail *mail) {
    struct letter *letter = CONTAINER_OF(mail, struct letter, mail);

    assert_int_equal(letter->number, next_number[letter->sender]);
    next_number[letter->sender]++;
    if (++letters_ran == (size_t)SENDERS * LETTERS)
        loop_stop(letter->loop);
}

static void *send_letters(void *arg) {
    struct letter *own = arg;

    for (size_t i = 0; i < LETTERS; i++)
        while (mailbox_send(loop_mailbox(own[i].loop), &own[i].mail) != ERR_OK)
            sched_yield();
    return NULL;
}

static void test_mail_from_many_threads(void **state) {
    struct loop *loop = harness_loop();
    pthread_t threads[SENDERS];

    (void)state;
    letters_ran = 0;
    memset(next_number, 0, sizeof(next_number));
    for (unsigned s = 0; s < SENDERS; s++) {
        for (unsigned i = 0; i < LETTERS; i++)
            letters[s][i] = (struct letter){{.run = on_letter}, loop, s, i};
        assert_int_equal(pthread_create(&threads[s], NULL, send_letters, letters[s]), 0);
    }
    assert_int_equal(loop_run(loop), ERR_OK);
    for (size_t s = 0; s < SENDERS; s++) {
        pthread_join(threads[s], NULL);
        assert_int_equal(next_number[s], LETTERS);
    }
    loop_free(loop);
}

/* To and fro between a loop and a thread without one: each sleeps until the other's word. A
 * wake-up that gets lost hangs here. */

#define WORDS 5000

struct ball {
    struct mail mail;
    struct loop *loop;
    struct mailbox *thread;
    unsigned thrown;
};

static void at_loop(struct mail *mail);

static void at_thread(struct mail *mail) {
    struct ball *ball = CONTAINER_OF(mail, struct ball, mail);

    mail->run = at_loop;
    if (mailbox_send(loop_mailbox(ball->loop), mail) != ERR_OK)
        abort();
}

static void at_loop(struct mail *mail) {
    struct ball *ball = CONTAINER_OF(mail, struct ball, mail);

    if (++ball->thrown == WORDS) {
        loop_stop(ball->loop);
        return;
    }
    mail->run = at_thread;
    assert_int_equal(mailbox_send(ball->thread, mail), ERR_OK);
}

static void *throw_back(void *arg) {
    struct mailbox *own = arg;

    for (unsigned i = 0; i < WORDS; i++) {
        mailbox_wait(own, -1);
        mailbox_drain(own);
    }
    return NULL;
}

static void test_mail_to_and_fro(void **state) {
    struct ball ball = {{.run = at_thread}, harness_loop(), mailbox_new(4), 0};
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, throw_back, ball.thread), 0);
    assert_int_equal(mailbox_send(ball.thread, &ball.mail), ERR_OK);
    assert_int_equal(loop_run(ball.loop), ERR_OK);
    pthread_join(thread, NULL);
    mailbox_free(ball.thread);
    loop_free(ball.loop);
}

/* Idle: with a listener and open connections, no turn but the one that mail
 * from another thread causes. */

#define IDLE_MS          200
#define IDLE_CONNECTIONS 20

static unsigned turns;

static void count_turn(struct loop_hook *hook) {
    (void)hook;
    turns++;
}

static void on_stop_mail(struct mail *mail) {
    loop_stop(CONTAINER_OF(mail, struct told_mail, mail)->loop);
}

static void late_mail(struct world *w) {
    static struct told_mail late;

    late = (struct told_mail){{.run = on_stop_mail}, w->loop};
    nanosleep(&(struct timespec){.tv_nsec = IDLE_MS * 1000000L}, NULL);
    if (mailbox_send(loop_mailbox(w->loop), &late.mail) != ERR_OK)
        abort();
}

static void stop_when_all_asked(struct conn *c, struct slice bytes) {
    (void)bytes;
    if (++c->world->closed == c->world->conn_max) {
        c->world->closed = 0;
        loop_stop(c->world->loop);
    }
}

static void test_idle_loop_sleeps(void **state) {
    static const struct behaviour behaviour = {.read = stop_when_all_asked};
    struct loop_hook hook = {.run = count_turn};
    int fds[IDLE_CONNECTIONS];
    struct world w;
    pthread_t thread;

    (void)state;
    world_open(&w, &behaviour, IDLE_CONNECTIONS);
    loop_hook_add(w.loop, &hook);
    for (int i = 0; i < IDLE_CONNECTIONS; i++) {
        fds[i] = client_connect(&w);
        client_write(fds[i], "x", 1);
    }
    world_run(&w); /* until every connection has been heard */
    /* A busy turn may be followed by one that waits for more of it. */
    thread = client_start(late_mail, &w);
    turns = 0;
    assert_int_equal(loop_run(w.loop), ERR_OK);
    client_join(thread);
    assert_in_range(turns, 1, 2);
    /* From here on nothing has happened in the last turn. */
    thread = client_start(late_mail, &w);
    turns = 0;
    assert_int_equal(loop_run(w.loop), ERR_OK);
    client_join(thread);
    assert_int_equal(turns, 1);
    for (int i = 0; i < IDLE_CONNECTIONS; i++)
        close(fds[i]);
    loop_hook_remove(&hook);
    world_close(&w);
}

static int group(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_and_choice),
        cmocka_unit_test(test_clocks),
        cmocka_unit_test(test_hooks_run_in_order),
        cmocka_unit_test(test_hook_removes_itself_and_others),
        cmocka_unit_test(test_hook_removes_one_that_ran),
        cmocka_unit_test(test_hook_adds_one_for_the_next_turn),
        cmocka_unit_test(test_order_of_a_turn),
        cmocka_unit_test(test_mail_from_many_threads),
        cmocka_unit_test(test_mail_to_and_fro),
        cmocka_unit_test(test_idle_loop_sleeps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
    return harness_run("loop", group);
}
