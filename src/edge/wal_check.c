/* wal_check.c - see wal_check.h.
 *
 *     read records in order ──► bad one at offset D, its number would be N
 *          │ end                     │
 *          ▼                         ▼ look behind D, and in later files, for starts of records
 *        clean               one that says N was on disk ──► damage inside
 *                            none                        ──► torn: cut at D
 *
 * A record that isn't numbered N but later counts as bad: what was between is gone.
 *
 * Empty files at the end are removed once all is well. A start that is killed before its first
 * write leaves one, and RocksDB may keep it in front of the next start's log, where it would look
 * like one that has lost its records.
 */
#include "edge/wal_check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "edge/wal_read.h"

struct wal_file {
    uint64_t number;
    char *bytes;
    size_t len;
};

struct wal_check {
    const char *folder;
    wal_live_fn *live;
    int dir_fd;
    struct wal_file *files;
    size_t count;
    char *out_detail;
    size_t detail_size;
};

/* Where reading stopped. */
struct damage {
    size_t file;
    size_t at;
    uint64_t seq; /* the number the record there should have; 0 when nothing came before it */
};

static void file_name(const struct wal_file *file, char out[32]) {
    snprintf(out, 32, "%06" PRIu64 ".log", file->number);
}

static enum err io_error(struct wal_check *check, const char *what) {
    snprintf(check->out_detail, check->detail_size,
             "the write-ahead log in %s can't be %s (%s): check the disk", check->folder, what,
             strerror(errno));
    return ERR_IO;
}

static int by_number(const void *a, const void *b) {
    const struct wal_file *x = a;
    const struct wal_file *y = b;

    return (x->number > y->number) - (x->number < y->number);
}

static bool add_file(struct wal_check *check, const char *name) {
    char *end;
    uint64_t number = strtoull(name, &end, 10);
    struct wal_file *files;

    if (end == name || strcmp(end, ".log") != 0)
        return true;
    files = realloc(check->files, (check->count + 1) * sizeof(*files));
    if (!files)
        return false;
    check->files = files;
    files[check->count++] = (struct wal_file){.number = number};
    return true;
}

static enum err list_files(struct wal_check *check) {
    DIR *dir = opendir(check->folder);
    struct dirent *entry;
    bool ok = true;

    if (!dir)
        return io_error(check, "listed");
    while (ok && (entry = readdir(dir)) != NULL)
        ok = add_file(check, entry->d_name);
    closedir(dir);
    if (!ok)
        return io_error(check, "listed");
    if (check->count > 1)
        qsort(check->files, check->count, sizeof(*check->files), by_number);
    return ERR_OK;
}

static bool read_all(int fd, struct wal_file *file) {
    struct stat st;

    if (fstat(fd, &st) != 0)
        return false;
    file->bytes = malloc((size_t)st.st_size + 1);
    if (!file->bytes)
        return false;
    while (file->len < (size_t)st.st_size) {
        ssize_t got = read(fd, file->bytes + file->len, (size_t)st.st_size - file->len);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got == 0;
        file->len += (size_t)got;
    }
    return true;
}

/* read(), not mmap(): a disk that can't read shall be an error, not a SIGBUS. The log is bounded
 * by max_total_wal_size, and nothing else is in memory yet. */
static enum err load_files(struct wal_check *check) {
    for (size_t i = 0; i < check->count; i++) {
        char name[32];

        file_name(&check->files[i], name);
        int fd = openat(check->dir_fd, name, O_RDONLY | O_CLOEXEC);
        bool ok = fd >= 0 && read_all(fd, &check->files[i]);
        int error = errno;
        if (fd >= 0)
            close(fd);
        errno = error;
        if (!ok)
            return io_error(check, "read");
    }
    return ERR_OK;
}

static struct slice content(const struct wal_file *file) {
    return slice_of(file->bytes, file->len);
}

/* Reads one file from its start. 'seq' is the number expected next, 0 for any. */
static enum wal_read read_file(const struct wal_file *file, uint64_t *seq, size_t *out_at) {
    struct wal_reader reader;
    struct wal_record record;
    enum wal_read got;

    wal_reader_init(&reader, content(file));
    for (;;) {
        *out_at = reader.at;
        got = wal_next(&reader, &record);
        if (got != WAL_RECORD)
            break;
        if (*seq != 0 && record.seq != *seq) {
            got = WAL_BAD;
            break;
        }
        *seq = record.next_seq;
    }
    wal_reader_release(&reader);
    return got;
}

/* Whether a record that starts in 'bytes' at 'at' or later vouches for the lost one, '*lost'. 0:
 * its number isn't known, as nothing came before it. Then the write in front of the first whole
 * record behind it stands for all that is lost: whoever vouches for that, vouches for the rest. */
static bool vouched(struct slice bytes, size_t at, uint64_t *lost) {
    struct wal_record record;

    for (; at < bytes.len; at++) {
        if (!wal_starts_at(bytes, at, *lost, &record))
            continue;
        if (*lost == 0 && record.seq > 0)
            *lost = record.seq - 1;
        if (record.synced_seq >= *lost)
            return true;
    }
    return false;
}

static bool is_torn_tail(const struct wal_check *check, const struct damage *damage) {
    struct slice bytes = content(&check->files[damage->file]);
    struct wal_record record;
    uint64_t lost = damage->seq;
    /* What starts right there may be the torn record itself, which vouches for nothing. */
    bool itself = wal_starts_at(bytes, damage->at, damage->seq, &record) &&
                  (record.seq == damage->seq || damage->seq == 0);

    if (itself)
        lost = record.seq;
    if (vouched(bytes, damage->at + itself, &lost))
        return false;
    for (size_t i = damage->file + 1; i < check->count; i++)
        if (vouched(content(&check->files[i]), 0, &lost))
            return false;
    return true;
}

static enum err cut_file(struct wal_check *check, struct wal_file *file, size_t at) {
    char name[32];

    if (file->len == at)
        return ERR_OK;
    file_name(file, name);
    int fd = openat(check->dir_fd, name, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && ftruncate(fd, (off_t)at) == 0 && fsync(fd) == 0;
    int error = errno;
    if (fd >= 0)
        close(fd);
    errno = error;
    if (!ok)
        return io_error(check, "cut");
    log_line(LOG_WARN, "cut an unfinished write off the write-ahead log",
             LOG_STR("folder", check->folder), LOG_STR("file", name), LOG_INT("offset", at),
             LOG_INT("cut_bytes", file->len - at));
    file->len = at;
    return ERR_OK;
}

/* Later files first: cut in the other order, a crash between would leave records behind a gap. */
static enum err cut_tail(struct wal_check *check, const struct damage *damage) {
    for (size_t i = check->count; i-- > damage->file + 1;) {
        enum err err = cut_file(check, &check->files[i], 0);

        if (err != ERR_OK)
            return err;
    }
    return cut_file(check, &check->files[damage->file], damage->at);
}

static bool is_last_with_content(const struct wal_check *check, size_t file) {
    for (size_t i = file + 1; i < check->count; i++)
        if (check->files[i].len > 0)
            return false;
    return true;
}

static enum err refuse(struct wal_check *check, const struct damage *damage) {
    char name[32];
    char accept[512] = "";

    file_name(&check->files[damage->file], name);
    if (is_last_with_content(check, damage->file))
        snprintf(accept, sizeof(accept),
                 "; or, to give up every commit behind that point for good, run: "
                 "truncate -s %zu '%s/%s'",
                 damage->at, check->folder, name);
    snprintf(check->out_detail, check->detail_size,
             "the write-ahead log %s/%s is damaged at byte %zu, with whole commits behind it, so "
             "acknowledged data is lost: restore the folder from a backup or use another --data%s",
             check->folder, name, damage->at, accept);
    return ERR_CORRUPT;
}

static enum err refuse_foreign(struct wal_check *check, const struct damage *damage) {
    char name[32];

    file_name(&check->files[damage->file], name);
    snprintf(check->out_detail, check->detail_size,
             "the write-ahead log %s/%s has a record at byte %zu of a kind this version doesn't "
             "know: start the version that wrote it",
             check->folder, name, damage->at);
    return ERR_NEWER;
}

/* RocksDB goes on to the next file only when the last one has content, and a start removes what is
 * empty: one with records behind it has lost them all. */
static bool is_hollow(const struct wal_check *check, size_t file) {
    return check->files[file].len == 0 && !is_last_with_content(check, file);
}

/* Reads until something is wrong: WAL_END when nothing is. */
static enum wal_read find_damage(const struct wal_check *check, struct damage *out) {
    enum wal_read got = WAL_END;

    *out = (struct damage){0};
    for (; out->file < check->count && got == WAL_END; out->file++) {
        got = read_file(&check->files[out->file], &out->seq, &out->at);
        if (is_hollow(check, out->file))
            got = WAL_BAD;
    }
    if (got != WAL_END)
        out->file--;
    return got;
}

static enum err forget_dead_files(struct wal_check *check) {
    uint64_t live = 0;
    enum err err = check->live(check->folder, &live, check->out_detail, check->detail_size);
    size_t dead = 0;

    if (err != ERR_OK)
        return err;
    while (dead < check->count && check->files[dead].number < live)
        free(check->files[dead++].bytes);
    check->count -= dead;
    memmove(check->files, check->files + dead, check->count * sizeof(*check->files));
    return ERR_OK;
}

static enum err remove_empty_tail(struct wal_check *check) {
    bool removed = false;

    for (size_t i = check->count; i-- > 0 && check->files[i].len == 0; removed = true) {
        char name[32];

        file_name(&check->files[i], name);
        if (unlinkat(check->dir_fd, name, 0) != 0)
            return io_error(check, "removed where it is empty");
    }
    return removed && fsync(check->dir_fd) != 0 ? io_error(check, "removed where it is empty")
                                                : ERR_OK;
}

static enum err judge(struct wal_check *check) {
    struct damage damage;
    enum wal_read got = find_damage(check, &damage);

    if (got == WAL_BAD && check->count > 1) {
        enum err err = forget_dead_files(check);

        if (err != ERR_OK)
            return err;
        got = find_damage(check, &damage);
    }
    if (got == WAL_FOREIGN)
        return refuse_foreign(check, &damage);
    if (got == WAL_BAD)
        return is_torn_tail(check, &damage) ? cut_tail(check, &damage) : refuse(check, &damage);
    return ERR_OK;
}

enum err wal_check(const char *folder, wal_live_fn *live, char *out_detail, size_t detail_size) {
    struct wal_check check = {.folder = folder,
                              .live = live,
                              .dir_fd = -1,
                              .out_detail = out_detail,
                              .detail_size = detail_size};
    enum err err = ERR_OK;

    check.dir_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (check.dir_fd < 0)
        err = io_error(&check, "opened");
    if (err == ERR_OK)
        err = list_files(&check);
    if (err == ERR_OK)
        err = load_files(&check);
    if (err == ERR_OK)
        err = judge(&check);
    if (err == ERR_OK)
        err = remove_empty_tail(&check);
    for (size_t i = 0; i < check.count; i++)
        free(check.files[i].bytes);
    free(check.files);
    if (check.dir_fd >= 0)
        close(check.dir_fd);
    return err;
}
