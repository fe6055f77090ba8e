/* inherit.c - sockets that systemd holds, by its protocol (sd_listen_fds(3)).
 *
 * The descriptors begin at 3; LISTEN_FDNAMES says which listener each is for. It holds them while
 * we are away, and what connects meanwhile waits.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/exit.h"
#include "cli/listen.h"

#define FIRST_FD   3
#define NAME_BYTES 64

static long number_of(const char *variable) {
    const char *text = getenv(variable);
    char *end = NULL;
    long value = text ? strtol(text, &end, 10) : 0;

    return text && end != text && *end == '\0' && value > 0 ? value : 0;
}

/* The next of "a:b:c"; "" behind the last. */
static void next_name(const char **at, char out[NAME_BYTES]) {
    size_t len = strcspn(*at, ":");

    (void)snprintf(out, NAME_BYTES, "%.*s", (int)len, *at);
    *at += len + ((*at)[len] == ':');
}

static bool is_listening_tcp(int fd) {
    int accepts = 0;
    int type = 0;
    socklen_t size = sizeof(int);
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof(sa);

    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &size) == 0 && accepts &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM &&
           getsockname(fd, (struct sockaddr *)&sa, &len) == 0 &&
           (sa.ss_family == AF_INET || sa.ss_family == AF_INET6);
}

/* A lone socket without a name of ours is the clients'. */
static enum listener_kind kind_of(const char *name, long count, struct role_parts parts) {
    enum listener_kind kind = listen_kind_find(name);

    if (kind == LISTEN_KINDS && count == 1)
        kind = parts.http ? LISTEN_HTTP : LISTEN_GRPC;
    return kind;
}

static int take(struct listeners *listeners, int fd, const char *name, enum listener_kind kind) {
    char detail[NAME_BYTES + 96];

    if (kind == LISTEN_KINDS)
        (void)snprintf(detail, sizeof(detail),
                       "LISTEN_FDNAMES: \"%s\" is none of http, grpc and admin", name);
    else if (!is_listening_tcp(fd))
        (void)snprintf(detail, sizeof(detail), "descriptor %d (%s) is no listening TCP socket", fd,
                       name);
    else if (fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && listen_add(listeners, kind, fd))
        return EX_OK;
    else
        (void)snprintf(detail, sizeof(detail), "descriptor %d (%s) can't be used", fd, name);
    return give_up("the sockets handed to this process can't be served", detail, EX_CONFIG);
}

int listen_inherit(struct listeners *listeners, struct role_parts parts) {
    long count = number_of("LISTEN_PID") == getpid() ? number_of("LISTEN_FDS") : 0;
    const char *names = getenv("LISTEN_FDNAMES");
    int code = EX_OK;

    if (!names)
        names = "";
    for (int i = 0; i < count && code == EX_OK; i++) {
        char name[NAME_BYTES];

        next_name(&names, name);
        code = take(listeners, FIRST_FD + i, name, kind_of(name, count, parts));
    }
    return code;
}
