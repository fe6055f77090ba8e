/* cpus.h - how many processors this process may use.
 *
 * Threads    Any.
 */
#ifndef BASE_CPUS_H
#define BASE_CPUS_H

/* Of those that its affinity allows, as many as its control group's quota fills (a container's CPU
 * limit), rounded up; at least 1. 64 threads that share one processor's time take turns: each that
 * has used the quota up stops all. */
unsigned cpus_usable(void);

/* The least of the quotas, in processors, of the group that 'membership' names (/proc/self/cgroup,
 * its line of version 2) and of those above it, under 'root' (/sys/fs/cgroup); 0: there is none.
 * Of cgroups(7) version 2 only. */
double cpus_quota(const char *root, const char *membership);

#endif
