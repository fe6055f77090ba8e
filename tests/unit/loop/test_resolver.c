/* Names to addresses: who answers, when, and what a cancellation leaves. */
#include "harness.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "loop/resolver.h"

/* The linker puts this in place of getaddrinfo() (meson.build): a name service of our own. */
int __real_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **out);
int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **out);

static sem_t asked;  /* posted when the thread asks, */
static sem_t answer; /* waited for before it gets its answer */
static sem_t left;   /* posted when it goes on */
static bool slow;
static unsigned lookups;

int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **out) {
    struct addrinfo numeric = *hints;

    lookups++;
    if (slow) {
        sem_post(&asked);
        sem_wait(&answer);
        sem_post(&left);
    }
    if (strcmp(node, "counter.test") != 0)
        return EAI_NONAME;
    numeric.ai_flags |= AI_NUMERICHOST;
    return __real_getaddrinfo("192.0.2.7", service, &numeric, out);
}

struct question {
    struct loop *loop;
    struct resolver *resolver;
    struct resolver_query *query;
    struct timer watchdog;
    unsigned done;
    size_t count;
    char first[64];
    char problem[128];
};

static void name_of(const struct resolved *resolved, size_t i, char *out, size_t size) {
    const struct sockaddr_storage *sa = &resolved->addresses[i];
    char host[INET6_ADDRSTRLEN];
    in_port_t port;

    if (sa->ss_family == AF_INET) {
        inet_ntop(AF_INET, &((const struct sockaddr_in *)sa)->sin_addr, host, sizeof(host));
        port = ((const struct sockaddr_in *)sa)->sin_port;
        assert_int_equal(resolved->lens[i], sizeof(struct sockaddr_in));
    } else {
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)sa)->sin6_addr, host, sizeof(host));
        port = ((const struct sockaddr_in6 *)sa)->sin6_port;
        assert_int_equal(resolved->lens[i], sizeof(struct sockaddr_in6));
    }
    snprintf(out, size, "%s %u", host, ntohs(port));
}

static void on_done(void *ctx, const struct resolved *resolved, const char *problem) {
    struct question *q = ctx;

    q->done++;
    q->query = NULL;
    assert_int_equal(resolved == NULL, problem != NULL);
    if (resolved) {
        q->count = resolved->count;
        name_of(resolved, 0, q->first, sizeof(q->first));
    } else {
        snprintf(q->problem, sizeof(q->problem), "%s", problem);
    }
    loop_stop(q->loop);
}

static void on_watchdog(struct timer *timer) {
    (void)timer;
    fail_msg("no answer came");
}

static void open_question(struct question *q) {
    memset(q, 0, sizeof(*q));
    lookups = 0;
    slow = false;
    sem_init(&asked, 0, 0);
    sem_init(&answer, 0, 0);
    sem_init(&left, 0, 0);
    q->loop = harness_loop();
    q->resolver = resolver_new();
    assert_non_null(q->resolver);
    q->watchdog.fire = on_watchdog;
    timer_start(q->loop, &q->watchdog, 60000);
}

static void close_question(struct question *q) {
    timer_stop(q->loop, &q->watchdog);
    resolver_free(q->resolver);
    loop_free(q->loop);
}

static void ask(struct question *q, const char *address) {
    q->query = resolver_ask(q->resolver, q->loop, slice_str(address), on_done, q);
    assert_non_null(q->query);
    assert_int_equal(q->done, 0);
}

static void test_answers(void **state) {
    static const struct {
        const char *address;
        const char *first; /* NULL: a problem */
        size_t count;
        unsigned lookups;
    } rows[] = {
        {"127.0.0.1:80", "127.0.0.1 80", 1, 0},
        {"[::1]:8080", "::1 8080", 1, 0},
        {"localhost:1", "127.0.0.1 1", 2, 0},
        {"LocalHost:1", "127.0.0.1 1", 2, 0},
        {"counter.test:9000", "192.0.2.7 9000", 1, 1},
        {"nobody.test:9000", NULL, 0, 1},
        {"", NULL, 0, 0},
        {":80", NULL, 0, 0},
        {"host", NULL, 0, 0},
        {"host:", NULL, 0, 0},
        {"host:65536", NULL, 0, 0},
        {"::1:80", NULL, 0, 0},
        {"[counter.test]:80", NULL, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct question q;

        open_question(&q);
        ask(&q, rows[i].address);
        assert_int_equal(loop_run(q.loop), ERR_OK);
        if (strcmp(q.first, rows[i].first ? rows[i].first : "") != 0 || q.count != rows[i].count ||
            lookups != rows[i].lookups || (q.problem[0] == '\0') != (rows[i].first != NULL))
            fail_msg("\"%s\": %s, %zu addresses, %u lookups, problem \"%s\"", rows[i].address,
                     q.first, q.count, lookups, q.problem);
        close_question(&q);
    }
}

static void test_a_name_too_long(void **state) {
    struct question q;
    char name[NI_MAXHOST + 8];

    (void)state;
    open_question(&q);
    memset(name, 'a', sizeof(name));
    memcpy(name + sizeof(name) - 4, ":80", 4);
    ask(&q, name);
    assert_int_equal(loop_run(q.loop), ERR_OK);
    assert_int_equal(lookups, 0);
    assert_string_not_equal(q.problem, "");
    close_question(&q);
}

static void test_cancelled_without_the_thread(void **state) {
    struct question q;

    (void)state;
    open_question(&q);
    ask(&q, "127.0.0.1:80");
    resolver_cancel(q.query);
    resolver_cancel(NULL);
    close_question(&q);
    assert_int_equal(q.done, 0);
}

/* One is asked for, one waits behind it: the loop goes away before any answer. */
static void test_cancelled_under_way(void **state) {
    struct question q;
    struct resolver_query *behind;

    (void)state;
    open_question(&q);
    slow = true;
    ask(&q, "counter.test:80");
    sem_wait(&asked);
    behind = resolver_ask(q.resolver, q.loop, SLICE("counter.test:81"), on_done, &q);
    resolver_cancel(behind);
    resolver_cancel(q.query);
    timer_stop(q.loop, &q.watchdog);
    loop_free(q.loop);
    sem_post(&answer);
    resolver_free(q.resolver);
    assert_int_equal(lookups, 1);
    assert_int_equal(q.done, 0);
}

/* An end doesn't wait for a name server. */
static void test_freed_while_the_thread_asks(void **state) {
    struct question q;

    (void)state;
    open_question(&q);
    slow = true;
    ask(&q, "counter.test:80");
    sem_wait(&asked);
    resolver_cancel(q.query);
    close_question(&q); /* would hang */
    sem_post(&answer);
    sem_wait(&left);
}

/* The mail is in the loop's box already. */
static void test_cancelled_behind_the_answer(void **state) {
    struct question q;
    struct resolver_query *second;

    (void)state;
    open_question(&q);
    slow = true;
    ask(&q, "counter.test:80");
    second = resolver_ask(q.resolver, q.loop, SLICE("counter.test:81"), on_done, &q);
    sem_wait(&asked);
    sem_post(&answer);
    sem_wait(&asked); /* the second is asked for: the first is answered */
    resolver_cancel(q.query);
    sem_post(&answer);
    assert_int_equal(loop_run(q.loop), ERR_OK);
    assert_int_equal(q.done, 1);
    assert_string_equal(q.first, "192.0.2.7 81");
    assert_non_null(second);
    close_question(&q);
}

static int group(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_a_name_too_long),
        cmocka_unit_test(test_cancelled_without_the_thread),
        cmocka_unit_test(test_cancelled_under_way),
        cmocka_unit_test(test_freed_while_the_thread_asks),
        cmocka_unit_test(test_cancelled_behind_the_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
    return harness_run("resolver", group);
}
