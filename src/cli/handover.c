/* handover.c - see handover.h.
 *
 * SOCK_SEQPACKET keeps messages apart: one for each socket, "http", "grpc" or "admin" with a
 * descriptor; then "loop NAME". The only message the other way is "take".
 */
#include "cli/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/exit.h"
#include "loop/stream.h"

#define ANSWER_MS  10000 /* who runs answers at once, unless another process is taking over */
#define WORD_BYTES 32

static const char take_word[] = "take";

static int failed(const struct handover *handover, const char *what, const char *why) {
    char detail[CONFIG_TEXT_BYTES + 192];

    (void)snprintf(detail, sizeof(detail), "%s: %s: %s", handover->path, what, why);
    return give_up("no hand-over", detail, EX_UNAVAILABLE);
}

/* ---- messages ---- */

static bool send_word(int conn, const char *word, int fd) {
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.bytes = {0}};
    struct iovec part = {.iov_base = (void *)(uintptr_t)word, .iov_len = strlen(word)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    if (fd >= 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof(control.bytes);
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(head), &fd, sizeof(fd));
    }
    return sendmsg(conn, &message, MSG_NOSIGNAL) == (ssize_t)part.iov_len;
}

/* False: nothing came. */
static bool receive_word(int conn, char out_word[WORD_BYTES], int *out_fd) {
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {.iov_base = out_word, .iov_len = WORD_BYTES - 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    ssize_t len = recvmsg(conn, &message, MSG_CMSG_CLOEXEC);
    struct cmsghdr *head = len > 0 ? CMSG_FIRSTHDR(&message) : NULL;

    *out_fd = -1;
    if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS)
        memcpy(out_fd, CMSG_DATA(head), sizeof(*out_fd));
    if (len <= 0)
        return false;
    out_word[len] = '\0';
    return true;
}

static bool address_of(const char *path, const char *suffix, struct sockaddr_un *out) {
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    return snprintf(out->sun_path, sizeof(out->sun_path), "%s%s", path, suffix) <
           (int)sizeof(out->sun_path);
}

/* ---- taking over ---- */

static const char *wanted_address(const struct config *config, enum listener_kind kind) {
    return kind == LISTEN_HTTP ? config->http : kind == LISTEN_GRPC ? config->grpc : config->admin;
}

static int take_socket(const struct handover *handover, const struct config *config,
                       struct listeners *listeners, const char *word, int fd) {
    enum listener_kind kind = listen_kind_find(word);

    if (kind == LISTEN_KINDS) {
        close(fd);
        return failed(handover, word, "an unknown listener");
    }
    /* The configuration may want another address now. */
    if (!socket_is_at(fd, slice_str(wanted_address(config, kind)))) {
        close(fd);
        return EX_OK;
    }
    return listen_add(listeners, kind, fd) ? EX_OK : failed(handover, word, "too many sockets");
}

/* Two kinds of loop want different things of one and the same socket. */
static int take_loop(const struct handover *handover, const struct config *config, const char *name,
                     enum config_loop *out_loop) {
    enum config_loop theirs = strcmp(name, "epoll") == 0 ? CONFIG_LOOP_EPOLL : CONFIG_LOOP_IO_URING;

    if (config->loop != CONFIG_LOOP_AUTO && config->loop != theirs)
        return failed(handover, "the process that runs has another --loop",
                      "a hand-over can't change it, a restart can");
    *out_loop = theirs;
    return EX_OK;
}

static int take_all(const struct handover *handover, const struct config *config,
                    struct listeners *listeners, enum config_loop *out_loop) {
    char word[WORD_BYTES];
    int code = EX_OK;
    int fd;

    while (code == EX_OK) {
        if (!receive_word(handover->before, word, &fd))
            return failed(handover, "the process that runs gives no sockets",
                          "it may be handing over already");
        if (fd < 0 && strncmp(word, "loop ", 5) == 0)
            return take_loop(handover, config, word + 5, out_loop);
        code = take_socket(handover, config, listeners, word, fd);
    }
    return code;
}

/* -1: nobody listens there. */
static int connect_to(const char *path) {
    struct timeval patience = {.tv_sec = ANSWER_MS / 1000};
    struct sockaddr_un address;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (fd >= 0 && address_of(path, "", &address) &&
        connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* Beside the path, which is who runs' until we serve. */
static int bind_beside(struct handover *handover) {
    struct sockaddr_un address;
    struct stat seen;

    if (!address_of(handover->path, ".next", &address))
        return give_up("no hand-over", "handover: the path is too long for a Unix socket",
                       EX_CONFIG);
    (void)unlink(address.sun_path);
    handover->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (handover->listener < 0 ||
        bind(handover->listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        chmod(address.sun_path, 0600) != 0 || lstat(address.sun_path, &seen) != 0 ||
        listen(handover->listener, 8) != 0)
        return failed(handover, "can't listen", strerror(errno));
    handover->inode = seen.st_ino;
    return EX_OK;
}

int handover_ask(struct handover *handover, const struct config *config,
                 struct listeners *listeners, enum config_loop *out_loop) {
    *handover = (struct handover)HANDOVER_NONE;
    handover->path = config->handover;
    *out_loop = config->loop;
    if (!handover->path[0])
        return EX_OK;
    handover->before = connect_to(handover->path);
    int code = handover_found(handover) ? take_all(handover, config, listeners, out_loop) : EX_OK;
    return code == EX_OK ? bind_beside(handover) : code;
}

bool handover_found(const struct handover *handover) {
    return handover->before >= 0;
}

static int end_before(struct handover *handover) {
    if (send_word(handover->before, take_word, -1))
        return EX_OK;
    return failed(handover, "the process that ran", strerror(errno));
}

static void forget(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

int handover_wait(struct handover *handover, int64_t patience_ms) {
    int64_t until_ms = clock_mono_ms() + patience_ms;
    struct pollfd end = {.fd = handover->before, .events = POLLIN};
    int code = end_before(handover);
    int ready = 0;

    while (code == EX_OK && ready <= 0) {
        int64_t left_ms = until_ms - clock_mono_ms();

        ready = left_ms > 0 ? poll(&end, 1, (int)left_ms) : 0;
        if (ready == 0 || (ready < 0 && errno != EINTR))
            code = failed(handover, "the process that ran", "it doesn't end");
    }
    forget(&handover->before);
    return code;
}

/* ---- being taken over ---- */

static bool is_ours(int conn) {
    struct ucred peer;
    socklen_t size = sizeof(peer);

    return getsockopt(conn, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
           (peer.uid == geteuid() || peer.uid == 0);
}

static bool give_all(const struct handover *handover, int conn) {
    char word[WORD_BYTES];

    for (unsigned kind = 0; kind < LISTEN_KINDS; kind++) {
        const struct listen_sockets *of = &handover->listeners->of[kind];

        for (unsigned i = 0; i < of->count; i++)
            if (!send_word(conn, listen_kind_name((enum listener_kind)kind), of->fds[i]))
                return false;
    }
    (void)snprintf(word, sizeof(word), "loop %s", handover->loop);
    return send_word(conn, word, -1);
}

/* False: handover_close() was called. */
static bool wait_readable(const struct handover *handover, int fd) {
    struct pollfd both[2] = {{.fd = fd, .events = POLLIN},
                             {.fd = handover->stop, .events = POLLIN}};

    while (poll(both, 2, -1) < 0)
        if (errno != EINTR)
            return false;
    return both[1].revents == 0;
}

/* True: it has taken over, and its connection stays open until this process is gone. */
static bool serve_one(const struct handover *handover, int conn) {
    char word[WORD_BYTES];
    int fd;
    bool taken = is_ours(conn) && give_all(handover, conn) && wait_readable(handover, conn) &&
                 receive_word(conn, word, &fd) && strcmp(word, take_word) == 0;

    if (!taken)
        close(conn);
    return taken;
}

static void *run(void *arg) {
    struct handover *handover = arg;

    while (wait_readable(handover, handover->listener)) {
        int conn = accept4(handover->listener, NULL, NULL, SOCK_CLOEXEC);

        if (conn >= 0 && serve_one(handover, conn)) {
            handover->taken(handover->ctx);
            return NULL;
        }
    }
    return NULL;
}

static int start_thread(struct handover *handover) {
    handover->stop = eventfd(0, EFD_CLOEXEC);
    if (handover->stop < 0 || pthread_create(&handover->thread, NULL, run, handover) != 0)
        return failed(handover, "can't listen", "out of memory or descriptors");
    handover->runs = true;
    (void)pthread_setname_np(handover->thread, "hgp-handover");
    return EX_OK;
}

int handover_offer(struct handover *handover, const struct listeners *listeners, const char *loop,
                   void (*taken)(void *ctx), void *ctx) {
    struct sockaddr_un beside;
    int code;

    if (!handover->path[0])
        return EX_OK;
    handover->listeners = listeners;
    handover->loop = loop;
    handover->taken = taken;
    handover->ctx = ctx;
    if (!address_of(handover->path, ".next", &beside) ||
        rename(beside.sun_path, handover->path) != 0)
        return failed(handover, "can't listen", strerror(errno));
    code = start_thread(handover);
    if (code == EX_OK && handover_found(handover))
        code = end_before(handover);
    forget(&handover->before);
    return code;
}

void handover_close(struct handover *handover) {
    struct stat seen;

    if (handover->runs && eventfd_write(handover->stop, 1) == 0)
        (void)pthread_join(handover->thread, NULL);
    forget(&handover->stop);
    forget(&handover->listener);
    forget(&handover->before);
    /* Unless it is another's by now. */
    if (handover->runs && lstat(handover->path, &seen) == 0 && seen.st_ino == handover->inode)
        (void)unlink(handover->path);
    handover->runs = false;
}
