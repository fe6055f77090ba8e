/* listen.c - the sockets of a role. */
#include "cli/listen.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/exit.h"
#include "loop/stream.h"

#define BIND_RETRY_MS 2000

static int listen_on(const char *address, const char *key, int *out_fd, char *out_name) {
    char detail[CONFIG_TEXT_BYTES + 128];
    enum err err = socket_listen(slice_str(address), BIND_RETRY_MS, out_fd);

    if (err == ERR_OK) {
        socket_name(*out_fd, out_name, LISTEN_NAME_BYTES);
        return EX_OK;
    }
    (void)snprintf(detail, sizeof(detail), "%s: %s: %s", key, address,
                   err == ERR_INVALID  ? "this is not an address like 127.0.0.1:8080 or :8080"
                   : err == ERR_LOCKED ? "the address is in use by another process"
                                       : strerror(errno));
    return give_up("can't listen", detail, err == ERR_INVALID ? EX_CONFIG : EX_UNAVAILABLE);
}

static int listen_beside(int first, int *out_fd) {
    if (socket_listen_beside(first, out_fd) == ERR_OK)
        return EX_OK;
    return give_up("can't listen", strerror(errno), EX_UNAVAILABLE);
}

static int open_http(const struct config *config, struct worker *workers, unsigned count,
                     char *out_name) {
    int code = listen_on(config->http, "http", &workers[0].http_fd, out_name);

    for (unsigned i = 1; i < count && code == EX_OK; i++)
        code = listen_beside(workers[0].http_fd, &workers[i].http_fd);
    return code;
}

static int open_grpc(const struct config *config, struct worker *workers, unsigned count,
                     char *out_name) {
    int code = listen_on(config->grpc, "grpc", &workers[0].grpc_fd, out_name);

    for (unsigned i = 1; i < count && code == EX_OK; i++)
        code = listen_beside(workers[0].grpc_fd, &workers[i].grpc_fd);
    return code;
}

int listen_open(const struct config *config, struct role_parts parts, struct worker *workers,
                unsigned count, struct listen_names *out) {
    int code = EX_OK;

    *out = (struct listen_names){.http = ""};
    if (parts.http)
        code = open_http(config, workers, count, out->http);
    if (parts.grpc && code == EX_OK)
        code = open_grpc(config, workers, count, out->grpc);
    if (code == EX_OK)
        code = listen_on(config->admin, "admin", &workers[0].admin_fd, out->admin);
    return code;
}

static void close_fd(int fd) {
    if (fd >= 0)
        close(fd);
}

void listen_close(struct worker *workers, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        close_fd(workers[i].http_fd);
        close_fd(workers[i].grpc_fd);
        close_fd(workers[i].admin_fd);
    }
}
