// deps: disk base
/* When a file system is low: a share of its size, held between two sizes. */
#include "disk/room.h"

#include "base/buf.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

static void kept(void **state)
{
    static const struct {
        uint64_t total, kept;
    } cases[] = {
        {0, 256 * MIB},
        {300 * MIB, 256 * MIB},
        {12 * GIB, 256 * MIB},
        {100 * GIB, 100 * GIB / 100 * 2},
        {390 * GIB, 390 * GIB / 100 * 2},
        {400 * GIB, 400 * GIB / 100 * 2},
        {500 * GIB, 8 * GIB},
        {UINT64_MAX, 8 * GIB},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(disk_room_kept(cases[i].total), cases[i].kept);
}

static void low(void **state)
{
    struct disk_room room = {.total = 100 * GIB, .free = 2 * GIB, .kept = 2 * GIB};
    (void)state;
    assert_false(disk_room_is_low(&room));
    room.free--;
    assert_true(disk_room_is_low(&room));
}

static void of_a_folder(void **state)
{
    struct disk_room room;
    int fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(disk_room_get(fd, &room), 0);
    assert_true(room.free <= room.total);
    assert_int_equal(room.kept, disk_room_kept(room.total));
    (void)close(fd);
    assert_true(disk_room_get(fd, &room) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept),
        cmocka_unit_test(low),
        cmocka_unit_test(of_a_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
