/* When a disk is full and when it is no longer; the file that keeps the counts. */
// deps: priv_meters
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "priv/meters.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

static const struct {
    struct room room;
    bool was, is;
} byte_cases[] = {
    {{10 * GIB, 0}, false, true},
    {{10 * GIB, 2 * MIB - 1}, false, true},
    {{10 * GIB, 2 * MIB}, false, false},
    {{10 * GIB, 2 * MIB}, true, true}, /* at the edge it stays what it was */
    {{10 * GIB, 8 * MIB - 1}, true, true},
    {{10 * GIB, 8 * MIB}, true, false},
    {{10 * GIB, 10 * GIB}, true, false},
    {{16 * MIB, 512 * KIB - 1}, false, true}, /* a small disk: its share */
    {{16 * MIB, 512 * KIB}, false, false},
    {{16 * MIB, 2 * MIB - 1}, true, true},
    {{16 * MIB, 2 * MIB}, true, false},
    {{20, 0}, false, true},
    {{20, 1}, false, false},
    {{UINT64_MAX, UINT64_MAX}, true, false},
    {{0, 0}, false, false}, /* what has no size is never full */
    {{0, 0}, true, false},
};

static const struct {
    struct room room;
    bool was, is;
} file_cases[] = {
    {{65536, 0}, false, true}, {{65536, 7}, false, true},  {{65536, 8}, false, false},
    {{65536, 31}, true, true}, {{65536, 32}, true, false}, {{65536, 65000}, true, false},
    {{0, 0}, false, false},    {{0, 0}, true, false}, /* Btrfs counts no inodes */
};

static void test_room(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(byte_cases); i++)
        if (room_bytes_gone(byte_cases[i].room, byte_cases[i].was) != byte_cases[i].is)
            fail_msg("bytes, case %zu", i);
    for (size_t i = 0; i < ARRAY_LEN(file_cases); i++)
        if (room_files_gone(file_cases[i].room, file_cases[i].was) != file_cases[i].is)
            fail_msg("files, case %zu", i);
}

static void test_file(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",       "\n",      "1\n",    "1 2",   "1 23",    "1  2\n",         " 1 2\n",
        "1 2 \n", "1 2 3\n", "-1 2\n", "1 x\n", "1 2\n\n", "4294967296 0\n", "0 4294967296\n",
        " \n",
    };
    uint32_t disk = 0, inodes = 0;
    assert_int_equal(meters_file_parse(slice_str("3 4294967295\n"), &disk, &inodes), 0);
    assert_true(disk == 3 && inodes == UINT32_MAX);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (meters_file_parse(slice_str(bad[i]), &disk, &inodes) != -EBADMSG)
            fail_msg("'%s' was taken", bad[i]);
        assert_true(disk == 3 && inodes == UINT32_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_room), cmocka_unit_test(test_file)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
