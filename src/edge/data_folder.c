/* data_folder.c - see data_folder.h. Every step is durable before the next one relies on it. */
#include "edge/data_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PRODUCT      "highgopress-store"
#define OWNER        "OWNER"
#define FORMAT       "FORMAT"
#define FORMAT_NEW   "FORMAT.tmp"
#define ROCKSDB_LOCK "LOCK"
#define FORMAT_BYTES 64
#define PROBE        "SPACE.tmp"
#define PROBE_BYTES  (1 << 20)

static const char *advice(int error) {
    switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return "free space on its file system and start again";
    case EACCES:
    case EPERM:
        return "give the folder to the user this service runs as, or use another --data";
    case EROFS:
        return "mount its file system writable, or use another --data";
    case ENOTDIR:
        return "a part of this path is a file; use another --data";
    default:
        return "check the disk, or use another --data";
    }
}

static enum err io_error(const char *path, const char *what, char *out_detail, size_t detail_size) {
    int error = errno;

    snprintf(out_detail, detail_size, "the data folder %s can't be %s (%s): %s", path, what,
             strerror(error), advice(error));
    return ERR_IO;
}

static bool sync_parent(const char *child) {
    char *copy = strdup(child);
    char *slash = copy ? strrchr(copy, '/') : NULL;
    const char *parent = !slash ? "." : slash == copy ? "/" : copy;
    int fd;

    if (!copy)
        return false;
    if (slash && slash != copy)
        *slash = '\0';
    fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(copy);
    if (fd < 0)
        return false;
    bool ok = fsync(fd) == 0;
    close(fd);
    return ok;
}

static bool make_one(const char *path) {
    if (mkdir(path, 0750) == 0)
        return sync_parent(path);
    return errno == EEXIST;
}

/* 'path' is changed while it runs and the same afterwards. */
static bool make_folders(char *path) {
    for (char *at = path + 1; *path && *at; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        bool ok = make_one(path);
        *at = '/';
        if (!ok)
            return false;
    }
    return make_one(path);
}

bool data_folder_make(const char *path) {
    char *copy = strdup(path);
    bool ok = copy && make_folders(copy);
    int error = errno;

    free(copy);
    errno = error;
    return ok;
}

static bool is_neutral(const char *name) {
    static const char *const names[] = {".", "..", OWNER, FORMAT_NEW, PROBE, "lost+found"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* The first file that an empty folder of ours wouldn't have, or "". */
static bool find_stranger(int dir_fd, char *out_name, size_t name_size) {
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    out_name[0] = '\0';
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (!is_neutral(entry->d_name)) {
            snprintf(out_name, name_size, "%s", entry->d_name);
            break;
        }
    }
    closedir(dir);
    return true;
}

/* Before anything is written: a mistyped --data must not leave traces in a home folder. */
static enum err refuse_strangers(struct data_folder *folder, char *out_detail, size_t detail_size) {
    char name[NAME_MAX + 1];

    if (!find_stranger(folder->dir_fd, name, sizeof(name)))
        return io_error(folder->path, "read", out_detail, detail_size);
    /* Looked for after the scan: another process may be making the store just now. */
    if (name[0] == '\0' || faccessat(folder->dir_fd, FORMAT, F_OK, 0) == 0)
        return ERR_OK;
    snprintf(out_detail, detail_size,
             "the folder %s holds files that are not ours (\"%s\", and no %s file): use an empty "
             "or new folder as --data, or restore the %s file if this was our data",
             folder->path, name, FORMAT, FORMAT);
    return ERR_INVALID;
}

static enum err locked(struct data_folder *folder, long pid, char *out_detail, size_t detail_size) {
    char who[32] = "";

    if (pid > 0)
        snprintf(who, sizeof(who), " (process %ld)", pid);
    snprintf(out_detail, detail_size,
             "the data folder %s is in use by another process%s: stop it or use another --data",
             folder->path, who);
    return ERR_LOCKED;
}

/* RocksDB's own tools know only RocksDB's lock. */
static long foreign_tool(int dir_fd) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = openat(dir_fd, ROCKSDB_LOCK, O_RDWR | O_CLOEXEC);
    bool held;

    if (fd < 0)
        return 0;
    /* Closing drops this process's fcntl locks on the file; it can't have any, as it got OWNER. */
    held = fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    close(fd);
    return held ? (long)lock.l_pid : 0;
}

static enum err take_ownership(struct data_folder *folder, char *out_detail, size_t detail_size) {
    char text[24] = "";

    folder->owner_fd = openat(folder->dir_fd, OWNER, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (folder->owner_fd < 0)
        return io_error(folder->path, "written", out_detail, detail_size);
    if (flock(folder->owner_fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK)
            return io_error(folder->path, "locked", out_detail, detail_size);
        if (pread(folder->owner_fd, text, sizeof(text) - 1, 0) < 0)
            text[0] = '\0';
        return locked(folder, strtol(text, NULL, 10), out_detail, detail_size);
    }
    long tool = foreign_tool(folder->dir_fd);
    if (tool != 0)
        return locked(folder, tool, out_detail, detail_size);
    /* Only for the sentence above, so it needn't be durable. */
    int len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    if (ftruncate(folder->owner_fd, 0) != 0 ||
        pwrite(folder->owner_fd, text, (size_t)len, 0) != len)
        return io_error(folder->path, "written", out_detail, detail_size);
    return ERR_OK;
}

/* RocksDB asserts where it meets a full disk while it opens, so it shall not get there. */
static enum err probe_space(struct data_folder *folder, char *out_detail, size_t detail_size) {
    int fd = openat(folder->dir_fd, PROBE, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);

    if (fd < 0)
        return io_error(folder->path, "written", out_detail, detail_size);
    int error = posix_fallocate(fd, 0, PROBE_BYTES);
    close(fd);
    unlinkat(folder->dir_fd, PROBE, 0);
    errno = error;
    return error == 0 ? ERR_OK : io_error(folder->path, "written", out_detail, detail_size);
}

static bool write_synced(int dir_fd, const char *name, const char *text) {
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    size_t len = strlen(text);

    if (fd < 0)
        return false;
    bool ok = write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;
    int error = errno;
    close(fd);
    errno = error;
    return ok;
}

static enum err write_format(struct data_folder *folder, const char *state, char *out_detail,
                             size_t detail_size) {
    char text[FORMAT_BYTES];

    snprintf(text, sizeof(text), PRODUCT " %d%s\n", DATA_FOLDER_VERSION, state);
    if (write_synced(folder->dir_fd, FORMAT_NEW, text) &&
        renameat(folder->dir_fd, FORMAT_NEW, folder->dir_fd, FORMAT) == 0 &&
        fsync(folder->dir_fd) == 0)
        return ERR_OK;
    return io_error(folder->path, "written", out_detail, detail_size);
}

/* 0 bytes: there is none. */
static ssize_t read_format(int dir_fd, char out_text[FORMAT_BYTES]) {
    int fd = openat(dir_fd, FORMAT, O_RDONLY | O_CLOEXEC);
    ssize_t len;

    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    len = read(fd, out_text, FORMAT_BYTES - 1);
    close(fd);
    if (len >= 0)
        out_text[len] = '\0';
    return len == 0 ? 1 : len; /* an empty file is a damaged one */
}

static enum err judge_format(struct data_folder *folder, const char *text, char *out_detail,
                             size_t detail_size) {
    unsigned version = 0;
    char state[FORMAT_BYTES] = "";
    /* Nine digits always fit. NOLINTNEXTLINE(cert-err34-c) */
    int fields = sscanf(text, PRODUCT " %9u %63s", &version, state);

    if (fields >= 1 && version > DATA_FOLDER_VERSION) {
        snprintf(out_detail, detail_size,
                 "the data folder %s has format %u and this version knows %d: start the version "
                 "that wrote it, or use another --data",
                 folder->path, version, DATA_FOLDER_VERSION);
        return ERR_NEWER;
    }
    folder->creating = fields == 2 && strcmp(state, "creating") == 0;
    if (version == DATA_FOLDER_VERSION && (fields == 1 || folder->creating))
        return ERR_OK;
    snprintf(out_detail, detail_size,
             "the file %s/%s is damaged: restore the folder from a backup, or use another --data",
             folder->path, FORMAT);
    return ERR_CORRUPT;
}

static enum err open_format(struct data_folder *folder, char *out_detail, size_t detail_size) {
    char text[FORMAT_BYTES];
    ssize_t len = read_format(folder->dir_fd, text);

    if (len < 0)
        return io_error(folder->path, "read", out_detail, detail_size);
    if (len > 0)
        return judge_format(folder, text, out_detail, detail_size);
    folder->creating = true;
    return write_format(folder, " creating", out_detail, detail_size);
}

void data_folder_init(struct data_folder *folder) {
    *folder = (struct data_folder){.dir_fd = -1, .owner_fd = -1};
}

void data_folder_release(struct data_folder *folder) {
    if (folder->owner_fd >= 0)
        close(folder->owner_fd); /* the lock goes with it */
    if (folder->dir_fd >= 0)
        close(folder->dir_fd);
    free(folder->path);
    data_folder_init(folder);
}

static enum err set_path(struct data_folder *folder, const char *path, char *out_detail,
                         size_t detail_size) {
    folder->path = strdup(path);
    if (folder->path)
        return ERR_OK;
    snprintf(out_detail, detail_size, "out of memory");
    return ERR_NO_MEMORY;
}

enum err data_folder_look(struct data_folder *folder, const char *path, char *out_detail,
                          size_t detail_size) {
    char text[FORMAT_BYTES];
    ssize_t len = 0;
    enum err err = set_path(folder, path, out_detail, detail_size);

    if (err != ERR_OK)
        return err;
    folder->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder->dir_fd >= 0)
        len = read_format(folder->dir_fd, text);
    if (len < 0 || (folder->dir_fd < 0 && errno != ENOENT))
        return io_error(path, "read", out_detail, detail_size);
    if (len > 0)
        err = judge_format(folder, text, out_detail, detail_size);
    if (err != ERR_OK || (len > 0 && !folder->creating))
        return err;
    snprintf(out_detail, detail_size, "there is no store in the folder %s", path);
    return ERR_NOT_FOUND;
}

enum err data_folder_open(struct data_folder *folder, const char *path, char *out_detail,
                          size_t detail_size) {
    enum err err = set_path(folder, path, out_detail, detail_size);

    if (err != ERR_OK)
        return err;
    if (!make_folders(folder->path))
        return io_error(path, "made", out_detail, detail_size);
    folder->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder->dir_fd < 0)
        return io_error(path, "opened", out_detail, detail_size);
    err = refuse_strangers(folder, out_detail, detail_size);
    if (err == ERR_OK)
        err = take_ownership(folder, out_detail, detail_size);
    if (err == ERR_OK)
        err = probe_space(folder, out_detail, detail_size);
    if (err == ERR_OK)
        err = open_format(folder, out_detail, detail_size);
    return err;
}

enum err data_folder_ready(struct data_folder *folder, char *out_detail, size_t detail_size) {
    if (!folder->creating)
        return ERR_OK;
    enum err err = write_format(folder, "", out_detail, detail_size);
    if (err == ERR_OK)
        folder->creating = false;
    return err;
}

enum err data_folder_mark(const struct data_folder *folder, const char *copy) {
    char text[FORMAT_BYTES] = "";
    int fd = open(copy, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return ERR_IO;
    bool done =
        read_format(folder->dir_fd, text) > 0 && write_synced(fd, FORMAT, text) && fsync(fd) == 0;
    close(fd);
    return done ? ERR_OK : ERR_IO;
}
