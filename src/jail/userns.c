#include "jail/jail.h"

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/ids.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/*
 * A user namespace is made by a process that enters it and waits; its maps are written from
 * outside, its descriptor is opened, and the process ends. No foreign code ever runs in it.
 */

static _Noreturn void holder_run(int wait_fd)
{
    char c;
    (void)!read(wait_fd, &c, 1); /* end of file: the parent is done, or gone */
    _exit(0);
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
    _cleanup_close_ int wait_fd = -EBADF, hold_fd = -EBADF;
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return err_sys(err, -errno, "make a user namespace");
    wait_fd = pipe_fds[0], hold_fd = pipe_fds[1];
    struct clone_args args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
    if (pid < 0)
        return err_sys(err, -errno, "make a user namespace");
    if (pid == 0) {
        (void)close(hold_fd); /* so that the read end sees the parent's end only */
        holder_run(wait_fd);
    }
    int r = map_and_open(pid, uid_base, ret_fd);
    hold_fd = fd_close(hold_fd);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return r < 0 ? err_sys(err, r, "map the ids of a user namespace") : 0;
}

int jail_layer_open(int dir_fd, int userns_fd, int *ret_fd, struct err *err)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP | MOUNT_ATTR_NODEV,
                              .userns_fd = (uint64_t)userns_fd};
    _cleanup_close_ int fd =
        open_tree(dir_fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    if (fd < 0)
        return err_sys(err, -errno, "clone the mount of a layer");
    if (mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
        return err_sys(err, -errno, "id-map a layer (does its file system allow it?)");
    *ret_fd = take_fd(&fd);
    return 0;
}
