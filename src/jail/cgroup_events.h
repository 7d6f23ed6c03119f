/*
 * How often the limits of a sandbox's groups were met, as the kernel counts it.
 *
 *                                    version 2                    version 1
 *   processes ended for memory       memory.events  "oom_kill"    memory.oom_control  "oom_kill"
 *   refused starts of a process      pids.events    "max"         pids.events         "max"
 *
 * Totals since the group was made. A process that the kernel ended because the whole host was out of
 * memory is counted too, in the group that it belonged to.
 */
#pragma once

#include "jail/cgroup.h"

enum cgroup_counter { CGROUP_KILLS_FOR_MEMORY, CGROUP_REFUSED_FORKS, CGROUP_COUNTERS };

/*
 * Opens the files of one group for reading, by enum cgroup_counter (caller closes). -EBADF where the
 * host does not count.
 */
void cgroup_events_open(const struct cgroups *cg, const char *id, enum cgroup_leaf leaf,
                        int ret_fds[static CGROUP_COUNTERS]);

/*
 * Opens memory.stat of a group for reading, which has a member "shmem" in both versions: bytes of files in
 * memory that it must answer for. Caller closes; -EBADF where the host does not count.
 */
int cgroup_stat_open(const struct cgroups *cg, const char *id, enum cgroup_leaf leaf);

/* The present total of one of them. Returns 0, or a negative errno: *ret is untouched then. */
int cgroup_events_read(int fd, enum cgroup_counter counter, uint64_t *ret);
