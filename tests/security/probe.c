/*
 * The probe: a static program that takes envd's place as process 1 of a sandbox and answers, one
 * line of question a connection, what a process can see and do there. It states facts and judges
 * nothing; the tests hold them against the design.
 *
 * A question may begin with "as UID": then it is asked by a child with that uid and gid and no
 * capabilities, in the limited control group, as envd starts its processes.
 *
 * The questions: probe_look.c (files, identity), probe_refused.c (system calls), probe_reach.c
 * (network), probe_take.c (using something up), probe_steps.c (any calls in a row), probe_filter.c
 * (what the filters decide), probe_walk.c (what can be written), probe_run.c (another program).
 *
 * With an argument it is an ordinary program that answers this one question on its standard output:
 * so it can be asked in a sandbox with envd as process 1.
 *
 * With many arguments it stands in for QEMU: it is asked on the socket that is QEMU's monitor, or, if
 * there is a script for it in its root, plays that (probe_monitor.c).
 */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LISTEN_FD = 4, FIRST_CGROUP_FD = 5, MONITOR_FD = 7, FIRST_FREE_FD = 10 };

FILE *probe_out;

void probe_tell(const char *key, long result)
{
    (void)fprintf(probe_out, "%s %s\n", key, result < 0 ? strerrorname_np(errno) : "ok");
}

unsigned long probe_number(const char *s)
{
    unsigned long v = 0;
    for (; *s >= '0' && *s <= '9'; s++)
        v = v * 10 + (unsigned long)(*s - '0');
    return v;
}

static const struct probe_question *find(const char *name)
{
    static const struct probe_question *const tables[] = {
        probe_look,   probe_refused, probe_reach, probe_take,    probe_steps,
        probe_filter, probe_walk,    probe_run,   probe_monitor,
    };
    for (unsigned i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
        for (const struct probe_question *q = tables[i]; q->name != NULL; q++)
            if (strcmp(q->name, name) == 0)
                return q;
    return NULL;
}

static void ask(char *line)
{
    char *rest = line, *arg[PROBE_ARGS_MAX] = {0};
    const struct probe_question *q = find(strsep(&rest, " "));
    unsigned n = 0;
    for (; q != NULL && n < q->n_args && rest != NULL; n++) {
        arg[n] = rest;
        if (n + 1 < q->n_args)
            (void)strsep(&rest, " ");
    }
    if (q == NULL || n < q->n_args)
        (void)fprintf(probe_out, "what?\n");
    else
        q->run(arg);
}

static bool is_write_only(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && (flags & O_ACCMODE) == O_WRONLY;
}

/* As envd does it: the limited group first, then the ids. */
static void ask_as(char *line)
{
    char *end = line + strspn(line, "0123456789");
    uid_t uid = (uid_t)probe_number(line);
    for (int fd = FIRST_CGROUP_FD; is_write_only(fd); fd++) /* what follows is not */
        if (write(fd, "0", 1) < 0)
            (void)fprintf(probe_out, "cgroup_enter %s\n", strerrorname_np(errno));
    if (uid != 0 && (setgid(uid) < 0 || setuid(uid) < 0))
        (void)fprintf(probe_out, "setuid %s\n", strerrorname_np(errno));
    ask(end + (*end == ' '));
    (void)fflush(probe_out);
    _exit(0);
}

static void answer(char *line)
{
    if (strncmp(line, "as ", 3) == 0) {
        (void)fflush(probe_out);
        pid_t pid = fork();
        int status = 0;
        if (pid == 0)
            ask_as(line + 3);
        (void)waitpid(pid, &status, 0);
        if (WIFSIGNALED(status))
            (void)fprintf(probe_out, "killed %d\n", WTERMSIG(status));
    } else {
        ask(line);
    }
}

static void serve(int fd)
{
    char line[PROBE_LINE_BYTES];
    FILE *in = fdopen(fcntl(fd, F_DUPFD_CLOEXEC, 3), "re");
    probe_out = fdopen(fd, "we");
    if (in == NULL || probe_out == NULL || fgets(line, sizeof(line), in) == NULL)
        return;
    line[strcspn(line, "\n")] = '\0';
    answer(line);
    (void)fclose(in);
    (void)fclose(probe_out);
}

static _Noreturn void serve_all(int listen_fd)
{
    for (;;) {
        struct pollfd p = {.fd = listen_fd, .events = POLLIN};
        if (poll(&p, 1, -1) < 0)
            continue;
        int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            serve(fd);
        if (listen_fd == MONITOR_FD) /* a question is no process of its own there */
            (void)close_range(FIRST_FREE_FD, ~0U, 0);
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
    }
}

int main(int argc, char **argv)
{
    if (argc == 2) {
        probe_out = stdout;
        answer(argv[1]);
        return fflush(probe_out) == 0 ? 0 : 3;
    }
    if (argc > 2) {
        (void)signal(SIGPIPE, SIG_IGN); /* as QEMU does */
        probe_monitor_play();
        serve_all(MONITOR_FD);
    }
    char told[4096] = "";
    ssize_t n = read(3, told, sizeof(told) - 1);
    (void)close(3);
    if (n <= 0 || dprintf(2, "probe up\n") < 0)
        return 3;
    serve_all(LISTEN_FD);
}
