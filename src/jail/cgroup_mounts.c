#include "jail/cgroup.h"

#include "base/cleanup.h"
#include "base/fs.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MOUNTINFO_MAX_BYTES = 4 * 1024 * 1024, CONTROLLERS_MAX_BYTES = 4096 };

static unsigned controller_bit(struct slice name)
{
    if (slice_eq_str(name, "memory"))
        return CGROUP_MEMORY;
    if (slice_eq_str(name, "cpu"))
        return CGROUP_CPU;
    return slice_eq_str(name, "pids") ? CGROUP_PIDS : 0;
}

static unsigned controller_bits(struct slice list, char separator)
{
    unsigned bits = 0;
    struct slice name;
    while (slice_next(&list, separator, &name))
        bits |= controller_bit(slice_trim(name));
    return bits;
}

static unsigned v2_controllers(int root_fd)
{
    _cleanup_buf_ struct buf text = BUF_INIT(CONTROLLERS_MAX_BYTES);
    if (fs_read_file(root_fd, "cgroup.controllers", &text, NULL) < 0)
        return 0;
    struct slice all = buf_slice(&text);
    while (all.n > 0 && all.p[all.n - 1] == '\n')
        all.n--;
    return controller_bits(all, ' ');
}

/*
 * Moving a process into a group, which every start of a command does, waits for all processors to
 * have passed through the scheduler, several clock ticks when they are busy; unless the hierarchy is
 * told to favour moves (kernel 6.0), which makes forks and exits a little dearer. One setting counts
 * for all hierarchies. Setting it replaces the others, so those that were there are set again.
 * Without it all works, slower; so failures are nobody's concern. Returns whether it was changed.
 */
static bool favour_moves(int root_fd, struct slice options)
{
    static const char *const known[] = {"nsdelegate", "memory_localevents", "memory_recursiveprot",
                                        "memory_hugetlb_accounting", "pids_localevents"};
    _cleanup_close_ int fd =
        (int)syscall(SYS_fspick, root_fd, "", FSPICK_EMPTY_PATH | FSPICK_CLOEXEC);
    struct slice name;
    while (fd >= 0 && slice_next(&options, ',', &name)) {
        if (slice_eq_str(name, "favordynmods"))
            return false;
        for (unsigned i = 0; i < ARRAY_LEN(known); i++)
            if (slice_eq_str(name, known[i]) &&
                syscall(SYS_fsconfig, fd, FSCONFIG_SET_FLAG, known[i], NULL, 0) < 0)
                return false;
    }
    return fd >= 0 && syscall(SYS_fsconfig, fd, FSCONFIG_SET_FLAG, "favordynmods", NULL, 0) == 0 &&
           syscall(SYS_fsconfig, fd, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) == 0;
}

static int add_mount(struct cgroups *cg, struct slice path, bool v2, struct slice options)
{
    char text[512];
    if (cg->n == CGROUP_HIERARCHIES_MAX || slice_copy(path, text, sizeof(text)) < 0)
        return 0; /* not where anybody mounts them */
    unsigned bits = v2 ? 0 : controller_bits(options, ',');
    if (!v2 && bits == 0)
        return 0;
    int fd = open(text, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (v2) {
        bits = v2_controllers(fd);
        cg->favoured = favour_moves(fd, options);
    }
    cg->h[cg->n++] = (struct cgroup_hierarchy){.fd = fd, .v2 = v2, .controllers = bits};
    return 0;
}

/* "36 35 98:0 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory" (man proc). */
static int add_line(struct cgroups *cg, struct slice line)
{
    struct slice rest = line, field, path = {0}, type = {0}, options = {0};
    for (unsigned i = 0; i < 5; i++)
        if (!slice_next(&rest, ' ', &path))
            return 0;
    do {
        if (!slice_next(&rest, ' ', &field))
            return 0;
    } while (!slice_eq_str(field, "-"));
    if (!slice_next(&rest, ' ', &type) || !slice_next(&rest, ' ', &field) ||
        !slice_next(&rest, ' ', &options))
        return 0;
    if (slice_eq_str(type, "cgroup2"))
        return add_mount(cg, path, true, options);
    return slice_eq_str(type, "cgroup") ? add_mount(cg, path, false, options) : 0;
}

/* Each controller is used in one hierarchy: the first that has it. */
static unsigned settle(struct cgroups *cg)
{
    unsigned seen = 0;
    for (unsigned i = 0; i < cg->n; i++) {
        cg->h[i].controllers &= ~seen;
        seen |= cg->h[i].controllers;
    }
    return seen;
}

int cgroup_find_mounts(struct cgroups *cg, struct err *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT(MOUNTINFO_MAX_BYTES);
    int r = fs_read_file(AT_FDCWD, "/proc/self/mountinfo", &text, err);
    if (r < 0)
        return r;
    struct slice rest = buf_slice(&text), line;
    while (slice_next(&rest, '\n', &line))
        if ((r = add_line(cg, line)) < 0)
            return err_sys(err, r, "open a control group hierarchy");
    unsigned missing = CGROUP_ALL & ~settle(cg);
    if (missing != 0)
        return err_set(err, -ENODEV, ERR_UNAVAILABLE,
                       "the control group controller '%s' is not available",
                       (missing & CGROUP_MEMORY) != 0 ? "memory"
                       : (missing & CGROUP_CPU) != 0  ? "cpu"
                                                      : "pids");
    return 0;
}
