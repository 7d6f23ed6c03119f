/* The database file and its API keys. */
// deps: store base
#include "base/cleanup.h"
#include "base/fs.h"
#include "store/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

struct fixture {
    char dir[64], path[96];
    struct store *store;
};

static int setup(void **state)
{
    struct fixture *f = xnew(struct fixture);
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/silica-store-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(f->path, sizeof(f->path), "%s/silica.db", f->dir);
    struct err err = {0};
    if (store_open(f->path, &f->store, &err) < 0)
        fail_msg("%s", err.msg);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    assert_int_equal(fs_remove_tree(AT_FDCWD, f->dir, NULL), 0);
    free(f);
    return 0;
}

static void test_file_mode(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
}

static void test_create_and_find(void **state)
{
    struct fixture *f = *state;
    char key[API_KEY_BYTES];
    struct key_info made, found;
    assert_int_equal(store_key_create(f->store, "first", key, &made, NULL), 0);
    assert_int_equal(strlen(key), 44);
    assert_int_equal(strncmp(key, "e2b_", 4), 0);
    assert_int_equal(strspn(key + 4, "0123456789abcdef"), 40);
    assert_int_equal(store_key_find(f->store, slice_str(key), &found, NULL), 0);
    assert_string_equal(found.id, made.id);
    assert_string_equal(found.team, made.team);
    assert_string_equal(found.name, "first");
    assert_string_equal(found.mask, made.mask);
    assert_memory_equal(found.mask, key, 8);
    assert_string_equal(found.mask + 8 + 3, key + 40);
}

static void test_unknown_keys(void **state)
{
    struct fixture *f = *state;
    struct key_info k;
    struct err err = {0};
    const char *bad[] = {"", "e2b_", "e2b_0000000000000000000000000000000000000000",
                         "x' OR '1'='1"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(store_key_find(f->store, slice_str(bad[i]), &k, &err), -ENOENT);
        assert_int_equal(err.kind, ERR_DENIED);
    }
}

static void test_text_is_not_stored(void **state)
{
    struct fixture *f = *state;
    char key[API_KEY_BYTES];
    struct key_info k;
    assert_int_equal(store_key_create(f->store, "secret", key, &k, NULL), 0);
    store_close(f->store);
    f->store = NULL;
    _cleanup_buf_ struct buf content = BUF_INIT(1 << 22);
    assert_int_equal(fs_read_file(AT_FDCWD, f->path, &content, NULL), 0);
    assert_true(content.n > 4096);
    assert_null(memmem(content.p, content.n, key + 8, 32));
    assert_non_null(memmem(content.p, content.n, key, 8)); /* the mask is: the search works */
}

static void test_revoke(void **state)
{
    struct fixture *f = *state;
    char key[API_KEY_BYTES];
    struct key_info a, b, c, found;
    struct err err = {0};
    assert_int_equal(store_key_create(f->store, "one", key, &a, NULL), 0);
    assert_int_equal(store_key_create(f->store, "two", key, &b, NULL), 0);
    assert_int_equal(store_key_create(f->store, "two", key, &c, NULL), 0);
    assert_int_equal(store_key_revoke(f->store, "none", &err), -ENOENT);
    assert_int_equal(store_key_revoke(f->store, "two", &err), -EEXIST);
    assert_int_equal(store_key_find(f->store, slice_str(key), &found, NULL), 0);
    assert_int_equal(store_key_revoke(f->store, c.id, &err), 0);
    assert_int_equal(store_key_find(f->store, slice_str(key), &found, NULL), -ENOENT);
    assert_int_equal(store_key_revoke(f->store, "two", &err), 0);
    assert_int_equal(store_key_revoke(f->store, "one", &err), 0);
}

static int count_key(const struct key_info *key, void *user)
{
    unsigned *n = user;
    (void)key;
    (*n)++;
    return *n == 3 ? -ECANCELED : 0;
}

static void test_list(void **state)
{
    struct fixture *f = *state;
    char key[API_KEY_BYTES];
    struct key_info k;
    unsigned n = 0;
    assert_int_equal(store_key_create(f->store, "a", key, &k, NULL), 0);
    assert_int_equal(store_key_create(f->store, "b", key, &k, NULL), 0);
    assert_int_equal(store_key_list(f->store, count_key, &n, NULL), 0);
    assert_int_equal(n, 2);
    n = 0;
    assert_int_equal(store_key_create(f->store, "c", key, &k, NULL), 0);
    assert_int_equal(store_key_create(f->store, "d", key, &k, NULL), 0);
    assert_int_equal(store_key_list(f->store, count_key, &n, NULL), -ECANCELED);
    assert_int_equal(n, 3);
}

static void test_names(void **state)
{
    struct fixture *f = *state;
    char key[API_KEY_BYTES], longest[KEY_NAME_BYTES + 1];
    struct key_info k;
    memset(longest, 'x', sizeof(longest));
    longest[KEY_NAME_BYTES] = '\0';
    assert_int_equal(store_key_create(f->store, longest, key, &k, NULL), -EINVAL);
    longest[KEY_NAME_BYTES - 1] = '\0';
    assert_int_equal(store_key_create(f->store, longest, key, &k, NULL), 0);
    assert_int_equal(store_key_create(f->store, "", key, &k, NULL), -EINVAL);
    assert_int_equal(store_key_create(f->store, "a\nb", key, &k, NULL), -EINVAL);
    assert_int_equal(store_key_create(f->store, "\xff", key, &k, NULL), -EINVAL);
}

/* Two programs at once, as silicad and `silica key` are. */
static void test_second_handle(void **state)
{
    struct fixture *f = *state;
    struct store *other = NULL;
    char key[API_KEY_BYTES];
    struct key_info k, found;
    assert_int_equal(store_open(f->path, &other, NULL), 0);
    assert_int_equal(store_key_create(other, "cli", key, &k, NULL), 0);
    assert_int_equal(store_key_find(f->store, slice_str(key), &found, NULL), 0);
    assert_string_equal(found.id, k.id);
    store_close(other);
}

static void test_newer_schema(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    f->store = NULL;
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 999", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    struct err err = {0};
    assert_int_equal(store_open(f->path, &f->store, &err), -EPROTO);
    assert_non_null(strstr(err.msg, "newer Silica"));
}

static void test_bad_files(void **state)
{
    struct fixture *f = *state;
    struct store *s = NULL;
    struct err err = {0};
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/missing/silica.db", f->dir);
    assert_int_equal(store_open(path, &s, &err), -ENOENT);
    (void)snprintf(path, sizeof(path), "%s/link.db", f->dir);
    assert_int_equal(symlink(f->path, path), 0);
    assert_true(store_open(path, &s, &err) < 0); /* the folder's owner may not lead us elsewhere */
    (void)snprintf(path, sizeof(path), "%s/garbage.db", f->dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    char junk[8192];
    memset(junk, 'j', sizeof(junk));
    assert_int_equal(fs_write_all(fd, junk, sizeof(junk)), 0);
    (void)fd_close(fd);
    assert_int_equal(store_open(path, &s, &err), -EUCLEAN);
    assert_null(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_file_mode, setup, teardown),
        cmocka_unit_test_setup_teardown(test_create_and_find, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_text_is_not_stored, setup, teardown),
        cmocka_unit_test_setup_teardown(test_revoke, setup, teardown),
        cmocka_unit_test_setup_teardown(test_list, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_second_handle, setup, teardown),
        cmocka_unit_test_setup_teardown(test_newer_schema, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_files, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
