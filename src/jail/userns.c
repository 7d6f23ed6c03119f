#include "jail/jail.h"

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/ids.h"

#include <fcntl.h>
#include <linux/securebits.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/*
 * A user namespace is made by a process that enters it and waits; its maps are written from
 * outside, its descriptor is opened, and the process ends. No foreign code ever runs in it.
 *
 * The process takes the first id of the range before: the kernel counts what is used inside
 * (inotify, message queues, locked memory, signals) for the namespace's maker too, against the
 * host's limit for one user. Made by root, one sandbox could use up what all others and the
 * host's own services have.
 */

enum { HOLDER_READY = 'r' };

static bool become_owner(uint32_t uid)
{
    /* keeps the rights, which the host may ask for to make a user namespace */
    return prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) == 0 &&
           setresgid(uid, uid, uid) == 0 && setresuid(uid, uid, uid) == 0;
}

static _Noreturn void holder_run(int wait_fd, int ready_fd, uint32_t uid)
{
    char c = HOLDER_READY;
    if (!become_owner(uid) || unshare(CLONE_NEWUSER) < 0 || write(ready_fd, &c, 1) != 1)
        _exit(1);
    (void)!read(wait_fd, &c, 1); /* end of file: the parent is done, or gone */
    _exit(0);
}

static int await_holder(int ready_fd)
{
    char c = 0;
    ssize_t n;
    do
        n = read(ready_fd, &c, 1);
    while (n < 0 && errno == EINTR);
    return n == 1 && c == HOLDER_READY ? 0 : -EPERM;
}

static int write_map(pid_t pid, const char *name, uint32_t base)
{
    char path[48], map[48];
    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    int n = snprintf(map, sizeof(map), "0 %u %u\n", base, SANDBOX_UID_RANGE);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fs_write_all(fd, map, (size_t)n);
}

static int map_and_open(pid_t pid, uint32_t base, int *ret_fd)
{
    char path[48];
    int r = write_map(pid, "gid_map", base);
    if (r == 0)
        r = write_map(pid, "uid_map", base);
    if (r < 0)
        return r;
    (void)snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return 0;
}

int jail_userns_make(uint32_t uid_base, int *ret_fd, struct err *err)
{
    _cleanup_close_ int wait_fd = -EBADF, hold_fd = -EBADF, ready_fd = -EBADF, tell_fd = -EBADF;
    int hold[2], ready[2];
    if (pipe2(hold, O_CLOEXEC) < 0)
        return err_sys(err, -errno, "make a user namespace");
    wait_fd = hold[0], hold_fd = hold[1];
    if (pipe2(ready, O_CLOEXEC) < 0)
        return err_sys(err, -errno, "make a user namespace");
    ready_fd = ready[0], tell_fd = ready[1];
    pid_t pid = fork();
    if (pid < 0)
        return err_sys(err, -errno, "make a user namespace");
    if (pid == 0) {
        (void)close(hold_fd); /* so that the read end sees the parent's end only */
        holder_run(wait_fd, tell_fd, uid_base);
    }
    tell_fd = fd_close(tell_fd);
    int r = await_holder(ready_fd);
    if (r == 0)
        r = map_and_open(pid, uid_base, ret_fd);
    hold_fd = fd_close(hold_fd);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return r < 0 ? err_sys(err, r, "make a user namespace and map its ids") : 0;
}

int jail_layer_shift(int mnt_fd, int userns_fd, struct err *err)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP | MOUNT_ATTR_NODEV,
                              .userns_fd = (uint64_t)userns_fd};
    if (mount_setattr(mnt_fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
        return err_sys(err, -errno, "id-map a layer (does its file system allow it?)");
    return 0;
}

int jail_layer_open(int dir_fd, int userns_fd, int *ret_fd, struct err *err)
{
    _cleanup_close_ int fd =
        open_tree(dir_fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    if (fd < 0)
        return err_sys(err, -errno, "clone the mount of a layer");
    int r = jail_layer_shift(fd, userns_fd, err);
    if (r == 0)
        *ret_fd = take_fd(&fd);
    return r;
}
