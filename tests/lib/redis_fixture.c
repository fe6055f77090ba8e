/* redis_fixture.c - fork, wait for "Ready", kill. */
#include "redis_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <netinet/in.h>

#define ARGS_MAX 48

static void die(const char *what, const char *detail) {
    fprintf(stderr, "redis_fixture: %s: %s\n", what, detail);
    abort();
}

static bool installed(void) {
    const char *path = getenv("PATH");
    char file[512];

    while (path && *path) {
        int len = (int)strcspn(path, ":");

        (void)snprintf(file, sizeof(file), "%.*s/redis-server", len, path);
        if (access(file, X_OK) == 0)
            return true;
        path += len + (path[len] == ':');
    }
    return false;
}

/* redis-server takes no port 0 for "any": a port that was free a moment ago. */
static int free_port(void) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        die("no free port", "bind");
    close(fd);
    return ntohs(address.sin_port);
}

/* As an operator does before a start, where aof-load-truncated is no: what a kill has torn is cut
 * off. */
static void mend(const struct redis_fixture *server) {
    char command[256];

    (void)snprintf(command, sizeof(command),
                   "cd %s && ! test -e appendonlydir || yes | redis-check-aof --fix "
                   "appendonlydir/appendonly.aof.manifest >mended 2>&1",
                   server->folder);
    if (system(command) != 0)
        die("redis-check-aof", server->folder);
}

static void exec_server(const struct redis_fixture *server, int out) {
    const char *args[ARGS_MAX] = {"redis-server", "--save", "", "--loglevel", "notice"};
    size_t count = 5;
    char port[16];

    (void)snprintf(port, sizeof(port), "%d", server->port);
    const char *own[] = {"--port",       port,           "--bind", "127.0.0.1",
                         "--unixsocket", server->socket, "--dir",  server->folder};
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        args[count++] = own[i];
    for (size_t i = 0; server->options && server->options[i] && count < ARGS_MAX - 1; i++)
        args[count++] = server->options[i];
    args[count] = NULL;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)dup2(out, STDOUT_FILENO);
    (void)execvp(args[0], (char *const *)(uintptr_t)args);
    _exit(127);
}

/* The pipe stays open: a server that logs later must not meet a broken one. */
static bool wait_ready(FILE *log) {
    char line[512];

    while (fgets(line, sizeof(line), log)) {
        if (strstr(line, "eady to accept connections"))
            return true;
    }
    return false;
}

static bool start(struct redis_fixture *server) {
    int log[2];

    if (pipe(log) != 0)
        die("pipe", server->folder);
    server->pid = fork();
    if (server->pid == 0)
        exec_server(server, log[1]);
    close(log[1]);
    FILE *file = fdopen(log[0], "r");
    if (server->pid < 0 || !file)
        die("fork", server->folder);
    if (wait_ready(file))
        return true; /* 'file' lives as long as the test */
    (void)fclose(file);
    (void)waitpid(server->pid, NULL, 0);
    return false;
}

bool redis_fixture_start(struct redis_fixture *server, bool tcp, const char *const *options) {
    *server = (struct redis_fixture){.folder = "/tmp/hgp-redis-XXXXXX", .options = options};
    if (!installed())
        return false;
    if (!mkdtemp(server->folder))
        die("mkdtemp", server->folder);
    (void)snprintf(server->socket, sizeof(server->socket), "%s/s", server->folder);
    /* Somebody else may have taken the port meanwhile. */
    for (int attempt = 0; attempt < 5; attempt++) {
        server->port = tcp ? free_port() : 0;
        if (start(server))
            return true;
    }
    die("redis-server doesn't start", server->folder);
    return false;
}

static void remove_folder(const char *folder) {
    pid_t pid = fork();

    if (pid == 0) {
        (void)execlp("rm", "rm", "-rf", folder, (char *)NULL);
        _exit(127);
    }
    (void)waitpid(pid, NULL, 0);
}

void redis_fixture_kill(struct redis_fixture *server) {
    if (server->pid <= 0)
        return;
    (void)kill(server->pid, SIGKILL);
    (void)waitpid(server->pid, NULL, 0);
    server->pid = 0;
}

void redis_fixture_again(struct redis_fixture *server) {
    mend(server);
    if (!start(server))
        die("redis-server doesn't start again", server->folder);
}

void redis_fixture_stop(struct redis_fixture *server) {
    redis_fixture_kill(server);
    if (server->folder[0])
        remove_folder(server->folder);
    server->folder[0] = '\0';
}

redisContext *redis_fixture_connect(const struct redis_fixture *server) {
    redisContext *client = redisConnectUnix(server->socket);

    if (!client || client->err)
        die("connect", client ? client->errstr : "memory");
    return client;
}

redisReply *redis_fixture_ask(redisContext *client, struct slice command) {
    void *reply = NULL;

    if (redisAppendFormattedCommand(client, command.ptr, command.len) != REDIS_OK ||
        redisGetReply(client, &reply) != REDIS_OK)
        die("ask", client->errstr);
    return reply;
}

redisReply *redis_fixture_do(redisContext *client, const char *format, ...) {
    va_list args;

    va_start(args, format);
    redisReply *reply = redisvCommand(client, format, args);
    va_end(args);
    if (!reply)
        die("do", client->errstr);
    if (reply->type == REDIS_REPLY_ERROR)
        die(format, reply->str);
    return reply;
}
