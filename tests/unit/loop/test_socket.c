/* Listening addresses: what parses, what is refused, sharing and waiting for a port. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/stream.h"

/* The linker puts __wrap_bind() in place of bind() (meson.build), so that the
 * tests see each attempt and can free the port between two of them. */
int __real_bind(int fd, const struct sockaddr *sa, socklen_t len);
int __wrap_bind(int fd, const struct sockaddr *sa, socklen_t len);

static unsigned binds;
static int occupant = -1;
static unsigned leaves_before_bind; /* 0: stays */

int __wrap_bind(int fd, const struct sockaddr *sa, socklen_t len) {
    if (++binds == leaves_before_bind)
        close(occupant);
    return __real_bind(fd, sa, len);
}

static bool has_ipv6(void) {
    struct sockaddr_in6 sa = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    bool ok = fd >= 0 && __real_bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0;

    if (fd >= 0)
        close(fd);
    return ok;
}

static void test_addresses(void **state) {
    static const struct {
        const char *address;
        const char *host; /* of the name; NULL: refused as invalid */
        bool v6;
    } rows[] = {
        {"127.0.0.1:0", "127.0.0.1:", false},
        {"localhost:0", "127.0.0.1:", false},
        {"LOCALHOST:0", "127.0.0.1:", false},
        {"0.0.0.0:0", "0.0.0.0:", false},
        {"[::1]:0", "[::1]:", true},
        {":0", "[::]:", true},
        {"", NULL, false},
        {"8080", NULL, false},
        {"127.0.0.1", NULL, false},
        {"127.0.0.1:", NULL, false},
        {"127.0.0.1:65536", NULL, false},
        {"127.0.0.1:100000", NULL, false},
        {"127.0.0.1:-1", NULL, false},
        {"127.0.0.1:+1", NULL, false},
        {"127.0.0.1: 1", NULL, false},
        {"127.0.0.1:1x", NULL, false},
        {"127.0.0:0", NULL, false},
        {"example.org:0", NULL, false},
        {"::1:0", NULL, false},
        {"[::1:0", NULL, false},
        {"[]:0", NULL, false},
        {"[localhost]:0", NULL, false},
        {"[127.0.0.1]:0", NULL, false},
        {"a-host-name-that-is-longer-than-any-address-can-ever-be.example:0", NULL, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slice address = slice_str(rows[i].address);
        char name[64];
        int fd = -1;
        enum err err;

        if (rows[i].v6 && !has_ipv6())
            continue;
        err = socket_listen(address, 0, &fd);
        if (err != (rows[i].host ? ERR_OK : ERR_INVALID))
            fail_msg("\"%s\": %s", rows[i].address, err_name(err));
        if (!rows[i].host)
            continue;
        socket_name(fd, name, sizeof(name));
        if (strncmp(name, rows[i].host, strlen(rows[i].host)) != 0 || strstr(name, "]:0"))
            fail_msg("\"%s\" is bound to \"%s\"", rows[i].address, name);
        close(fd);
    }
}

static void test_nul_in_an_address(void **state) {
    int fd;

    (void)state;
    assert_int_equal(socket_listen(SLICE("127.0.0.1\0:0"), 0, &fd), ERR_INVALID);
}

static void test_flags(void **state) {
    int fd;

    (void)state;
    assert_int_equal(socket_listen(SLICE("127.0.0.1:0"), 0, &fd), ERR_OK);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    close(fd);
}

static void test_two_share_a_port(void **state) {
    char name[64];
    char again[64];
    int first;
    int second;
    int third;

    (void)state;
    assert_int_equal(socket_listen(SLICE("127.0.0.1:0"), 0, &first), ERR_OK);
    socket_name(first, name, sizeof(name));
    assert_int_equal(socket_listen_beside(first, &second), ERR_OK);
    socket_name(second, again, sizeof(again));
    assert_string_equal(name, again);
    /* Another process with the same wish must hear of it, not take half of the clients. */
    assert_int_equal(socket_listen(slice_str(name), 0, &third), ERR_LOCKED);
    close(first);
    close(second);
}

/* A socket that doesn't share, as any other program's. Writes its address. */
static void occupy(char *name, size_t size) {
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};

    occupant = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(occupant >= 0);
    assert_int_equal(__real_bind(occupant, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(listen(occupant, 1), 0);
    socket_name(occupant, name, size);
    binds = 0;
}

static void test_port_in_use(void **state) {
    char name[64];
    int fd;

    (void)state;
    leaves_before_bind = 0;
    occupy(name, sizeof(name));
    assert_int_equal(socket_listen(slice_str(name), 0, &fd), ERR_LOCKED);
    assert_int_equal(binds, 1);
    assert_int_equal(socket_listen(slice_str(name), 25, &fd), ERR_LOCKED);
    assert_true(binds > 2);
    close(occupant);
}

static void test_waits_for_the_port(void **state) {
    char name[64];
    int fd;

    (void)state;
    leaves_before_bind = 3;
    occupy(name, sizeof(name));
    assert_int_equal(socket_listen(slice_str(name), 60000, &fd), ERR_OK);
    assert_int_equal(binds, 3);
    close(fd);
}

static void test_an_address_of_others(void **state) {
    int fd;

    (void)state;
    leaves_before_bind = 0;
    assert_int_equal(socket_listen(SLICE("192.0.2.1:0"), 0, &fd), ERR_IO); /* RFC 5737 */
    assert_int_equal(errno, EADDRNOTAVAIL);
}

/* What a configuration names, and a socket that somebody else has opened. */
static void test_is_at(void **state) {
    char exact[32];
    char name[64];
    int fd;
    int any;

    (void)state;
    assert_int_equal(socket_listen(SLICE("127.0.0.1:0"), 0, &fd), ERR_OK);
    socket_name(fd, name, sizeof(name));
    (void)snprintf(exact, sizeof(exact), "localhost:%s", strchr(name, ':') + 1);
    assert_true(socket_is_at(fd, slice_str(name)));
    assert_true(socket_is_at(fd, slice_str(exact)));
    assert_true(socket_is_at(fd, SLICE("127.0.0.1:0")));
    assert_false(socket_is_at(fd, SLICE("127.0.0.1:1")));
    assert_false(socket_is_at(fd, SLICE("127.0.0.2:0")));
    assert_false(socket_is_at(fd, SLICE("[::1]:0")));
    assert_false(socket_is_at(fd, SLICE(":0")));
    assert_false(socket_is_at(fd, SLICE("nonsense")));
    assert_int_equal(socket_listen(SLICE(":0"), 0, &any), ERR_OK);
    assert_true(socket_is_at(any, SLICE(":0")));
    assert_false(socket_is_at(any, SLICE("127.0.0.1:0")));
    assert_false(socket_is_at(-1, SLICE(":0")));
    close(fd);
    close(any);
}

static void test_name_of_no_socket(void **state) {
    char name[64];

    (void)state;
    socket_name(-1, name, sizeof(name));
    assert_string_equal(name, "?");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_nul_in_an_address),
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_two_share_a_port),
        cmocka_unit_test(test_port_in_use),
        cmocka_unit_test(test_waits_for_the_port),
        cmocka_unit_test(test_an_address_of_others),
        cmocka_unit_test(test_is_at),
        cmocka_unit_test(test_name_of_no_socket),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
