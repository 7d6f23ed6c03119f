/*
 * Control groups of a sandbox, on hosts with version 2, version 1, or both.
 *
 *   silica-<instance>/<id>/envd   the daemon inside, with a reserve of its own
 *   silica-<instance>/<id>/user   everything it starts, with the sandbox's limits
 *
 * The same folders are made in each hierarchy that is used: the one of version 2 (always used for
 * killing; for limits where it has the controllers) and those of version 1 for memory, cpu and pids.
 */
#pragma once

#include "base/err.h"
#include "base/ids.h"

#include <stdint.h>
#include <sys/types.h>

enum { CGROUP_HIERARCHIES_MAX = 4 };

enum cgroup_controller {
    CGROUP_MEMORY = 1 << 0,
    CGROUP_CPU = 1 << 1,
    CGROUP_PIDS = 1 << 2,
    CGROUP_ALL = CGROUP_MEMORY | CGROUP_CPU | CGROUP_PIDS,
};

struct cgroup_hierarchy {
    int fd; /* O_PATH folder: the mount's root, later silica-<instance> in it */
    bool v2;
    unsigned controllers; /* of enum cgroup_controller, that this hierarchy is responsible for */
};

/* The host's hierarchies, found once. */
struct cgroups {
    char name[24]; /* "silica-<instance>" */
    struct cgroup_hierarchy h[CGROUP_HIERARCHIES_MAX];
    unsigned n;
    bool favoured; /* the host's version 2 mount was given the option favordynmods just now */
};

struct cgroup_limits {
    uint64_t memory_bytes;
    uint32_t cpu_millis; /* 1000 = one core */
    uint32_t pids;
};

/* Finds the hierarchies and makes silica-<instance>. An error when a controller is missing. */
int cgroups_open(struct cgroups *cg, unsigned instance, struct err *err);
/* Closes; remove: deletes silica-<instance> too, if it is empty. */
void cgroups_close(struct cgroups *cg, bool remove);

/* Makes the groups of a sandbox with the limits set. On failure nothing is left. */
int cgroup_make(const struct cgroups *cg, const char *id, const struct cgroup_limits *limits,
                struct err *err);
enum cgroup_leaf { CGROUP_LEAF_USER, CGROUP_LEAF_ENVD };
const char *cgroup_leaf_name(enum cgroup_leaf leaf);
/* Puts a process into one of the two groups. */
int cgroup_enter(const struct cgroups *cg, const char *id, enum cgroup_leaf leaf, pid_t pid,
                 struct err *err);
/*
 * Opens the cgroup.procs files of the user group for writing, one a hierarchy, into ret_fds
 * (caller closes) and sets *ret_n.
 */
int cgroup_user_fds(const struct cgroups *cg, const char *id,
                    int ret_fds[static CGROUP_HIERARCHIES_MAX], unsigned *ret_n, struct err *err);
/*
 * Opens what the user group uses, for reading (caller closes): bytes of memory into ret[0]
 * (memory.current or memory.usage_in_bytes), processor time into ret[1] (cpu.stat of version 2).
 * -EBADF where the host does not count it.
 */
void cgroup_usage_fds(const struct cgroups *cg, const char *id, int ret[static 2]);
/* Kills what is left in the groups and removes them, waiting a bounded time. Missing is success. */
int cgroup_remove(const struct cgroups *cg, const char *id, struct err *err);
/* Visits the ids of all sandboxes that have groups, also those left behind. */
int cgroup_each(const struct cgroups *cg, void (*each)(void *user, const char *id), void *user,
                struct err *err);

/* cgroup_mounts.c: fills h and n from /proc/self/mountinfo and the roots' controllers. */
int cgroup_find_mounts(struct cgroups *cg, struct err *err);
