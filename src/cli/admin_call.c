/* admin_call.c - connect, send, read until the listener closes. */
#include "cli/admin_call.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/config.h"
#include "cli/build_info.h"

/* "host:port" of a listener, as somewhere to connect to: no host is this host. */
static bool split(const char *address, char host[CONFIG_TEXT_BYTES], const char **out_port) {
    const char *colon = strrchr(address, ':');
    size_t len = colon ? (size_t)(colon - address) : 0;
    bool bracket = len >= 2 && address[0] == '[' && address[len - 1] == ']';

    if (!colon || strcmp(colon, ":0") == 0)
        return false;
    (void)snprintf(host, CONFIG_TEXT_BYTES, "%.*s", (int)(bracket ? len - 2 : len),
                   address + bracket);
    if (len == 0 || strcmp(host, "0.0.0.0") == 0)
        (void)snprintf(host, CONFIG_TEXT_BYTES, "127.0.0.1");
    if (strcmp(host, "::") == 0)
        (void)snprintf(host, CONFIG_TEXT_BYTES, "::1");
    *out_port = colon + 1;
    return true;
}

/* False and ETIMEDOUT when 'until_ms' comes first. */
static bool await(int fd, short events, int64_t until_ms) {
    struct pollfd poll_fd = {.fd = fd, .events = events};
    int64_t left_ms;
    int got;

    do {
        left_ms = until_ms - clock_mono_ms();
        got = left_ms > 0 ? poll(&poll_fd, 1, (int)left_ms) : 0;
    } while (got < 0 && errno == EINTR);
    if (got == 0)
        errno = ETIMEDOUT;
    return got > 0;
}

/* A connected socket; -1 and errno. */
static int connect_to(const struct addrinfo *found, int64_t until_ms) {
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error = 0;
    socklen_t len = sizeof(error);

    if (fd < 0)
        return -1;
    if (connect(fd, found->ai_addr, found->ai_addrlen) == 0)
        return fd;
    if (errno != EINPROGRESS)
        error = errno;
    else if (!await(fd, POLLOUT, until_ms) || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len))
        error = errno;
    if (error == 0)
        return fd;
    close(fd);
    errno = error;
    return -1;
}

/* All that comes until the peer closes, with a NUL; false and errno. */
static bool ask(int fd, const char *what, int64_t until_ms, char answer[ADMIN_ANSWER_BYTES]) {
    char request[512];
    size_t have = 0;
    int len = snprintf(request, sizeof(request),
                       "%s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: " BUILD_NAME "\r\n"
                       "Content-Length: 0\r\nConnection: close\r\n\r\n",
                       what);
    ssize_t got = send(fd, request, (size_t)len, MSG_NOSIGNAL);

    if (got != (ssize_t)len) /* into an empty socket it goes as a whole */
        return false;
    do {
        if (!await(fd, POLLIN, until_ms))
            return false;
        got = recv(fd, answer + have, ADMIN_ANSWER_BYTES - 1 - have, 0);
        if (got < 0)
            return false;
        have += (size_t)got;
    } while (got > 0 && have < ADMIN_ANSWER_BYTES - 1);
    answer[have] = '\0';
    return true;
}

const char *admin_call(const char *address, const char *what, int64_t wait_ms,
                       char answer[ADMIN_ANSWER_BYTES]) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    const char *port;
    char host[CONFIG_TEXT_BYTES];

    if (!split(address, host, &port))
        return "the admin listener has no fixed port to ask";
    int problem = getaddrinfo(host, port, &hints, &found);
    if (problem)
        return gai_strerror(problem);

    int64_t until_ms = clock_mono_ms() + wait_ms;
    int fd = connect_to(found, until_ms);
    bool answered = fd >= 0 && ask(fd, what, until_ms, answer);
    int err_no = errno;

    if (fd >= 0)
        close(fd);
    freeaddrinfo(found);
    if (!answered)
        return strerror(err_no);
    return strncmp(answer, "HTTP/1.1 ", 9) == 0 ? NULL : "the answer is not HTTP";
}
