/*
 * Control groups inside the machine: `user` for everything that envd starts, `envd` for itself.
 *
 * The machine's memory is the sandbox's limit; here is only seen to that envd lives when it is used
 * up. The limited group gets all but a reserve for the kernel and envd, and envd's memory is taken
 * last. Root of the machine may undo all this, to its own harm only.
 */
#include "guest/guest.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>

#define GROUPS "/sys/fs/cgroup"

/* A list of all processes at every kill takes seconds where hundreds fight for memory. */
#define OOM_DUMP GUEST_ROOT "/proc/sys/vm/oom_dump_tasks"

/* What kernel and envd have beside the limited group: after boot they use 24 to 28 MiB of any machine. */
static const uint64_t RESERVE_BYTES = 40ull << 20;
static const uint64_t ENVD_MEMORY_MIN_BYTES = 32ull << 20;

enum { USER_CPU_WEIGHT = 100, ENVD_CPU_WEIGHT = 800 };

static int set_number(int dir, const char *path, uint64_t v, struct err *err)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)v); /* fits: 20 digits at most */
    int r = guest_write_file(dir, path, text);
    return r < 0 ? err_sys(err, r, "write %s", path) : 0;
}

/* All memory but the reserve, and half of a machine that is smaller than two of it. */
static int limit_memory(int dir, struct err *err)
{
    struct sysinfo si;
    if (sysinfo(&si) < 0)
        return err_sys(err, -errno, "ask for the machine's memory");
    uint64_t total = (uint64_t)si.totalram * si.mem_unit, half = total / 2;
    uint64_t most = total > RESERVE_BYTES ? total - RESERVE_BYTES : 0;
    int r = set_number(dir, "user/memory.max", most > half ? most : half, err);
    if (r == 0 && faccessat(dir, "user/memory.swap.max", F_OK, 0) == 0)
        r = set_number(dir, "user/memory.swap.max", 0, err);
    return r;
}

static int limit(int dir, uint32_t pids, struct err *err)
{
    int r = limit_memory(dir, err);
    if (r == 0 && pids > 0)
        r = set_number(dir, "user/pids.max", pids, err);
    if (r == 0)
        r = set_number(dir, "user/cpu.weight", USER_CPU_WEIGHT, err);
    if (r == 0)
        r = set_number(dir, "envd/cpu.weight", ENVD_CPU_WEIGHT, err);
    return r == 0 ? set_number(dir, "envd/memory.min", ENVD_MEMORY_MIN_BYTES, err) : r;
}

static int open_files(struct guest *g, int dir, struct err *err)
{
    static const char *const paths[GUEST_FDS] = {"user/cgroup.procs", "user/memory.current",
                                                 "user/cpu.stat",     "user/memory.events",
                                                 "user/pids.events",  "envd/memory.stat"};
    for (int i = 0; i < GUEST_FDS; i++) {
        int flags = i == GUEST_FD_PROCS ? O_WRONLY : O_RDONLY;
        g->group_fds[i] = guest_park(openat(dir, paths[i], flags | O_CLOEXEC));
        if (g->group_fds[i] < 0)
            return err_sys(err, -errno, "open %s", paths[i]);
    }
    return 0;
}

int guest_make_groups(struct guest *g, struct err *err)
{
    _cleanup_close_ int dir =
        open(GUEST_ROOT GROUPS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0)
        return err_sys(err, -errno, "open " GROUPS);
    int r = guest_write_file(dir, "cgroup.subtree_control", "+memory +pids +cpu");
    if (r < 0)
        return err_sys(err, r, "divide memory, processes and processor");
    if (mkdirat(dir, "envd", 0755) < 0 || mkdirat(dir, "user", 0755) < 0)
        return err_sys(err, -errno, "make the groups");
    r = limit(dir, g->pids, err);
    if (r == 0)
        r = set_number(AT_FDCWD, OOM_DUMP, 0, err);
    if (r == 0)
        r = set_number(dir, "envd/cgroup.procs", 1, err);
    return r == 0 ? open_files(g, dir, err) : r;
}
