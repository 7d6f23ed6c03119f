#include "image/run.h"

#include "base/cleanup.h"
#include "base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <sys/wait.h>

enum { STATUS_NOT_FOUND = 127, EXTRA_ARGS = 16, ENV_MAX = 12, ENV_BYTES = 1024 };

/* State of one run: the line being collected and the line to show when it fails. */
struct output {
    const struct image_run *run;
    char line[IMAGE_RUN_LINE_MAX];
    size_t n;
    char last[160];
    bool last_is_error;
};

static const char *const wrapper[] = {
    "setpriv",       "--pdeathsig", "KILL",  "--",     "unshare",      "--mount",
    "--propagation", "private",     "--pid", "--fork", "--kill-child",
};

static int make_argv(const struct image_run *run, char *root_arg, size_t cap, const char **argv)
{
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(wrapper); i++)
        argv[n++] = wrapper[i];
    if (run->root != NULL) {
        int len = snprintf(root_arg, cap, "--root=%s", run->root);
        if (len < 0 || (size_t)len >= cap)
            return -ENAMETOOLONG;
        argv[n++] = root_arg;
    }
    argv[n++] = "--";
    for (size_t i = 0; run->argv[i] != NULL; i++) {
        if (i == IMAGE_RUN_ARGS_MAX)
            return -E2BIG;
        argv[n++] = run->argv[i];
    }
    argv[n] = NULL;
    return 0;
}

struct environment {
    char text[ENV_MAX][ENV_BYTES];
    char *v[ENV_MAX + 1];
    size_t n;
};

static void env_add(struct environment *env, const char *key, const char *value)
{
    if (value == NULL || env->n == ENV_MAX)
        return;
    int len = snprintf(env->text[env->n], ENV_BYTES, "%s=%s", key, value);
    if (len < 0 || len >= ENV_BYTES)
        return; /* an absurdly long proxy URL; the run fails on its own and says so */
    env->v[env->n] = env->text[env->n];
    env->v[++env->n] = NULL;
}

static void make_environment(struct environment *env)
{
    static const char *const passed[] = {"http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE"};
    env->n = 0;
    env->v[0] = NULL;
    env_add(env, "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    env_add(env, "HOME", "/root");
    env_add(env, "LANG", "C.UTF-8");
    env_add(env, "LC_ALL", "C.UTF-8");
    env_add(env, "DEBIAN_FRONTEND", "noninteractive");
    for (size_t i = 0; i < ARRAY_LEN(passed); i++)
        env_add(env, passed[i], secure_getenv(passed[i]));
}

/* A process group of its own, so that a terminal's SIGINT reaches us and not it. */
static int set_attributes(posix_spawnattr_t *attr)
{
    sigset_t none, all;
    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    int r = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                               POSIX_SPAWN_SETSIGDEF);
    if (r == 0)
        r = posix_spawnattr_setpgroup(attr, 0);
    if (r == 0)
        r = posix_spawnattr_setsigmask(attr, &none);
    return r != 0 ? r : posix_spawnattr_setsigdefault(attr, &all);
}

static int spawn_with(const char **argv, char **envp, int out_fd, pid_t *ret_pid)
{
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t attr;
    int r = posix_spawn_file_actions_init(&fa);
    if (r != 0)
        return -r;
    r = posix_spawnattr_init(&attr);
    if (r != 0) {
        (void)posix_spawn_file_actions_destroy(&fa);
        return -r;
    }
    r = set_attributes(&attr);
    if (r == 0)
        r = posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
    if (r == 0)
        r = posix_spawn_file_actions_adddup2(&fa, out_fd, 1);
    if (r == 0)
        r = posix_spawn_file_actions_adddup2(&fa, out_fd, 2);
    if (r == 0) /* the C library takes them as char *, and does not change them */
        r = posix_spawnp(ret_pid, argv[0], &fa, &attr, (char **)(uintptr_t)argv, envp);
    (void)posix_spawnattr_destroy(&attr);
    (void)posix_spawn_file_actions_destroy(&fa);
    return -r;
}

static int spawn(const struct image_run *run, int out_fd, pid_t *ret_pid)
{
    const char *argv[IMAGE_RUN_ARGS_MAX + EXTRA_ARGS];
    char root_arg[4096];
    struct environment env;
    int r = make_argv(run, root_arg, sizeof(root_arg), argv);
    if (r < 0)
        return r;
    make_environment(&env);
    return spawn_with(argv, env.v, out_fd, ret_pid);
}

static void line_done(struct output *o)
{
    struct slice s = slice_trim(slice_of(o->line, o->n));
    o->n = 0;
    if (s.n == 0)
        return;
    bool is_error = slice_has_prefix(s, "E:");
    if (!o->last_is_error) { /* the first error names the cause, those after it only repeat it */
        (void)snprintf(o->last, sizeof(o->last), "%.*s", (int)s.n, s.p); /* cut on purpose */
        o->last_is_error = is_error;
    }
    if (o->run->line != NULL)
        o->run->line(o->run->user, s);
}

/* '\r' ends a line too: progress bars. What is longer than a line is cut. */
static void feed(struct output *o, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '\n' || p[i] == '\r')
            line_done(o);
        else if (o->n < sizeof(o->line))
            o->line[o->n++] = p[i];
    }
}

/* Until every process that holds the other end has gone. The poll set has two members. */
static bool read_output(struct output *o, int fd, pid_t pid)
{
    bool canceled = false;
    for (;;) {
        struct pollfd p[2] = {{.fd = fd, .events = POLLIN},
                              {.fd = canceled ? -1 : o->run->cancel_fd, .events = POLLIN}};
        if (poll(p, 2, -1) < 0)
            continue; /* EINTR; a signal that matters is on cancel_fd */
        if (p[1].revents != 0) {
            canceled = true;
            (void)kill(pid, SIGKILL); /* not reaped yet, so the pid is ours; takes all with it */
        }
        if (p[0].revents == 0)
            continue;
        char buf[8192];
        ssize_t n = read(fd, buf, sizeof(buf));
        if (n == 0 || (n < 0 && errno != EINTR))
            return canceled;
        if (n > 0)
            feed(o, buf, (size_t)n);
    }
}

static int reap(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return status;
}

int image_run(const struct image_run *run, struct err *err)
{
    int fds[2];
    pid_t pid = -1;
    struct output o = {.run = run};
    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_sys(err, -errno, "make a pipe");
    _cleanup_close_ int in = fds[0], out = fds[1];
    int r = spawn(run, out, &pid);
    if (r < 0)
        return err_sys(err, r, "start %s", r == -ENOENT ? "setpriv (util-linux)" : run->argv[0]);
    out = fd_close(out);
    bool canceled = read_output(&o, in, pid);
    line_done(&o);
    int status = reap(pid);
    if (canceled)
        return err_set(err, -ECANCELED, ERR_CONFLICT, "cancelled");
    if (status < 0)
        return err_sys(err, status, "wait for %s", run->argv[0]);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == STATUS_NOT_FOUND)
        return err_set(err, -ENOENT, ERR_NOT_FOUND, "%s: %s", run->argv[0], o.last);
    return err_set(err, -EIO, ERR_INTERNAL, "%s failed (%s %d): %s", run->argv[0],
                   WIFEXITED(status) ? "status" : "signal",
                   WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status), o.last);
}
