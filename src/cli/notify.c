/* notify.c - see notify.h. */
#include "cli/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

/* A path, or with an @ for its first NUL a name in the abstract namespace. */
static socklen_t address_of(const char *name, struct sockaddr_un *out) {
    size_t len = strlen(name);

    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    if ((name[0] != '/' && name[0] != '@') || len >= sizeof(out->sun_path))
        return 0;
    memcpy(out->sun_path, name, len);
    if (name[0] == '@')
        out->sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

void notify(const char *state) {
    const char *name = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address;
    socklen_t len = name ? address_of(name, &address) : 0;
    int fd = len ? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;

    if (fd < 0)
        return;
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&address,
                 len);
    close(fd);
}

void notify_reloading(void) {
    char state[64];

    (void)snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%" PRId64,
                   clock_mono_ms() * 1000);
    notify(state);
}

/* 0: not set, or no number above 0. */
static int64_t number_of(const char *variable) {
    const char *text = getenv(variable);
    char *end = NULL;
    long long value;

    if (!text)
        return 0;
    errno = 0;
    value = strtoll(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && value > 0 ? value : 0;
}

int64_t notify_watchdog_ms(void) {
    int64_t allowed_ms = number_of("WATCHDOG_USEC") / 1000;
    int64_t pid = number_of("WATCHDOG_PID");

    if (!getenv("NOTIFY_SOCKET") || allowed_ms == 0 || (pid && pid != getpid()))
        return 0;
    return allowed_ms / 3 > 0 ? allowed_ms / 3 : 1;
}
