/* Numbers of the kernel as words of the protocol: exit statuses, file modes, usage files. */
// deps: envd
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "envd/fs_mode.h"
#include "envd/metrics.h"
#include "envd/status.h"

#include <sys/stat.h>

/* Wait statuses as Linux encodes them: exit code << 8; signal; 0x80 for a core. */
static void test_exit_status(void **state)
{
    static const struct {
        int wait, code;
        bool exited;
        const char *text;
    } cases[] = {
        {0, 0, true, "exit status 0"},
        {1 << 8, 1, true, "exit status 1"},
        {137 << 8, 137, true, "exit status 137"},
        {255 << 8, 255, true, "exit status 255"},
        {9, -1, false, "signal: killed"},
        {15, -1, false, "signal: terminated"},
        {1, -1, false, "signal: hangup"},
        {11 | 0x80, -1, false, "signal: segmentation fault (core dumped)"},
        {6, -1, false, "signal: aborted"},
        {31, -1, false, "signal: bad system call"},
        {34, -1, false, "signal: signal 34"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct exit_status s;
        exit_status_read(cases[i].wait, &s);
        assert_int_equal(s.code, cases[i].code);
        assert_int_equal(s.exited, cases[i].exited);
        assert_string_equal(s.text, cases[i].text);
    }
}

static void test_modes(void **state)
{
    static const struct {
        mode_t mode;
        const char *text;
    } cases[] = {
        {S_IFREG | 0644, "-rw-r--r--"},   {S_IFREG, "----------"},
        {S_IFDIR | 0755, "drwxr-xr-x"},   {S_IFLNK | 0777, "Lrwxrwxrwx"},
        {S_IFBLK | 0660, "Drw-rw----"},   {S_IFCHR | 0666, "Dcrw-rw-rw-"},
        {S_IFIFO | 0600, "prw-------"},   {S_IFSOCK | 0755, "Srwxr-xr-x"},
        {S_IFREG | 04755, "urwxr-xr-x"},  {S_IFREG | 06755, "ugrwxr-xr-x"},
        {S_IFDIR | 01777, "dtrwxrwxrwx"}, {S_IFDIR | 02775, "dgrwxrwxr-x"},
        {S_IFREG | 0001, "---------x"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[FS_MODE_TEXT_BYTES];
        fs_mode_text(cases[i].mode, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void test_usage_files(void **state)
{
    struct slice info = SLICE_LIT("MemTotal:       1000 kB\nCached:  7 kB\nSwapCached: 9 kB\n"
                                  "Odd: x kB\nHuge: 99999999999999999999 kB\n");
    (void)state;
    assert_int_equal(meminfo_bytes(info, "MemTotal"), 1024000);
    assert_int_equal(meminfo_bytes(info, "Cached"), 7168);
    assert_int_equal(meminfo_bytes(info, "Odd"), 0);
    assert_int_equal(meminfo_bytes(info, "Huge"), 0);
    assert_int_equal(meminfo_bytes(info, "Missing"), 0);
    /* user nice system - - irq softirq steal, in ticks; what follows is counted in them already */
    assert_int_equal(procstat_busy_ns(SLICE_LIT("cpu  1 2 3 1000 1000 4 5 6 50 60\ncpu0 9\n"), 100),
                     210000000);
    assert_int_equal(procstat_busy_ns(SLICE_LIT("intr 1 2\n"), 100), 0);
    assert_int_equal(cgroup_cpu_ns(SLICE_LIT("123456789\n")), 123456789);
    assert_int_equal(cgroup_cpu_ns(SLICE_LIT("usage_usec 5\nuser_usec 3\n")), 5000);
    assert_int_equal(cgroup_cpu_ns(SLICE_LIT("nothing\n")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exit_status),
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_usage_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
