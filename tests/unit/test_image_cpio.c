/* The archive that the kernel unpacks: byte by byte, and as another program reads it. */
// deps: image json base
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "image/cpio.h"
#include "image/run.h"

#include <fcntl.h>
#include <string.h>

enum { ARCHIVE_MAX_BYTES = 4096, HEADER = 110 };

#define ZERO8 "00000000"

/* Magic, inode, mode, two ids, links, time, size, device (2), special device (2), name's size, check. */
static const char expected[] =
    "070701"
    "00000001"
    "000041ED" ZERO8 ZERO8 "00000002" ZERO8 ZERO8 ZERO8 ZERO8 ZERO8 ZERO8 "00000004" ZERO8
    "dev\0\0\0" /* to a multiple of four */
    "070701"
    "00000002"
    "00002180" ZERO8 ZERO8 "00000001" ZERO8 ZERO8 ZERO8 ZERO8 "00000005"
    "00000001"
    "0000000C" ZERO8 "dev/console\0\0\0"
    "070701"
    "00000003"
    "000081A4" ZERO8 ZERO8 "00000001" ZERO8 "00000005" ZERO8 ZERO8 ZERO8 ZERO8 "00000002" ZERO8
    "f\0hello\0\0\0"
    "070701" ZERO8 ZERO8 ZERO8 ZERO8 "00000001" ZERO8 ZERO8 ZERO8 ZERO8 ZERO8 ZERO8 "0000000B" ZERO8
    "TRAILER!!!\0\0\0"; /* and the NUL of the literal */

static void fill(struct buf *out)
{
    struct cpio c;
    cpio_begin(&c, out);
    assert_int_equal(cpio_dir(&c, "dev", 0755), 0);
    assert_int_equal(cpio_char_device(&c, "dev/console", 0600, 5, 1), 0);
    assert_int_equal(cpio_file(&c, "f", 0644, SLICE_LIT("hello")), 0);
    assert_int_equal(cpio_end(&c), 0);
}

static void test_bytes(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf out = BUF_INIT(ARCHIVE_MAX_BYTES);
    fill(&out);
    assert_int_equal(out.n, sizeof(expected));
    assert_memory_equal(out.p, expected, sizeof(expected));
}

/* Contents and names of every length begin at multiples of four. */
static void test_padding(void **state)
{
    (void)state;
    for (size_t n = 0; n < 9; n++) {
        _cleanup_buf_ struct buf out = BUF_INIT(ARCHIVE_MAX_BYTES);
        struct cpio c;
        char name[16] = "";
        memset(name, 'n', n + 1);
        cpio_begin(&c, &out);
        assert_int_equal(cpio_file(&c, name, 0644, slice_of("12345678", n)), 0);
        size_t head = (HEADER + n + 2 + 3) / 4 * 4;
        assert_int_equal(out.n, head + (n + 3) / 4 * 4);
        assert_memory_equal(out.p + head, "12345678", n);
        assert_int_equal(cpio_dir(&c, "d", 0755), 0);
        assert_memory_equal(out.p + head + (n + 3) / 4 * 4, "070701", 6);
    }
}

static void test_refused_names(void **state)
{
    (void)state;
    static const char *const names[] = {"", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "./a"};
    char longest[CPIO_NAME_MAX + 2];
    _cleanup_buf_ struct buf out = BUF_INIT(ARCHIVE_MAX_BYTES);
    struct cpio c;
    cpio_begin(&c, &out);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_int_equal(cpio_dir(&c, names[i], 0755), -EINVAL);
    memset(longest, 'a', sizeof(longest));
    longest[CPIO_NAME_MAX + 1] = '\0';
    assert_int_equal(cpio_dir(&c, longest, 0755), -EINVAL);
    assert_int_equal(out.n, 0);
    longest[CPIO_NAME_MAX] = '\0';
    assert_int_equal(cpio_dir(&c, longest, 0755), 0);
}

static void test_maximum(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf out = BUF_INIT(HEADER + 10);
    struct cpio c;
    cpio_begin(&c, &out);
    assert_int_equal(cpio_file(&c, "f", 0644, SLICE_LIT("more than ten")), -ENOBUFS);
    assert_int_equal(cpio_dir(&c, "d", 0755), -ENOBUFS);
    assert_int_equal(cpio_end(&c), -ENOBUFS);
}

static void put_line(void *user, struct slice line)
{
    struct buf *b = user;
    (void)buf_put_slice(b, line);
    (void)buf_put_char(b, '\n');
}

/* Where there is one: cpio(1), which lists what it understood. */
static void test_listing(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf out = BUF_INIT(ARCHIVE_MAX_BYTES), text = BUF_INIT(ARCHIVE_MAX_BYTES);
    char path[] = "/tmp/silica-cpio-XXXXXX";
    _cleanup_close_ int fd = mkostemp(path, O_CLOEXEC);
    assert_true(fd >= 0);
    fill(&out);
    assert_int_equal(fs_write_all(fd, out.p, out.n), 0);
    const char *const argv[] = {"cpio", "-t", "--quiet", "-F", path, NULL};
    struct image_run run = {.argv = argv, .cancel_fd = -1, .line = put_line, .user = &text};
    int r = image_run(&run, NULL);
    (void)unlink(path);
    if (r < 0 && strstr(buf_str(&text), "dev") == NULL)
        skip(); /* not installed, or no root for namespaces of its own */
    assert_int_equal(r, 0);
    assert_string_equal(buf_str(&text), "dev\ndev/console\nf\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),   cmocka_unit_test(test_padding),
        cmocka_unit_test(test_maximum), cmocka_unit_test(test_refused_names),
        cmocka_unit_test(test_listing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
