/* Flat keyed files of the kernel: what version 1 and 2 of control groups write, and what no kernel does. */
// deps: base
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/keyed.h"

#include <sys/mman.h>

static const char memory_events[] = "low 0\nhigh 1\nmax 17\noom 3\noom_kill 2\noom_group_kill 0\n";
static const char oom_control[] = "oom_kill_disable 0\nunder_oom 1\noom_kill 5\n";

static const struct {
    const char *text, *key;
    int result;
    uint64_t value;
} cases[] = {
    {memory_events, "oom_kill", 0, 2},
    {memory_events, "oom", 0, 3},
    {memory_events, "max", 0, 17},
    {memory_events, "low", 0, 0},
    {memory_events, "oom_", -ENOENT, 0},
    {memory_events, "kill", -ENOENT, 0},
    {oom_control, "oom_kill", 0, 5},
    {oom_control, "oom_kill_disable", 0, 0},
    {oom_control, "under_oom", 0, 1},
    {"max 4\n", "max", 0, 4},
    {"max 4", "max", 0, 4},
    {"max 18446744073709551615\n", "max", 0, UINT64_MAX},
    {"max 18446744073709551616\n", "max", -EBADMSG, 0},
    {"max\n", "max", -EBADMSG, 0},
    {"max \n", "max", -EBADMSG, 0},
    {"max  4\n", "max", -EBADMSG, 0},
    {"max 4 \n", "max", -EBADMSG, 0},
    {"max -1\n", "max", -EBADMSG, 0},
    {"max +1\n", "max", -EBADMSG, 0},
    {"max 0x4\n", "max", -EBADMSG, 0},
    {"max max\n", "max", -EBADMSG, 0},
    {" max 4\n", "max", -ENOENT, 0},
    {"max\t4\n", "max", -ENOENT, 0},
    {"max 4\nmax 5\n", "max", 0, 4},
    {"max x\nmax 5\n", "max", -EBADMSG, 0},
    {"\n\nmax 5\n", "max", 0, 5},
    {"", "max", -ENOENT, 0},
};

static void test_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t v = 99;
        int r = keyed_u64(slice_str(cases[i].text), cases[i].key, &v);
        if (r != cases[i].result || v != (r == 0 ? cases[i].value : 99))
            fail_msg("case %zu: %d, %llu", i, r, (unsigned long long)v);
    }
}

static int file_of(const char *text, size_t n)
{
    int fd = memfd_create("keyed", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fs_write_all(fd, text, n), 0);
    return fd;
}

/* From its start each time, whatever was read or written before. */
static void test_file(void **state)
{
    (void)state;
    uint64_t v = 0;
    _cleanup_close_ int fd = file_of(memory_events, sizeof(memory_events) - 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(keyed_read_u64(fd, "oom_kill", &v), 0);
    assert_int_equal(v, 2);
    assert_int_equal(pwrite(fd, "low 9", 5, 0), 5);
    assert_int_equal(keyed_read_u64(fd, "low", &v), 0);
    assert_int_equal(v, 9);
    assert_int_equal(keyed_read_u64(-EBADF, "low", &v), -EBADF);
    assert_int_equal(v, 9);
}

/* A file that might be cut in the middle of a number is no file of this kind. */
static void test_too_long(void **state)
{
    (void)state;
    char text[KEYED_FILE_MAX_BYTES] = "max 12\n";
    uint64_t v = 0;
    for (size_t i = 7; i < sizeof(text); i++)
        text[i] = 'x';
    _cleanup_close_ int full = file_of(text, sizeof(text)), fits = file_of(text, sizeof(text) - 1);
    assert_int_equal(keyed_read_u64(full, "max", &v), -EBADMSG);
    assert_int_equal(keyed_read_u64(fits, "max", &v), 0);
    assert_int_equal(v, 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
