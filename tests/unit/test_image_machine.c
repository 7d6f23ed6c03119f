/* What other programs say about libraries and kernels, and the name that a tree of files gets. */
// deps: image json base
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "image/machine_internal.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

struct line_case {
    const char *line;
    int result;
    const char *path;
};

static const struct line_case line_cases[] = {
    {"\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f0123456789)", 1,
     "/lib/x86_64-linux-gnu/libc.so.6"},
    {"libz.so.1 => /usr/lib/libz.so.1 (0x1)", 1, "/usr/lib/libz.so.1"},
    {"\t/lib64/ld-linux-x86-64.so.2 (0x00007f01)", 1, "/lib64/ld-linux-x86-64.so.2"},
    {"\tlinux-vdso.so.1 (0x00007ffc0badcafe)", 0, NULL},
    {"\tlibgone.so.1 => not found", -ENOENT, NULL},
    {"", -EINVAL, NULL},
    {"\tstatically linked", -EINVAL, NULL},
    {"libc.so.6 => /lib/libc.so.6", -EINVAL, NULL},
    {"libc.so.6 => /lib/libc.so.6 0x1", -EINVAL, NULL},
    {"libc.so.6 => /lib/libc.so.6 (0x)", -EINVAL, NULL},
    {"libc.so.6 => /lib/libc.so.6 (0x1g)", -EINVAL, NULL},
    {"libc.so.6 => /lib/libc.so.6 (0x1) more", -EINVAL, NULL},
    {"libc.so.6 -> /lib/libc.so.6 (0x1)", -EINVAL, NULL},
    {"libc.so.6 => lib/libc.so.6 (0x1)", -EINVAL, NULL},
    {"libc.so.6 => /lib/../etc/shadow (0x1)", -EINVAL, NULL},
    {"libc.so.6 => /lib/./libc.so.6 (0x1)", -EINVAL, NULL},
    {"libc.so.6 => /lib//libc.so.6 (0x1)", -EINVAL, NULL},
    {"libc.so.6 => /lib/libc.so.6/ (0x1)", -EINVAL, NULL},
    {"libc.so.6 => / (0x1)", -EINVAL, NULL},
    {"libc.so.6 => /lib/a b (0x1)", -EINVAL, NULL},
    {"libc.so.6 => /lib/a\x7f (0x1)", -EINVAL, NULL},
    {"libc.so.6 => /lib/\xc3\xa4 (0x1)", -EINVAL, NULL},
    {"lib/x.so (0x1)", -EINVAL, NULL},
    {"/lib/../x.so (0x1)", -EINVAL, NULL},
};

static void test_library_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(line_cases); i++) {
        char path[PATH_MAX] = "untouched";
        const struct line_case *c = &line_cases[i];
        int r = machine_parse_library(slice_str(c->line), path);
        if (r != c->result)
            fail_msg("'%s' gives %d", c->line, r);
        assert_string_equal(path, c->path != NULL ? c->path : "untouched");
    }
}

#define KERNEL "linux-image-6.1.0-56-cloud-amd64"

struct depends_case {
    const char *line, *name, *version; /* NULL: refused */
};

static const struct depends_case depends_cases[] = {
    {"Depends: " KERNEL " (= 6.1.192-2)", KERNEL, "6.1.192-2"},
    {"Depends: kmod, " KERNEL " (= 1:6.1~rc1+b1), x", KERNEL, "1:6.1~rc1+b1"},
    {"Depends: " KERNEL, NULL, NULL},
    {"Depends: " KERNEL " (>= 6.1)", NULL, NULL},
    {"Depends: " KERNEL " (= )", NULL, NULL},
    {"Depends: " KERNEL " (= ../x)", NULL, NULL},
    {"Depends: " KERNEL " (= 6.1/x)", NULL, NULL},
    {"Depends: " KERNEL " (= -o)", NULL, NULL},
    {"Depends: " KERNEL " (= 6.1) | y (= 1;2)", NULL, NULL},
    {"Depends: linux-image-6.1.0-56-amd64 (= 6.1)", NULL, NULL},
    {"Depends: linux-image-../../x-cloud-amd64 (= 6.1)", NULL, NULL},
    {"Pre-Depends: " KERNEL " (= 6.1)", NULL, NULL},
    {"depends: " KERNEL " (= 6.1)", NULL, NULL},
    {"", NULL, NULL},
};

static void test_depends_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(depends_cases); i++) {
        const struct depends_case *c = &depends_cases[i];
        struct machine_package p = {{0}, {0}};
        int r = machine_parse_depends(slice_str(c->line), &p);
        if (r != (c->name != NULL ? 0 : -EINVAL))
            fail_msg("'%s' gives %d", c->line, r);
        assert_string_equal(p.name, c->name != NULL ? c->name : "");
        assert_string_equal(p.version, c->version != NULL ? c->version : "");
    }
}

struct tree {
    char path[32];
    int fd;
};

static void tree_make(struct tree *t)
{
    (void)snprintf(t->path, sizeof(t->path), "/tmp/silica-tree-XXXXXX");
    assert_non_null(mkdtemp(t->path));
    t->fd = open(t->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(t->fd >= 0);
    assert_int_equal(machine_make_dirs(t->fd, "a/b", NULL), 0);
    assert_int_equal(machine_write(t->fd, "a/x", SLICE_LIT("one"), NULL), 0);
    assert_int_equal(machine_write(t->fd, "y", SLICE_LIT(""), NULL), 0);
}

static void tree_done(struct tree *t)
{
    t->fd = fd_close(t->fd);
    assert_int_equal(fs_remove_tree(AT_FDCWD, t->path, NULL), 0);
}

static void expect_id(const struct tree *t, const char *other, bool same)
{
    char id[MACHINE_ID_LEN + 1];
    assert_int_equal(machine_tree_id(t->path, id, NULL), 0);
    assert_int_equal(strlen(id), MACHINE_ID_LEN);
    assert_int_equal(strcmp(id, other) == 0, same);
}

/* Computed by other means: SHA-256 of the rows of kind, path, NUL, size, content. */
#define TREE_ID "0a48535adbb022a7d1ec"

static void test_tree_id(void **state)
{
    (void)state;
    struct tree t, other;
    char id[MACHINE_ID_LEN + 1];
    tree_make(&t);
    tree_make(&other);
    assert_int_equal(machine_tree_id(t.path, id, NULL), 0);
    assert_string_equal(id, TREE_ID);
    expect_id(&other, id, true); /* neither its place nor its times matter */
    assert_int_equal(machine_write(other.fd, "z", SLICE_LIT(""), NULL), 0);
    expect_id(&other, id, false); /* a file more */
    assert_int_equal(unlinkat(other.fd, "z", 0), 0);
    expect_id(&other, id, true);
    assert_int_equal(unlinkat(other.fd, "a/b", AT_REMOVEDIR), 0);
    expect_id(&other, id, false); /* a folder less */
    assert_int_equal(machine_write(other.fd, "a/b", SLICE_LIT(""), NULL), 0);
    expect_id(&other, id, false); /* a file in its place */
    tree_done(&other);
    tree_make(&other);
    assert_int_equal(unlinkat(other.fd, "a/x", 0), 0);
    assert_int_equal(machine_write(other.fd, "a/x", SLICE_LIT("two"), NULL), 0);
    expect_id(&other, id, false); /* another content */
    assert_int_equal(symlinkat("a", other.fd, "link"), 0);
    assert_int_equal(machine_tree_id(other.path, id, NULL), -EINVAL);
    tree_done(&other);
    tree_done(&t);
}

/* Files are copied through links, get their mode whatever the umask, and replace nothing. */
static void test_copy(void **state)
{
    (void)state;
    struct tree t;
    struct stat st;
    char from[64];
    tree_make(&t);
    assert_int_equal(symlinkat("a/x", t.fd, "link"), 0);
    assert_int_equal(fs_join(from, sizeof(from), t.path, "link"), 0);
    mode_t old = umask(077);
    assert_int_equal(machine_copy(from, t.fd, "new/folder/x", 0755, NULL), 0);
    (void)umask(old);
    assert_int_equal(fstatat(t.fd, "new/folder", &st, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(st.st_mode, S_IFDIR | 0755);
    assert_int_equal(fstatat(t.fd, "new/folder/x", &st, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0755);
    assert_int_equal(st.st_size, 3);
    assert_int_equal(machine_copy(from, t.fd, "new/folder/x", 0755, NULL), -EEXIST);
    assert_int_equal(machine_copy(t.path, t.fd, "folder", 0755, NULL), -EINVAL);
    assert_int_equal(machine_copy("/dev/null", t.fd, "device", 0755, NULL), -EINVAL);
    tree_done(&t);
}

static void test_refused_template(void **state)
{
    (void)state;
    struct err err;
    assert_int_equal(machine_base_image("/tmp", "../../etc", &err), -EINVAL);
    assert_int_equal(machine_base_image("/nonexistent", "aaaaaaaaaaaaaaaaaaaa", &err), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_library_lines),    cmocka_unit_test(test_depends_lines),
        cmocka_unit_test(test_tree_id),          cmocka_unit_test(test_copy),
        cmocka_unit_test(test_refused_template),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
