/*
 * silicad parses what strangers send. Should one of them take it over, he is a user without
 * capabilities (narrow.c), and then has only this:
 *
 *   files     Landlock: the database's folder to read and write, templates and a few named files to
 *             read, nothing to execute; other users' world-readable files are out of reach
 *   network   Landlock version 4: connecting, but no new listening TCP port; version 6: no signal to
 *             and no abstract socket of a process outside
 *   kernel    seccomp: the calls of an event loop with SQLite. EPERM for the rest, so that a library
 *             that tries something new sees a refusal and not a death; exec, ptrace, mount, bpf,
 *             keys, io_uring, new namespaces and modules are among what is refused
 *
 * Each is tried, not guessed from a version. The descriptors that are open already stay usable: the
 * listening socket was bound before.
 */
#include "daemon/confine.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* Newer than the headers of Debian 12: versions 3 to 6 of the interface. */
enum { LANDLOCK_V3 = 3, LANDLOCK_V4 = 4, LANDLOCK_V5 = 5, LANDLOCK_V6 = 6 };
#define FS_REFER     (UINT64_C(1) << 13) /* version 2 */
#define FS_TRUNCATE  (UINT64_C(1) << 14) /* version 3 */
#define FS_IOCTL_DEV (UINT64_C(1) << 15) /* version 5 */
#define NET_BIND_TCP (UINT64_C(1) << 0)  /* version 4 */
#define SCOPES       UINT64_C(3)         /* version 6: abstract sockets, signals */

struct ruleset_attr {
    uint64_t handled_access_fs, handled_access_net, scoped;
};

static const uint64_t read_file = LANDLOCK_ACCESS_FS_READ_FILE;
static const uint64_t read_tree = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
static const uint64_t write_tree = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
                                   LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG |
                                   LANDLOCK_ACCESS_FS_REMOVE_FILE | FS_TRUNCATE;
#define ALL_OF_V1 ((UINT64_C(1) << 13) - 1)

/* Files that the libraries of ours read on their way; missing ones are passed over. */
static const char *const library_files[] = {
    "/dev/urandom",                   /* jansson's and SQLite's seeds */
    "/etc/localtime",                 /* the C library's calendar */
    "/etc/ssl/openssl.cnf",           /* libcrypto */
    "/proc/sys/vm/overcommit_memory", /* the C library's allocator */
};

static struct ruleset_attr attr_for(int version)
{
    struct ruleset_attr a = {.handled_access_fs = ALL_OF_V1};
    if (version >= 2)
        a.handled_access_fs |= FS_REFER;
    if (version >= LANDLOCK_V3)
        a.handled_access_fs |= FS_TRUNCATE;
    if (version >= LANDLOCK_V5)
        a.handled_access_fs |= FS_IOCTL_DEV;
    if (version >= LANDLOCK_V4)
        a.handled_access_net = NET_BIND_TCP;
    if (version >= LANDLOCK_V6)
        a.scoped = SCOPES;
    return a;
}

/* The kernel refuses a struct whose unknown tail is not zero, and takes a shorter one. */
static size_t attr_size(int version)
{
    return version >= LANDLOCK_V6   ? sizeof(struct ruleset_attr)
           : version >= LANDLOCK_V4 ? offsetof(struct ruleset_attr, scoped)
                                    : offsetof(struct ruleset_attr, handled_access_net);
}

static int allow_path(int ruleset, const char *path, uint64_t access, bool optional,
                      struct err *err)
{
    _cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return optional ? 0 : err_sys(err, -errno, "open '%s'", path);
    struct landlock_path_beneath_attr rule = {.allowed_access = access, .parent_fd = fd};
    if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
        return err_sys(err, -errno, "allow '%s'", path);
    return 0;
}

static int allow_paths(int ruleset, const struct confine_opts *o, uint64_t handled, struct err *err)
{
    int r = allow_path(ruleset, o->state_dir, write_tree & handled, false, err);
    if (r == 0)
        r = allow_path(ruleset, o->templates_dir, read_tree, false, err);
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(library_files); i++)
        r = allow_path(ruleset, library_files[i], read_file, true, err);
    return r;
}

static int restrict_files(const struct confine_opts *o, int *ret_version, struct err *err)
{
    int version =
        (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    *ret_version = 0;
    if (version < 0) /* ENOSYS, EOPNOTSUPP: not built in, or switched off at boot */
        return 0;
    struct ruleset_attr attr = attr_for(version);
    _cleanup_close_ int ruleset =
        (int)syscall(SYS_landlock_create_ruleset, &attr, attr_size(version), 0);
    if (ruleset < 0)
        return err_sys(err, -errno, "make a Landlock ruleset");
    int r = allow_paths(ruleset, o, attr.handled_access_fs, err);
    if (r < 0)
        return r;
    if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        return err_sys(err, -errno, "enforce the Landlock ruleset");
    *ret_version = version;
    return 0;
}

/* By purpose. What a name's newer or older form may be called by another C library is with it. */
static const char *const allowed_calls[] = {
    /* the loop and its sockets */
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
    "socket",
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

static void filter_release(scmp_filter_ctx *ctx)
{
    if (*ctx != NULL)
        seccomp_release(*ctx);
}

/* Threads, not processes: fork and new namespaces have other flags. */
static int allow_threads(scmp_filter_ctx ctx)
{
    int r =
        seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                         SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD | CLONE_NEWUSER, CLONE_THREAD));
    return r < 0 ? r : seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

static int restrict_calls(struct err *err)
{
    _cleanup_(filter_release)
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    int r = ctx != NULL ? 0 : -ENOMEM;
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(allowed_calls); i++) {
        int nr = seccomp_syscall_resolve_name(allowed_calls[i]);
        if (nr >= 0) /* negative: not on this architecture, or newer than the library */
            r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 0);
    }
    if (r == 0)
        r = allow_threads(ctx);
    if (r == 0)
        r = seccomp_load(ctx);
    if (r < 0)
        return err_sys(err, r, "load the system call filter");
    if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != 2)
        return err_set(err, -EPERM, ERR_INTERNAL, "the system call filter did not stay");
    return 0;
}

int confine(const struct confine_opts *opts, int *ret_landlock, struct err *err)
{
    int r = restrict_files(opts, ret_landlock, err);
    if (r == 0)
        r = restrict_calls(err);
    return r < 0 ? err_wrap(err, "confine silicad") : 0;
}
