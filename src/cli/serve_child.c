/*
 * One supervised process: started by fork and exec from this single thread, held by a pidfd.
 */
#include "cli/serve.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/crash.h"
#include "base/fs.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>

int program_find(const char *name, char dst[static PATH_MAX], struct err *err)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n < 0)
        return err_sys(err, -errno, "find the running program");
    while (n > 0 && self[n - 1] != '/')
        n--;
    self[n > 1 ? n - 1 : n] = '\0';
    if (fs_join(dst, PATH_MAX, self, name) == 0 && access(dst, X_OK) == 0)
        return 0;
    if (fs_join(dst, PATH_MAX, "/usr/lib/silica", name) == 0 && access(dst, X_OK) == 0)
        return 0;
    return err_set(err, -ENOENT, ERR_NOT_FOUND, "%s is neither in %s nor in /usr/lib/silica", name,
                   self);
}

/* Out of the way first: one's old number may be another's new one. */
static bool pass_descriptors(const struct child *c)
{
    int moved[CHILD_PASS_MAX];
    bool ok = true;
    for (int i = 0; i < c->n_pass; i++) {
        moved[i] = fcntl(c->pass_fds[i], F_DUPFD_CLOEXEC, 10);
        ok = ok && moved[i] >= 0;
    }
    for (int i = 0; ok && i < c->n_pass; i++)
        ok = dup2(moved[i], 3 + i) == 3 + i;
    return ok;
}

/* Between fork and exec: async-signal-safe calls only. Ends by exec or _exit. */
static void become(const struct child *c, pid_t parent, int fail_fd)
{
    const char *const env[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                               "LC_ALL=C.UTF-8", crash_setting(), NULL};
    sigset_t none;
    int fail = fcntl(fail_fd, F_DUPFD_CLOEXEC, 10);
    (void)sigemptyset(&none);
    struct sigaction preset = {.sa_handler = SIG_DFL};
    bool ok = fail >= 0 && setpgid(0, 0) == 0 && sigprocmask(SIG_SETMASK, &none, NULL) == 0 &&
              sigaction(SIGPIPE, &preset, NULL) == 0 && prctl(PR_SET_PDEATHSIG, c->end_signal) == 0;
    if (getppid() != parent)
        _exit(127); /* it died before the line above took effect */
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    /* Nothing to read; and what a child should print by mistake is no announcement of ours. */
    ok =
        ok && null >= 0 && dup2(null, STDIN_FILENO) == 0 && dup2(STDERR_FILENO, STDOUT_FILENO) == 1;
    if (ok)
        ok = close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) == 0;
    if (ok && pass_descriptors(c))
        (void)execve(c->path, (char *const *)(uintptr_t)c->argv, (char *const *)(uintptr_t)env);
    int e = errno;
    ssize_t n = write(fail, &e, sizeof(e));
    (void)n;
    _exit(127);
}

int child_start(struct child *c, struct err *err)
{
    int pipe_fds[2], failed = 0;
    pid_t self = getpid();
    if (pipe2(pipe_fds, O_CLOEXEC) != 0)
        return err_sys(err, -errno, "start %s", c->name);
    _cleanup_close_ int out = pipe_fds[0], in = pipe_fds[1];
    pid_t pid = fork();
    if (pid < 0)
        return err_sys(err, -errno, "start %s", c->name);
    if (pid == 0)
        become(c, self, in);
    in = fd_close(in);
    ssize_t n;
    do {
        n = read(out, &failed, sizeof(failed)); /* end of file: the exec succeeded */
    } while (n < 0 && errno == EINTR);
    int pid_fd = n == 0 ? pidfd_open(pid, 0) : -1;
    if (pid_fd < 0) {
        int e = n == 0 ? errno : failed;
        if (n == 0)
            (void)kill(pid, SIGKILL); /* not reaped yet, so the number is still its own */
        (void)waitpid(pid, NULL, 0);
        return err_sys(err, e != 0 ? -e : -EIO, "start %s", c->path);
    }
    c->pid = pid;
    c->pid_fd = pid_fd;
    c->started_ns = clock_monotonic_ns();
    c->restart_at_ns = 0;
    return 0;
}

bool child_reap(struct child *c, int *ret_status)
{
    siginfo_t info = {0};
    if (!child_runs(c) || waitid(P_PIDFD, (id_t)c->pid_fd, &info, WEXITED | WNOHANG) != 0 ||
        info.si_pid == 0)
        return false;
    *ret_status = info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
    c->pid_fd = fd_close(c->pid_fd);
    c->pid = 0;
    return true;
}

void child_signal(const struct child *c, int signum)
{
    if (child_runs(c))
        (void)pidfd_send_signal(c->pid_fd, signum, NULL, 0); /* it may have ended just now */
}
