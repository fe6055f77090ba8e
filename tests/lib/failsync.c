/* failsync.c - a preloaded module by which a disk fails: no log of a store can be synced any more.
 *
 * While the file FAILSYNC_WHILE exists, fsync() and fdatasync() of any *.log end with EIO.
 *
 * Threads    Any.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool fails(int fd) {
    const char *flag = getenv("FAILSYNC_WHILE");
    char link[64];
    char name[4096];

    if (!flag || access(flag, F_OK) != 0)
        return false;
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, name, sizeof(name));
    return len > 4 && memcmp(name + len - 4, ".log", 4) == 0;
}

static int sync_by(long call, int fd) {
    if (fails(fd)) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(call, fd);
}

int fsync(int fd) {
    return sync_by(SYS_fsync, fd);
}

int fdatasync(int fd) {
    return sync_by(SYS_fdatasync, fd);
}
