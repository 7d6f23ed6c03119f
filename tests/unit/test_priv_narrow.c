/* What silica-priv cannot do any more once it is narrowed, and what it and sandboxes still can. */
// deps: priv_narrow base
#include "base/cleanup.h"
#include "priv/narrow.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif

enum { FAR_FD = 300 };

/* Runs in a narrowed child: 0, or a number that says what was not as it should be. */
typedef int (*probe)(void);

static int narrowed(probe run)
{
    struct err err = {0};
    if (dup2(STDERR_FILENO, FAR_FD) != FAR_FD)
        return 100;
    if (narrow(&err) < 0) {
        (void)dprintf(STDERR_FILENO, "# %s\n", err.msg);
        return 101;
    }
    return run();
}

static int in_child(probe run, bool narrow_first)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0)
        _exit(narrow_first ? narrowed(run) : run());
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status)
                                                                           : 102;
}

static void check(probe run)
{
    if (geteuid() != 0)
        skip();
    assert_int_equal(in_child(run, true), 0);
}

/* Each would be answered otherwise, or done, by a kernel without the filter. */
static int calls(void)
{
    int self = getpid();
    const struct {
        long nr, a, b, c, d, e;
        int want;
    } refused[] = {
        {SYS_io_uring_setup, 1, 0, 0, 0, 0, EPERM},
        {SYS_userfaultfd, 0, 0, 0, 0, 0, EPERM},
        {SYS_perf_event_open, 0, 0, 0, 0, 0, EPERM},
        {SYS_keyctl, 0, -3, 0, 0, 0, EPERM}, /* the session's keyring */
        {SYS_add_key, 0, 0, 0, 0, 0, EPERM},
        {SYS_kcmp, self, self, 0, 0, 0, EPERM},
        {SYS_get_mempolicy, 0, 0, 0, 0, 0, EPERM},
        {SYS_fanotify_mark, -1, 0, 0, 0, 0, EPERM},
        {SYS_finit_module, -1, 0, 0, 0, 0, EPERM},
        {SYS_io_setup, 1, 0, 0, 0, 0, ENOSYS}, /* in no list */
        {SYS_socket, AF_VSOCK, SOCK_STREAM, 0, 0, 0, ENOSYS},
        {SYS_socket, 38 /* AF_ALG */, SOCK_SEQPACKET, 0, 0, 0, ENOSYS},
        {0x40000000 | SYS_getpid, 0, 0, 0, 0, 0, ENOSYS}, /* x32 */
    };
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        long r = syscall(refused[i].nr, refused[i].a, refused[i].b, refused[i].c, refused[i].d,
                         refused[i].e);
        if (r != -1 || errno != refused[i].want)
            return (int)i + 1;
    }
    return 0;
}

static int work(void)
{
    if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWCGROUP) < 0)
        return 1;
    return sethostname("x", 1) == 0 ? 0 : 2;
}

static int mounts(void)
{
    if (unshare(CLONE_NEWNS) < 0)
        return 1;
    _cleanup_close_ int fs = (int)syscall(SYS_fsopen, "tmpfs", 1 /* FSOPEN_CLOEXEC */);
    if (fs < 0 || syscall(SYS_fsconfig, fs, 6 /* CMD_CREATE */, NULL, NULL, 0) < 0)
        return 2;
    _cleanup_close_ int mnt = (int)syscall(SYS_fsmount, fs, 1, 0);
    return mnt < 0 ? 3 : 0;
}

static int rights(void)
{
    static const unsigned gone[] = {CAP_SYS_MODULE, CAP_SYS_RAWIO,       CAP_SYS_BOOT, CAP_SYS_TIME,
                                    CAP_NET_RAW,    CAP_DAC_READ_SEARCH, CAP_SYSLOG,   CAP_BPF,
                                    CAP_MAC_ADMIN,  CAP_SYS_CHROOT};
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &head, data) < 0)
        return 1;
    for (size_t i = 0; i < ARRAY_LEN(gone); i++) {
        if ((data[gone[i] / 32].permitted >> gone[i] % 32 & 1) != 0)
            return 10 + (int)i;
        if (prctl(PR_CAPBSET_READ, gone[i], 0, 0, 0) != 0)
            return 30 + (int)i; /* a program that root executes would have it again */
    }
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0 ? 0 : 2; /* sudo inside */
}

static int inherited(void)
{
    struct rlimit core;
    if (fcntl(FAR_FD, F_GETFD) >= 0)
        return 1;
    return getrlimit(RLIMIT_CORE, &core) < 0 || core.rlim_max != 1 ? 2 : 0;
}

static int becomes_code(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return 2;
    return mprotect(p, 4096, PROT_READ | PROT_EXEC) == 0 ? 1 : 0;
}

static int pages(void)
{
    if (becomes_code() != 0)
        return 1;
    return in_child(becomes_code, false) == 1 ? 0 : 3; /* what it starts may have a JIT */
}

/* Refusal of new code that is not inherited: Linux 6.6. */
static int knows_mdwe(void)
{
    return prctl(PR_SET_MDWE, 3, 0, 0, 0) == 0;
}

static void test_calls(void **state)
{
    (void)state;
    check(calls);
}

static void test_work(void **state)
{
    (void)state;
    check(work);
    check(mounts);
}

static void test_rights(void **state)
{
    (void)state;
    check(rights);
}

static void test_inherited(void **state)
{
    (void)state;
    check(inherited);
}

static void test_pages(void **state)
{
    (void)state;
    if (in_child(knows_mdwe, false) != 1)
        skip();
    check(pages);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls),  cmocka_unit_test(test_work),
        cmocka_unit_test(test_rights), cmocka_unit_test(test_inherited),
        cmocka_unit_test(test_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
