/* What clients call templates, and how such a name finds a folder. */
// deps: image json base
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "image/build.h"
#include "image/ref.h"
#include "image/template.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#define ID_A "aaaaaaaaaaaaaaaaaaaa"
#define ID_B "bbbbbbbbbbbbbbbbbbbb"
#define A63  "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg"

struct ref_case {
    const char *text;
    int result;
    const char *name;
    bool maybe_id;
};

static const struct ref_case ref_cases[] = {
    {"base", 0, "base", false},
    {"base:default", 0, "base", false},
    {"a", 0, "a", false},
    {"0-_x", 0, "0-_x", false},
    {ID_A, 0, ID_A, true},
    {ID_A ":default", 0, ID_A, true},
    {ID_A "a", 0, ID_A "a", false},
    {A63, 0, A63, false},
    {"base:latest", -ENOENT, NULL, false},
    {"base:v1.2_3-x", -ENOENT, NULL, false},
    {"base:Default", -ENOENT, NULL, false},
    {"base:default2", -ENOENT, NULL, false},
    {"", -EINVAL, NULL, false},
    {":", -EINVAL, NULL, false},
    {":default", -EINVAL, NULL, false},
    {"base:", -EINVAL, NULL, false},
    {"base:.x", -EINVAL, NULL, false},
    {"base:-x", -EINVAL, NULL, false},
    {"base:a:b", -EINVAL, NULL, false},
    {"base:a/b", -EINVAL, NULL, false},
    {"Base", -EINVAL, NULL, false},
    {"-base", -EINVAL, NULL, false},
    {"_base", -EINVAL, NULL, false},
    {"..", -EINVAL, NULL, false},
    {"../base", -EINVAL, NULL, false},
    {"a/b", -EINVAL, NULL, false},
    {"a b", -EINVAL, NULL, false},
    {"base\n", -EINVAL, NULL, false},
    {"b\xc3\xa4se", -EINVAL, NULL, false},
    {A63 "h", -EINVAL, NULL, false},
};

static void references(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ref_cases); i++) {
        const struct ref_case *c = &ref_cases[i];
        struct template_ref ref = {.name = "untouched"};
        if (template_ref_parse(slice_str(c->text), &ref) != c->result)
            fail_msg("'%s' was not answered with %d", c->text, c->result);
        assert_string_equal(ref.name, c->result == 0 ? c->name : "untouched");
        assert_int_equal(ref.maybe_id, c->maybe_id);
    }
    struct template_ref ref;
    assert_int_equal(template_ref_parse(slice_of("ba\0se", 5), &ref), -EINVAL);
}

struct fixture {
    char path[64];
    int fd;
};

static void put(struct fixture *f, const char *name, const char *text)
{
    _cleanup_close_ int fd = openat(f->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(fs_write_all(fd, text, strlen(text)), 0);
}

static void put_template(struct fixture *f, const char *id, const char *json)
{
    char path[64];
    assert_int_equal(mkdirat(f->fd, id, 0755), 0);
    (void)snprintf(path, sizeof(path), "%s/template.json", id);
    if (json != NULL)
        put(f, path, json);
}

#define JSON_OF(id, alias)                                                                         \
    "{\"id\":\"" id "\",\"alias\":\"" alias                                                        \
    "\",\"buildId\":\"7854539d-41ef-4d51-ba34-d7bb3572a476\","                                     \
    "\"cpuCount\":2,\"memoryMB\":1024,\"diskMB\":10240,\"createdAt\":\"x\",\"more\":[1]}"

#define JSON_WITH_DISK(id, mb)                                                                     \
    "{\"id\":\"" id "\",\"buildId\":\"x\",\"cpuCount\":2,\"memoryMB\":1024,\"diskMB\":" mb "}"

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    (void)snprintf(f->path, sizeof(f->path), "/tmp/silica-templates-XXXXXX");
    assert_non_null(mkdtemp(f->path));
    f->fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(f->fd >= 0);
    assert_int_equal(mkdirat(f->fd, "aliases", 0755), 0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    f->fd = fd_close(f->fd);
    assert_int_equal(fs_remove_tree(AT_FDCWD, f->path, NULL), 0);
    free(f);
    return 0;
}

static void expect_found(struct fixture *f, const char *ref, const char *id)
{
    struct template_info t = {0};
    struct err err = {0};
    if (template_find(f->path, ref, &t, &err) < 0)
        fail_msg("%s: %s", ref, err.msg);
    assert_string_equal(t.id, id);
    assert_string_equal(t.build_id, "7854539d-41ef-4d51-ba34-d7bb3572a476");
    assert_int_equal(t.cpu_count, 2);
    assert_int_equal(t.memory_mb, 1024);
    assert_int_equal(t.disk_mb, 10240);
}

static void expect_refused(struct fixture *f, const char *ref, int result, const char *message)
{
    struct template_info t = {.id = "untouched"};
    struct err err = {0};
    assert_int_equal(template_find(f->path, ref, &t, &err), result);
    if (strstr(err.msg, message) == NULL)
        fail_msg("'%s' does not say '%s'", err.msg, message);
    assert_string_equal(t.id, "untouched");
}

static void finds_by_id_alias_and_tag(void **state)
{
    struct fixture *f = *state;
    put_template(f, ID_A, JSON_OF(ID_A, "base"));
    put_template(f, ID_B, JSON_OF(ID_B, ""));
    put(f, "aliases/base", ID_A "\n");
    put(f, "aliases/plain", ID_B);
    expect_found(f, "base", ID_A);
    expect_found(f, "base:default", ID_A);
    expect_found(f, "plain", ID_B);
    expect_found(f, ID_A, ID_A);
    expect_found(f, ID_B ":default", ID_B);
    expect_refused(f, "none", -ENOENT, "template 'none' not found");
    expect_refused(f, "base:v2", -ENOENT, "template 'base:v2' not found");
    expect_refused(f, "cccccccccccccccccccc", -ENOENT, "'cccccccccccccccccccc' not found");
    expect_refused(f, "../base", -EINVAL, "not a template reference");
    expect_refused(f, "aliases", -ENOENT, "not found");
}

static void an_alias_wins_over_an_id(void **state)
{
    struct fixture *f = *state;
    put_template(f, ID_A, JSON_OF(ID_A, ""));
    put_template(f, ID_B, JSON_OF(ID_B, ID_A));
    put(f, "aliases/" ID_A, ID_B "\n");
    expect_found(f, ID_A, ID_B);
}

static void damage_is_told(void **state)
{
    struct fixture *f = *state;
    put(f, "aliases/bad", "../../etc\n");
    put(f, "aliases/long", ID_A ID_A ID_A ID_A);
    put(f, "aliases/gone", ID_B "\n");
    assert_int_equal(symlinkat("base", f->fd, "aliases/link"), 0);
    expect_refused(f, "bad", -EBADMSG, "holds no template id");
    expect_refused(f, "long", -ENOBUFS, "read template alias 'long'");
    expect_refused(f, "gone", -ENOENT, "template 'gone' not found");
    expect_refused(f, "link", -ELOOP, "link");
    put_template(f, ID_A, NULL);
    expect_refused(f, ID_A, -EBADMSG, "template.json is missing");
    put(f, ID_A "/template.json", JSON_OF(ID_B, ""));
    expect_refused(f, ID_A, -EBADMSG, "names another template");
    put(f, ID_A "/template.json", "{\"id\":\"" ID_A "\",\"buildId\":\"x\",\"cpuCount\":0}");
    expect_refused(f, ID_A, -ERANGE, "cpuCount");
    put(f, ID_A "/template.json", "{\"id\":\"" ID_A "\",\"buildId\":7}");
    expect_refused(f, ID_A, -EINVAL, "buildId");
    put(f, ID_A "/template.json", JSON_OF(ID_A, "Not-An-Alias"));
    expect_refused(f, ID_A, -EINVAL, "alias");
    put(f, ID_A "/template.json", JSON_WITH_DISK(ID_A, "63"));
    expect_refused(f, ID_A, -EINVAL, "diskMB must be 64 to 16777216, not 63");
    put(f, ID_A "/template.json", JSON_WITH_DISK(ID_A, "16777217"));
    expect_refused(f, ID_A, -EINVAL, "diskMB must be 64 to 16777216, not 16777217");
    put(f, ID_A "/template.json", "{");
    expect_refused(f, ID_A, -EBADMSG, ID_A);
}

static int count_each(const struct template_info *t, void *user)
{
    unsigned *seen = user;
    seen[t->id[0] == 'a' ? 0 : 1]++;
    return 0;
}

static int stop_each(const struct template_info *t, void *user)
{
    (void)t;
    (void)user;
    return -EINTR;
}

static void visits_all(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    unsigned seen[2] = {0, 0};
    assert_int_equal(template_each("/nonexistent/templates", count_each, seen, &err), 0);
    put_template(f, ID_A, JSON_OF(ID_A, "base"));
    put_template(f, ID_B, JSON_OF(ID_B, ""));
    assert_int_equal(mkdirat(f->fd, ".build-" ID_A, 0700), 0);
    put(f, "aliases/base", ID_A "\n");
    assert_int_equal(template_each(f->path, count_each, seen, &err), 0);
    assert_int_equal(seen[0], 1);
    assert_int_equal(seen[1], 1);
    assert_int_equal(template_each(f->path, stop_each, NULL, &err), -EINTR);
}

static void a_missing_folder_has_no_templates(void **state)
{
    (void)state;
    struct template_info t;
    struct err err = {0};
    assert_int_equal(template_find("/nonexistent/templates", "base", &t, &err), -ENOENT);
    assert_string_equal(err.msg, "template 'base' not found");
}

static void bad_options_are_refused(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    struct image_build_opts none = {0}, alias = {.templates_dir = f->path, .alias = "../x"};
    assert_int_equal(image_build_base(&none, &err), -EINVAL);
    assert_int_equal(image_build_base(&alias, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "alias"));
}

static unsigned count_entries(const char *path)
{
    unsigned n = 0;
    DIR *dir = opendir(path);
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        n++;
    (void)closedir(dir);
    return n;
}

static void failed_build_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    struct stat st;
    struct image_build_opts o = {.templates_dir = f->path, .mirror = "ftp://m/d"};
    if (geteuid() != 0)
        skip();
    assert_int_equal(mkdirat(f->fd, ".build-" ID_A, 0700), 0); /* a killed builder's */
    assert_int_equal(image_build_base(&o, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "mirror"));
    assert_int_equal(fstatat(f->fd, ".build-" ID_A, &st, 0), -1);
    unsigned seen[2] = {0, 0};
    assert_int_equal(template_each(f->path, count_each, seen, &err), 0);
    assert_int_equal(seen[0] + seen[1], 0);
    assert_int_equal(count_entries(f->path), 3); /* itself, its parent, aliases */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(references),
        cmocka_unit_test_setup_teardown(finds_by_id_alias_and_tag, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_alias_wins_over_an_id, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damage_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(visits_all, set_up, tear_down),
        cmocka_unit_test(a_missing_folder_has_no_templates),
        cmocka_unit_test_setup_teardown(bad_options_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failed_build_leaves_nothing, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("image templates", tests, NULL, NULL);
}
