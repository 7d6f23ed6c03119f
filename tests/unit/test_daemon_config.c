/* silicad's configuration file and command line, and that it really gives its rights up. */
// deps: daemon confine base
#include "base/cleanup.h"
#include "base/fs.h"
#include "confine/narrow.h"
#include "daemon/config.h"
#include "daemon/options.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/capability.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

static int read_text(const char *text, size_t n, struct config *ret, struct err *err)
{
    _cleanup_close_ int fd = memfd_create("config", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fs_write_all(fd, text, n), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return config_read(fd, "test.conf", ret, err);
}

static void test_defaults(void **state)
{
    (void)state;
    struct config c, d;
    config_defaults(&d);
    assert_int_equal(d.max_sandboxes, 100);
    assert_int_equal(d.log_level, LOG_INFO);
    assert_int_equal(read_text("", 0, &c, NULL), 0);
    assert_memory_equal(&c, &d, sizeof(c));
}

static void test_values(void **state)
{
    (void)state;
    static const char text[] = "; a comment\n[server]\nlog_level = debug\nlog_json = on\n"
                               "host_names = a.example, b.example ,c.example\n"
                               "[sandbox]\nmax_sandboxes = 2048\nmemory_mb=64\n";
    struct config c;
    const char *names[CONFIG_HOST_NAMES_MAX];
    struct err err = {0};
    if (read_text(text, sizeof(text) - 1, &c, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(c.log_level, LOG_DEBUG);
    assert_true(c.log_json);
    assert_int_equal(c.max_sandboxes, 2048);
    assert_int_equal(c.memory_mb, 64);
    assert_int_equal(c.cpu_count, 2);
    assert_int_equal(config_split_names(c.host_names, names), 3);
    assert_string_equal(names[0], "a.example");
    assert_string_equal(names[1], "b.example");
    assert_string_equal(names[2], "c.example");
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"[sandbox]\nmax_sandboxes = 0\n", "max_sandboxes must be a whole number from 1 to 2048"},
        {"[sandbox]\nmax_sandboxes = 2049\n", "not '2049'"},
        {"[sandbox]\nmax_sandboxes = -1\n", "not '-1'"},
        {"[sandbox]\nmax_sandboxes = 12x\n", "the default is 100"},
        {"[sandbox]\nmax_sandboxes = 18446744073709551616\n", "whole number"},
        {"[sandbox]\nmax_sandboxes =\n", "whole number"},
        {"[sandbox]\n\nmax_sandbox = 5\n", "line 3: [sandbox] max_sandbox is no key"},
        {"max_sandboxes = 5\n", "is no key"},
        {"[sandbox]\npids = 100\npids = 101\n", "[sandbox] pids is given twice"},
        {"[sandbox]\nnetwork_mbit = 400001\n", "[sandbox] network_mbit must be a whole number"},
        {"[server]\nlog_json = yes\n", "must be 'on' or 'off'"},
        {"[server]\nlog_level = loud\n", "error, warning, info or debug"},
        {"[server]\nnonsense\n", "line 2"},
        {"[server\n", "line 1: not of the form"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct config c = {.pids = 4711};
        struct err err = {0};
        if (read_text(cases[i].text, strlen(cases[i].text), &c, &err) == 0)
            fail_msg("accepted: %s", cases[i].text);
        if (strstr(err.msg, cases[i].says) == NULL || strstr(err.msg, "test.conf") == NULL)
            fail_msg("'%s' does not say '%s'", err.msg, cases[i].says);
        assert_int_equal(c.pids, 4711); /* untouched on failure */
    }
    struct config c;
    assert_int_equal(read_text("[server]\0x\n", 11, &c, NULL), -EINVAL);
    static char big[CONFIG_MAX_BYTES + 1];
    memset(big, '\n', sizeof(big));
    assert_int_equal(read_text(big, sizeof(big), &c, NULL), -ENOBUFS);
}

static int parse(char **argv, struct options *ret, struct err *err)
{
    int argc = 0;
    while (argv[argc] != NULL)
        argc++;
    optind = 0;
    return options_parse(argc, argv, ret, err);
}

#define ARGV(...)                                                                                  \
    (char *[])                                                                                     \
    {                                                                                              \
        (char[]){"silicad"}, __VA_ARGS__, NULL                                                     \
    }

static void test_options(void **state)
{
    (void)state;
    struct options o;
    struct err err = {0};
    char data[] = "--data=/d", sock[] = "--priv-socket=/s", uid[] = "--uid=5", fd[] = "--listen-fd",
         three[] = "3", domain[] = "--domain=d:1", driver[] = "--driver=container",
         root[] = "--uid=0", two[] = "2", extra[] = "extra", bad[] = "--what";
    assert_int_equal(parse(ARGV(data, sock, uid, fd, three, domain, driver), &o, &err), 0);
    assert_string_equal(o.data, "/d");
    assert_string_equal(o.domain, "d:1");
    assert_int_equal(o.uid, 5);
    assert_int_equal(o.listen_fd, 3);
    assert_null(o.config);
    assert_int_equal(parse(ARGV(data, sock, root, fd, three, domain, driver), &o, &err), -EINVAL);
    assert_int_equal(parse(ARGV(data, sock, uid, fd, two, domain, driver), &o, &err), -EINVAL);
    assert_int_equal(parse(ARGV(data, sock, uid, domain, driver), &o, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "--listen-fd is missing"));
    assert_int_equal(parse(ARGV(data, sock, uid, fd, three, domain, driver, extra), &o, &err),
                     -EINVAL);
    assert_int_equal(parse(ARGV(data, sock, uid, fd, three, domain, driver, bad), &o, &err),
                     -EINVAL);
}

enum { TEST_UID = 1878994959 }; /* in the daemon's range, nobody's */

/* In a child, because there is no way back. Returns 0, or a number that says what stayed. */
static int narrowed_child(void)
{
    struct err err = {0};
    int a = open("/dev/null", O_RDONLY), b = open("/dev/null", O_RDONLY), c = fcntl(a, F_DUPFD, 40),
        d = fcntl(a, F_DUPFD, 20);
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3] = {0};
    if (syscall(SYS_capget, &head, caps) < 0)
        return 5;
    caps[0].inheritable = caps[0].permitted; /* what a change of ids does not clear */
    if (syscall(SYS_capset, &head, caps) < 0)
        return 6;
    const int keep[] = {c, -1, d}; /* in any order */
    if (narrow("test", TEST_UID, keep, ARRAY_LEN(keep), &err) < 0) {
        (void)dprintf(2, "# %s\n", err.msg);
        return 1;
    }
    if (fcntl(a, F_GETFD) >= 0 || fcntl(b, F_GETFD) >= 0 || fcntl(c, F_GETFD) != FD_CLOEXEC ||
        fcntl(d, F_GETFD) != FD_CLOEXEC)
        return 2;
    _cleanup_buf_ struct buf status = BUF_INIT(65536);
    if (fs_read_file(AT_FDCWD, "/proc/self/status", &status, NULL) < 0)
        return 3;
    static const char *const lines[] = {
        "Uid:\t1878994959\t1878994959\t1878994959\t1878994959\n",
        "Gid:\t1878994959\t1878994959\t1878994959\t1878994959\n",
        "Groups:\t \n",
        "CapInh:\t0000000000000000\n",
        "CapPrm:\t0000000000000000\n",
        "CapEff:\t0000000000000000\n",
        "CapBnd:\t0000000000000000\n",
        "CapAmb:\t0000000000000000\n",
        "NoNewPrivs:\t1\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        if (strstr(buf_str(&status), lines[i]) == NULL)
            return 10 + (int)i;
    struct rlimit core;
    if (getrlimit(RLIMIT_CORE, &core) < 0 || core.rlim_max != 1)
        return 4;
    return 0;
}

static void test_narrow(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip(); /* there is nothing to give up */
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(narrowed_child());
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults), cmocka_unit_test(test_values),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_options),
        cmocka_unit_test(test_narrow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
