#include "jail/jail.h"

#include "base/cleanup.h"
#include "jail/jail_internal.h"

#include <assert.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/syscall.h>

/* A start takes milliseconds; this is for a host in trouble. */
enum { EXEC_TIMEOUT_MS = 20000 };

static const char *const step_names[] = {
    [JAIL_STEP_NAMESPACES] = "join the namespaces",
    [JAIL_STEP_STAGE] = "mount the stage",
    [JAIL_STEP_LAYERS] = "mount the layers",
    [JAIL_STEP_OVERLAY] = "mount the overlay",
    [JAIL_STEP_DEV] = "make /dev (a plain folder in the template?)",
    [JAIL_STEP_PROC] = "mount /proc (a plain folder in the template?)",
    [JAIL_STEP_SYS] = "mount /sys (a plain folder in the template?)",
    [JAIL_STEP_ETC] = "write /etc (a plain folder in the template?)",
    [JAIL_STEP_PIVOT] = "change the root",
    [JAIL_STEP_LIMITS] = "set resource limits",
    [JAIL_STEP_FDS] = "arrange descriptors",
    [JAIL_STEP_IDS] = "join the user namespace",
    [JAIL_STEP_CAPS] = "drop capabilities",
    [JAIL_STEP_SECCOMP] = "load the system call filter",
    [JAIL_STEP_EXEC] = "execute the program",
};
static_assert(ARRAY_LEN(step_names) == JAIL_STEP_MAX_, "a step has no name");

static const uint64_t clone_flags =
    CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_PIDFD;

int jail_spawn(const struct jail_spec *spec, struct jail *ret, struct err *err)
{
    _cleanup_close_ int go_read = -EBADF, go_write = -EBADF;
    _cleanup_close_ int report_read = -EBADF, report_write = -EBADF;
    int fds[2], pid_fd = -EBADF;
    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_sys(err, -errno, "start a jail");
    go_read = fds[0], go_write = fds[1];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_sys(err, -errno, "start a jail");
    report_read = fds[0], report_write = fds[1];
    struct clone_args args = {
        .flags = clone_flags, .exit_signal = SIGCHLD, .pidfd = (uint64_t)(uintptr_t)&pid_fd};
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
    if (pid < 0)
        return err_sys(err, -errno, "start a jail");
    if (pid == 0) {
        (void)close(go_write); /* so that the helper's end is the only one */
        struct jail_child child = {.spec = spec, .go_fd = go_read, .report_fd = report_write};
        jail_child_run(&child);
    }
    *ret = (struct jail){.pid = pid,
                         .pid_fd = pid_fd,
                         .go_fd = take_fd(&go_write),
                         .report_fd = take_fd(&report_read)};
    return 0;
}

static int failed_step(const struct jail_report *report, struct err *err)
{
    bool known = report->step >= 0 && report->step < JAIL_STEP_MAX_ && report->num < 0;
    if (!known)
        return err_set(err, -EIO, ERR_INTERNAL, "a jail ended without a reason");
    (void)err_sys(err, report->num, "%s", step_names[report->step]);
    if (err != NULL)
        err->kind = ERR_INTERNAL; /* the host's or the template's fault, whatever the number says */
    return report->num;
}

int jail_go(struct jail *jail, struct err *err)
{
    struct jail_report report;
    if (write(jail->go_fd, "g", 1) != 1)
        return err_sys(err, -EPIPE, "a jail ended before it began");
    jail->go_fd = fd_close(jail->go_fd);
    struct pollfd p = {.fd = jail->report_fd, .events = POLLIN};
    int n;
    do
        n = poll(&p, 1, EXEC_TIMEOUT_MS);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return err_set(err, -ETIMEDOUT, ERR_TIMEOUT, "a jail was not ready in %d ms",
                       EXEC_TIMEOUT_MS);
    ssize_t got = read(jail->report_fd, &report, sizeof(report));
    jail->report_fd = fd_close(jail->report_fd);
    if (got == 0) { /* closed by exec, or by the child's end */
        struct pollfd end = {.fd = jail->pid_fd, .events = POLLIN};
        return poll(&end, 1, 0) == 0
                   ? 0
                   : err_set(err, -EIO, ERR_INTERNAL, "the program in a jail ended at once");
    }
    return got == sizeof(report) ? failed_step(&report, err)
                                 : err_set(err, -EIO, ERR_INTERNAL, "a jail's report is cut");
}

void jail_close(struct jail *jail)
{
    jail->pid_fd = fd_close(jail->pid_fd);
    jail->go_fd = fd_close(jail->go_fd);
    jail->report_fd = fd_close(jail->report_fd);
}
