/* healthcheck.c - one GET over a socket of its own: connect, send, read the status. */
#include "cli/healthcheck.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/build_info.h"

#define ANSWER_BYTES 4096 /* a status line and the reasons behind it are far shorter */

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
static bool ask(int fd, int64_t until_ms, char answer[ANSWER_BYTES]) {
    static const char request[] = "GET /readyz HTTP/1.1\r\nHost: localhost\r\n"
                                  "User-Agent: " BUILD_NAME " healthcheck\r\n"
                                  "Connection: close\r\n\r\n";
    size_t have = 0;
    ssize_t got = send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL);

    if (got != (ssize_t)sizeof(request) - 1) /* into an empty socket it goes as a whole */
        return false;
    do {
        if (!await(fd, POLLIN, until_ms))
            return false;
        got = recv(fd, answer + have, ANSWER_BYTES - 1 - have, 0);
        if (got < 0)
            return false;
        have += (size_t)got;
    } while (got > 0 && have < ANSWER_BYTES - 1);
    answer[have] = '\0';
    return true;
}

static int not_ready(FILE *err, const char *address, const char *why) {
    (void)fprintf(err, BUILD_NAME ": not ready at %s: %s\n", address, why);
    return EXIT_FAILURE;
}

static int judge(const char *address, const char *answer, FILE *err) {
    const char *body = strstr(answer, "\r\n\r\n");

    if (strncmp(answer, "HTTP/1.1 200 ", 13) == 0)
        return EXIT_SUCCESS;
    if (strncmp(answer, "HTTP/1.1 ", 9) != 0 || !body)
        return not_ready(err, address, "the answer is not HTTP");
    return not_ready(err, address, body[4] ? body + 4 : "it says so");
}

int healthcheck(const struct config *config, FILE *err) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    const char *address = config->admin;
    const char *port;
    char host[CONFIG_TEXT_BYTES];
    char answer[ANSWER_BYTES];

    if (!split(address, host, &port))
        return not_ready(err, address, "the admin listener has no fixed port to ask");
    int problem = getaddrinfo(host, port, &hints, &found);
    if (problem)
        return not_ready(err, address, gai_strerror(problem));

    int64_t until_ms = clock_mono_ms() + HEALTHCHECK_MS;
    int fd = connect_to(found, until_ms);
    bool answered = fd >= 0 && ask(fd, until_ms, answer);
    int err_no = errno;

    if (fd >= 0)
        close(fd);
    freeaddrinfo(found);
    return answered ? judge(address, answer, err) : not_ready(err, address, strerror(err_no));
}
