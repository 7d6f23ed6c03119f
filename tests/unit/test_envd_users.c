/* Accounts out of the text of passwd and group, hostile lines included. */
// deps: envd
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "envd/users.h"

#define PASSWD                                                                                     \
    "# user:x:7:7::/comment:/bin/sh\n"                                                             \
    "root:x:0:0:root:/root:/bin/bash\n"                                                            \
    "\n"                                                                                           \
    "short:x:1:1:/x:/bin/sh\n"                                                                     \
    "long:x:1:1::/x:/bin/sh:more\n"                                                                \
    "minus:x:-1:1::/x:/bin/sh\n"                                                                   \
    "ones:x:4294967295:1::/x:/bin/sh\n"                                                            \
    "gones:x:1:4294967295::/x:/bin/sh\n"                                                           \
    "space:x: 1:1::/x:/bin/sh\n"                                                                   \
    "empty:x::1::/x:/bin/sh\n"                                                                     \
    ":x:1:1::/x:/bin/sh\n"                                                                         \
    "homeless:x:5:5:::/bin/sh\n"                                                                   \
    "user:x:1000:1000:The User,,,:/home/user:/bin/bash\n"                                          \
    "user:x:0:0::/second:/bin/bash\n"                                                              \
    "max:x:4294967294:4294967294::/max:\n"                                                         \
    "last:x:9:9::/last:/bin/sh"

struct user_case {
    const char *name, *home; /* home NULL: not found */
    uint32_t uid, gid;
};

static const struct user_case user_cases[] = {
    {"root", "/root", 0, 0}, {"user", "/home/user", 1000, 1000},
    {"homeless", "/", 5, 5}, {"max", "/max", 4294967294u, 4294967294u},
    {"last", "/last", 9, 9}, {"", NULL, 0, 0},
    {"use", NULL, 0, 0},     {"users", NULL, 0, 0},
    {"# user", NULL, 0, 0},  {"short", NULL, 0, 0},
    {"long", NULL, 0, 0},    {"minus", NULL, 0, 0},
    {"ones", NULL, 0, 0},    {"gones", NULL, 0, 0},
    {"space", NULL, 0, 0},   {"empty", NULL, 0, 0},
    {"user:x", NULL, 0, 0},  {"1000", NULL, 0, 0},
    {"root\n", NULL, 0, 0},
};

static void test_find(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(user_cases); i++) {
        const struct user_case *c = &user_cases[i];
        struct user u;
        bool found = passwd_find_name(slice_str(PASSWD), slice_str(c->name), &u);
        if (found != (c->home != NULL))
            fail_msg("'%s' found: %d", c->name, found);
        if (!found)
            continue;
        assert_string_equal(u.name, c->name);
        assert_string_equal(u.home, c->home);
        assert_int_equal(u.uid, c->uid);
        assert_int_equal(u.gid, c->gid);
    }
}

static void test_names(void **state)
{
    (void)state;
    assert_true(slice_eq_str(passwd_name_of(slice_str(PASSWD), 0), "root"));
    assert_true(slice_eq_str(passwd_name_of(slice_str(PASSWD), 1000), "user"));
    assert_int_equal(passwd_name_of(slice_str(PASSWD), 1).n, 0);
    assert_int_equal(passwd_name_of(slice_str(""), 0).n, 0);
    assert_true(slice_eq_str(group_name_of(slice_str("a:x:5:\nb:x:6:u,v\n"), 6), "b"));
    assert_int_equal(group_name_of(slice_str("a:x:5\n"), 5).n, 0);
}

/* A name or home that does not fit makes the entry not exist, and never a cut one. */
static void test_lengths(void **state)
{
    (void)state;
    for (size_t n = USER_NAME_MAX; n <= USER_NAME_MAX + 1; n++) {
        _cleanup_buf_ struct buf name = BUF_INIT(4096), text = BUF_INIT(4096);
        struct user u;
        for (size_t i = 0; i < n; i++)
            buf_put_char(&name, 'n');
        buf_printf(&text, "%s:x:1:1::/h:/s\n", buf_str(&name));
        assert_int_equal(passwd_find_name(buf_slice(&text), buf_slice(&name), &u),
                         n <= USER_NAME_MAX);
    }
}

static void test_groups(void **state)
{
    struct user u = {.name = "user", .uid = 1000, .gid = 1000};
    struct user_groups g;
    const char *text = "root:x:0:\nsudo:x:27:user\nuser:x:1000:\nusers:x:100:other,user,x\n"
                       "bad:x:-1:user\nnear:x:5:userx,xuser\nagain:x:27:user\nown:x:1000:user\n"
                       "ones:x:4294967295:user\nlast:x:30:user";
    (void)state;
    assert_int_equal(group_list_of(slice_str(text), &u, &g), 0);
    assert_int_equal(g.n, 4);
    assert_int_equal(g.gid[0], 1000);
    assert_int_equal(g.gid[1], 27);
    assert_int_equal(g.gid[2], 100);
    assert_int_equal(g.gid[3], 30);
}

static void test_group_limit(void **state)
{
    struct user u = {.name = "user", .uid = 1, .gid = 1};
    struct user_groups g;
    _cleanup_buf_ struct buf text = BUF_INIT(65536);
    (void)state;
    for (unsigned i = 2; i <= USER_GROUPS_MAX; i++)
        buf_printf(&text, "g%u:x:%u:user\n", i, i);
    assert_int_equal(group_list_of(buf_slice(&text), &u, &g), 0);
    assert_int_equal(g.n, USER_GROUPS_MAX);
    buf_put_str(&text, "more:x:70000:user\n");
    assert_int_equal(group_list_of(buf_slice(&text), &u, &g), -E2BIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),        cmocka_unit_test(test_names),
        cmocka_unit_test(test_lengths),     cmocka_unit_test(test_groups),
        cmocka_unit_test(test_group_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
