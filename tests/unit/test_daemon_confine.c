/* What silicad cannot do any more once it is confined, and what it still can. */
// deps: daemon base
#include "base/cleanup.h"
#include "base/fs.h"
#include "daemon/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

static char top[] = "/tmp/silica-confine-XXXXXX";

/* Runs in a confined child: 0, or a number that says what was not as it should be. */
typedef int (*probe)(int landlock);

static int confined(probe run)
{
    struct err err = {0};
    char state_dir[64], templates[64];
    int landlock = 0;
    (void)snprintf(state_dir, sizeof(state_dir), "%s/state", top);
    (void)snprintf(templates, sizeof(templates), "%s/templates", top);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || chdir(top) < 0)
        return 100;
    if (confine_daemon(state_dir, templates, &landlock, &err) < 0) {
        (void)dprintf(2, "# %s\n", err.msg);
        return 101;
    }
    return run(landlock);
}

static void check(probe run)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(confined(run));
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip(); /* this kernel has no Landlock of that version */
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* 0 when opening ends as expected: `want` is 0 or the errno. */
static int opens(const char *path, int flags, int want)
{
    _cleanup_close_ int fd = open(path, flags | O_CLOEXEC, 0600);
    return fd >= 0 ? want != 0 : errno != want;
}

static int files(int landlock)
{
    if (landlock == 0)
        return 77;
    if (opens("state/silica.db", O_RDWR | O_CREAT, 0) != 0 ||
        opens("state/silica.db", O_RDWR, 0) != 0)
        return 1;
    if (truncate("state/silica.db", 0) == 0) /* by name: SQLite does it by descriptor */
        return 2;
    if (unlink("state/silica.db") != 0)
        return 3;
    if (opens("templates/template.json", O_RDONLY, 0) != 0)
        return 4;
    if (opens("templates/template.json", O_RDWR, EACCES) != 0 ||
        opens("templates/new", O_RDWR | O_CREAT, EACCES) != 0)
        return 5;
    if (opens("secret", O_RDONLY, EACCES) != 0 || opens("/etc/passwd", O_RDONLY, EACCES) != 0 ||
        opens("/proc/self/mem", O_RDWR, EACCES) != 0)
        return 6;
    if (mkdir("state/folder", 0700) == 0 || rename("templates/template.json", "state/x") == 0)
        return 7;
    return opens("/dev/urandom", O_RDONLY, 0) != 0 ? 8 : 0;
}

static int listeners(int landlock)
{
    if (landlock < 4)
        return 77;
    struct sockaddr_in any = {.sin_family = AF_INET};
    _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return 1;
    /* bind is refused by seccomp too: that Landlock stands behind it is its own affair */
    return bind(fd, (struct sockaddr *)&any, sizeof(any)) == 0 ? 2 : 0;
}

static int calls(int landlock)
{
    (void)landlock;
    char *const argv[] = {NULL};
    const struct {
        long result;
        int number;
    } refused[] = {
        {execve("/bin/true", argv, argv), 1},
        {syscall(SYS_fork), 2},
        {syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0), 3},
        {unshare(CLONE_NEWUSER), 4},
        {ptrace(PTRACE_TRACEME, 0, 0, 0), 5},
        {mount("none", "/mnt", "tmpfs", 0, NULL), 6},
        {syscall(SYS_bpf, 0, NULL, 0), 7},
        {syscall(SYS_io_uring_setup, 1, NULL), 8},
        {syscall(SYS_keyctl, 0, 0, 0, 0, 0), 9},
        {kill(getppid(), 0), 10},
        {syscall(SYS_process_vm_readv, getpid(), NULL, 0, NULL, 0, 0), 11},
        {syscall(SYS_perf_event_open, NULL, 0, 0, 0, 0), 12},
        {syscall(SYS_userfaultfd, 0), 13},
        {syscall(SYS_execveat, 0, "/bin/true", argv, argv, 0), 14},
        {syscall(SYS_pidfd_open, getppid(), 0), 15},
        {syscall(SYS_setns, 0, 0), 16},
        {syscall(SYS_memfd_create, "x", 0), 17},
        {syscall(SYS_shmget, 0, 4096, 01600), 18},
        {syscall(SYS_open_by_handle_at, 0, NULL, 0), 19},
        {syscall(SYS_process_vm_writev, getppid(), NULL, 0, NULL, 0, 0), 21},
        {syscall(SYS_personality, 0xffffffff), 22},
        {syscall(SYS_fsopen, "tmpfs", 0), 23},
        {syscall(SYS_init_module, NULL, 0, ""), 24},
        {syscall(SYS_kexec_load, 0, 0, NULL, 0), 25},
        {syscall(SYS_add_key, "user", "x", "x", 1, -3), 26},
        {syscall(SYS_tkill, getppid(), 0), 27},
    };
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        if (refused[i].result != -1)
            return refused[i].number;
    if (syscall(SYS_clone3, NULL, 0) != -1 || errno != ENOSYS)
        return 20;
    return 0;
}

/* Whatever else lies on a host: other users' and Silica's own files, devices, other processes. */
static int elsewhere(int landlock)
{
    static const char *const closed[] = {
        "/",           ".",          "sandboxes",          "sandboxes/layer", "credentials",
        "/etc/shadow", "/etc/hosts", "/etc/resolv.conf",   "/root",           "/home",
        "/tmp",        "/proc",      "/proc/self/environ", "/proc/1/status",  "/proc/self/maps",
        "/sys",        "/dev",       "/dev/null",          "/dev/mem",        "/dev/kmsg",
        "/run",        "/var/log",   "/usr/bin/id",        "state/../secret", "state/link",
    };
    if (landlock == 0)
        return 77;
    for (size_t i = 0; i < ARRAY_LEN(closed); i++) {
        _cleanup_close_ int fd = open(closed[i], O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd >= 0)
            return 1 + (int)i;
    }
    return 0;
}

static int changes(int landlock)
{
    (void)landlock;
    const struct {
        long result;
        int number;
    } refused[] = {
        {chmod("secret", 0777), 1},
        {link("secret", "state/secret"), 2},
        {symlink("secret", "state/symlink"), 3},
        {mknod("state/pipe", S_IFIFO | 0600, 0), 4},
        {chroot("state"), 5},
        {setuid(0), 6},
        {setgid(0), 7},
        {unlink("templates/template.json"), 8},
        {rmdir("templates"), 9},
        {chdir("/"), 10},
    };
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        if (refused[i].result != -1)
            return refused[i].number;
    return 0;
}

static int families(int landlock)
{
    (void)landlock;
    static const int allowed[] = {AF_UNIX, AF_INET, AF_INET6};
    static const int refused[] = {AF_NETLINK, AF_PACKET, AF_VSOCK, AF_ALG, AF_XDP, AF_KEY};
    for (size_t i = 0; i < ARRAY_LEN(allowed); i++) {
        _cleanup_close_ int fd = socket(allowed[i], SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 && errno != EAFNOSUPPORT) /* a host without IPv6 */
            return 1 + (int)i;
    }
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        if (socket(refused[i], SOCK_RAW, 0) >= 0 || errno != EPERM)
            return 10 + (int)i;
    return 0;
}

static void *nothing(void *arg)
{
    return arg;
}

static int threads(int landlock)
{
    (void)landlock;
    pthread_t t;
    void *got = NULL;
    if (pthread_create(&t, NULL, nothing, top) != 0 || pthread_join(t, &got) != 0)
        return 1;
    return got == top ? 0 : 2;
}

static void test_files(void **state)
{
    (void)state;
    check(files);
}

static void test_listeners(void **state)
{
    (void)state;
    check(listeners);
}

static void test_calls(void **state)
{
    (void)state;
    check(calls);
}

static void test_elsewhere(void **state)
{
    (void)state;
    check(elsewhere);
}

static void test_changes(void **state)
{
    (void)state;
    check(changes);
}

static void test_families(void **state)
{
    (void)state;
    check(families);
}

static void test_threads(void **state)
{
    (void)state;
    check(threads);
}

static int make_folders(void **state)
{
    (void)state;
    if (mkdtemp(top) == NULL)
        return -1;
    _cleanup_close_ int dir = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 || mkdirat(dir, "state", 0700) < 0 || mkdirat(dir, "templates", 0755) < 0)
        return -1;
    if (mkdirat(dir, "sandboxes", 0755) < 0 || mkdirat(dir, "sandboxes/layer", 0755) < 0 ||
        symlinkat("../secret", dir, "state/link") < 0 ||
        fs_replace_file(dir, "credentials", SLICE_LIT("x"), 0644, NULL) < 0)
        return -1;
    _cleanup_close_ int templates = openat(dir, "templates", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fs_replace_file(templates, "template.json", SLICE_LIT("{}"), 0644, NULL) < 0 ||
                   fs_replace_file(dir, "secret", SLICE_LIT("x"), 0644, NULL) < 0
               ? -1
               : 0;
}

static int remove_folders(void **state)
{
    (void)state;
    return fs_remove_tree(AT_FDCWD, top, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),   cmocka_unit_test(test_listeners),
        cmocka_unit_test(test_calls),   cmocka_unit_test(test_elsewhere),
        cmocka_unit_test(test_changes), cmocka_unit_test(test_families),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, make_folders, remove_folders);
}
