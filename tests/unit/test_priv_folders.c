/* Which folders silica-priv takes for its own, and that each refusal says what to do. */
// deps: priv_folders base
#include "base/cleanup.h"
#include "base/fs.h"
#include "priv/folders.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static char top[] = "/tmp/silica-folders-XXXXXX";

static const char *in_top(const char *name)
{
    static char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", top, name);
    return path;
}

static void make(const char *name, mode_t mode, uid_t uid, gid_t gid)
{
    const char *path = in_top(name);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(chown(path, uid, gid), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static void test_table(void **state)
{
    (void)state;
    static const struct {
        const char *path, *says; /* says NULL: it is taken */
        int want;
    } cases[] = {
        {"good", NULL, 0},
        {"good/", NULL, 0},
        {"good//in", NULL, 0},
        {"good/./in", NULL, 0},
        {"sticky/in", NULL, 0},
        {"group-root", NULL, 0},
        {"user/in", NULL, 0},
        {"good/../good", "without '..'", -EINVAL},
        {"missing", "open 'missing'", -ENOENT},
        {"link", "symbolic link", -ENOTDIR},
        {"link/in", "name the folder itself", -ENOTDIR},
        {"file", "open 'file'", -ENOTDIR},
        {"sticky", "chmod go-w", -EPERM},
        {"world", "mode 0757", -EPERM},
        {"world/in", "'world'", -EPERM},
        {"group/in", "chmod go-w", -EPERM},
        {"user", "chown it to root", -EPERM},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = {0};
        int fd = -EBADF, r = folder_open(in_top(cases[i].path), false, 0, &fd, &err);
        if (r != cases[i].want || (r < 0 && strstr(err.msg, cases[i].says) == NULL))
            fail_msg("%s: %d %s", cases[i].path, r, err.msg);
        assert_int_equal(r == 0, fd >= 0);
        (void)fd_close(fd);
    }
}

static void test_make(void **state)
{
    (void)state;
    struct stat st;
    struct err err = {0};
    int fd = -EBADF;
    assert_int_equal(folder_open(in_top("good/new/deep"), true, 0700, &fd, &err), 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    fd = fd_close(fd);
    assert_int_equal(stat(in_top("good/new"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0755);
    assert_int_equal(folder_open(in_top("good/new/deep"), true, 0700, &fd, &err), 0);
    fd = fd_close(fd);
    assert_int_equal(folder_open(in_top("link/new"), true, 0700, &fd, &err), -ENOTDIR);
    assert_int_equal(folder_open("good", true, 0700, &fd, &err), -EINVAL);
    assert_int_equal(folder_open("", true, 0700, &fd, &err), -EINVAL);
}

static void test_folder_of(void **state)
{
    (void)state;
    struct err err = {0};
    assert_int_equal(folder_check_of(in_top("good/priv.sock"), &err), 0);
    assert_int_equal(folder_check_of("/priv.sock", &err), 0);
    assert_int_equal(folder_check_of("priv.sock", &err), -EINVAL);
    assert_int_equal(folder_check_of(in_top("world/priv.sock"), &err), -EPERM);
    assert_int_equal(folder_check_of(in_top("link/priv.sock"), &err), -ENOTDIR);
}

static int set_up(void **state)
{
    (void)state;
    (void)umask(022);
    if (mkdtemp(top) == NULL || chmod(top, 0755) < 0)
        return -1;
    make("good", 0755, 0, 0);
    make("good/in", 0755, 0, 0);
    make("sticky", 01777, 0, 0);
    make("sticky/in", 0700, 0, 0);
    make("world", 0757, 0, 0);
    make("world/in", 0755, 0, 0);
    make("group", 0775, 0, 1);
    make("group/in", 0755, 0, 0);
    make("group-root", 0775, 0, 0);
    make("user", 0755, 1000, 1000);
    make("user/in", 0755, 0, 0);
    if (symlink("good", in_top("link")) < 0)
        return -1;
    _cleanup_close_ int fd = open(in_top("file"), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    return fd < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    return fs_remove_tree(AT_FDCWD, top, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_make),
        cmocka_unit_test(test_folder_of),
    };
    if (geteuid() != 0) {
        printf("1..0 # SKIP needs root\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
