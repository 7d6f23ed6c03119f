/* Path rules, and the walk that makes missing folders. */
// deps: envd
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "envd/paths.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

struct resolve_case {
    const char *given, *workdir, *out; /* out NULL: refused */
};

static const struct resolve_case resolve_cases[] = {
    {"", "", "/home/user"},
    {"", "/work", "/work"},
    {"", "rel", "/home/user/rel"},
    {"", "~/w", "/home/user/w"},
    {"~", "/work", "/home/user"},
    {"~/", "", "/home/user"},
    {"~/a//b/", "", "/home/user/a/b"},
    {"~/../x", "", "/home/x"},
    {"~root", "", NULL},
    {"~root/x", "", NULL},
    {"/a//b/../c/", "/work", "/a//b/../c/"},
    {"/", "", "/"},
    {"a", "/work", "/home/user/a"},
    {"./a/./b", "", "/home/user/a/b"},
    {"../../../..", "", "/"},
    {"a~", "", "/home/user/a~"},
    {"..a", "", "/home/user/..a"},
};

static void test_resolve(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(resolve_cases); i++) {
        const struct resolve_case *c = &resolve_cases[i];
        char out[ENVD_PATH_MAX + 1];
        struct err err;
        int r = path_resolve(c->given, "/home/user", c->workdir, out, &err);
        if (c->out == NULL) {
            assert_int_equal(r, -EINVAL);
            assert_non_null(strstr(err.msg, "cannot expand user-specific home dir"));
        } else {
            assert_int_equal(r, 0);
            assert_string_equal(out, c->out);
        }
    }
}

static void test_resolve_length(void **state)
{
    static char given[ENVD_PATH_MAX + 2];
    char out[ENVD_PATH_MAX + 1];
    (void)state;
    memset(given, 'a', sizeof(given) - 1);
    given[0] = '/';
    given[ENVD_PATH_MAX] = '\0';
    assert_int_equal(path_resolve(given, "/h", "", out, NULL), 0);
    given[ENVD_PATH_MAX] = 'a';
    assert_int_equal(path_resolve(given, "/h", "", out, NULL), -ENAMETOOLONG);
    given[0] = 'a'; /* fits alone, not with the home in front */
    given[ENVD_PATH_MAX - 1] = '\0';
    assert_int_equal(path_resolve(given, "/h", "", out, NULL), -ENAMETOOLONG);
}

static void test_clean(void **state)
{
    static const char *const cases[][2] = {
        {"", "."},
        {"/", "/"},
        {"//", "/"},
        {"/..", "/"},
        {"/../a", "/a"},
        {"a/..", "."},
        {"../a", "../a"},
        {"../../a", "../../a"},
        {"a/../../b", "../b"},
        {"/a/b/../../c", "/c"},
        {"a/b/", "a/b"},
        {"/a./..b", "/a./..b"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_buf_ struct buf out = BUF_INIT(256);
        assert_int_equal(path_clean(&out, cases[i][0]), 0);
        assert_string_equal(buf_str(&out), cases[i][1]);
    }
}

static void test_base(void **state)
{
    static const char *const cases[][2] = {
        {"/", "/"}, {"//", "/"}, {"/a", "a"}, {"/a/b", "b"}, {"/a/b/", "b"}, {"/a//", "a"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (!slice_eq_str(path_base(cases[i][0]), cases[i][1]))
            fail_msg("base of '%s'", cases[i][0]);
}

static int in_dir(const char *dir, const char *rel, bool *made, struct err *err)
{
    char path[512];
    assert_int_equal(fs_join(path, sizeof(path), dir, rel), 0);
    return path_make_all(path, getuid(), getgid(), made, err);
}

static void test_make_all(void **state)
{
    char dir[] = "/tmp/silica-paths-XXXXXX", path[512];
    struct err err;
    struct stat st;
    bool made;
    (void)state;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(in_dir(dir, "a/b/c/", &made, &err), 0);
    assert_true(made);
    assert_int_equal(in_dir(dir, "a//b/c", &made, &err), 0);
    assert_false(made);
    assert_int_equal(fs_join(path, sizeof(path), dir, "a/b/c"), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0755);

    /* a file in the way, and a link to a folder that is followed */
    assert_int_equal(fs_join(path, sizeof(path), dir, "f"), 0);
    _cleanup_close_ int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(in_dir(dir, "f/x", &made, &err), -ENOTDIR);
    assert_non_null(strstr(err.msg, "path is a file: "));
    assert_int_equal(fs_join(path, sizeof(path), dir, "l"), 0);
    assert_int_equal(symlink("a/b", path), 0);
    assert_int_equal(in_dir(dir, "l/d", &made, &err), 0);
    assert_true(made);
    assert_int_equal(fs_join(path, sizeof(path), dir, "a/b/d"), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(fs_remove_tree(AT_FDCWD, dir, NULL), 0);
}

/* A magic link of /proc would open a descriptor of this process. */
static void test_no_magic_links(void **state)
{
    _cleanup_close_ int fd = open("/etc/hostname", O_RDONLY | O_CLOEXEC);
    char path[64];
    (void)state;
    if (fd < 0)
        fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    assert_int_equal(path_open(path, O_RDONLY, 0), -ELOOP);
    _cleanup_close_ int ok = path_open("/proc/self/status", O_RDONLY, 0);
    assert_true(ok >= 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resolve),  cmocka_unit_test(test_resolve_length),
        cmocka_unit_test(test_clean),    cmocka_unit_test(test_base),
        cmocka_unit_test(test_make_all), cmocka_unit_test(test_no_magic_links),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
