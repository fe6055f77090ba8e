/* powerloss.c - a preloaded module that keeps a journal of what would survive a power cut.
 *
 * SIGKILL never tests fsync: the page cache survives it. This module lets
 * every call through and writes down, for files under POWERLOSS_ROOT, in
 * the order they happened: which bytes were written, which were synced, which
 * directory changes were made and which of those were synced. A test builds
 * from it every folder that a power cut could have left (powerloss.py).
 *
 *     create INO PATH   write INO END    syncing INO     sync INO SIZE   truncate INO SIZE
 *     rename FROM TO    unlink PATH      mkdir PATH      syncdir PATH CHANGES
 *
 * The journal is POWERLOSS_STATE/journal; others may append lines of their own
 * to it, such as acknowledgements. POWERLOSS_STATE/inodes/INO is a hard link
 * that keeps each file, so that an unlink can be undone.
 *
 * POWERLOSS_SYNC_MS makes each sync of a file take that much longer before it
 * is in the journal: an acknowledgement that doesn't wait for it is seen first.
 *
 * Threads    Any. An event is written after the call and before its caller goes on, so what one
 *            call caused comes later in the journal. What a sync covers is taken before the sync:
 *            the file's size, or the number of directory changes that were in the journal.
 * Limits     Overwriting in place counts as durable at once. stdio, mmap and io_uring writes
 *            aren't seen: what they wrote counts as lost, unless a sync comes behind.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) (__extension__(__typeof__(&name)) next(#name))

static char root[PATH_MAX];
static char state[PATH_MAX];
static unsigned sync_ms;
static int journal = -1;

/* create, rename, unlink and mkdir in the journal so far; a forked child counts along. */
static struct {
    pthread_mutex_t lock;
    unsigned long count;
} * changes;

static void *next(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);

    if (!found)
        abort();
    return found;
}

static void count_changes(void) {
    pthread_mutexattr_t shared;

    changes =
        mmap(NULL, sizeof(*changes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (changes == MAP_FAILED)
        abort();
    pthread_mutexattr_init(&shared);
    pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&changes->lock, &shared);
}

__attribute__((constructor)) static void start(void) {
    const char *root_env = getenv("POWERLOSS_ROOT");
    const char *state_env = getenv("POWERLOSS_STATE");
    const char *sync_env = getenv("POWERLOSS_SYNC_MS");
    char path[PATH_MAX + 16];

    if (!root_env || !state_env)
        return;
    snprintf(root, sizeof(root), "%s", root_env);
    snprintf(state, sizeof(state), "%s", state_env);
    snprintf(path, sizeof(path), "%s/journal", state);
    sync_ms = sync_env ? (unsigned)strtoul(sync_env, NULL, 10) : 0;
    journal = REAL(open)(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    if (journal < 0)
        abort();
    count_changes();
}

__attribute__((format(printf, 1, 2))) static void note(const char *format, ...) {
    char line[2 * PATH_MAX + 64];
    va_list args;
    int error = errno;

    va_start(args, format);
    int len = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (REAL(write)(journal, line, (size_t)len) != len)
        abort(); /* a hole in the journal would make the test lie */
    errno = error;
}

/* Counted together with the line, so that the count is a place in the journal. */
#define note_change(...)                                                                           \
    do {                                                                                           \
        pthread_mutex_lock(&changes->lock);                                                        \
        note(__VA_ARGS__);                                                                         \
        changes->count++;                                                                          \
        pthread_mutex_unlock(&changes->lock);                                                      \
    } while (0)

static unsigned long changes_so_far(void) {
    pthread_mutex_lock(&changes->lock);
    unsigned long count = changes->count;
    pthread_mutex_unlock(&changes->lock);
    return count;
}

/* The part of 'path' behind the root; NULL when it is elsewhere. */
static const char *inside(const char *path) {
    size_t len = strlen(root);

    if (journal < 0 || strncmp(path, root, len) != 0 || (path[len] != '/' && path[len] != '\0'))
        return NULL;
    return path[len] == '/' ? path + len + 1 : ".";
}

static const char *path_of(int fd, char out[PATH_MAX]) {
    char link_path[64];
    int error = errno;

    snprintf(link_path, sizeof(link_path), "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link_path, out, PATH_MAX - 1);
    errno = error;
    if (len <= 0)
        return NULL;
    out[len] = '\0';
    return inside(out);
}

static const char *path_at(int dir_fd, const char *path, char out[PATH_MAX]) {
    char dir[PATH_MAX];

    if (path[0] == '/') {
        snprintf(out, PATH_MAX, "%s", path);
        return inside(out);
    }
    if (dir_fd == AT_FDCWD ? !getcwd(dir, sizeof(dir)) : !path_of(dir_fd, dir))
        return NULL;
    if (snprintf(out, PATH_MAX, "%s/%s", dir, path) >= PATH_MAX)
        abort();
    return inside(out);
}

static void opened(int fd, const char *full, const char *name, bool truncated) {
    char kept[PATH_MAX + 64];
    struct stat st;
    int error = errno;

    if (fstat(fd, &st) != 0)
        abort();
    if (truncated) {
        note("truncate %lu 0\n", (unsigned long)st.st_ino);
        return;
    }
    snprintf(kept, sizeof(kept), "%s/inodes/%lu", state, (unsigned long)st.st_ino);
    if (link(full, kept) != 0 && errno != EEXIST)
        abort();
    errno = error;
    note_change("create %lu %s\n", (unsigned long)st.st_ino, name);
}

static int open_at(int dir_fd, const char *path, int flags, mode_t mode) {
    char full[PATH_MAX];
    const char *name = journal < 0 ? NULL : path_at(dir_fd, path, full);
    bool existed = name && faccessat(AT_FDCWD, full, F_OK, 0) == 0;
    int fd = REAL(openat)(dir_fd, path, flags, mode);

    if (fd >= 0 && name && !existed && (flags & O_CREAT))
        opened(fd, full, name, false);
    else if (fd >= 0 && name && existed && (flags & O_TRUNC))
        opened(fd, full, name, true);
    return fd;
}

static mode_t mode_of(int flags, va_list args) {
    return flags & (O_CREAT | O_TMPFILE) ? (mode_t)va_arg(args, int) : 0;
}

#define OPEN_BODY(dir_fd)                                                                          \
    va_list args;                                                                                  \
    va_start(args, flags);                                                                         \
    mode_t mode = mode_of(flags, args);                                                            \
    va_end(args);                                                                                  \
    return open_at(dir_fd, path, flags, mode)

int open(const char *path, int flags, ...) {
    OPEN_BODY(AT_FDCWD);
}

int open64(const char *path, int flags, ...) {
    OPEN_BODY(AT_FDCWD);
}

int openat(int dir_fd, const char *path, int flags, ...) {
    OPEN_BODY(dir_fd);
}

int openat64(int dir_fd, const char *path, int flags, ...) {
    OPEN_BODY(dir_fd);
}

/* What is written through it isn't seen; that it is there, and what a sync covers, is. */
FILE *fopen(const char *path, const char *mode) {
    char full[PATH_MAX];
    const char *name = journal < 0 ? NULL : path_at(AT_FDCWD, path, full);
    bool existed = name && faccessat(AT_FDCWD, full, F_OK, 0) == 0;
    FILE *file = REAL(fopen)(path, mode);

    if (file && name && *mode == 'w')
        opened(fileno(file), full, name, existed);
    return file;
}

FILE *fopen64(const char *path, const char *mode) {
    return fopen(path, mode);
}

int creat(const char *path, mode_t mode) {
    return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

/* 'end': behind the last byte; negative: at the file's position. */
static ssize_t wrote(int fd, ssize_t len, off_t end) {
    char path[PATH_MAX];
    struct stat st;

    if (len <= 0 || journal < 0 || fd == journal || !path_of(fd, path))
        return len;
    if (fstat(fd, &st) != 0)
        abort();
    if (end < 0)
        end = lseek(fd, 0, SEEK_CUR);
    note("write %lu %ld\n", (unsigned long)st.st_ino, (long)end);
    return len;
}

ssize_t write(int fd, const void *bytes, size_t len) {
    return wrote(fd, REAL(write)(fd, bytes, len), -1);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    return wrote(fd, REAL(writev)(fd, parts, count), -1);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at) {
    ssize_t got = REAL(pwrite)(fd, bytes, len, at);

    return wrote(fd, got, at + got);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t at) {
    return pwrite(fd, bytes, len, at);
}

static int sync_file(int (*sync_call)(int), int fd, const struct stat *st) {
    note("syncing %lu\n", (unsigned long)st->st_ino);
    int got = sync_call(fd);
    if (got == 0 && sync_ms)
        usleep(sync_ms * 1000);
    if (got == 0)
        note("sync %lu %ld\n", (unsigned long)st->st_ino, (long)st->st_size);
    return got;
}

static int sync_dir(int (*sync_call)(int), int fd, const char *name) {
    unsigned long covered = changes_so_far();
    int got = sync_call(fd);

    if (got == 0)
        note("syncdir %s %lu\n", name, covered);
    return got;
}

static int sync_with(int (*sync_call)(int), int fd) {
    char path[PATH_MAX];
    const char *name = journal < 0 ? NULL : path_of(fd, path);
    struct stat st;

    if (!name)
        return sync_call(fd);
    if (fstat(fd, &st) != 0)
        abort();
    return S_ISDIR(st.st_mode) ? sync_dir(sync_call, fd, name) : sync_file(sync_call, fd, &st);
}

int fsync(int fd) {
    return sync_with(REAL(fsync), fd);
}

int fdatasync(int fd) {
    return sync_with(REAL(fdatasync), fd);
}

int ftruncate(int fd, off_t len) {
    char path[PATH_MAX];
    struct stat st;
    int got = REAL(ftruncate)(fd, len);

    if (got == 0 && journal >= 0 && path_of(fd, path) && fstat(fd, &st) == 0)
        note("truncate %lu %ld\n", (unsigned long)st.st_ino, (long)len);
    return got;
}

int ftruncate64(int fd, off_t len) {
    return ftruncate(fd, len);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to) {
    char from_full[PATH_MAX];
    char to_full[PATH_MAX];
    const char *from_name = journal < 0 ? NULL : path_at(from_fd, from, from_full);
    const char *to_name = journal < 0 ? NULL : path_at(to_fd, to, to_full);
    int got = REAL(renameat)(from_fd, from, to_fd, to);

    if (got == 0 && from_name && to_name)
        note_change("rename %s %s\n", from_name, to_name);
    return got;
}

int rename(const char *from, const char *to) {
    return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

int unlinkat(int dir_fd, const char *path, int flags) {
    char full[PATH_MAX];
    const char *name = journal < 0 ? NULL : path_at(dir_fd, path, full);
    int got = REAL(unlinkat)(dir_fd, path, flags);

    if (got == 0 && name)
        note_change("unlink %s\n", name);
    return got;
}

int unlink(const char *path) {
    return unlinkat(AT_FDCWD, path, 0);
}

int mkdir(const char *path, mode_t mode) {
    char full[PATH_MAX];
    const char *name = journal < 0 ? NULL : path_at(AT_FDCWD, path, full);
    int got = REAL(mkdir)(path, mode);

    if (got == 0 && name)
        note_change("mkdir %s\n", name);
    return got;
}
