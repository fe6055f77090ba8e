/* listen.c - the sockets of a role. */
#include "cli/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/exit.h"
#include "loop/stream.h"

#define BIND_RETRY_MS 2000

static const char *const names[LISTEN_KINDS] = {
    [LISTEN_HTTP] = "http", [LISTEN_GRPC] = "grpc", [LISTEN_ADMIN] = "admin"};

const char *listen_kind_name(enum listener_kind kind) {
    return names[kind];
}

enum listener_kind listen_kind_find(const char *name) {
    unsigned kind = 0;

    while (kind < LISTEN_KINDS && strcmp(names[kind], name) != 0)
        kind++;
    return (enum listener_kind)kind;
}

bool listen_add(struct listeners *listeners, enum listener_kind kind, int fd) {
    struct listen_sockets *of = &listeners->of[kind];

    if (of->count == LISTEN_SOCKETS_MAX) {
        close(fd);
        return false;
    }
    of->fds[of->count++] = fd;
    return true;
}

bool listen_any(const struct listeners *listeners) {
    unsigned kind = 0;

    while (kind < LISTEN_KINDS && listeners->of[kind].count == 0)
        kind++;
    return kind < LISTEN_KINDS;
}

/* ---- opening ---- */

static int open_first(struct listen_sockets *of, const char *key, const char *address) {
    char detail[CONFIG_TEXT_BYTES + 128];
    enum err err = socket_listen(slice_str(address), BIND_RETRY_MS, &of->fds[0]);

    if (err == ERR_OK) {
        of->count = 1;
        return EX_OK;
    }
    (void)snprintf(detail, sizeof(detail), "%s: %s: %s", key, address,
                   err == ERR_INVALID  ? "this is not an address like 127.0.0.1:8080 or :8080"
                   : err == ERR_LOCKED ? "the address is in use by another process"
                                       : strerror(errno));
    return give_up("can't listen", detail, err == ERR_INVALID ? EX_CONFIG : EX_UNAVAILABLE);
}

static int open_all(struct listen_sockets *of, const char *key, const char *address,
                    unsigned count) {
    int code = open_first(of, key, address);

    while (code == EX_OK && of->count < count) {
        if (socket_listen_beside(of->fds[0], &of->fds[of->count]) == ERR_OK)
            of->count++;
        else
            code = give_up("can't listen", strerror(errno), EX_UNAVAILABLE);
    }
    return code;
}

static void close_all(struct listen_sockets *of) {
    while (of->count > 0)
        close(of->fds[--of->count]);
}

static int open_kind(struct listeners *listeners, enum listener_kind kind, bool wanted,
                     const char *address, char *out_name) {
    struct listen_sockets *of = &listeners->of[kind];
    int code = EX_OK;

    out_name[0] = '\0';
    if (!wanted)
        close_all(of);
    else if (of->count == 0)
        code = open_all(of, names[kind], address, kind == LISTEN_ADMIN ? 1 : listeners->workers);
    if (of->count > 0)
        socket_name(of->fds[0], out_name, LISTEN_NAME_BYTES);
    return code;
}

int listen_open(struct listeners *listeners, const struct config *config, struct role_parts parts,
                unsigned workers) {
    struct listen_names *out = &listeners->names;
    int code;

    listeners->workers = workers;
    code = open_kind(listeners, LISTEN_HTTP, parts.http, config->http, out->http);
    if (code == EX_OK)
        code = open_kind(listeners, LISTEN_GRPC, parts.grpc, config->grpc, out->grpc);
    if (code == EX_OK)
        code = open_kind(listeners, LISTEN_ADMIN, true, config->admin, out->admin);
    return code;
}

int listen_share(const struct listeners *listeners, enum listener_kind kind, unsigned worker,
                 unsigned nth) {
    const struct listen_sockets *of = &listeners->of[kind];
    unsigned step = kind == LISTEN_ADMIN ? 1 : listeners->workers;
    unsigned round = of->count > step ? of->count : step;
    unsigned at = worker + nth * step;

    errno = 0;
    if (of->count == 0 || at >= round)
        return -1;
    return fcntl(of->fds[at % of->count], F_DUPFD_CLOEXEC, 0);
}

void listen_close(struct listeners *listeners) {
    for (unsigned kind = 0; kind < LISTEN_KINDS; kind++)
        close_all(&listeners->of[kind]);
}
