/*
 * silica-dns reads what guests send. Should one of them take it over, he is a user of his own without
 * capabilities, and then has only this:
 *
 *   files     none: its two sockets and the list of nameservers were opened before
 *   network   IPv4 and IPv6 sockets that connect; no new listening TCP port
 *   kernel    the calls of a loop that waits, sends and receives; no thread, no process, no exec
 *
 * What is left to him is what a process on the host with network can reach: see SECURITY.md.
 */
#include "dns/confine.h"

#include "base/cleanup.h"
#include "confine/confine.h"

/* By purpose. What a name's newer or older form may be called by another C library is with it. */
static const char *const allowed_calls[] = {
    /* the loop and its sockets; socket() itself by family */
    "epoll_create1",
    "epoll_ctl",
    "epoll_wait",
    "epoll_pwait",
    "epoll_pwait2",
    "eventfd2",
    "pipe2",
    "accept4",
    "connect",
    "getsockopt",
    "setsockopt",
    "sendto",
    "sendmsg",
    "recvfrom",
    "recvmsg",
    "read",
    "write",
    "close",
    "fcntl",
    "ioctl",
    /* has the list of nameservers changed? */
    "stat",
    "newfstatat",
    "statx",
    "pread64",
    /* memory */
    "brk",
    "mmap",
    "munmap",
    "mremap",
    "mprotect",
    "madvise",
    "futex",
    /* time, signals, the end */
    "clock_gettime",
    "gettimeofday",
    "time",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "restart_syscall",
    "getpid",
    "gettid",
    "tgkill",
    "getrandom",
    "prctl",
    "exit",
    "exit_group",
};

int confine_dns(int *ret_landlock, struct err *err)
{
    const struct confine_opts opts = {.program = "silica-dns",
                                      .calls = allowed_calls,
                                      .n_calls = ARRAY_LEN(allowed_calls),
                                      .inet_sockets = true};
    return confine(&opts, ret_landlock, err);
}
