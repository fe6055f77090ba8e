/* grpc_echo_server.c - the echo methods on a port, for clients that aren't ours and for h2spec.
 *
 *     grpc_echo_server [epoll|io_uring|auto]
 *
 * Prints its address. SIGTERM drains and ends it; it
 * prints the calls' statuses and the connections ended for abuse.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "grpc_echo.h"
#include "loop/stream.h"
#include "loop/timer.h"

#define LOOK_MS 20

static struct {
    struct loop *loop;
    struct grpc_server *server;
    struct timer look; /* for a signal */
    int signals;
} self;

static void stop(void *ctx) {
    (void)ctx;
    loop_stop(self.loop);
}

static void look(struct timer *timer) {
    struct signalfd_siginfo info;

    if (read(self.signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
        grpc_server_drain(self.server, stop, NULL);
    else
        timer_start(self.loop, timer, LOOK_MS);
}

static _Noreturn void die(const char *what) {
    fprintf(stderr, "grpc_echo_server: %s\n", what);
    exit(1);
}

int main(int argc, char **argv) {
    struct loop_conf conf = {.backend = LOOP_AUTO};
    struct grpc_echo echo = {0};
    struct grpc_method methods[GRPC_ECHO_METHODS];
    struct grpc_server_conf server_conf = {
        .methods = methods,
        .method_count = GRPC_ECHO_METHODS,
        .connections_max = 10000,
        .message_bytes_max = 4 << 20,
        .streams_max = 1000,
        .deadline_max_ms = 30000,
        .idle_ms = 30000,
        .write_ms = 30000,
        .keepalive_min_ms = 1000,
        .finished = grpc_echo_finished,
        .finished_ctx = &echo,
    };
    sigset_t set;
    char name[64];
    int fd;

    if (argc > 1 && strcmp(argv[1], "auto") != 0)
        conf.backend = strcmp(argv[1], "epoll") == 0 ? LOOP_EPOLL : LOOP_IO_URING;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    self.signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    grpc_echo_methods(&echo, methods);
    if (loop_new(&conf, &self.loop) != ERR_OK)
        die("no loop");
    self.server = grpc_server_new(self.loop, &server_conf);
    if (!self.server || socket_listen(SLICE("127.0.0.1:0"), 0, &fd) != ERR_OK ||
        grpc_server_listen(self.server, fd) != ERR_OK)
        die("no server");
    socket_name(fd, name, sizeof(name));
    printf("%s\n", name);
    fflush(stdout);
    self.look.fire = look;
    timer_start(self.loop, &self.look, LOOK_MS);
    if (loop_run(self.loop) != ERR_OK)
        die("the loop failed");
    printf("handled=%u gone=%u finished=%u floods=%llu\n", echo.handled, echo.gone, echo.finished,
           (unsigned long long)grpc_server_stats(self.server)->floods_total);
    grpc_server_free(self.server);
    loop_free(self.loop);
    close(self.signals);
    return 0;
}
