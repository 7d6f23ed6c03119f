/* What silica-dns cannot do any more once it is confined, and what it still can. */
// deps: dns confine base
#include "base/cleanup.h"
#include "confine/confine.h"
#include "dns/confine.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
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

/* Runs in a confined child: 0, or a number that says what was not as it should be. */
typedef int (*probe)(int kept_fd);

enum { NO_LANDLOCK = 77 };

static int confined(probe run)
{
    struct err err = {0};
    int landlock = 0, kept = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    if (kept < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return 100;
    if (confine_dns(&landlock, &err) < 0) {
        (void)dprintf(2, "# %s\n", err.msg);
        return 101;
    }
    return run(kept);
}

/* Landlock alone, with the calls for files allowed: no path, no file. */
static int landlock_alone(void)
{
    static const char *const some[] = {"openat", "open", "close", "write", "prctl", "exit_group"};
    const struct confine_opts opts = {
        .program = "test", .calls = some, .n_calls = ARRAY_LEN(some), .inet_sockets = true};
    int landlock = 0;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || confine(&opts, &landlock, NULL) < 0)
        return 1;
    if (landlock == 0)
        return NO_LANDLOCK;
    return open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES ? 0 : 2;
}

/* Not by _exit(): sanitizers make other calls before a function that does not return. */
static void leave(int code)
{
    for (;;)
        (void)syscall(SYS_exit_group, code);
}

static void check(probe run)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        leave(run != NULL ? confined(run) : landlock_alone());
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == NO_LANDLOCK)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* By the call that seccomp refuses, whether or not there is Landlock. */
static int files(int kept)
{
    struct stat st;
    char byte;
    if (open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0 ||
        open("/dev/null", O_RDWR | O_CLOEXEC) >= 0)
        return 1;
    if (unlink("/tmp/silica-dns-confine") == 0 || errno != EPERM)
        return 2;
    if (mkdir("/tmp/silica-dns-confine", 0700) == 0)
        return 3;
    /* the list of nameservers: looked at by name, read by its descriptor */
    if (stat("/etc/passwd", &st) < 0 || pread(kept, &byte, 1, 0) != 1)
        return 4;
    return 0;
}

static int sockets(int kept)
{
    (void)kept;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    static const int refused[] = {AF_UNIX, AF_NETLINK, AF_PACKET, AF_VSOCK, AF_ALG};
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        if (socket(refused[i], SOCK_DGRAM | SOCK_CLOEXEC, 0) >= 0 || errno != EPERM)
            return 1 + (int)i;
    _cleanup_close_ int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (udp < 0 || connect(udp, (struct sockaddr *)&to, sizeof(to)) < 0 ||
        send(udp, "x", 1, 0) != 1)
        return 10;
    _cleanup_close_ int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    to.sin_port = 0;
    if (tcp < 0 || bind(tcp, (struct sockaddr *)&to, sizeof(to)) == 0 || listen(tcp, 1) == 0)
        return 11;
    _cleanup_close_ int six = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return six >= 0 || errno == EAFNOSUPPORT ? 0 : 12;
}

static int calls(int kept)
{
    (void)kept;
    char *const argv[] = {NULL};
    if (execve("/bin/true", argv, argv) != -1 || errno != EPERM)
        return 1; /* by the filter: Landlock would say EACCES */
    const struct {
        long result;
        int number;
    } refused[] = {
        {syscall(SYS_fork), 2},
        {syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0), 3},
        {unshare(CLONE_NEWUSER), 4},
        {ptrace(PTRACE_TRACEME, 0, 0, 0), 5},
        {mount("none", "/mnt", "tmpfs", 0, NULL), 6},
        {syscall(SYS_bpf, 0, NULL, 0), 7},
        {syscall(SYS_io_uring_setup, 1, NULL), 8},
        {syscall(SYS_keyctl, 0, 0, 0, 0, 0), 9},
        {kill(getppid(), 0), 10},
        {syscall(SYS_process_vm_readv, 1, NULL, 0, NULL, 0, 0), 11},
        {syscall(SYS_clone3, NULL, 0), 12},
        {setuid(0), 13},
        {chdir("/tmp"), 14},
        {syscall(SYS_memfd_create, "x", 0), 15},
    };
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        if (refused[i].result != -1)
            return refused[i].number;
    return 0;
}

static void test_files(void **state)
{
    (void)state;
    check(files);
}

static void test_sockets(void **state)
{
    (void)state;
    check(sockets);
}

static void test_calls(void **state)
{
    (void)state;
    check(calls);
}

static void test_landlock(void **state)
{
    (void)state;
    check(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_sockets),
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_landlock),
    };
    return cmocka_run_group_tests_name("dns/confine", tests, NULL, NULL);
}
