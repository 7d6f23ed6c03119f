/*
 * The warm-up: a login shell of `user` in the limited group, twice, before anybody waits for one.
 *
 * What it reads stays in the page cache, and in the snapshot that is made of the machine afterwards.
 * It is the template's own code, with the rights that it would have later; it gets a time limit, its
 * outcome does not matter, and whatever it left running is killed.
 */
#include "guest/guest.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

enum { WARM_LIMIT_MS = 20000, TIMES = 2, USER_ID = 1000 };

#define PATH_TEXT  "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define GROUP_KILL GUEST_ROOT "/sys/fs/cgroup/user/cgroup.kill"

/* In the child. All other descriptors are close-on-exec. */
static _Noreturn void run_shell(const struct guest *g)
{
    static const char *const argv[] = {"bash", "-l", "-c", "true", NULL};
    static const char *const env[] = {"HOME=/home/user", "USER=user", "LANG=C.UTF-8", PATH_TEXT,
                                      NULL};
    (void)setsid();
    if (write(g->group_fds[GUEST_FD_PROCS], "0", 1) == 1 && dup2(0, 1) == 1 && dup2(0, 2) == 2 &&
        chroot(GUEST_ROOT) == 0 && chdir("/") == 0 && setgroups(0, NULL) == 0 &&
        setresgid(USER_ID, USER_ID, USER_ID) == 0 && setresuid(USER_ID, USER_ID, USER_ID) == 0)
        (void)execve("/bin/bash", (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)env);
    _exit(127);
}

static void wait_until(pid_t pid, uint64_t end_ns)
{
    _cleanup_close_ int fd = pidfd_open(pid, 0);
    uint64_t now = clock_monotonic_ns();
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (fd < 0 || now >= end_ns || poll(&p, 1, (int)((end_ns - now) / NS_PER_MS)) <= 0)
        (void)kill(pid, SIGKILL); /* not reaped yet, so the number is still its own */
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

int guest_warm_up(struct guest *g, struct err *err)
{
    uint64_t end = clock_monotonic_ns() + WARM_LIMIT_MS * NS_PER_MS;
    for (int i = 0; i < TIMES; i++) {
        pid_t pid = fork();
        if (pid < 0)
            return err_sys(err, -errno, "start a process");
        if (pid == 0)
            run_shell(g);
        wait_until(pid, end);
    }
    (void)guest_write_file(AT_FDCWD, GROUP_KILL, "1"); /* it may have left nothing */
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ; /* what dies later is envd's to collect */
    return 0;
}
