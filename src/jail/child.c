/*
 * The life of a jailed process between clone and exec.
 *
 * Only async-signal-safe calls, no allocation, no logging: it is a copy of the privileged helper.
 * It works as the host's root in namespaces of its own until its root is built, then joins the
 * sandbox's user namespace for good. That order makes the host's user namespace the owner of its
 * mount, pid, ipc, uts and cgroup namespaces: no capability inside counts for them.
 *
 * A failing step is reported by the pipe report_fd, which exec closes: end of file is success.
 */
#include "jail/jail_internal.h"

#include "base/cleanup.h"
#include "base/syscalls.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum {
    FD_PARKING = 256, /* above all that is passed on */
    NOFILE_SOFT = 65536,
    NOFILE_HARD = 524288, /* of one process; all of a sandbox together fill its memory first */
};

static int join_namespaces(struct jail_child *c)
{
    if (setns(c->spec->netns_fd, CLONE_NEWNET) < 0 || unshare(CLONE_NEWCGROUP) < 0 ||
        sethostname(c->spec->hostname, strlen(c->spec->hostname)) < 0)
        return -errno;
    return 0;
}

/* Soft and hard alike. A limit above what we may give is cut to that. */
static int limit(__rlimit_resource_t what, rlim_t soft, rlim_t hard)
{
    struct rlimit now, want;
    if (getrlimit(what, &now) < 0)
        return -errno;
    want.rlim_max = hard < now.rlim_max ? hard : now.rlim_max;
    want.rlim_cur = soft < want.rlim_max ? soft : want.rlim_max;
    return setrlimit(what, &want) < 0 ? -errno : 0;
}

/* A fresh start: what the helper has set for itself is not passed on. */
static int set_limits(struct jail_child *c)
{
    sigset_t none;
    (void)sigemptyset(&none);
    if (sigprocmask(SIG_SETMASK, &none, NULL) < 0)
        return -errno;
    for (int s = 1; s <= SIGNALS; s++)
        (void)sys_signal_default(s); /* refused for SIGKILL and SIGSTOP */
    (void)umask(022);
    (void)setsid(); /* may be a session leader already, as process 1 of its namespace */
    int r = limit(RLIMIT_CORE, 1, 1); /* not 0: see keep_core_limit() of seccomp.c */
    if (r == 0)
        r = limit(RLIMIT_NOFILE, NOFILE_SOFT, NOFILE_HARD);
    if (r == 0)
        r = limit(RLIMIT_MEMLOCK, 8 << 20, 8 << 20);
    if (r == 0)
        r = limit(RLIMIT_NICE, 0, 0);
    if (r == 0 && c->spec->program != NULL)
        r = limit(RLIMIT_FSIZE, c->spec->program->file_bytes, c->spec->program->file_bytes);
    return r == 0 ? limit(RLIMIT_RTPRIO, 0, 0) : r;
}

static int park(int fd)
{
    int high = fcntl(fd, F_DUPFD_CLOEXEC, FD_PARKING);
    return high < 0 ? -errno : high;
}

/* Descriptors 0 to n-1 are the passed ones, all others close on exec. */
static int arrange_fds(struct jail_child *c, int *exec_fd, int *userns_fd)
{
    int high[JAIL_FDS_MAX];
    for (unsigned i = 0; i < c->spec->n_fds; i++)
        if ((high[i] = park(c->spec->fds[i])) < 0)
            return high[i];
    int report = park(c->report_fd);
    if (report < 0)
        return report;
    if (c->spec->program == NULL &&
        ((*exec_fd = park(c->spec->exec_fd)) < 0 || (*userns_fd = park(c->spec->userns_fd)) < 0))
        return -EMFILE;
    c->report_fd = report;
    for (unsigned i = 0; i < c->spec->n_fds; i++)
        if (dup2(high[i], (int)i) < 0)
            return -errno;
    return close_range(c->spec->n_fds, ~0U, CLOSE_RANGE_CLOEXEC) < 0 ? -errno : 0;
}

/* All ids become `id`, and are read back to be sure. */
static int become(uint32_t id)
{
    if (setgroups(0, NULL) < 0 || setresgid(id, id, id) < 0 || setresuid(id, id, id) < 0)
        return -errno;
    uid_t r, e, s;
    gid_t gr, ge, gs;
    if (getresuid(&r, &e, &s) < 0 || getresgid(&gr, &ge, &gs) < 0)
        return -errno;
    return r == id && e == id && s == id && gr == id && ge == id && gs == id &&
                   getgroups(0, NULL) == 0
               ? 0
               : -EPERM;
}

/* Root of the user namespace. */
static int join_user(int userns_fd)
{
    if (prctl(PR_SET_SECUREBITS, 0, 0, 0, 0) < 0 || setns(userns_fd, CLONE_NEWUSER) < 0)
        return -errno;
    return become(0);
}

/* Without no_new_privs (sudo must work), loading needs CAP_SYS_ADMIN: before it is given up. */
static int load_filters(const struct jail_filters *f, bool program)
{
    if (program && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &f->program) < 0)
        return -errno;
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &f->deny) < 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &f->allow) < 0)
        return -errno;
    return 0;
}

static _Noreturn void give_up(const struct jail_child *c, enum jail_step step, int num)
{
    struct jail_report report = {.step = step, .num = num};
    (void)!write(c->report_fd, &report, sizeof(report)); /* nobody is left to tell otherwise */
    _exit(127);
}

static void must(const struct jail_child *c, enum jail_step step, int r)
{
    if (r < 0)
        give_up(c, step, r);
}

static void wait_for_go(const struct jail_child *c)
{
    char go;
    ssize_t n;
    do
        n = read(c->go_fd, &go, 1);
    while (n < 0 && errno == EINTR);
    if (n != 1)
        _exit(127); /* the helper is gone */
}

static _Noreturn void run_sandbox(struct jail_child *c)
{
    int exec_fd = -EBADF, userns_fd = -EBADF;
    must(c, JAIL_STEP_LAYERS, jail_mount_layers(c));
    (void)umask(0); /* modes are given in full from here to set_limits() */
    must(c, JAIL_STEP_OVERLAY, jail_mount_overlay(c));
    must(c, JAIL_STEP_DEV, jail_mount_dev(c));
    must(c, JAIL_STEP_PROC, jail_mount_proc(c));
    must(c, JAIL_STEP_SYS, jail_mount_sys(c));
    must(c, JAIL_STEP_ETC, jail_write_etc(c));
    must(c, JAIL_STEP_PIVOT, jail_pivot(c));
    must(c, JAIL_STEP_LIMITS, set_limits(c));
    must(c, JAIL_STEP_FDS, arrange_fds(c, &exec_fd, &userns_fd));
    must(c, JAIL_STEP_IDS, join_user(userns_fd));
    must(c, JAIL_STEP_CAPS, jail_drop_bounding_set(jail_bounding_set()));
    must(c, JAIL_STEP_SECCOMP, load_filters(c->spec->filters, false));
    must(c, JAIL_STEP_CAPS, jail_set_caps(jail_bounding_set(), jail_bounding_set()));

    const char *const argv[] = {c->spec->argv0, NULL}, *const envp[] = {NULL};
    (void)syscall(SYS_execveat, exec_fd, "", argv, envp, AT_EMPTY_PATH);
    give_up(c, JAIL_STEP_EXEC, -errno);
}

/* Rights are gone with the ids: no bounding set, none to win back by a program. */
static _Noreturn void run_program(struct jail_child *c)
{
    const struct jail_program *p = c->spec->program;
    const char *const envp[] = {NULL};
    int none = -EBADF; /* of what a sandbox has */
    (void)umask(0);
    must(c, JAIL_STEP_LAYERS, jail_mount_program(c));
    must(c, JAIL_STEP_PIVOT, jail_pivot(c));
    must(c, JAIL_STEP_LIMITS, set_limits(c));
    must(c, JAIL_STEP_FDS, arrange_fds(c, &none, &none));
    must(c, JAIL_STEP_CAPS, jail_drop_bounding_set(0));
    must(c, JAIL_STEP_IDS, become(p->uid));
    must(c, JAIL_STEP_CAPS, jail_set_caps(0, 0));
    must(c, JAIL_STEP_CAPS, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0);
    must(c, JAIL_STEP_SECCOMP, load_filters(c->spec->filters, true));
    (void)syscall(SYS_execve, p->path, p->argv, envp);
    give_up(c, JAIL_STEP_EXEC, -errno);
}

_Noreturn void jail_child_run(struct jail_child *c)
{
    wait_for_go(c);
    must(c, JAIL_STEP_NAMESPACES, join_namespaces(c));
    must(c, JAIL_STEP_STAGE, jail_mount_stage(c));
    if (c->spec->program != NULL)
        run_program(c);
    run_sandbox(c);
}
