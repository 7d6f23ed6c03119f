/* Buffers: the maximum, the sticky error, the terminator, and who owns what. */
// deps: base
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/buf.h"

static void assert_content(const struct buf *b, const char *want)
{
    assert_int_equal(b->n, strlen(want));
    assert_string_equal(buf_str(b), want);
}

static void test_empty(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf b = BUF_INIT(10);
    assert_content(&b, "");
    assert_null(b.p);
    assert_int_equal(buf_slice(&b).n, 0);
    buf_consume(&b, 0);
    buf_clear(&b);
    buf_done(&b);
    buf_done(NULL);
    buf_wipe_done(NULL);
}

static void test_maximum(void **state)
{
    (void)state;
    for (size_t max = 0; max < 200; max++) {
        _cleanup_buf_ struct buf b = BUF_INIT(max);
        for (size_t i = 0; i < max; i++)
            assert_int_equal(buf_put_char(&b, 'x'), 0);
        assert_int_equal(b.n, max);
        assert_int_equal(buf_put_char(&b, 'y'), -ENOBUFS);
        assert_int_equal(b.n, max);
        assert_int_equal(strlen(buf_str(&b)), max);
        assert_true(b.cap <= (max < 64 ? 64 : max + 1));
    }
}

static void test_refused_append_changes_nothing(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf b = BUF_INIT(5);
    assert_int_equal(buf_put_str(&b, "abc"), 0);
    assert_int_equal(buf_put_str(&b, "def"), -ENOBUFS);
    assert_content(&b, "abc");
    assert_int_equal(buf_put_str(&b, "d"), -ENOBUFS); /* it would fit: the error is sticky */
    assert_int_equal(buf_put_u64(&b, 1), -ENOBUFS);
    assert_int_equal(buf_printf(&b, "%d", 1), -ENOBUFS);
    assert_int_equal(buf_put(&b, "", 0), -ENOBUFS);
    assert_null(buf_reserve(&b, 0));
    assert_null(buf_take(&b, NULL));
    assert_content(&b, "abc");
    buf_clear(&b);
    assert_int_equal(buf_put_str(&b, "defgh"), 0);
    assert_content(&b, "defgh");
}

static void test_sizes_do_not_wrap(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf b = BUF_INIT(SIZE_MAX);
    assert_int_equal(buf_put_str(&b, "abc"), 0);
    assert_null(buf_reserve(&b, SIZE_MAX));
    assert_int_equal(b.error, -ENOBUFS);
    buf_clear(&b);
    assert_null(buf_reserve(&b, SIZE_MAX - 3)); /* fits the type, and no memory */
    assert_true(b.error == -ENOBUFS || b.error == -ENOMEM);
    assert_content(&b, "");
}

static void test_printf(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf b = BUF_INIT(100);
    assert_int_equal(buf_printf(&b, "%s=%d", "a", 5), 0);
    assert_int_equal(buf_printf(&b, "%s", ""), 0);
    assert_content(&b, "a=5");
    assert_int_equal(buf_printf(&b, "%*s", 97, "x"), 0); /* exactly full */
    assert_int_equal(b.n, 100);
    assert_int_equal(buf_str(&b)[99], 'x');
    assert_int_equal(buf_printf(&b, "y"), -ENOBUFS);
    assert_int_equal(strlen(buf_str(&b)), 100);
}

static const struct {
    uint64_t v;
    const char *text;
} number_cases[] = {
    {0, "0"},
    {1, "1"},
    {9, "9"},
    {10, "10"},
    {99, "99"},
    {100, "100"},
    {4294967295u, "4294967295"},
    {4294967296u, "4294967296"},
    {9223372036854775808u, "9223372036854775808"},
    {UINT64_MAX, "18446744073709551615"},
};

static void test_numbers(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(number_cases); i++) {
        _cleanup_buf_ struct buf b = BUF_INIT(20);
        assert_int_equal(buf_put_u64(&b, number_cases[i].v), 0);
        assert_content(&b, number_cases[i].text);
    }
}

static void test_reserve_and_commit(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf b = BUF_INIT(1000);
    char *at = buf_reserve(&b, 600);
    assert_non_null(at);
    memset(at, 'z', 600);
    buf_commit(&b, 3);
    assert_content(&b, "zzz");
    at = buf_reserve(&b, 997);
    assert_non_null(at);
    assert_ptr_equal(at, b.p + 3);
    assert_null(buf_reserve(&b, 998));
    assert_content(&b, "zzz");
}

static void test_consume(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf b = BUF_INIT(10);
    assert_int_equal(buf_put_str(&b, "abcdef"), 0);
    buf_consume(&b, 2);
    assert_content(&b, "cdef");
    buf_consume(&b, 0);
    assert_content(&b, "cdef");
    buf_consume(&b, 4);
    assert_content(&b, "");
    assert_int_equal(buf_put_str(&b, "0123456789"), 0); /* the room came back */
}

static void test_bytes(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf b = BUF_INIT(10);
    assert_int_equal(buf_put(&b, "a\0b", 3), 0);
    assert_int_equal(buf_put_slice(&b, slice_of(NULL, 0)), 0);
    assert_int_equal(b.n, 3);
    assert_memory_equal(b.p, "a\0b", 4); /* with its terminator */
}

static void test_take(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf b = BUF_INIT(10);
    size_t n = 77;
    _cleanup_free_ char *nothing = buf_take(&b, &n);
    assert_string_equal(nothing, "");
    assert_int_equal(n, 0);
    assert_int_equal(buf_put_str(&b, "abc"), 0);
    _cleanup_free_ char *p = buf_take(&b, &n);
    assert_string_equal(p, "abc");
    assert_int_equal(n, 3);
    assert_content(&b, "");
    assert_null(b.p);
    assert_int_equal(b.max, 10);
}

static void test_done_is_reusable(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 4);
    assert_int_equal(buf_put_str(&b, "12345"), -ENOBUFS);
    buf_wipe_done(&b);
    assert_int_equal(b.error, 0);
    assert_int_equal(buf_put_str(&b, "1234"), 0);
    buf_done(&b);
    assert_null(b.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_maximum),
        cmocka_unit_test(test_refused_append_changes_nothing),
        cmocka_unit_test(test_sizes_do_not_wrap),
        cmocka_unit_test(test_printf),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_reserve_and_commit),
        cmocka_unit_test(test_consume),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_take),
        cmocka_unit_test(test_done_is_reusable),
    };
    return cmocka_run_group_tests_name("base/buf", tests, NULL, NULL);
}
