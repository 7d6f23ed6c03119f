/*
 * silicad parses what strangers send. Should one of them take it over, he is a user without
 * capabilities (narrow()), and then has only this:
 *
 *   files     the database's folder to read and write, templates and a few named files to read,
 *             nothing to execute; other users' world-readable files are out of reach
 *   network   connecting, but no new listening TCP port: its own was bound before
 *   kernel    the calls of an event loop with SQLite; exec, ptrace, mount, bpf, keys, io_uring, new
 *             namespaces and modules are among what is refused
 */
#include "daemon/confine.h"

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
    "poll",
    "ppoll",
    "accept4",
    "connect",
    "shutdown",
    "getsockopt",
    "setsockopt",
    "getsockname",
    "getpeername",
    "sendto",
    "sendmsg",
    "sendmmsg",
    "recvfrom",
    "recvmsg",
    "recvmmsg",
    "read",
    "readv",
    "write",
    "writev",
    "close",
    "close_range",
    "fcntl",
    "ioctl",
    "dup",
    "dup2",
    "dup3",
    "splice",
    /* files: the database, templates, what the library reads */
    "openat",
    "openat2",
    "fstat",
    "newfstatat",
    "statx",
    "lseek",
    "pread64",
    "pwrite64",
    "fdatasync",
    "fsync",
    "ftruncate",
    "fallocate",
    "unlink",
    "unlinkat",
    "access",
    "faccessat",
    "faccessat2",
    "readlink",
    "readlinkat",
    "getcwd",
    "getdents64",
    "fchmod",
    "fchown",
    "umask",
    "statfs",
    "fstatfs",
    "fadvise64",
    /* memory */
    "brk",
    "mmap",
    "munmap",
    "mremap",
    "mprotect",
    "madvise",
    /* threads of the loop's pool: clone3 tells ENOSYS below, so that clone's flags can be seen */
    "futex",
    "set_robust_list",
    "rseq",
    "set_tid_address",
    "sched_yield",
    "sched_getaffinity",
    "prctl",
    "gettid",
    "exit",
    "exit_group",
    /* time, signals, ids, limits */
    "clock_gettime",
    "clock_getres",
    "clock_nanosleep",
    "nanosleep",
    "gettimeofday",
    "time",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sigaltstack",
    "restart_syscall",
    "tgkill",
    "getpid",
    "getppid",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "getresuid",
    "getresgid",
    "getgroups",
    "prlimit64",
    "getrlimit",
    "getrusage",
    "sysinfo",
    "uname",
    "getrandom",
    "membarrier",
};

int confine_daemon(const char *state_dir, const char *templates_dir, int *ret_landlock,
                   struct err *err)
{
    const struct confine_path paths[] = {
        {state_dir, CONFINE_WRITE_TREE, false},
        {templates_dir, CONFINE_READ_TREE, false},
        /* Files that the libraries of ours read on their way. */
        {"/dev/urandom", CONFINE_READ_FILE, true},         /* jansson's and SQLite's seeds */
        {"/etc/localtime", CONFINE_READ_FILE, true},       /* the C library's calendar */
        {"/etc/ssl/openssl.cnf", CONFINE_READ_FILE, true}, /* libcrypto */
        {"/proc/sys/vm/overcommit_memory", CONFINE_READ_FILE, true}, /* the C library's allocator */
    };
    const struct confine_opts opts = {.program = "silicad",
                                      .paths = paths,
                                      .n_paths = ARRAY_LEN(paths),
                                      .calls = allowed_calls,
                                      .n_calls = ARRAY_LEN(allowed_calls),
                                      .threads = true,
                                      .inet_sockets = true,  /* sandboxes */
                                      .unix_sockets = true}; /* silica-priv */
    return confine(&opts, ret_landlock, err);
}
