/* backup.c - under another name until it is whole. */
#include "cli/backup.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "edge/data_folder.h"
#include "edge/rocks_tally.h"

#define NAME_BYTES 32
#define PATH_BYTES (CONFIG_TEXT_BYTES + NAME_BYTES)

struct backup {
    const struct store *store;
    const struct analytics_part *analytics;
    char folder[PATH_BYTES];
    char unfinished[PATH_BYTES + sizeof(".unfinished")];
    enum err err;
};

static void name_it(struct backup *backup, const char *under) {
    time_t now = (time_t)(clock_wall_ms() / 1000);
    char name[NAME_BYTES];
    struct tm utc;

    (void)strftime(name, sizeof(name), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &utc));
    (void)snprintf(backup->folder, sizeof(backup->folder), "%s/%s", under, name);
    (void)snprintf(backup->unfinished, sizeof(backup->unfinished), "%s.unfinished", backup->folder);
}

/* Where files can't be linked they would be copied, for minutes, while the main thread has a
 * watchdog to feed. NULL: they can. */
static const char *cant_link(const char *from, const char *to) {
    struct stat data;
    struct stat target;

    if (stat(to, &target) != 0 || !S_ISDIR(target.st_mode))
        return "backup.folder isn't there";
    if (stat(from, &data) != 0 || data.st_dev != target.st_dev)
        return "backup.folder and data must be on the same file system";
    return NULL;
}

static void take(void *ctx) {
    struct backup *backup = ctx;
    char analytics[sizeof(backup->unfinished) + sizeof("/analytics")];

    (void)snprintf(analytics, sizeof(analytics), "%s/analytics", backup->unfinished);
    if (backup->store->rocks)
        backup->err = rocks_kv_backup(backup->store->rocks, backup->unfinished);
    else
        backup->err = data_folder_make(backup->unfinished) ? ERR_OK : ERR_IO;
    if (backup->err == ERR_OK && backup->analytics->service)
        backup->err = rocks_tally_backup(backup->analytics->rocks, analytics);
}

static enum err finish(const struct backup *backup, const char *under) {
    int fd = open(under, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return ERR_IO;
    bool done = rename(backup->unfinished, backup->folder) == 0 && fsync(fd) == 0;
    close(fd);
    return done ? ERR_OK : ERR_IO;
}

static const char *make(struct backup *backup, const char *under) {
    name_it(backup, under);
    if (!backup->analytics->service)
        take(backup);
    else if (!analytics_pause(backup->analytics->service, take, backup))
        return "analytics has stopped";
    if (backup->err == ERR_OK)
        backup->err = finish(backup, under);
    return backup->err == ERR_OK ? NULL : err_text(backup->err);
}

void backup_make(const struct config *config, const struct store *store,
                 struct analytics_part *analytics) {
    struct backup backup = {.store = store, .analytics = analytics};
    const char *under = config->backup_folder;
    int64_t began_ms = clock_mono_ms();
    const char *problem = NULL;

    if (!store->rocks && !analytics->service)
        problem = "this process has neither an embedded store nor analytics";
    else if (!under[0])
        problem = "backup.folder isn't set";
    else
        problem = cant_link(config->data, under);
    if (!problem)
        problem = make(&backup, under);
    if (problem)
        log_line(LOG_ERROR, "no backup was made", LOG_STR("detail", problem),
                 LOG_STR("unfinished", backup.unfinished));
    else
        log_line(LOG_INFO, "a backup was made", LOG_STR("folder", backup.folder),
                 LOG_INT("ms", clock_mono_ms() - began_ms));
}
