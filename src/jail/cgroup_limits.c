/*
 * What a sandbox's groups are limited to.
 *
 * The limits are on the user group. The envd group has limits of its own, so that a daemon inside
 * that was taken over cannot eat the host either, and more weight, so that it answers while
 * everything else is busy.
 */
#include "jail/cgroup_internal.h"

#include "base/cleanup.h"
#include "base/fs.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum {
    ENVD_CPU_MILLIS = 1000,
    /* Weights of version 2, where 100 is that of a process; docs/design/0008-fair-shares.md. */
    GROUP_WEIGHT = 1000,
    ENVD_WEIGHT = 8000,
    ENVD_PIDS = 64,
    SOCKETS_SHARE = 4, /* version 1: buffers of sockets, a quarter of the memory on top of it */
};
#define ENVD_MEMORY_BYTES (UINT64_C(256) << 20)

int cgroup_write(int dir_fd, const char *dir, const char *file, const char *value)
{
    char path[CGROUP_PATH_BYTES];
    int r = fs_join(path, sizeof(path), dir, file);
    if (r < 0)
        return r;
    _cleanup_close_ int fd = openat(dir_fd, path, O_WRONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fs_write_all(fd, value, strlen(value));
}

int cgroup_write_number(int dir_fd, const char *dir, const char *file, uint64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    return cgroup_write(dir_fd, dir, file, text);
}

static int optional(int r)
{
    return r == -ENOENT ? 0 : r;
}

static int limit_v1(const struct cgroup_hierarchy *h, const char *dir,
                    const struct cgroup_limits *l, bool reserve)
{
    int r = 0;
    if ((h->controllers & CGROUP_MEMORY) != 0)
        r = cgroup_write_number(h->fd, dir, "memory.limit_in_bytes", l->memory_bytes);
    if (r == 0 && (h->controllers & CGROUP_MEMORY) != 0) /* there only with swap accounting */
        r = optional(
            cgroup_write_number(h->fd, dir, "memory.memsw.limit_in_bytes", l->memory_bytes));
    if (r == 0 && (h->controllers & CGROUP_MEMORY) != 0) /* counted apart, and only when limited */
        r = optional(cgroup_write_number(h->fd, dir, "memory.kmem.tcp.limit_in_bytes",
                                         l->memory_bytes / SOCKETS_SHARE));
    if (r == 0 && (h->controllers & CGROUP_CPU) != 0)
        r = cgroup_share(h, dir, l->cpu_millis, reserve ? ENVD_WEIGHT : GROUP_WEIGHT);
    if (r == 0 && (h->controllers & CGROUP_PIDS) != 0)
        r = cgroup_write_number(h->fd, dir, "pids.max", l->pids);
    return r;
}

static int limit_v2(const struct cgroup_hierarchy *h, const char *dir,
                    const struct cgroup_limits *l, bool reserve)
{
    int r = 0;
    if ((h->controllers & CGROUP_MEMORY) != 0)
        r = cgroup_write_number(h->fd, dir, "memory.max", l->memory_bytes);
    if (r == 0 && (h->controllers & CGROUP_MEMORY) != 0) /* there only with swap accounting */
        r = optional(cgroup_write_number(h->fd, dir, "memory.swap.max", 0));
    if (r == 0 && reserve && (h->controllers & CGROUP_MEMORY) != 0)
        r = cgroup_write_number(h->fd, dir, "memory.min", ENVD_MEMORY_BYTES / 16);
    if (r == 0 && (h->controllers & CGROUP_CPU) != 0)
        r = cgroup_share(h, dir, l->cpu_millis, reserve ? ENVD_WEIGHT : GROUP_WEIGHT);
    if (r == 0 && (h->controllers & CGROUP_PIDS) != 0)
        r = cgroup_write_number(h->fd, dir, "pids.max", l->pids);
    return r;
}

int cgroup_limit_sandbox(const struct cgroup_hierarchy *h, const char *dir)
{
    return (h->controllers & CGROUP_CPU) != 0 ? cgroup_weight(h, dir, GROUP_WEIGHT) : 0;
}

int cgroup_limit_user(const struct cgroup_hierarchy *h, const char *dir,
                      const struct cgroup_limits *limits)
{
    return h->v2 ? limit_v2(h, dir, limits, false) : limit_v1(h, dir, limits, false);
}

int cgroup_limit_envd(const struct cgroup_hierarchy *h, const char *dir)
{
    static const struct cgroup_limits envd = {
        .memory_bytes = ENVD_MEMORY_BYTES, .cpu_millis = ENVD_CPU_MILLIS, .pids = ENVD_PIDS};
    return h->v2 ? limit_v2(h, dir, &envd, true) : limit_v1(h, dir, &envd, true);
}
