/*
 * Fixed programs with fixed arguments. The file is their descriptor 3 and is named as such: no path
 * of ours reaches them, no shell runs, the environment is ours. Their features are all named, so that
 * neither the host's mke2fs.conf nor a newer version makes something that an older kernel cannot mount.
 *
 * ext4: no journal, because a disk does not outlive its host's crash; 4 KiB blocks; inode tables are
 * not written (the file is new, so it reads as zeros); descriptors of block groups spread (meta_bg).
 */
#include "disk/format.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "disk/disk.h"

#include <assert.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { FORMAT_LIMIT_S = 60, WORDS_BYTES = 160, FILE_FD = 3 };

#define FILE_NAME "/proc/self/fd/3"

static const char ext4_features[] =
    "none,extent,filetype,sparse_super,large_file,huge_file,dir_index,ext_attr,dir_nlink,"
    "extra_isize,flex_bg,64bit,metadata_csum,meta_bg";

static_assert(DISK_BYTES_PER_INODE == 16384, "the number below");

struct tool {
    const char *name, *package;
    const char *paths[2];
    const char *argv[24];
};

static const struct tool mke2fs = {
    "mke2fs",
    "e2fsprogs",
    {"/usr/sbin/mke2fs", "/sbin/mke2fs"},
    {"mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-i", "16384", "-m", "0", "-O",
     ext4_features, "-E", "lazy_itable_init=1,nodiscard,root_owner=0:0", FILE_NAME, NULL},
};

static const struct tool mkfs_xfs = {
    "mkfs.xfs",
    "xfsprogs",
    {"/usr/sbin/mkfs.xfs", "/sbin/mkfs.xfs"},
    {"mkfs.xfs", "-q", "-f", "-K", "-m", "crc=1,finobt=1,rmapbt=0,reflink=1,bigtime=1", "-s",
     "size=4096", "-l", "size=64m", FILE_NAME, NULL},
};

/* In the child. Descriptor 3 survives, standard error is the pipe. */
static _Noreturn void tool_run(const struct tool *t, int file_fd, int words_fd)
{
    static const char *const env[] = {"LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                                      "MKE2FS_CONFIG=/dev/null", NULL};
    sigset_t none;
    (void)sigemptyset(&none);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    /* Above all numbers that are given out next, so that no copy overwrites one. */
    int file = fcntl(file_fd, F_DUPFD_CLOEXEC, 16), words = fcntl(words_fd, F_DUPFD_CLOEXEC, 16);
    if (null >= 0 && file >= 0 && words >= 0 && sigprocmask(SIG_SETMASK, &none, NULL) == 0 &&
        prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && dup2(null, 0) == 0 && dup2(words, 1) == 1 &&
        dup2(words, 2) == 2 && dup2(file, FILE_FD) == FILE_FD &&
        close_range(FILE_FD + 1, ~0u, CLOSE_RANGE_CLOEXEC) == 0)
        for (size_t i = 0; i < ARRAY_LEN(t->paths); i++)
            (void)execve(t->paths[i], (char *const *)(uintptr_t)t->argv,
                         (char *const *)(uintptr_t)env);
    _exit(127);
}

/* What it says first, until its end; false when it takes too long. */
static bool listen_to(int fd, char words[static WORDS_BYTES])
{
    uint64_t end = clock_monotonic_ns() + FORMAT_LIMIT_S * NS_PER_S;
    size_t n = 0;
    for (;;) {
        char more[256];
        uint64_t now = clock_monotonic_ns();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int ready = now >= end ? 0 : poll(&p, 1, (int)((end - now) / NS_PER_MS) + 1);
        if (ready < 0 && errno == EINTR)
            continue;
        ssize_t got = ready > 0 ? read(fd, more, sizeof(more)) : -1;
        if (got <= 0)
            break;
        size_t take = (size_t)got < WORDS_BYTES - 1 - n ? (size_t)got : WORDS_BYTES - 1 - n;
        memcpy(words + n, more, take);
        n += take;
    }
    words[n] = '\0';
    words[strcspn(words, "\n")] = '\0';
    return clock_monotonic_ns() < end;
}

static int outcome(const struct tool *t, int status, bool in_time, const char *words,
                   struct err *err)
{
    if (!in_time)
        return err_set(err, -ETIMEDOUT, ERR_INTERNAL, "%s took more than %d seconds", t->name,
                       FORMAT_LIMIT_S);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return err_set(err, -ENOENT, ERR_INTERNAL,
                       "%s cannot be run, sandboxes have no disks without it; as root: apt-get "
                       "install %s",
                       t->name, t->package);
    return err_set(err, -EIO, ERR_INTERNAL, "%s failed (status %d): %s", t->name,
                   WIFEXITED(status) ? WEXITSTATUS(status) : -1, words);
}

static int format(const struct tool *t, int file_fd, struct err *err)
{
    int fds[2], status = -1;
    char words[WORDS_BYTES] = "";
    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_sys(err, -errno, "run %s", t->name);
    _cleanup_close_ int out = fds[0], in = fds[1];
    pid_t pid = fork();
    if (pid < 0)
        return err_sys(err, -errno, "run %s", t->name);
    if (pid == 0)
        tool_run(t, file_fd, in);
    in = fd_close(in);
    bool in_time = listen_to(out, words);
    if (!in_time)
        (void)kill(pid, SIGKILL); /* not reaped yet, so the number is still its own */
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return outcome(t, status, in_time, words, err);
}

int format_ext4(int file_fd, struct err *err)
{
    return format(&mke2fs, file_fd, err);
}

int format_xfs(int file_fd, struct err *err)
{
    return format(&mkfs_xfs, file_fd, err);
}
