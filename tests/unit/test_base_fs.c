/*
 * Files: opening below a root that symbolic links try to leave, atomic replacement, bounded reads, and
 * removal of trees that are deep, wide, or lead elsewhere. Works in a folder of its own.
 */
// deps: base
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/fs.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

static char folder[] = "/tmp/silica-test-fs-XXXXXX";
static int root = -EBADF; /* folder/root: what guests see as / */
static int top = -EBADF;  /* folder */

static void put(int dir, const char *name, const char *content)
{
    _cleanup_close_ int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(fs_write_all(fd, content, strlen(content)), 0);
}

static void assert_file(int dir, const char *name, const char *want)
{
    _cleanup_buf_ struct buf b = BUF_INIT(1000);
    struct err err = {0};
    assert_int_equal(fs_read_file(dir, name, &b, &err), 0);
    assert_string_equal(buf_str(&b), want);
}

static int set_up(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL || (top = open(folder, O_DIRECTORY | O_CLOEXEC)) < 0)
        return -1;
    put(top, "secret", "outside");
    if (mkdirat(top, "root", 0755) < 0 || mkdirat(top, "root/etc", 0755) < 0)
        return -1;
    root = openat(top, "root", O_DIRECTORY | O_CLOEXEC);
    put(root, "etc/hosts", "inside");
    put(root, "secret", "inside secret");
    const char *links[][2] = {{"/etc/hosts", "absolute"},
                              {"../../../secret", "upward"},
                              {"../secret", "etc/sibling"},
                              {"loop2", "loop1"},
                              {"loop1", "loop2"},
                              {"/proc/self/root/etc", "magic"},
                              {"etc", "folder"},
                              {"missing", "dangling"}};
    for (size_t i = 0; i < ARRAY_LEN(links); i++)
        if (symlinkat(links[i][0], root, links[i][1]) < 0)
            return -1;
    return root < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    root = fd_close(root);
    top = fd_close(top);
    struct err err;
    return fs_remove_tree(AT_FDCWD, folder, &err);
}

static const struct {
    const char *path;
    const char *content; /* NULL: not opened, with `num` */
    int num;
} open_cases[] = {
    {"etc/hosts", "inside", 0},
    {"/etc/hosts", "inside", 0},
    {"//etc//hosts", "inside", 0},
    {"./etc/./hosts", "inside", 0},
    {"etc/../etc/hosts", "inside", 0},
    {"absolute", "inside", 0},
    {"folder/hosts", "inside", 0},
    {"../secret", "inside secret", 0}, /* .. at the root is the root */
    {"../../../../secret", "inside secret", 0},
    {"/../secret", "inside secret", 0},
    {"etc/../../../secret", "inside secret", 0},
    {"upward", "inside secret", 0},
    {"etc/sibling", "inside secret", 0},
    {"loop1", NULL, -ELOOP},
    {"missing", NULL, -ENOENT},
    {"dangling", NULL, -ENOENT},
    {"etc/hosts/x", NULL, -ENOTDIR},
    {"magic/hosts", NULL, -ENOENT}, /* there is no proc below this root */
    {"", NULL, -ENOENT},
};

static void test_open_in_root(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(open_cases); i++) {
        _cleanup_close_ int fd = fs_open_in_root(root, open_cases[i].path, O_RDONLY, 0);
        if (open_cases[i].content == NULL) {
            assert_int_equal(fd, open_cases[i].num);
            continue;
        }
        _cleanup_buf_ struct buf b = BUF_INIT(100);
        if (fd < 0 || fs_read_fd(fd, &b) < 0 || strcmp(buf_str(&b), open_cases[i].content) != 0)
            fail_msg("'%s': %d, '%s'", open_cases[i].path, fd, buf_str(&b));
        assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    }
}

static void test_open_refuses_magic_links(void **state)
{
    (void)state;
    _cleanup_close_ int proc = open("/proc", O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int exe = fs_open_in_root(proc, "self/exe", O_RDONLY, 0);
    assert_int_equal(exe, -ELOOP);
    _cleanup_close_ int status = fs_open_in_root(proc, "self/status", O_RDONLY, 0);
    assert_true(status >= 0);
}

static void test_create_in_root(void **state)
{
    (void)state;
    _cleanup_close_ int fd = fs_open_in_root(root, "../../made", O_WRONLY | O_CREAT | O_EXCL, 0640);
    assert_true(fd >= 0);
    struct stat st;
    assert_int_equal(fstatat(root, "made", &st, 0), 0);
    assert_int_equal(fstatat(top, "made", &st, 0), -1);
    assert_int_equal(fs_open_in_root(root, "made", O_WRONLY | O_CREAT | O_EXCL, 0640), -EEXIST);
}

static void test_read_limits(void **state)
{
    (void)state;
    put(top, "ten", "0123456789");
    for (size_t max = 0; max < 12; max++) {
        _cleanup_buf_ struct buf b = BUF_INIT(max);
        struct err err = {0};
        int r = fs_read_file(top, "ten", &b, &err);
        assert_int_equal(r, max < 10 ? -ENOBUFS : 0);
        assert_true(b.n <= max);
    }
    struct err err;
    _cleanup_buf_ struct buf b = BUF_INIT(10);
    assert_int_equal(fs_read_file(top, "nothing", &b, &err), -ENOENT);
    assert_non_null(strstr(err.msg, "'nothing'"));
    assert_int_equal(fs_read_file(top, ".", &b, &err), -EISDIR);
    b.error = -ENOBUFS;
    assert_int_equal(fs_read_file(top, "ten", &b, &err), -ENOBUFS);
}

static void test_read_appends_large(void **state)
{
    (void)state;
    enum { LARGE = 300000 };
    _cleanup_buf_ struct buf in = BUF_INIT(LARGE), out = BUF_INIT(LARGE + 1);
    for (size_t i = 0; i < LARGE; i++)
        assert_int_equal(buf_put_char(&in, (char)(i * 7 % 251)), 0);
    struct err err = {0};
    assert_int_equal(fs_replace_file(top, "large", buf_slice(&in), 0600, &err), 0);
    assert_int_equal(buf_put_char(&out, '>'), 0);
    assert_int_equal(fs_read_file(top, "large", &out, &err), 0);
    assert_int_equal(out.n, LARGE + 1);
    assert_memory_equal(out.p + 1, in.p, LARGE);
}

static unsigned count_entries(int dir)
{
    DIR *d = fdopendir(openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    unsigned n = 0;
    while (readdir(d) != NULL)
        n++;
    (void)closedir(d);
    return n - 2;
}

static void test_replace(void **state)
{
    (void)state;
    struct err err = {0};
    assert_int_equal(mkdirat(top, "replace", 0755), 0);
    _cleanup_close_ int dir = openat(top, "replace", O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(fs_replace_file(dir, "f", SLICE_LIT("one"), 0600, &err), 0);
    assert_file(dir, "f", "one");
    _cleanup_close_ int before = openat(dir, "f", O_RDONLY | O_CLOEXEC);
    assert_int_equal(fs_replace_file(dir, "f", SLICE_LIT("two"), 0600, &err), 0);
    assert_file(dir, "f", "two");
    char old[4] = "";
    assert_int_equal(read(before, old, 3), 3); /* a new file, not the old one written over */
    assert_string_equal(old, "one");
    struct stat st;
    assert_int_equal(fstatat(dir, "f", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(count_entries(dir), 1);
}

static void test_replace_refusals(void **state)
{
    (void)state;
    struct err err = {0};
    char longest[NAME_MAX + 1];
    memset(longest, 'n', sizeof(longest));
    longest[NAME_MAX] = '\0';
    assert_int_equal(mkdirat(top, "refuse", 0755), 0);
    _cleanup_close_ int dir = openat(top, "refuse", O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(dir, "folder", 0755), 0);
    assert_int_equal(fs_replace_file(dir, "a/b", SLICE_LIT("x"), 0600, &err), -EINVAL);
    assert_int_equal(fs_replace_file(dir, "../b", SLICE_LIT("x"), 0600, &err), -EINVAL);
    assert_int_equal(fs_replace_file(dir, "", SLICE_LIT("x"), 0600, &err), -EINVAL);
    assert_int_equal(fs_replace_file(dir, longest, SLICE_LIT("x"), 0600, &err), -ENAMETOOLONG);
    assert_true(fs_replace_file(dir, "folder", SLICE_LIT("x"), 0600, &err) < 0);
    assert_int_equal(count_entries(dir), 1); /* no temporary file is left */
}

static void test_replace_does_not_follow(void **state)
{
    (void)state;
    struct err err = {0};
    put(top, "target", "safe");
    assert_int_equal(symlinkat("target", top, "link"), 0);
    assert_int_equal(fs_replace_file(top, "link", SLICE_LIT("new"), 0600, &err), 0);
    assert_file(top, "target", "safe");
    assert_file(top, "link", "new");
}

static void test_put_file(void **state)
{
    struct stat st;
    (void)state;
    put(top, "victim", "old");
    assert_int_equal(symlinkat("victim", top, "mark"), 0);
    mode_t mask = umask(077);
    assert_int_equal(fs_put_file(top, "mark", SLICE_LIT("new"), 0644), 0);
    (void)umask(mask);
    assert_int_equal(fstatat(top, "mark", &st, AT_SYMLINK_NOFOLLOW), 0);
    assert_true(S_ISREG(st.st_mode));
    assert_int_equal(st.st_mode & 07777, 0644);
    assert_file(top, "mark", "new");
    assert_file(top, "victim", "old");

    /* a second name of the same file keeps what it had, and a folder is not taken away */
    assert_int_equal(linkat(top, "mark", top, "other", 0), 0);
    assert_int_equal(fs_put_file(top, "mark", slice_of(NULL, 0), 0444), 0);
    assert_file(top, "mark", "");
    assert_file(top, "other", "new");
    assert_int_equal(mkdirat(top, "folder", 0700), 0);
    assert_int_equal(fs_put_file(top, "folder", SLICE_LIT("x"), 0644), -EISDIR);
    assert_int_equal(fs_put_file(top, "absent/x", SLICE_LIT("x"), 0644), -ENOENT);
}

static void test_mkdir_all(void **state)
{
    (void)state;
    struct err err = {0};
    char path[200];
    struct stat st;
    assert_int_equal(fs_join(path, sizeof(path), folder, "a/b//c/"), 0);
    assert_int_equal(fs_mkdir_all(path, 0700, &err), 0);
    assert_int_equal(fs_mkdir_all(path, 0755, &err), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700); /* kept */
    assert_int_equal(fs_mkdir_all("/", 0700, &err), 0);
    assert_int_equal(fs_mkdir_all("", 0700, &err), -ENOENT);
    assert_int_equal(fs_join(path, sizeof(path), folder, "secret/x"), 0);
    assert_int_equal(fs_mkdir_all(path, 0700, &err), -ENOTDIR);
    char longest[PATH_MAX + 2];
    memset(longest, 'n', sizeof(longest));
    longest[PATH_MAX + 1] = '\0';
    assert_int_equal(fs_mkdir_all(longest, 0700, &err), -ENAMETOOLONG);
}

static void test_remove_tree(void **state)
{
    (void)state;
    struct err err = {0};
    assert_int_equal(mkdirat(top, "tree", 0755), 0);
    _cleanup_close_ int dir = openat(top, "tree", O_DIRECTORY | O_CLOEXEC);
    put(dir, "file", "x");
    assert_int_equal(mkdirat(dir, "closed", 0), 0);
    assert_int_equal(mkfifoat(dir, "fifo", 0600), 0);
    assert_int_equal(symlinkat("../root", dir, "to-folder"), 0);
    assert_int_equal(symlinkat("/etc", dir, "to-etc"), 0);
    for (int i = 0; i < 500; i++) {
        char name[16];
        assert_true(snprintf(name, sizeof(name), "wide-%d", i) > 0);
        assert_int_equal(mkdirat(dir, name, 0755), 0);
    }
    assert_int_equal(fs_remove_tree(top, "tree", &err), 0);
    assert_int_equal(faccessat(top, "tree", F_OK, AT_SYMLINK_NOFOLLOW), -1);
    assert_file(root, "etc/hosts", "inside"); /* links were not followed */
    assert_int_equal(fs_remove_tree(top, "tree", &err), 0);
    put(top, "plain", "x");
    assert_int_equal(fs_remove_tree(top, "plain", &err), 0);
    assert_int_equal(symlinkat("root", top, "to-root"), 0);
    assert_int_equal(fs_remove_tree(top, "to-root", &err), 0);
    assert_file(root, "etc/hosts", "inside");
}

/* Deeper than descriptors or a path could reach: a guest makes such trees with mkdir and chdir. */
static void test_remove_deep_tree(void **state)
{
    (void)state;
    enum { DEPTH = 3000 };
    struct rlimit before, few = {.rlim_cur = 200};
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few.rlim_max = before.rlim_max;
    assert_int_equal(mkdirat(top, "deep", 0755), 0);
    int at = openat(top, "deep", O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < DEPTH; i++) {
        assert_int_equal(mkdirat(at, "d", 0755), 0);
        assert_int_equal(mkdirat(at, "e", 0755), 0);
        int next = openat(at, "d", O_DIRECTORY | O_CLOEXEC);
        at = fd_close(at);
        at = next;
    }
    put(at, "bottom", "x");
    at = fd_close(at);
    struct err err = {0};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    int r = fs_remove_tree(top, "deep", &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    if (r < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(faccessat(top, "deep", F_OK, 0), -1);
}

/* A bind mount of the same file system has the same device number: only the kernel can tell. */
static void test_remove_stops_at_mounts(void **state)
{
    (void)state;
    char source[200], mount_point[200];
    assert_int_equal(mkdirat(top, "mounts", 0755), 0);
    assert_int_equal(mkdirat(top, "mounts/point", 0755), 0);
    assert_int_equal(fs_join(source, sizeof(source), folder, "root"), 0);
    assert_int_equal(fs_join(mount_point, sizeof(mount_point), folder, "mounts/point"), 0);
    if (mount(source, mount_point, NULL, MS_BIND, NULL) < 0)
        skip(); /* needs root */
    struct err err = {0};
    int inside = fs_remove_tree(top, "mounts", &err);
    int itself = fs_remove_tree(AT_FDCWD, mount_point, &err);
    assert_int_equal(umount2(mount_point, MNT_DETACH), 0);
    assert_true(inside == -EXDEV || inside == -EBUSY);
    assert_int_equal(itself, -EBUSY);
    assert_file(root, "etc/hosts", "inside");
    assert_int_equal(fs_remove_tree(top, "mounts", &err), 0);
}

static void test_join(void **state)
{
    (void)state;
    char dst[8];
    assert_int_equal(fs_join(dst, sizeof(dst), "abc", "def"), 0);
    assert_string_equal(dst, "abc/def");
    assert_int_equal(fs_join(dst, sizeof(dst), "abc", "defg"), -ENAMETOOLONG);
    assert_int_equal(fs_join(dst, 0, "a", "b"), -ENAMETOOLONG);
}

static void test_write_all_reports(void **state)
{
    (void)state;
    _cleanup_close_ int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_int_equal(fs_write_all(full, "x", 1), -ENOSPC);
    assert_int_equal(fs_write_all(-1, "x", 1), -EBADF);
    assert_int_equal(fs_write_all(-1, NULL, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_in_root),
        cmocka_unit_test(test_open_refuses_magic_links),
        cmocka_unit_test(test_create_in_root),
        cmocka_unit_test(test_read_limits),
        cmocka_unit_test(test_read_appends_large),
        cmocka_unit_test(test_replace),
        cmocka_unit_test(test_replace_refusals),
        cmocka_unit_test(test_replace_does_not_follow),
        cmocka_unit_test(test_put_file),
        cmocka_unit_test(test_mkdir_all),
        cmocka_unit_test(test_remove_tree),
        cmocka_unit_test(test_remove_deep_tree),
        cmocka_unit_test(test_remove_stops_at_mounts),
        cmocka_unit_test(test_join),
        cmocka_unit_test(test_write_all_reports),
    };
    return cmocka_run_group_tests_name("base/fs", tests, set_up, tear_down);
}
