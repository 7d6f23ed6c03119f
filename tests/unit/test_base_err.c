/* Errors: the returned number, context, cutting of long messages, what foreign text may not do. */
// deps: base
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/slice.h"

static void test_set(void **state)
{
    (void)state;
    struct err err = {.code = "old"};
    assert_int_equal(err_set(&err, -ENOENT, ERR_NOT_FOUND, "no sandbox '%s'", "x"), -ENOENT);
    assert_int_equal(err.num, -ENOENT);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    assert_string_equal(err.msg, "no sandbox 'x'");
    assert_string_equal(err.code, "");
}

static void test_null_is_allowed(void **state)
{
    (void)state;
    assert_int_equal(err_set(NULL, -EINVAL, ERR_INVALID, "x"), -EINVAL);
    assert_int_equal(err_sys(NULL, -ENOENT, "x"), -ENOENT);
    assert_int_equal(err_wrap(NULL, "x"), -EIO);
    assert_int_equal(err_code(NULL, "x"), -EIO);
}

static void test_wrap_and_code(void **state)
{
    (void)state;
    struct err err;
    (void)err_set(&err, -EBUSY, ERR_CONFLICT, "it is paused");
    assert_int_equal(err_code(&err, "sandbox_paused"), -EBUSY);
    assert_int_equal(err_wrap(&err, "start sandbox '%s'", "x"), -EBUSY);
    assert_string_equal(err.msg, "start sandbox 'x': it is paused");
    assert_string_equal(err.code, "sandbox_paused");
    assert_int_equal(err.kind, ERR_CONFLICT);
    assert_int_equal(
        err_code(&err, "0123456789012345678901234567890123456789012345678901234567890"), -EBUSY);
    assert_int_equal(strlen(err.code), ERR_CODE_BYTES - 1);
}

static void test_sys(void **state)
{
    (void)state;
    struct err err;
    assert_int_equal(err_sys(&err, -ENOENT, "open '%s'", "/x"), -ENOENT);
    assert_string_equal(err.msg, "open '/x': No such file or directory");
    assert_int_equal(err.kind, ERR_NOT_FOUND);
}

static const struct {
    int num;
    enum err_kind kind;
} kind_cases[] = {
    {-EINVAL, ERR_INVALID},    {-EBADMSG, ERR_INVALID},
    {-EMSGSIZE, ERR_INVALID},  {-ENOENT, ERR_NOT_FOUND},
    {-ESRCH, ERR_NOT_FOUND},   {-EEXIST, ERR_CONFLICT},
    {-EBUSY, ERR_CONFLICT},    {-ENOTEMPTY, ERR_CONFLICT},
    {-ENOSPC, ERR_LIMIT},      {-EMFILE, ERR_LIMIT},
    {-EACCES, ERR_DENIED},     {-EPERM, ERR_DENIED},
    {-ETIMEDOUT, ERR_TIMEOUT}, {-ECONNREFUSED, ERR_UNAVAILABLE},
    {-EPIPE, ERR_UNAVAILABLE}, {-ENOMEM, ERR_INTERNAL},
    {-EIO, ERR_INTERNAL},      {-99999, ERR_INTERNAL},
    {0, ERR_INTERNAL},
};

static void test_kinds(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(kind_cases); i++)
        assert_int_equal(err_kind_of_errno(kind_cases[i].num), kind_cases[i].kind);
    for (int k = 0; k < ERR_KIND_MAX_; k++)
        for (int other = 0; other < k; other++)
            assert_string_not_equal(err_kind_name((enum err_kind)k),
                                    err_kind_name((enum err_kind)other));
    assert_string_equal(err_kind_name(ERR_KIND_MAX_), "internal");
    assert_string_equal(err_kind_name((enum err_kind) - 1), "internal");
}

/* A message that just fits, one byte more, and characters of 2 to 4 bytes across the border. */
static void test_cut(void **state)
{
    (void)state;
    static const char *const characters[] = {"x", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    for (size_t c = 0; c < ARRAY_LEN(characters); c++)
        for (size_t lead = ERR_MSG_BYTES - 8; lead < ERR_MSG_BYTES + 8; lead++) {
            char text[2 * ERR_MSG_BYTES] = "";
            size_t len = strlen(characters[c]);
            memset(text, 'a', lead);
            memcpy(text + lead, characters[c], len + 1);
            struct err err;
            (void)err_set(&err, -EINVAL, ERR_INVALID, "%s", text);
            size_t n = strlen(err.msg), fits = lead + len < ERR_MSG_BYTES ? lead + len : lead;
            assert_int_equal(n, fits < ERR_MSG_BYTES ? fits : ERR_MSG_BYTES - 1);
            assert_memory_equal(err.msg, text, n);
        }
}

static void test_cut_when_wrapped(void **state)
{
    (void)state;
    struct err err;
    (void)err_set(&err, -EINVAL, ERR_INVALID, "the cause");
    for (int i = 0; i < 200; i++) {
        assert_int_equal(err_wrap(&err, "step \xe2\x82\xac%d", i), -EINVAL);
        assert_true(strlen(err.msg) < ERR_MSG_BYTES);
        assert_true(slice_is_utf8(slice_str(err.msg)));
    }
}

static const struct {
    const char *foreign, *shown;
} foreign_cases[] = {
    {"a\nb", "a?b"},
    {"\r\n", "??"},
    {"\x1b[31m", "?[31m"},
    {"\x7f", "?"},
    {"\t", "?"},
    {"\xff", "?"},
    {"\xc3", "?"},
    {"\xc3(", "?("},
    {"\xe2\x82", "??"},
    {"\xe2\x82\xac", "\xe2\x82\xac"},
    {"\xed\xa0\x80", "???"},
    {"plain \"'\\", "plain \"'\\"},
    {"\xc3\xa4", "\xc3\xa4"},
    {"\x01\x02", "??"},
};

static void test_foreign_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(foreign_cases); i++) {
        struct err err;
        (void)err_set(&err, -EINVAL, ERR_INVALID, "%s", foreign_cases[i].foreign);
        assert_string_equal(err.msg, foreign_cases[i].shown);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_null_is_allowed),
        cmocka_unit_test(test_wrap_and_code),
        cmocka_unit_test(test_sys),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_cut_when_wrapped),
        cmocka_unit_test(test_foreign_text),
    };
    return cmocka_run_group_tests_name("base/err", tests, NULL, NULL);
}
