/* base64 against the vectors of RFC 4648 section 10 and its refusals, hex, comparing in constant time. */
// deps: base
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/codec.h"

static const struct {
    const char *bytes, *text;
} rfc4648[] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
    {"\xfb\xff", "+/8="},
    {"\xff\xef\xbe", "/+++"},
};

static void test_base64_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rfc4648); i++) {
        _cleanup_buf_ struct buf text = BUF_INIT(100), bytes = BUF_INIT(100);
        assert_int_equal(base64_put(&text, slice_str(rfc4648[i].bytes)), 0);
        assert_string_equal(buf_str(&text), rfc4648[i].text);
        assert_int_equal(base64_get(&bytes, buf_slice(&text)), 0);
        assert_true(slice_eq_str(buf_slice(&bytes), rfc4648[i].bytes));
    }
}

static const struct {
    const char *text, *bytes; /* NULL: refused */
} decode_cases[] = {
    {"Zg", "f"},          {"Zm8", "fo"},       {"Zm9vYg", "foob"}, {"-_8=", "\xfb\xff"},
    {"-_8", "\xfb\xff"},  {"+_8", "\xfb\xff"}, {"Z", NULL},        {"Zm9vY", NULL},
    {"=", NULL},          {"==", NULL},        {"===", NULL},      {"====", NULL},
    {"Zg=", NULL},        {"Zg===", NULL},     {"Zg====", NULL},   {"Zm8==", NULL},
    {"Zm9v=", NULL},      {"Zm9v==", NULL},    {"Zm9v====", NULL}, {"Z===", NULL},
    {"Zg==Zg==", NULL},   {"Z=g=", NULL},      {"=Zg=", NULL},     {" Zg==", NULL},
    {"Zg== ", NULL},      {"Zm9v\n", NULL},    {"Zm\r\n9v", NULL}, {"Zm9*", NULL},
    {"Zm9.", NULL},       {"Zm9,", NULL},      {"Zm9\x7f", NULL},  {"\xff\xff\xff\xff", NULL},
    {"Zm\xc3\xa4", NULL}, {"Zm9[", NULL},      {"Zm9@", NULL},     {"Zm9`", NULL},
    {"Zm9{", NULL},       {"Zm9:", NULL},
};

static void test_base64_decode(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(decode_cases); i++) {
        _cleanup_buf_ struct buf out = BUF_INIT(100);
        assert_int_equal(buf_put_str(&out, "kept"), 0);
        int r = base64_get(&out, slice_str(decode_cases[i].text));
        const char *want = decode_cases[i].bytes != NULL ? decode_cases[i].bytes : "";
        if (r != (decode_cases[i].bytes != NULL ? 0 : -EINVAL) || strlen(buf_str(&out)) != out.n ||
            !slice_has_prefix(buf_slice(&out), "kept") ||
            !slice_eq_str(slice_from(buf_slice(&out), 4), want))
            fail_msg("'%s': %d, '%s'", decode_cases[i].text, r, buf_str(&out));
    }
    _cleanup_buf_ struct buf out = BUF_INIT(100);
    assert_int_equal(base64_get(&out, slice_of("Zm\0v", 4)), -EINVAL);
    assert_int_equal(base64_get(&out, slice_of(NULL, 0)), 0);
}

static void test_base64_every_length(void **state)
{
    (void)state;
    char in[100];
    for (size_t i = 0; i < sizeof(in); i++)
        in[i] = (char)(i * 151 + 7);
    for (size_t n = 0; n <= sizeof(in); n++) {
        _cleanup_buf_ struct buf text = BUF_INIT(200), back = BUF_INIT(n);
        assert_int_equal(base64_put(&text, slice_of(in, n)), 0);
        assert_int_equal(text.n, (n + 2) / 3 * 4);
        assert_int_equal(base64_get(&back, buf_slice(&text)), 0);
        assert_true(slice_eq(buf_slice(&back), slice_of(in, n)));
    }
}

static void test_base64_room(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf small = BUF_INIT(7);
    assert_int_equal(base64_put(&small, slice_str("foob")), -ENOBUFS);
    assert_int_equal(small.n, 0);
    buf_clear(&small);
    assert_int_equal(base64_put(&small, slice_str("foo")), 0);
    assert_int_equal(base64_get(&small, slice_str("Zm9vYg==")), -ENOBUFS);
    assert_string_equal(buf_str(&small), "Zm9v");
    _cleanup_buf_ struct buf huge = BUF_INIT(SIZE_MAX);
    assert_int_equal(base64_put(&huge, slice_of("x", SIZE_MAX - 1)), -ENOBUFS);
}

static void test_hex(void **state)
{
    (void)state;
    char text[11];
    hex_encode("\x00\x0f\xa0\xff\x7e", 5, text);
    assert_string_equal(text, "000fa0ff7e");
    hex_encode("", 0, text);
    assert_string_equal(text, "");
    unsigned char bytes[5];
    assert_int_equal(hex_decode(slice_str("000fA0Ff7e"), bytes, 5), 0);
    assert_memory_equal(bytes, "\x00\x0f\xa0\xff\x7e", 5);
    assert_int_equal(hex_decode(slice_str(""), bytes, 0), 0);
}

static const char *const bad_hex[] = {"",   "0",  "000", "0000", "0g", "g0", " 0", "0 ",      "0x",
                                      "-1", "+1", "@0",  "`0",   "G0", ":0", "/0", "\xff\xff"};

static void test_hex_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad_hex); i++) {
        unsigned char byte[1];
        if (hex_decode(slice_str(bad_hex[i]), byte, 1) != -EINVAL)
            fail_msg("'%s' was taken", bad_hex[i]);
    }
}

static const struct {
    const char *given, *secret;
    bool equal;
} secret_cases[] = {
    {"", "", true},           {"a", "a", true},      {"a", "b", false},
    {"a", "", false},         {"", "a", false},      {"abc", "abc", true},
    {"abc", "abd", false},    {"abc", "bbc", false}, {"abcabc", "abc", false},
    {"abc", "abcabc", false}, {"aaaa", "a", false},  {"a", "aaaa", false},
    {"ab", "abc", false},     {"abc", "ab", false},  {"ABC", "abc", false},
};

static void test_constant_time_compare(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(secret_cases); i++) {
        struct slice a = slice_str(secret_cases[i].given), b = slice_str(secret_cases[i].secret);
        if (slice_equal_ct(a, b) != secret_cases[i].equal)
            fail_msg("'%s' and '%s'", secret_cases[i].given, secret_cases[i].secret);
        if (a.n == b.n)
            assert_int_equal(bytes_equal_ct(a.p, b.p, a.n), secret_cases[i].equal);
    }
    /* a difference of 256 bytes in length is a difference */
    char zeros[512] = {0};
    assert_false(slice_equal_ct(slice_of(zeros, 512), slice_of(zeros, 256)));
    assert_false(slice_equal_ct(slice_of(zeros, 256), slice_of(zeros, 0)));
    assert_false(slice_equal_ct(slice_of(zeros, 0), slice_of(zeros, 256)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base64_vectors),
        cmocka_unit_test(test_base64_decode),
        cmocka_unit_test(test_base64_every_length),
        cmocka_unit_test(test_base64_room),
        cmocka_unit_test(test_hex),
        cmocka_unit_test(test_hex_refusals),
        cmocka_unit_test(test_constant_time_compare),
    };
    return cmocka_run_group_tests_name("base/codec", tests, NULL, NULL);
}
