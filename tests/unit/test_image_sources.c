/* Package sources of a host: both formats, what is kept of them, and how it is said again. */
// deps: image json base
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "image/apt_sources.h"

#include <fcntl.h>
#include <sys/stat.h>

#define KEY "/usr/share/keyrings/debian-archive-keyring.gpg"

struct parse_case {
    const char *text;
    int result;
    const char *rendered; /* after apt_sources_keep_debian("bookworm"), with keyring "/k" */
};

static const struct parse_case list_cases[] = {
    {"", 0, ""},
    {"\n\n  \t\n", 0, ""},
    {"# deb http://m/d bookworm main\n", 0, ""},
    {"deb http://m/d bookworm main", 0, "deb [signed-by=/k] http://m/d bookworm main\n"},
    {"deb http://m/d bookworm main # why\r\n", 0, "deb [signed-by=/k] http://m/d bookworm main\n"},
    {"\tdeb\thttps://m/d/\tbookworm\tcontrib main\n", 0,
     "deb [signed-by=/k] https://m/d/ bookworm main\n"},
    {"deb http://m/d bookworm-updates main\ndeb http://s/s bookworm-security main non-free\n", 0,
     "deb [signed-by=/k] http://m/d bookworm-updates main\n"
     "deb [signed-by=/k] http://s/s bookworm-security main\n"},
    {"deb [signed-by=" KEY "] http://m/d bookworm main", 0,
     "deb [signed-by=" KEY "] http://m/d bookworm main\n"},
    {"deb [ arch=amd64 signed-by=" KEY " ] http://m/d bookworm main", 0,
     "deb [signed-by=" KEY "] http://m/d bookworm main\n"},
    {"deb http://m/d bookworm main\ndeb http://m/d bookworm main contrib\n", 0,
     "deb [signed-by=/k] http://m/d bookworm main\n"},
    /* not ours */
    {"deb-src http://m/d bookworm main\n", 0, ""},
    {"deb http://m/d bookworm contrib\n", 0, ""},
    {"deb http://m/d bookworm-backports main\n", 0, ""},
    {"deb http://m/d bookwormy main\n", 0, ""},
    {"deb http://m/d trixie main\n", 0, ""},
    {"deb http://m/d ./\n", 0, ""},
    {"deb [signed-by=/usr/share/keyrings/other.gpg] http://o/d bookworm main\n", 0, ""},
    {"deb [signed-by=0123456789ABCDEF] http://o/d bookworm main\n", 0, ""},
    {"deb cdrom:[Debian GNU/Linux 12 _Bookworm_]/ bookworm main\n", 0, ""},
    {"deb file:/srv/mirror bookworm main\n", 0, ""},
    {"deb http:// bookworm main\n", 0, ""},
    {"deb http://m/\"d\" bookworm main\n", 0, ""},
    /* what apt refuses */
    {"deb\n", -EINVAL, NULL},
    {"deb http://m/d\n", -EINVAL, NULL},
    {"deb [arch=amd64 http://m/d bookworm main\n", -EINVAL, NULL},
    {"rpm http://m/d bookworm main\n", -EINVAL, NULL},
    {"Types: deb\n", -EINVAL, NULL},
};

#define STANZA "Types: deb\nURIs: http://m/d\nSuites: bookworm\nComponents: main\n"

static const struct parse_case deb822_cases[] = {
    {"", 0, ""},
    {"\n\n# nothing\n\n", 0, ""},
    {STANZA, 0, "deb [signed-by=/k] http://m/d bookworm main\n"},
    {STANZA "Signed-By: " KEY "\n", 0, "deb [signed-by=" KEY "] http://m/d bookworm main\n"},
    {STANZA "Signed-By:\n " KEY "\n", 0, "deb [signed-by=" KEY "] http://m/d bookworm main\n"},
    {STANZA "Enabled: yes\n", 0, "deb [signed-by=/k] http://m/d bookworm main\n"},
    {"types: deb deb-src\n# a comment\nuris: http://a/d http://b/d\n"
     "suites: bookworm\n bookworm-updates\ncomponents: main contrib\n",
     0,
     "deb [signed-by=/k] http://a/d bookworm main\n"
     "deb [signed-by=/k] http://a/d bookworm-updates main\n"
     "deb [signed-by=/k] http://b/d bookworm main\n"
     "deb [signed-by=/k] http://b/d bookworm-updates main\n"},
    {STANZA "\n" STANZA "\nTypes: deb\nURIs: http://x/d\nSuites: bookworm\nComponents: main\n", 0,
     "deb [signed-by=/k] http://m/d bookworm main\n"
     "deb [signed-by=/k] http://x/d bookworm main\n"},
    {"Types: deb\r\nURIs: http://m/d\r\nSuites: bookworm\r\nComponents: main\r\n\r\n", 0,
     "deb [signed-by=/k] http://m/d bookworm main\n"},
    {"Types: rpm\nTypes: deb\nURIs: http://m/d\nSuites: bookworm\nComponents: main", 0,
     "deb [signed-by=/k] http://m/d bookworm main\n"},
    /* not ours */
    {STANZA "Enabled: no\n", 0, ""},
    {STANZA "Enabled: false\n", 0, ""},
    {STANZA "Signed-By: /etc/apt/keyrings/other.asc\n", 0, ""},
    {STANZA "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQINBF\n", 0, ""},
    {"Types: deb-src\nURIs: http://m/d\nSuites: bookworm\nComponents: main\n", 0, ""},
    {"Types: deb\nURIs: http://m/d\nSuites: bookworm\nComponents: contrib\n", 0, ""},
    {"Types: deb\nURIs: http://m/d\nSuites: bookworm\n", 0, ""},
    {"Types: deb\nURIs: http://m/[d]\nSuites: bookworm\nComponents: main\n", 0, ""},
    /* what apt refuses */
    {"Types: deb\nURIs: http://m/d\nComponents: main\n", -EINVAL, NULL},
    {"URIs: http://m/d\nSuites: bookworm\n", -EINVAL, NULL},
    {"Types: deb\nSuites: bookworm\n", -EINVAL, NULL},
    {" Types: deb\n", -EINVAL, NULL},
    {"deb http//m/d bookworm main\n", -EINVAL, NULL},
    {": deb\n", -EINVAL, NULL},
};

typedef int parse_fn(struct slice text, struct apt_sources *out, struct err *err);

static void check_case(parse_fn *parse, const struct parse_case *c)
{
    _cleanup_free_ struct apt_sources *s = calloc(1, sizeof(*s));
    _cleanup_buf_ struct buf out = BUF_INIT(65536);
    struct err err = {0};
    assert_non_null(s);
    int r = parse(slice_str(c->text), s, &err);
    if (r != c->result)
        print_error("case: %s\n%s\n", c->text, err.msg);
    assert_int_equal(r, c->result);
    if (r < 0) {
        assert_int_equal(err.num, r);
        assert_non_null(strstr(err.msg, "line "));
        return;
    }
    (void)apt_sources_keep_debian(s, "bookworm");
    assert_int_equal(apt_sources_render(s, "/k", &out), 0);
    assert_string_equal(buf_str(&out), c->rendered);
}

static void one_line_format(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(list_cases); i++)
        check_case(apt_sources_parse_list, &list_cases[i]);
}

static void deb822_format(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(deb822_cases); i++)
        check_case(apt_sources_parse_deb822, &deb822_cases[i]);
}

static void errors_name_the_line(void **state)
{
    (void)state;
    _cleanup_free_ struct apt_sources *s = calloc(1, sizeof(*s));
    struct err err = {0};
    assert_non_null(s);
    struct slice text = SLICE_LIT("# one\ndeb http://m/d bookworm main\nnonsense\n");
    assert_int_equal(apt_sources_parse_list(text, s, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "line 3"));
    assert_int_equal(s->n, 1);
}

static void full_at_the_maximum(void **state)
{
    (void)state;
    _cleanup_free_ struct apt_sources *s = calloc(1, sizeof(*s));
    struct err err = {0};
    assert_non_null(s);
    struct slice line = SLICE_LIT("deb http://m/d bookworm main");
    for (int i = 0; i < APT_SOURCES_MAX; i++)
        assert_int_equal(apt_sources_parse_list(line, s, &err), 0);
    assert_int_equal(apt_sources_parse_list(line, s, &err), -E2BIG);
    assert_int_equal(s->n, APT_SOURCES_MAX);
    assert_int_equal(apt_sources_keep_debian(s, "bookworm"), 1);
}

static void too_long_is_left_out(void **state)
{
    (void)state;
    _cleanup_free_ struct apt_sources *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    for (size_t n = APT_URI_MAX; n <= APT_URI_MAX + 1; n++) {
        _cleanup_buf_ struct buf line = BUF_INIT(2048);
        (void)buf_put_str(&line, "deb http://");
        for (size_t i = strlen("http://"); i < n; i++)
            (void)buf_put_char(&line, 'm');
        (void)buf_put_str(&line, " bookworm main\n");
        s->n = 0;
        assert_int_equal(apt_sources_parse_list(buf_slice(&line), s, NULL), 0);
        assert_int_equal(apt_sources_keep_debian(s, "bookworm"), n == APT_URI_MAX);
    }
}

/* --- whole folders ---------------------------------------------------------------------------- */

struct folder {
    char path[64];
    int fd;
};

static void folder_make(struct folder *f)
{
    (void)snprintf(f->path, sizeof(f->path), "/tmp/silica-sources-XXXXXX");
    assert_non_null(mkdtemp(f->path));
    f->fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(f->fd >= 0);
    assert_int_equal(mkdirat(f->fd, "sources.list.d", 0755), 0);
}

static void folder_put(struct folder *f, const char *name, const char *text)
{
    _cleanup_close_ int fd = openat(f->fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(fs_write_all(fd, text, strlen(text)), 0);
}

static void folder_remove(struct folder *f)
{
    f->fd = fd_close(f->fd);
    assert_int_equal(fs_remove_tree(AT_FDCWD, f->path, NULL), 0);
}

static void folder_expect(struct folder *f, const char *rendered)
{
    _cleanup_free_ struct apt_sources *s = calloc(1, sizeof(*s));
    _cleanup_buf_ struct buf out = BUF_INIT(65536);
    struct err err = {0};
    assert_non_null(s);
    if (apt_sources_read(f->path, s, &err) < 0)
        fail_msg("%s", err.msg);
    (void)apt_sources_keep_debian(s, "bookworm");
    assert_int_equal(apt_sources_render(s, "/k", &out), 0);
    assert_string_equal(buf_str(&out), rendered);
}

static void reads_all_files_in_order(void **state)
{
    (void)state;
    struct folder f;
    folder_make(&f);
    folder_expect(&f, "");
    folder_put(&f, "sources.list", "deb http://first/d bookworm main\n");
    folder_put(&f, "sources.list.d/b.list", "deb http://third/d bookworm main\n");
    folder_put(&f, "sources.list.d/a.sources",
               "Types: deb\nURIs: http://second/d\nSuites: bookworm\nComponents: main\n");
    folder_put(&f, "sources.list.d/c.list.save", "deb http://never/d bookworm main\n");
    folder_put(&f, "sources.list.d/.hidden.list", "deb http://never/d bookworm main\n");
    folder_put(&f, "sources.list.d/e e.list", "deb http://never/d bookworm main\n");
    folder_expect(&f, "deb [signed-by=/k] http://first/d bookworm main\n"
                      "deb [signed-by=/k] http://second/d bookworm main\n"
                      "deb [signed-by=/k] http://third/d bookworm main\n");
    folder_remove(&f);
}

static void mirror_lists_are_resolved(void **state)
{
    (void)state;
    struct folder f;
    char line[256];
    folder_make(&f);
    folder_put(&f, "mirrors", "# mirrors\n\nhttps://near/d\tpriority:1\nhttps://far/d\n");
    folder_put(&f, "empty", "# none\n");
    (void)snprintf(line, sizeof(line), "deb mirror+file:%s/mirrors bookworm main\n", f.path);
    folder_put(&f, "sources.list.d/a.list", line);
    (void)snprintf(line, sizeof(line), "deb mirror+file://%s/empty bookworm-updates main\n",
                   f.path);
    folder_put(&f, "sources.list.d/b.list", line);
    (void)snprintf(line, sizeof(line), "deb mirror+file://%s/none bookworm-updates main\n", f.path);
    folder_put(&f, "sources.list.d/c.list", line);
    folder_expect(&f, "deb [signed-by=/k] https://near/d bookworm main\n");
    folder_remove(&f);
}

static void bad_file_is_named(void **state)
{
    (void)state;
    struct folder f;
    struct err err = {0};
    _cleanup_free_ struct apt_sources *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    folder_make(&f);
    folder_put(&f, "sources.list.d/bad.list", "\nnonsense\n");
    assert_int_equal(apt_sources_read(f.path, s, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "bad.list"));
    assert_non_null(strstr(err.msg, "line 2"));
    folder_remove(&f);
    assert_int_equal(apt_sources_read(f.path, s, &err), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_line_format),           cmocka_unit_test(deb822_format),
        cmocka_unit_test(errors_name_the_line),      cmocka_unit_test(full_at_the_maximum),
        cmocka_unit_test(too_long_is_left_out),      cmocka_unit_test(reads_all_files_in_order),
        cmocka_unit_test(mirror_lists_are_resolved), cmocka_unit_test(bad_file_is_named),
    };
    return cmocka_run_group_tests_name("image sources", tests, NULL, NULL);
}
