/*
 * /dev, /proc and /sys of a sandbox.
 *
 * Each is a new mount, attached to a plain folder of the overlay: a template that has a symbolic
 * link there is refused. What is covered or made read-only lies below mounts that this file made
 * itself, so no path of the template is walked.
 */
#include "jail/jail_internal.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

static const unsigned dev_attrs = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
static const unsigned quiet_attrs = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

enum { TTY_GID = 5 }; /* Debian's group "tty", as grantpt expects */

/* The kernel has 4096 terminals for the whole host: one sandbox does not get them all. */
#define TERMINALS_MAX "256"

const struct jail_node jail_dev_nodes[] = {
    {"null", 1, 3},    {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8},
    {"urandom", 1, 9}, {"tty", 5, 0},  {NULL, 0, 0},
};
const char *const jail_proc_read_only[] = {"bus",           "fs", "irq", "pressure", "sys",
                                           "sysrq-trigger", NULL};
const char *const jail_proc_masked[] = {
    "acpi",        "asound", "interrupts", "kallsyms",   "kcore",       "keys",
    "key-users",   "kmsg",   "kpagecount", "kpageflags", "kpagecgroup", "latency_stats",
    "sched_debug", "scsi",   "slabinfo",   "timer_list", "vmallocinfo", NULL};
const char *const jail_sys_masked[] = {"firmware",           "fs/bpf",
                                       "kernel/debug",       "kernel/tracing",
                                       "kernel/security",    "devices/virtual/powercap",
                                       "kernel/boot_params", NULL};

/* Nodes of our own rather than binds of the host's: locks on them are not shared with anybody. */
static int make_nodes(int dev)
{
    for (const struct jail_node *n = jail_dev_nodes; n->name != NULL; n++) {
        dev_t number = makedev(n->major, n->minor);
        if (mknodat(dev, n->name, S_IFCHR | 0666, number) < 0 ||
            fchmodat(dev, n->name, 0666, 0) < 0)
            return -errno;
    }
    return 0;
}

static int make_links(int dev)
{
    static const struct {
        const char *name, *target;
    } links[] = {{"fd", "/proc/self/fd"},
                 {"stdin", "/proc/self/fd/0"},
                 {"stdout", "/proc/self/fd/1"},
                 {"stderr", "/proc/self/fd/2"},
                 {"ptmx", "pts/ptmx"}};
    for (unsigned i = 0; i < ARRAY_LEN(links); i++)
        if (symlinkat(links[i].target, dev, links[i].name) < 0)
            return -errno;
    return 0;
}

static int attach_new(int dir, const char *name, const char *type, const struct fs_option *options,
                      unsigned n, unsigned attrs)
{
    _cleanup_close_ int fd = fs_new_mount(type, options, n, attrs);
    return fd < 0 ? fd : jail_attach(fd, dir, name);
}

/*
 * Terminals belong to group tty, which may write. Before Linux 6.15 devpts reads its option as a
 * signed number and refuses the upper half of the range: there they belong to who opens them alone.
 */
static int mount_pts(const struct jail_child *c)
{
    char tty[16];
    (void)snprintf(tty, sizeof(tty), "%u", c->spec->uid_base + TTY_GID); /* fits: 10 digits */
    const struct fs_option group[] = {
        {"ptmxmode", "666"}, {"mode", "620"}, {"gid", tty}, {"max", TERMINALS_MAX}};
    const struct fs_option alone[] = {{"ptmxmode", "666"}, {"mode", "600"}, {"max", TERMINALS_MAX}};
    int r = attach_new(c->dev_fd, "pts", "devpts", group, ARRAY_LEN(group), dev_attrs);
    if (r == -EINVAL && c->spec->uid_base > INT32_MAX - TTY_GID)
        r = attach_new(c->dev_fd, "pts", "devpts", alone, ARRAY_LEN(alone), dev_attrs);
    return r;
}

int jail_mount_dev(struct jail_child *c)
{
    char uid[16];
    (void)snprintf(uid, sizeof(uid), "%u", c->spec->uid_base); /* fits: 10 digits at most */
    const struct fs_option dev[] = {{"mode", "755"}, {"size", "64k"}, {"uid", uid}, {"gid", uid}};
    const struct fs_option shm[] = {{"mode", "1777"}, {"uid", uid}, {"gid", uid}};
    c->dev_fd = fs_new_mount("tmpfs", dev, ARRAY_LEN(dev), dev_attrs);
    if (c->dev_fd < 0)
        return c->dev_fd;
    int r = jail_attach(c->dev_fd, c->root_fd, "dev");
    if (r == 0)
        r = make_nodes(c->dev_fd);
    if (r == 0)
        r = make_links(c->dev_fd);
    if (r == 0)
        r = mount_pts(c);
    return r == 0 ? attach_new(c->dev_fd, "shm", "tmpfs", shm, ARRAY_LEN(shm), quiet_attrs) : r;
}

/* Covers a path below a mount of ours with a read-only view of itself. Missing is fine. */
static int make_read_only(int dir, const char *path)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY | quiet_attrs};
    _cleanup_close_ int fd =
        open_tree(dir, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    if (mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0 ||
        move_mount(fd, "", dir, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return -errno;
    return 0;
}

/* Covers a file with our own /dev/null, a folder with nothing. Missing is fine. */
static int mask(const struct jail_child *c, int dir, const char *path)
{
    static const struct fs_option options[] = {{"size", "0"}, {"mode", "555"}};
    struct stat st;
    if (fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT || errno == EACCES ? 0 : -errno;
    _cleanup_close_ int cover =
        S_ISDIR(st.st_mode)
            ? fs_new_mount("tmpfs", options, ARRAY_LEN(options), MOUNT_ATTR_RDONLY | quiet_attrs)
            : open_tree(c->dev_fd, "null", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (cover < 0)
        return S_ISDIR(st.st_mode) ? cover : -errno;
    return move_mount(cover, "", dir, path, MOVE_MOUNT_F_EMPTY_PATH) < 0 ? -errno : 0;
}

static int cover_all(const struct jail_child *c, int dir, const char *const *read_only,
                     const char *const *masked)
{
    int r = 0;
    for (; r == 0 && *read_only != NULL; read_only++)
        r = make_read_only(dir, *read_only);
    for (; r == 0 && *masked != NULL; masked++)
        r = mask(c, dir, *masked);
    return r;
}

int jail_mount_proc(struct jail_child *c)
{
    _cleanup_close_ int fd = fs_new_mount("proc", NULL, 0, quiet_attrs);
    if (fd < 0)
        return fd;
    int r = jail_attach(fd, c->root_fd, "proc");
    return r == 0 ? cover_all(c, fd, jail_proc_read_only, jail_proc_masked) : r;
}

int jail_mount_sys(struct jail_child *c)
{
    static const char *const none[] = {NULL};
    _cleanup_close_ int fd = fs_new_mount("sysfs", NULL, 0, MOUNT_ATTR_RDONLY | quiet_attrs);
    if (fd < 0)
        return fd;
    int r = jail_attach(fd, c->root_fd, "sys");
    return r == 0 ? cover_all(c, fd, none, jail_sys_masked) : r;
}

/* /proc for mem-path=/proc/self/fd/N and the like: nothing but the program's own processes. */
static int mount_own_proc(const struct jail_child *c)
{
    static const struct fs_option options[] = {{"subset", "pid"}, {"hidepid", "ptraceable"}};
    return attach_new(c->root_fd, "proc", "proc", options, ARRAY_LEN(options),
                      quiet_attrs | MOUNT_ATTR_RDONLY);
}

static int mount_few_nodes(struct jail_child *c)
{
    static const struct fs_option options[] = {{"mode", "755"}, {"size", "64k"}};
    static const struct jail_node nodes[] = {
        {"null", 1, 3}, {"urandom", 1, 9}, {"kvm", 10, 232}, {NULL, 0, 0}};
    c->dev_fd = fs_new_mount("tmpfs", options, ARRAY_LEN(options), dev_attrs);
    if (c->dev_fd < 0)
        return c->dev_fd;
    int r = jail_attach(c->dev_fd, c->root_fd, "dev");
    for (const struct jail_node *n = nodes; r == 0 && n->name != NULL; n++)
        if ((n->major != 10 || c->spec->program->kvm) &&
            mknodat(c->dev_fd, n->name, S_IFCHR | 0666, makedev(n->major, n->minor)) < 0)
            r = -errno;
    return r;
}

int jail_mount_program(struct jail_child *c)
{
    c->root_fd = c->spec->program->root_fd;
    int r = jail_attach(c->root_fd, c->stage_fd, "root");
    if (r == 0)
        r = mount_few_nodes(c);
    return r == 0 ? mount_own_proc(c) : r;
}

int jail_root_open(int dir_fd, int *ret_fd, struct err *err)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
    _cleanup_close_ int fd =
        open_tree(dir_fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    if (fd < 0 || mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
        return err_sys(err, -errno, "mount the folder of a program");
    *ret_fd = take_fd(&fd);
    return 0;
}
