#include "jail/cgroup_events.h"

#include "base/cleanup.h"
#include "base/keyed.h"

#include <assert.h>
#include <fcntl.h>

enum { EVENTS_PATH_BYTES = 64 };

static const struct {
    unsigned controller; /* of enum cgroup_controller */
    const char *v2, *v1, *key;
} files[] = {
    [CGROUP_KILLS_FOR_MEMORY] = {CGROUP_MEMORY, "memory.events", "memory.oom_control", "oom_kill"},
    [CGROUP_REFUSED_FORKS] = {CGROUP_PIDS, "pids.events", "pids.events", "max"},
};
static_assert(ARRAY_LEN(files) == CGROUP_COUNTERS, "a counter has no file");

static int open_one(const struct cgroup_hierarchy *h, const char *id, const char *leaf,
                    const char *file)
{
    char path[EVENTS_PATH_BYTES];
    int n = snprintf(path, sizeof(path), "%s/%s/%s", id, leaf, file);
    int fd = (size_t)n < sizeof(path) ? openat(h->fd, path, O_RDONLY | O_CLOEXEC) : -1;
    return fd < 0 ? -EBADF : fd;
}

void cgroup_events_open(const struct cgroups *cg, const char *id, enum cgroup_leaf leaf,
                        int ret_fds[static CGROUP_COUNTERS])
{
    for (unsigned c = 0; c < CGROUP_COUNTERS; c++) {
        ret_fds[c] = -EBADF;
        for (unsigned i = 0; i < cg->n && ret_fds[c] < 0; i++)
            if ((cg->h[i].controllers & files[c].controller) != 0)
                ret_fds[c] = open_one(&cg->h[i], id, cgroup_leaf_name(leaf),
                                      cg->h[i].v2 ? files[c].v2 : files[c].v1);
    }
}

int cgroup_stat_open(const struct cgroups *cg, const char *id, enum cgroup_leaf leaf)
{
    for (unsigned i = 0; i < cg->n; i++)
        if ((cg->h[i].controllers & CGROUP_MEMORY) != 0)
            return open_one(&cg->h[i], id, cgroup_leaf_name(leaf), "memory.stat");
    return -EBADF;
}

int cgroup_events_read(int fd, enum cgroup_counter counter, uint64_t *ret)
{
    return fd < 0 ? -EBADF : keyed_read_u64(fd, files[counter].key, ret);
}
