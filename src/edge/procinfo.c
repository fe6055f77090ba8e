/* procinfo.c - proc(5): self/stat, self/fd and stat, and getrlimit(2). */
#include "edge/procinfo.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define STAT_BYTES 1024

/* Numbers of fields in /proc/self/stat, as proc(5) counts them. */
enum { STAT_UTIME = 14, STAT_STIME = 15, STAT_STARTTIME = 22, STAT_VSIZE = 23, STAT_RSS = 24 };

static bool read_text(const char *path, char *text, size_t size) {
    FILE *file = fopen(path, "re");

    if (!file)
        return false;
    size_t len = fread(text, 1, size - 1, file);
    (void)fclose(file);
    text[len] = '\0';
    return len > 0;
}

/* Field 'number' of 'stat'; 0 when it isn't there. Counted from behind the
 * last ')', as the program's name (field 2) may hold blanks and brackets. */
static double field(const char *stat, int number) {
    const char *at = strrchr(stat, ')');

    for (int i = 2; at && i < number; i++)
        at = strchr(at + 1, ' ');
    return at ? strtod(at, NULL) : 0;
}

/* Seconds since the epoch at which the machine started; 0 when unknown. */
static double boot_time(void) {
    char line[256];
    double seconds = 0;
    FILE *file = fopen("/proc/stat", "re");

    if (!file)
        return 0;
    while (seconds == 0 && fgets(line, sizeof(line), file))
        if (strncmp(line, "btime ", 6) == 0)
            seconds = strtod(line + 6, NULL);
    (void)fclose(file);
    return seconds;
}

static double count_fds(void) {
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;

    if (!dir)
        return 0;
    for (const struct dirent *entry; (entry = readdir(dir));)
        count += entry->d_name[0] != '.';
    (void)closedir(dir);
    return count - 1; /* without the one that reads the folder */
}

enum err procinfo_read(struct prom_process *out_process) {
    char stat[STAT_BYTES];
    struct rlimit fds;
    double ticks = (double)sysconf(_SC_CLK_TCK);

    if (!read_text("/proc/self/stat", stat, sizeof(stat)) || !strrchr(stat, ')') ||
        getrlimit(RLIMIT_NOFILE, &fds) != 0)
        return ERR_UNAVAILABLE;
    *out_process = (struct prom_process){
        .cpu_seconds = (field(stat, STAT_UTIME) + field(stat, STAT_STIME)) / ticks,
        .open_fds = count_fds(),
        .max_fds = (double)fds.rlim_cur,
        .virtual_memory_bytes = field(stat, STAT_VSIZE),
        .resident_memory_bytes = field(stat, STAT_RSS) * (double)sysconf(_SC_PAGESIZE),
        .start_time_seconds = boot_time() + field(stat, STAT_STARTTIME) / ticks,
    };
    return ERR_OK;
}
