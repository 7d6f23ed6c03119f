/* Slices: comparing, cutting, splitting, and what is well-formed UTF-8. */
// deps: base
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/slice.h"

#define S(text) slice_str(text)

static void assert_slice(struct slice got, const char *want)
{
    if (!slice_eq_str(got, want))
        fail_msg("got '%.*s', want '%s'", (int)got.n, got.n != 0 ? got.p : "", want);
}

static const struct {
    const char *a, *b;
    bool eq, ieq;
} equal_cases[] = {
    {"", "", true, true},
    {NULL, "", true, true},
    {"", NULL, true, true},
    {"a", "a", true, true},
    {"a", "A", false, true},
    {"a", "b", false, false},
    {"a", "aa", false, false},
    {"aa", "a", false, false},
    {"Content-Length", "content-LENGTH", false, true},
    {"@", "`", false, false}, /* one bit apart, as letters of two cases are */
    {"[", "{", false, false},
    {"\x01", "!", false, false},
    {"\xc3\x84", "\xc3\xa4", false, false}, /* only ASCII letters have case */
    {"K", "\xe2\x84\xaa", false, false},    /* KELVIN SIGN */
    {"az", "AZ", false, true},
    {"0", "P", false, false},
};

static void test_equal(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(equal_cases); i++) {
        struct slice a = S(equal_cases[i].a), b = S(equal_cases[i].b);
        if (slice_eq(a, b) != equal_cases[i].eq || slice_ieq(a, b) != equal_cases[i].ieq)
            fail_msg("case %zu", i);
        assert_int_equal(slice_eq_str(a, equal_cases[i].b), equal_cases[i].eq);
        assert_int_equal(slice_ieq_str(a, equal_cases[i].b), equal_cases[i].ieq);
    }
    assert_true(slice_eq(slice_of("a\0b", 3), slice_of("a\0b", 3)));
    assert_false(slice_eq(slice_of("a\0b", 3), slice_of("a\0c", 3)));
}

static const struct {
    const char *text, *part;
    bool prefix, suffix;
} affix_cases[] = {
    {"", "", true, true},          {NULL, "", true, true},      {"abc", "", true, true},
    {"abc", "a", true, false},     {"abc", "c", false, true},   {"abc", "abc", true, true},
    {"abc", "abcd", false, false}, {"abc", "b", false, false},  {"aba", "a", true, true},
    {"", "a", false, false},       {NULL, "a", false, false},   {"abc", "ab", true, false},
    {"abc", "bc", false, true},    {"ABC", "ab", false, false},
};

static void test_affixes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(affix_cases); i++)
        if (slice_has_prefix(S(affix_cases[i].text), affix_cases[i].part) !=
                affix_cases[i].prefix ||
            slice_has_suffix(S(affix_cases[i].text), affix_cases[i].part) != affix_cases[i].suffix)
            fail_msg("case %zu", i);
}

static void test_find(void **state)
{
    (void)state;
    assert_int_equal(slice_find(S("abcabc"), 'b'), 1);
    assert_int_equal(slice_find(S("abc"), 'x'), 3);
    assert_int_equal(slice_find(S(""), 'x'), 0);
    assert_int_equal(slice_find(S(NULL), 'x'), 0);
    assert_int_equal(slice_find(slice_of("abc", 2), 'c'), 2);
    assert_int_equal(slice_find(slice_of("a\0b", 3), '\0'), 1);
    assert_int_equal(slice_find(S("ab\xff"), '\xff'), 2);
}

static void test_cut(void **state)
{
    (void)state;
    assert_slice(slice_from(S("abc"), 0), "abc");
    assert_slice(slice_from(S("abc"), 2), "c");
    assert_slice(slice_from(S("abc"), 3), "");
    assert_slice(slice_from(S("abc"), 4), "");
    assert_slice(slice_from(S("abc"), SIZE_MAX), "");
    assert_slice(slice_sub(S("abc"), 0, 2), "ab");
    assert_slice(slice_sub(S("abc"), 1, 1), "b");
    assert_slice(slice_sub(S("abc"), 1, SIZE_MAX), "bc");
    assert_slice(slice_sub(S("abc"), 3, 1), "");
    assert_slice(slice_sub(S("abc"), 9, 9), "");
    assert_slice(slice_sub(S(NULL), 0, 0), "");
}

static const struct {
    const char *text, *trimmed;
} trim_cases[] = {
    {"", ""},
    {NULL, ""},
    {" ", ""},
    {"\t \t", ""},
    {"a", "a"},
    {" a", "a"},
    {"a ", "a"},
    {"\ta\t", "a"},
    {" a b ", "a b"},
    {"\ra\n", "\ra\n"},
    {"\va", "\va"},
    {"\xa0"
     "a",
     "\xa0"
     "a"},
};

static void test_trim(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(trim_cases); i++)
        assert_slice(slice_trim(S(trim_cases[i].text)), trim_cases[i].trimmed);
}

static const struct {
    const char *text;
    size_t n;
    const char *parts[5];
} split_cases[] = {
    {"a,,b", 3, {"a", "", "b"}},
    {"", 1, {""}},
    {",", 2, {"", ""}},
    {"a", 1, {"a"}},
    {"a,", 2, {"a", ""}},
    {",a", 2, {"", "a"}},
    {"a,b,c,d", 4, {"a", "b", "c", "d"}},
    {",,,", 4, {"", "", "", ""}},
    {"a b;c", 1, {"a b;c"}},
};

static void test_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(split_cases); i++) {
        struct slice rest = S(split_cases[i].text), part;
        size_t n = 0;
        for (; slice_next(&rest, ',', &part); n++) {
            assert_true(n < split_cases[i].n);
            assert_slice(part, split_cases[i].parts[n]);
        }
        assert_int_equal(n, split_cases[i].n);
        assert_null(rest.p);
    }
    struct slice none = {0}, part;
    assert_false(slice_next(&none, ',', &part));
}

static void test_copies(void **state)
{
    (void)state;
    char dst[4] = "zzz";
    assert_int_equal(slice_copy(S("abc"), dst, sizeof(dst)), 0);
    assert_string_equal(dst, "abc");
    assert_int_equal(slice_copy(S("abcd"), dst, sizeof(dst)), -ENOBUFS);
    assert_string_equal(dst, "abc"); /* untouched by a refusal */
    assert_int_equal(slice_copy(slice_of("a\0b", 3), dst, sizeof(dst)), -EINVAL);
    assert_int_equal(slice_copy(S(""), dst, 1), 0);
    assert_string_equal(dst, "");
    assert_int_equal(slice_copy(S(""), dst, 0), -ENOBUFS);
    assert_int_equal(slice_copy(S(NULL), dst, sizeof(dst)), 0);
    _cleanup_free_ char *copy = slice_dup(slice_of("abcdef", 3));
    assert_string_equal(copy, "abc");
    _cleanup_free_ char *empty = slice_dup(S(NULL));
    assert_string_equal(empty, "");
    assert_null(slice_dup(slice_of("a\0b", 3)));
}

static const struct {
    const char *text;
    size_t len; /* bytes of its first character, 0 for none */
    bool valid;
} utf8_cases[] = {
    {"", 0, true},
    {"a", 1, true},
    {"\x7f", 1, true},
    {"\x80", 0, false},
    {"\xbf", 0, false},
    {"\xc0\x80", 0, false}, /* overlong NUL */
    {"\xc1\xbf", 0, false},
    {"\xc2\x80", 2, true},
    {"\xc2", 0, false},
    {"\xc2\x41", 0, false},
    {"\xdf\xbf", 2, true},
    {"\xe0\x80\x80", 0, false},
    {"\xe0\x9f\xbf", 0, false}, /* overlong */
    {"\xe0\xa0\x80", 3, true},
    {"\xe2\x82\xac", 3, true},
    {"\xe2\x82", 0, false},
    {"\xe2\x28\xa1", 0, false},
    {"\xec\xbf\xbf", 3, true},
    {"\xed\x9f\xbf", 3, true},
    {"\xed\xa0\x80", 0, false}, /* surrogates */
    {"\xed\xbf\xbf", 0, false},
    {"\xee\x80\x80", 3, true},
    {"\xef\xbf\xbf", 3, true},
    {"\xef\xbf\x41", 0, false},
    {"\xf0\x80\x80\x80", 0, false},
    {"\xf0\x8f\xbf\xbf", 0, false}, /* overlong */
    {"\xf0\x90\x80\x80", 4, true},
    {"\xf0\x9f\x98\x80", 4, true},
    {"\xf0\x9f\x98", 0, false},
    {"\xf0\x9f\x98\x41", 0, false},
    {"\xf4\x8f\xbf\xbf", 4, true},
    {"\xf4\x90\x80\x80", 0, false}, /* past U+10FFFF */
    {"\xf5\x80\x80\x80", 0, false},
    {"\xf8\x88\x80\x80\x80", 0, false},
    {"\xfe", 0, false},
    {"\xff", 0, false},
    {"a\xc3\xa4z", 1, true},
    {"a\xc3", 1, false},
    {"a\xff"
     "b",
     1, false},
    {"\xc3\xa4\xa4", 2, false},
};

static void test_utf8(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(utf8_cases); i++) {
        struct slice s = S(utf8_cases[i].text);
        if (slice_is_utf8(s) != utf8_cases[i].valid || slice_utf8_len(s) != utf8_cases[i].len)
            fail_msg("case %zu", i);
    }
    assert_true(slice_is_utf8(S(NULL)));
    assert_true(slice_is_utf8(slice_of("a\0b", 3)));
}

static const struct {
    const char *text;
    size_t max, n;
} cut_cases[] = {
    {"abc", 5, 3},
    {"abc", 3, 3},
    {"abc", 2, 2},
    {"abc", 0, 0},
    {"a\xc3\xa4", 3, 3},
    {"a\xc3\xa4", 2, 1},
    {"a\xc3\xa4", 1, 1},
    {"\xe2\x82\xac", 3, 3},
    {"\xe2\x82\xac", 2, 0},
    {"\xe2\x82\xac", 1, 0},
    {"\xf0\x9f\x98\x80x", 4, 4},
    {"\xf0\x9f\x98\x80x", 3, 0},
    {"x\xf0\x9f\x98\x80", 4, 1},
    {"\x80\x80\x80\x80\x80\x80", 5, 2},
};

static void test_utf8_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cut_cases); i++) {
        size_t n = slice_utf8_cut(S(cut_cases[i].text), cut_cases[i].max).n;
        if (n != cut_cases[i].n)
            fail_msg("case %zu: got %zu", i, n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal),    cmocka_unit_test(test_affixes),
        cmocka_unit_test(test_find),     cmocka_unit_test(test_cut),
        cmocka_unit_test(test_trim),     cmocka_unit_test(test_split),
        cmocka_unit_test(test_copies),   cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_utf8_cut),
    };
    return cmocka_run_group_tests_name("base/slice", tests, NULL, NULL);
}
