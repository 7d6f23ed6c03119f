/*
 * Order in the child, and why:
 *   cgroups, OOM score, nice     need the daemon's rights
 *   process group, descriptors   before anything can print
 *   groups, gid, uid             in this order, by raw system calls: libc's versions would try to
 *                                change the ids of pool threads that the child does not have
 *   other descriptors closed     before chdir: a folder named /proc/self/fd/N must not be one of ours
 *   chdir                        as the user, so that a folder closed to him fails here
 *   signals, exec
 * What fails before exec is told on a close-on-exec pipe as {step, errno}. The pipe is closed just
 * before exec, so that a program on a slow file system does not hold up the daemon's loop.
 */
#include "envd/spawn.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/syscalls.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum {
    CHILD_OOM_SCORE_ADJ = 100, /* protocol: the daemon survives, what it starts goes first */
    IOPRIO_CLASS_BE_4 = 2 << 13 | 4,
    PATH_CANDIDATES_MAX = 64,
    EXIT_NOT_FOUND = 127,
    EXIT_NOT_EXECUTABLE = 126,
};

enum step { STEP_CGROUP, STEP_STDIO, STEP_GROUPS, STEP_GID, STEP_UID, STEP_CHDIR, STEP_MAX_ };
static const char *const step_names[] = {"enter cgroup", "stdio",  "setgroups",
                                         "setgid",       "setuid", "chdir"};
static_assert(ARRAY_LEN(step_names) == STEP_MAX_, "step without name");

struct report {
    int step, num;
};

/* All that the child needs, made before the fork. */
struct plan {
    const struct spawn_opts *o;
    char *paths[PATH_CANDIDATES_MAX + 1]; /* owned; what to try to execute, in order */
    char **sh_argv;                       /* owned array; /bin/sh, path, args: for ENOEXEC */
    int report_fd;
};

static struct rlimit child_nofile;

void spawn_init(void)
{
    (void)getrlimit(RLIMIT_NOFILE, &child_nofile);
    struct rlimit all = {.rlim_cur = child_nofile.rlim_max, .rlim_max = child_nofile.rlim_max};
    (void)setrlimit(RLIMIT_NOFILE, &all); /* fewer descriptors only means fewer processes */
}

/* ---- in the child: system calls only ---- */

static _Noreturn void child_fail(const struct plan *p, enum step step)
{
    struct report r = {.step = (int)step, .num = errno};
    (void)!write(p->report_fd, &r, sizeof(r));
    _exit(EXIT_NOT_FOUND);
}

static void child_scores(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)!write(fd, "100", 3);
        (void)close(fd);
    }
    static_assert(CHILD_OOM_SCORE_ADJ == 100, "the text above");
    (void)setpriority(PRIO_PROCESS, 0, 0);
    (void)syscall(SYS_ioprio_set, 1 /* IOPRIO_WHO_PROCESS */, 0, IOPRIO_CLASS_BE_4);
    (void)setrlimit(RLIMIT_NOFILE, &child_nofile);
}

static void child_ids(const struct plan *p)
{
    const struct spawn_opts *o = p->o;
    if (syscall(SYS_setgroups, o->groups->n, o->groups->gid) < 0)
        child_fail(p, STEP_GROUPS);
    if (syscall(SYS_setresgid, o->user->gid, o->user->gid, o->user->gid) < 0)
        child_fail(p, STEP_GID);
    if (syscall(SYS_setresuid, o->user->uid, o->user->uid, o->user->uid) < 0)
        child_fail(p, STEP_UID);
}

static void child_signals(void)
{
    sigset_t none;
    for (int s = 1; s <= SIGNALS; s++)
        (void)sys_signal_default(s); /* KILL and STOP refuse, as they should */
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* All but 0 to 2 and the one to keep. */
static void child_close_all(int keep)
{
    unsigned k = (unsigned)keep;
    if (k > 3)
        (void)syscall(SYS_close_range, 3, k - 1, 0);
    (void)syscall(SYS_close_range, k + 1, ~0u, 0);
}

static void child_say(const char *s)
{
    (void)!write(STDERR_FILENO, s, strlen(s));
}

static _Noreturn void child_exec(const struct plan *p)
{
    const struct spawn_opts *o = p->o;
    int worst = ENOENT;
    for (size_t i = 0; p->paths[i] != NULL; i++) {
        (void)execve(p->paths[i], o->argv, o->envp);
        if (errno == ENOEXEC) { /* a script without #!, as execvp(3) has it */
            p->sh_argv[1] = p->paths[i];
            (void)execve("/bin/sh", p->sh_argv, o->envp);
        }
        if (errno != ENOENT && errno != ENOTDIR)
            worst = errno;
    }
    child_say("silica-envd: ");
    child_say(o->argv[0]);
    child_say(": ");
    child_say(strerrordesc_np(worst));
    child_say("\n");
    _exit(worst == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
}

static _Noreturn void child_main(const struct plan *p)
{
    const struct spawn_opts *o = p->o;
    for (size_t i = 0; i < o->n_cgroup_fds; i++)
        if (write(o->cgroup_fds[i], "0", 1) != 1)
            child_fail(p, STEP_CGROUP);
    child_scores();
    (void)setpgid(0, 0);
    for (int i = 0; i < 3; i++)
        if (dup2(o->stdio[i], i) < 0)
            child_fail(p, STEP_STDIO);
    child_ids(p);
    child_close_all(p->report_fd);
    if (chdir(o->cwd) < 0)
        child_fail(p, STEP_CHDIR);
    child_signals();
    (void)close(p->report_fd);
    child_exec(p);
}

/* ---- before and after the fork ---- */

static const char *env_get(char *const *envp, const char *name)
{
    size_t n = strlen(name);
    for (; *envp != NULL; envp++)
        if (strncmp(*envp, name, n) == 0 && (*envp)[n] == '=')
            return *envp + n + 1;
    return NULL;
}

static int add_path(struct plan *p, size_t *n, struct slice dir, const char *file)
{
    if (*n == PATH_CANDIDATES_MAX)
        return 0; /* later folders of an endless PATH are not looked at */
    _cleanup_buf_ struct buf b = BUF_INIT(8192 + strlen(file));
    if (dir.n > 4096)
        return 0;
    buf_put_slice(&b, dir.n != 0 ? dir : SLICE_LIT("."));
    buf_put_char(&b, '/');
    buf_put_str(&b, file);
    p->paths[*n] = buf_take(&b, NULL);
    return p->paths[*n] != NULL ? (int)++*n : -ENOMEM;
}

static int plan_paths(struct plan *p)
{
    const char *file = p->o->argv[0];
    const char *path = env_get(p->o->envp, "PATH");
    size_t n = 0;
    if (strchr(file, '/') != NULL || file[0] == '\0') {
        p->paths[0] = strdup(file);
        return p->paths[0] != NULL ? 0 : -ENOMEM;
    }
    struct slice rest = slice_str(path != NULL ? path : "/bin:/usr/bin"), dir;
    while (slice_next(&rest, ':', &dir))
        if (add_path(p, &n, dir, file) < 0)
            return -ENOMEM;
    return 0;
}

static int plan_make(struct plan *p)
{
    size_t n = 1; /* argv[0] is always there */
    while (p->o->argv[n] != NULL)
        n++;
    p->sh_argv = calloc(n + 2, sizeof(*p->sh_argv));
    if (p->sh_argv == NULL)
        return -ENOMEM;
    static char sh[] = "/bin/sh";
    p->sh_argv[0] = sh;
    for (size_t i = 1; i < n; i++)
        p->sh_argv[i + 1] = p->o->argv[i];
    return plan_paths(p);
}

static void plan_done(struct plan *p)
{
    for (size_t i = 0; p->paths[i] != NULL; i++)
        free(p->paths[i]);
    free(p->sh_argv);
}

/* Fork with all signals blocked, so that no handler of the daemon runs in the child. */
static pid_t fork_child(const struct plan *p)
{
    sigset_t all, old;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    pid_t pid = _Fork();
    if (pid == 0)
        child_main(p);
    int saved = errno;
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = saved;
    return pid;
}

/* Waits for the child's report; 0 when it is about to exec. Reaps it when it failed. */
static int read_report(int fd, pid_t pid, struct err *err)
{
    struct report rep;
    ssize_t n;
    do
        n = read(fd, &rep, sizeof(rep));
    while (n < 0 && errno == EINTR);
    if (n == 0)
        return 0;
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    if (n != sizeof(rep) || rep.step < 0 || rep.step >= STEP_MAX_ || rep.num <= 0)
        return err_set(err, -EIO, ERR_INTERNAL, "the new process did not start");
    return err_sys(err, -rep.num, "%s", step_names[rep.step]);
}

int spawn_child(const struct spawn_opts *o, int *ret_pid, int *ret_pidfd, struct err *err)
{
    struct plan plan = {.o = o};
    int report[2];
    int r = plan_make(&plan);
    if (r < 0 || pipe2(report, O_CLOEXEC) < 0) {
        r = r < 0 ? r : -errno;
        plan_done(&plan);
        return err_sys(err, r, "prepare");
    }
    plan.report_fd = report[1];
    pid_t pid = fork_child(&plan);
    int saved = errno;
    (void)fd_close(report[1]);
    r = pid < 0 ? err_sys(err, -saved, "fork") : read_report(report[0], pid, err);
    (void)fd_close(report[0]);
    plan_done(&plan);
    if (r < 0)
        return r;
    int pidfd = pidfd_open(pid, 0); /* not reaped yet, so the pid is still ours */
    if (pidfd < 0) {
        r = -errno;
        (void)kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        return err_sys(err, r, "pidfd_open");
    }
    *ret_pid = pid;
    *ret_pidfd = pidfd;
    return 0;
}
