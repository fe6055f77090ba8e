/* Connecting: how it ends, when that is said, and giving up at every point of it. */
#include "harness.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/attr.h"
#include "loop/endpoint.h" /* to look at the inside */

/* The linker puts these in place of the real ones (meson.build). */
int __real_connect(int fd, const struct sockaddr *sa, socklen_t len);
int __wrap_connect(int fd, const struct sockaddr *sa, socklen_t len);
int __real_epoll_ctl(int epoll, int op, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int op, int fd, struct epoll_event *event);

static bool bind_to_target; /* the socket gets the name it connects to */
static bool watches_full;

int __wrap_connect(int fd, const struct sockaddr *sa, socklen_t len) {
    if (bind_to_target)
        assert_int_equal(bind(fd, sa, len), 0);
    return __real_connect(fd, sa, len);
}

int __wrap_epoll_ctl(int epoll, int op, int fd, struct epoll_event *event) {
    if (watches_full && op == EPOLL_CTL_ADD) {
        errno = ENOSPC;
        return -1;
    }
    return __real_epoll_ctl(epoll, op, fd, event);
}

/* ---- one attempt --------------------------------------------------------- */

struct attempt {
    struct world w;
    struct connector *connector;
    struct stream *stream;
    int error;
    unsigned connected;
    unsigned fins;
    unsigned closed;
    size_t bytes;
    bool talk; /* say hello to the echo, and end with its answer */
};

static void on_read(void *ctx, struct slice bytes) {
    struct attempt *a = ctx;

    a->bytes += bytes.len;
    if (bytes.len > 0 && a->bytes == 5)
        stream_shutdown(a->stream);
    if (bytes.len == 0) {
        a->fins++;
        stream_close(a->stream);
    }
}

static void on_sent(void *ctx, enum err err) {
    (void)ctx;
    assert_int_equal(err, ERR_OK);
}

static void on_broken(void *ctx) {
    (void)ctx;
    fail_msg("a healthy connection broke");
}

static void on_closed(void *ctx) {
    struct attempt *a = ctx;

    a->closed++;
    loop_stop(a->w.loop);
}

static const struct stream_events events = {on_read, on_sent, on_broken, on_closed};

static void on_connected(void *ctx, struct stream *stream, int error) {
    struct attempt *a = ctx;

    a->connected++;
    a->connector = NULL;
    a->stream = stream;
    a->error = error;
    assert_int_equal(stream == NULL, error != 0);
    if (!a->talk) {
        if (stream)
            stream_close(stream);
        loop_stop(a->w.loop);
        return;
    }
    stream_start(stream, &events, a);
    (void)!stream_send(stream, SLICE("hello"));
}

static void begin(struct attempt *a, const void *address, size_t len) {
    a->connector = connector_new(a->w.loop, address, (socklen_t)len, on_connected, a);
    assert_non_null(a->connector);
    assert_int_equal(a->connected, 0);
}

static struct sockaddr_in port_of(int port) {
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {harness_address()}};
}

/* A port that is taken and refuses: bound, not listening. */
static int refusing(struct sockaddr_in *out) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof(*out);

    *out = port_of(0);
    assert_int_equal(bind(fd, (struct sockaddr *)out, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)out, &len), 0);
    return fd;
}

/* A port whose queue is full: who connects hears nothing. */
struct silence {
    int listening;
    int fills[4];
    struct sockaddr_in name;
};

static void silence_open(struct silence *s) {
    socklen_t len = sizeof(s->name);

    s->name = port_of(0);
    s->listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->listening, (struct sockaddr *)&s->name, len), 0);
    assert_int_equal(getsockname(s->listening, (struct sockaddr *)&s->name, &len), 0);
    assert_int_equal(listen(s->listening, 0), 0);
    for (size_t i = 0; i < ARRAY_LEN(s->fills); i++) {
        s->fills[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (i ? SOCK_NONBLOCK : 0), 0);
        (void)__real_connect(s->fills[i], (struct sockaddr *)&s->name, len);
    }
}

static void silence_close(struct silence *s) {
    for (size_t i = 0; i < ARRAY_LEN(s->fills); i++)
        close(s->fills[i]);
    close(s->listening);
}

/* ---- how it ends --------------------------------------------------------- */

static void test_reachable(void **state) {
    struct attempt a = {.talk = true};
    struct sockaddr_in to;

    (void)state;
    world_open(&a.w, &echo_behaviour, 1);
    to = port_of(a.w.port);
    begin(&a, &to, sizeof(to));
    world_run(&a.w); /* until one of both ends is closed */
    if (!a.closed)
        world_run(&a.w);
    assert_int_equal(a.connected, 1);
    assert_int_equal(a.bytes, 5);
    assert_int_equal(a.fins, 1);
    world_close(&a.w);
}

static void test_streams_have_nodelay(void **state) {
    struct attempt a = {0};
    struct sockaddr_in to;
    int nodelay = 0;
    socklen_t len = sizeof(nodelay);

    (void)state;
    world_open(&a.w, &echo_behaviour, 1);
    to = port_of(a.w.port);
    begin(&a, &to, sizeof(to));
    assert_int_equal(getsockopt(((struct stream **)a.connector)[0]->ep.fd, IPPROTO_TCP, TCP_NODELAY,
                                &nodelay, &len),
                     0);
    assert_int_not_equal(nodelay, 0);
    world_run(&a.w);
    assert_int_equal(a.error, 0);
    world_close(&a.w);
}

static void test_refused(void **state) {
    struct attempt a = {0};
    struct sockaddr_in to;
    int fd = refusing(&to);

    (void)state;
    world_open(&a.w, &echo_behaviour, 1);
    begin(&a, &to, sizeof(to));
    world_run(&a.w);
    assert_int_equal(a.connected, 1);
    assert_int_equal(a.error, ECONNREFUSED);
    close(fd);
    world_close(&a.w);
}

/* TCP connects a socket to its own port; nobody there can answer. */
static void test_connected_to_itself(void **state) {
    struct attempt a = {0};
    struct sockaddr_in to;
    int fd = refusing(&to);

    (void)state;
    close(fd); /* free again: the attempt gets the port as its own */
    world_open(&a.w, &echo_behaviour, 1);
    bind_to_target = true;
    begin(&a, &to, sizeof(to));
    bind_to_target = false;
    world_run(&a.w);
    assert_int_equal(a.error, ECONNREFUSED);
    world_close(&a.w);
}

static void test_ipv6(void **state) {
    struct attempt a = {0};
    struct sockaddr_in6 to = {0};
    socklen_t len = sizeof(to);
    int fd;

    (void)state;
    if (socket_listen(SLICE("[::1]:0"), 0, &fd) != ERR_OK)
        skip(); /* a machine without IPv6 */
    assert_int_equal(getsockname(fd, (struct sockaddr *)&to, &len), 0);
    world_open(&a.w, &echo_behaviour, 1);
    begin(&a, &to, len);
    world_run(&a.w);
    assert_int_equal(a.error, 0);
    close(fd);
    world_close(&a.w);
}

/* What connect(2) says at once comes on a later turn all the same. */
static void test_over_at_once(void **state) {
    struct attempt a = {0};
    struct sockaddr_un nobody = {.sun_family = AF_UNIX, .sun_path = "/nonexistent/socket"};
    struct sockaddr_un somebody = {.sun_family = AF_UNIX};
    socklen_t len = sizeof(somebody.sun_family); /* any abstract name */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    world_open(&a.w, &echo_behaviour, 1);
    begin(&a, &nobody, sizeof(nobody));
    world_run(&a.w);
    assert_int_equal(a.error, ENOENT);
    assert_int_equal(bind(fd, (struct sockaddr *)&somebody, len), 0);
    len = sizeof(somebody);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&somebody, &len), 0);
    assert_int_equal(listen(fd, 1), 0);
    a.connected = 0;
    begin(&a, &somebody, len);
    world_run(&a.w);
    assert_int_equal(a.connected, 1);
    assert_int_equal(a.error, 0);
    close(fd);
    world_close(&a.w);
}

static void test_out_of_descriptors(void **state) {
    struct attempt a = {0};
    struct sockaddr_in to = port_of(1);
    struct rlimit before;
    struct rlimit none;
    int next;

    (void)state;
    world_open(&a.w, &echo_behaviour, 1);
    next = dup(0);
    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = (rlim_t)next;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    errno = 0;
    assert_null(connector_new(a.w.loop, (struct sockaddr *)&to, sizeof(to), on_connected, &a));
    assert_int_equal(errno, EMFILE);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    world_close(&a.w);
}

static void test_out_of_watches(void **state) {
    struct attempt a = {0};
    struct sockaddr_in to;

    (void)state;
    if (harness_conf.backend != LOOP_EPOLL)
        skip();
    world_open(&a.w, &echo_behaviour, 1);
    to = port_of(a.w.port);
    watches_full = true;
    begin(&a, &to, sizeof(to));
    world_run(&a.w);
    watches_full = false;
    assert_int_equal(a.error, ENOBUFS);
    world_close(&a.w);
}

/* ---- giving up ----------------------------------------------------------- */

struct countdown {
    struct loop_hook hook;
    struct attempt *attempt;
    int turns; /* left before the attempt is given up */
};

static void count_down(struct loop_hook *hook) {
    struct countdown *c = CONTAINER_OF(hook, struct countdown, hook);
    struct loop *loop = c->attempt->w.loop;

    if (c->turns-- > 0) {
        /* Another turn comes by itself only while something happens. */
        timer_start(loop, &c->attempt->w.watchdog, 0);
        return;
    }
    connector_cancel(c->attempt->connector);
    c->attempt->connector = NULL;
    loop_stop(loop);
}

static void do_nothing(struct timer *timer) {
    (void)timer;
}

/* true: it was given up before it was connected. */
static bool give_up_after(int turns, const struct sockaddr_in *to) {
    struct attempt a = {0};
    struct countdown c = {.hook = {.run = count_down}, .attempt = &a, .turns = turns};
    struct sockaddr_in own;

    world_open(&a.w, &echo_behaviour, 1);
    a.w.watchdog.fire = do_nothing;
    loop_hook_add(a.w.loop, &c.hook);
    own = port_of(a.w.port);
    begin(&a, to ? to : &own, sizeof(own));
    timer_start(a.w.loop, &a.w.watchdog, 0);
    assert_int_equal(loop_run(a.w.loop), ERR_OK);
    loop_hook_remove(&c.hook);
    timer_stop(a.w.loop, &a.w.watchdog);
    world_close(&a.w); /* frees the loop: nothing may be left */
    assert_int_equal(a.error, 0);
    return a.connected == 0;
}

static void test_given_up_at_every_turn(void **state) {
    int turns = 0;

    (void)state;
    while (give_up_after(turns, NULL)) {
        turns++;
        assert_true(turns < 1000);
    }
}

static void test_given_up_in_silence(void **state) {
    struct silence silence;

    (void)state;
    silence_open(&silence);
    for (int turns = 0; turns < 5; turns++)
        assert_true(give_up_after(turns, &silence.name));
    silence_close(&silence);
}

static void give_up(struct timer *timer) {
    struct attempt *a = CONTAINER_OF(timer, struct attempt, w.watchdog);

    connector_cancel(a->connector);
    loop_stop(a->w.loop);
}

static void test_given_up_by_a_timer(void **state) {
    struct attempt a = {0};
    struct silence silence;

    (void)state;
    silence_open(&silence);
    world_open(&a.w, &echo_behaviour, 1);
    begin(&a, &silence.name, sizeof(silence.name));
    a.w.watchdog.fire = give_up;
    timer_start(a.w.loop, &a.w.watchdog, 20);
    assert_int_equal(loop_run(a.w.loop), ERR_OK);
    assert_int_equal(a.connected, 0);
    world_close(&a.w);
    silence_close(&silence);
}

static void test_given_up_before_the_first_turn(void **state) {
    struct attempt a = {0};
    struct sockaddr_in to;

    (void)state;
    world_open(&a.w, &echo_behaviour, 1);
    to = port_of(a.w.port);
    begin(&a, &to, sizeof(to));
    connector_cancel(a.connector);
    connector_cancel(NULL);
    world_close(&a.w);
    assert_int_equal(a.connected, 0);
}

/* A connector is something that a loop must not be freed with. */
static void test_a_loop_with_a_connector_isnt_freed(void **state) {
    struct silence silence;
    pid_t child;
    int status;

    (void)state;
    silence_open(&silence);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct loop *loop = harness_loop();

        signal(SIGABRT, SIG_DFL);
        close(STDERR_FILENO);
        if (connector_new(loop, (struct sockaddr *)&silence.name, sizeof(silence.name),
                          on_connected, NULL))
            loop_free(loop);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    silence_close(&silence);
}

static int group(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reachable),
        cmocka_unit_test(test_streams_have_nodelay),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_connected_to_itself),
        cmocka_unit_test(test_ipv6),
        cmocka_unit_test(test_over_at_once),
        cmocka_unit_test(test_out_of_descriptors),
        cmocka_unit_test(test_out_of_watches),
        cmocka_unit_test(test_given_up_at_every_turn),
        cmocka_unit_test(test_given_up_in_silence),
        cmocka_unit_test(test_given_up_by_a_timer),
        cmocka_unit_test(test_given_up_before_the_first_turn),
        cmocka_unit_test(test_a_loop_with_a_connector_isnt_freed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
    return harness_run("connector", group);
}
