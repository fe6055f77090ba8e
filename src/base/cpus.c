/* cpus.c - affinity is asked of the kernel, the quota read from the control groups' file system.
 *
 * cpu.max: "<quota> <period>", both in us, or "max <period>" (kernel, admin-guide/cgroup-v2).
 */
#include "base/cpus.h"

#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of one group; 0: none, or the controller isn't on. */
static double quota_of(const char *folder) {
    char path[PATH_MAX];
    char line[64];
    int length = snprintf(path, sizeof(path), "%s/cpu.max", folder);
    FILE *file = length > 0 && (size_t)length < sizeof(path) ? fopen(path, "re") : NULL;

    if (!file)
        return 0;
    bool read = fgets(line, sizeof(line), file) != NULL;
    (void)fclose(file);
    if (!read)
        return 0;
    char *behind;
    unsigned long quota = strtoul(line, &behind, 10); /* "max" is no number */
    unsigned long period = strtoul(behind, NULL, 10);
    return behind != line && period > 0 ? (double)quota / (double)period : 0;
}

/* Puts the path of the group behind 'root'. */
static bool group_of(const char *root, const char *membership, char folder[PATH_MAX]) {
    static const char version_2[] = "0::";
    char line[PATH_MAX];
    bool found = false;
    FILE *file = fopen(membership, "re");

    if (!file)
        return false;
    while (!found && fgets(line, sizeof(line), file))
        found = strncmp(line, version_2, sizeof(version_2) - 1) == 0;
    (void)fclose(file);
    if (!found)
        return false;
    line[strcspn(line, "\n")] = '\0';
    int length = snprintf(folder, PATH_MAX, "%s%s", root, line + sizeof(version_2) - 1);
    return length > 0 && length < PATH_MAX;
}

double cpus_quota(const char *root, const char *membership) {
    char folder[PATH_MAX];
    double least = 0;

    if (!group_of(root, membership, folder))
        return 0;
    while (strlen(folder) >= strlen(root)) {
        double quota = quota_of(folder);
        char *slash = strrchr(folder, '/');

        if (quota > 0 && (least == 0 || quota < least))
            least = quota;
        if (!slash)
            break;
        *slash = '\0';
    }
    return least;
}

unsigned cpus_usable(void) {
    cpu_set_t cpus;
    unsigned count =
        sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? (unsigned)CPU_COUNT(&cpus) : 1;
    double quota = cpus_quota("/sys/fs/cgroup", "/proc/self/cgroup");

    if (quota > 0 && quota < count) {
        unsigned whole = (unsigned)quota;

        count = whole + (quota > whole);
    }
    return count;
}
