/* socket.c - making a listening socket from an address as people write it. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "loop/address.h"
#include "loop/stream.h"

#define BACKLOG       4096
#define BIND_RETRY_MS 10
#define HOST_BYTES    INET6_ADDRSTRLEN

/* 'out_any': all interfaces, of both families where there are two. */
static bool parse_address(struct slice text, struct address *out, bool *out_any) {
    struct slice host;
    in_port_t port;

    if (!address_split(text, &host, &port))
        return false;
    *out_any = host.len == 0;
    if (*out_any) {
        address_v6(out, in6addr_any, port);
        return true;
    }
    return address_numeric(slice_eq_nocase(host, SLICE("localhost")) ? SLICE("127.0.0.1") : host,
                           port, out);
}

static bool set_option(int fd, int level, int option, int value) {
    return setsockopt(fd, level, option, &value, sizeof(value)) == 0;
}

static bool bind_to(int fd, const struct address *a, bool any, bool beside) {
    return set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) &&
           (!beside || set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1)) &&
           (a->sa.ss_family != AF_INET6 || set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, !any)) &&
           bind(fd, (const struct sockaddr *)&a->sa, a->len) == 0;
}

/* -1 and errno. The first socket binds without SO_REUSEPORT, so that another process's port is
 * refused rather than shared, and only then opens the port for its siblings. */
static int try_listen(const struct address *a, bool any, bool beside) {
    int fd = socket(a->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int err_no;

    if (fd < 0)
        return -1;
    if (bind_to(fd, a, any, beside) && set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1) &&
        listen(fd, BACKLOG) == 0)
        return fd;
    err_no = errno;
    close(fd);
    errno = err_no;
    return -1;
}

/* A machine without IPv6 refuses the socket or the address. */
static int try_listen_any(const struct address *v6) {
    struct address v4;
    int fd = try_listen(v6, true, false);

    if (fd >= 0 || (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL))
        return fd;
    address_v4(&v4, (struct in_addr){htonl(INADDR_ANY)},
               ((const struct sockaddr_in6 *)&v6->sa)->sin6_port);
    return try_listen(&v4, true, false);
}

enum err socket_listen(struct slice text, int retry_ms, int *out_fd) {
    const struct timespec pause = {.tv_nsec = BIND_RETRY_MS * 1000000L};
    int64_t end_ms = clock_mono_ms() + retry_ms;
    struct address address;
    bool any;
    int fd;

    if (!parse_address(text, &address, &any))
        return ERR_INVALID;
    while ((fd = any ? try_listen_any(&address) : try_listen(&address, false, false)) < 0) {
        if (errno != EADDRINUSE)
            return ERR_IO;
        if (clock_mono_ms() >= end_ms)
            return ERR_LOCKED;
        nanosleep(&pause, NULL);
    }
    *out_fd = fd;
    return ERR_OK;
}

enum err socket_listen_beside(int first_fd, int *out_fd) {
    struct address address = {.len = sizeof(address.sa)};
    socklen_t size = sizeof(int);
    int v6_only = 1;
    int fd;

    if (getsockname(first_fd, (struct sockaddr *)&address.sa, &address.len) != 0)
        return ERR_IO;
    if (address.sa.ss_family == AF_INET6)
        (void)getsockopt(first_fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, &size);
    fd = try_listen(&address, !v6_only, true);
    if (fd < 0)
        return ERR_IO;
    *out_fd = fd;
    return ERR_OK;
}

bool socket_is_at(int fd, struct slice text) {
    struct address is = {.len = sizeof(is.sa)};
    struct address wanted = {0};
    struct sockaddr_in *in = (struct sockaddr_in *)&is.sa; /* the port is where IPv6's is */
    bool any;

    if (!parse_address(text, &wanted, &any) ||
        getsockname(fd, (struct sockaddr *)&is.sa, &is.len) != 0)
        return false;
    in_port_t port = ((const struct sockaddr_in *)&wanted.sa)->sin_port;
    if (any && is.sa.ss_family == AF_INET)
        address_v4(&wanted, (struct in_addr){htonl(INADDR_ANY)}, port);
    if (port == 0)
        in->sin_port = 0;
    return is.len == wanted.len && memcmp(&is.sa, &wanted.sa, is.len) == 0;
}

void socket_name(int fd, char *out, size_t size) {
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof(sa);
    char host[HOST_BYTES] = "";

    if (getsockname(fd, (struct sockaddr *)&sa, &len) == 0 && sa.ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)&sa;

        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
        snprintf(out, size, "%s:%u", host, ntohs(v4->sin_port));
    } else if (sa.ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&sa;

        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
        snprintf(out, size, "[%s]:%u", host, ntohs(v6->sin6_port));
    } else {
        snprintf(out, size, "?");
    }
}
