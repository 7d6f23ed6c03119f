/* Numbers from outside: tables of texts and what parse_* makes of them. */
// deps: base
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/num.h"

struct u64_case {
    const char *text;
    uint64_t max;
    int result;
    uint64_t value;
};

static const struct u64_case decimal_cases[] = {
    {"0", UINT64_MAX, 0, 0},
    {"1", 1, 0, 1},
    {"2", 1, -ERANGE, 0},
    {"00", 10, 0, 0},
    {"007", 10, 0, 7},
    {"9", 9, 0, 9},
    {"10", 9, -ERANGE, 0},
    {"4294967295", UINT32_MAX, 0, UINT32_MAX},
    {"4294967296", UINT32_MAX, -ERANGE, 0},
    {"4294967296", UINT64_MAX, 0, 4294967296u},
    {"18446744073709551614", UINT64_MAX, 0, UINT64_MAX - 1},
    {"18446744073709551615", UINT64_MAX, 0, UINT64_MAX},
    {"18446744073709551616", UINT64_MAX, -ERANGE, 0},
    {"18446744073709551625", UINT64_MAX, -ERANGE, 0},
    {"184467440737095516150", UINT64_MAX, -ERANGE, 0},
    {"99999999999999999999", UINT64_MAX, -ERANGE, 0},
    {"100000000000000000000000000000000000000", UINT64_MAX, -ERANGE, 0},
    {"0000000000000000000000000000000000000001", UINT64_MAX, 0, 1},
    {"", UINT64_MAX, -EINVAL, 0},
    {" ", UINT64_MAX, -EINVAL, 0},
    {" 1", UINT64_MAX, -EINVAL, 0},
    {"1 ", UINT64_MAX, -EINVAL, 0},
    {"1\n", UINT64_MAX, -EINVAL, 0},
    {"\t1", UINT64_MAX, -EINVAL, 0},
    {"+1", UINT64_MAX, -EINVAL, 0},
    {"-1", UINT64_MAX, -EINVAL, 0},
    {"-0", UINT64_MAX, -EINVAL, 0},
    {"0x10", UINT64_MAX, -EINVAL, 0},
    {"1e3", UINT64_MAX, -EINVAL, 0},
    {"1.0", UINT64_MAX, -EINVAL, 0},
    {"1,000", UINT64_MAX, -EINVAL, 0},
    {"1_000", UINT64_MAX, -EINVAL, 0},
    {"a", UINT64_MAX, -EINVAL, 0},
    {"12a", UINT64_MAX, -EINVAL, 0},
    {"a12", UINT64_MAX, -EINVAL, 0},
    {"/", UINT64_MAX, -EINVAL, 0},
    {":", UINT64_MAX, -EINVAL, 0},
    {"\xd9\xa1", UINT64_MAX, -EINVAL, 0}, /* ARABIC-INDIC DIGIT ONE */
    {"99999999999999999999x", UINT64_MAX, -EINVAL, 0},
};

static const struct u64_case hex_cases[] = {
    {"0", UINT64_MAX, 0, 0},
    {"f", 15, 0, 15},
    {"F", 15, 0, 15},
    {"10", 15, -ERANGE, 0},
    {"deadBEEF", UINT64_MAX, 0, 0xdeadbeef},
    {"ffffffffffffffff", UINT64_MAX, 0, UINT64_MAX},
    {"FFFFFFFFFFFFFFFF", UINT64_MAX, 0, UINT64_MAX},
    {"10000000000000000", UINT64_MAX, -ERANGE, 0},
    {"00000000000000000000f", UINT64_MAX, 0, 15},
    {"0123456789abcdef", UINT64_MAX, 0, 0x0123456789abcdefu},
    {"", UINT64_MAX, -EINVAL, 0},
    {"g", UINT64_MAX, -EINVAL, 0},
    {"G", UINT64_MAX, -EINVAL, 0},
    {"@", UINT64_MAX, -EINVAL, 0},
    {"`", UINT64_MAX, -EINVAL, 0},
    {"0x1", UINT64_MAX, -EINVAL, 0},
    {"-1", UINT64_MAX, -EINVAL, 0},
    {"+1", UINT64_MAX, -EINVAL, 0},
    {" 1", UINT64_MAX, -EINVAL, 0},
    {"1;", UINT64_MAX, -EINVAL, 0},
};

static void check_u64(const struct u64_case *c, int (*parse)(struct slice, uint64_t, uint64_t *))
{
    uint64_t v = 0x5151;
    int r = parse(slice_str(c->text), c->max, &v);
    if (r != c->result || v != (r == 0 ? c->value : 0x5151))
        fail_msg("'%s' max %llu: got %d, %llu", c->text, (unsigned long long)c->max, r,
                 (unsigned long long)v);
}

static void test_decimal(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(decimal_cases); i++)
        check_u64(&decimal_cases[i], parse_u64);
}

static void test_hex(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(hex_cases); i++)
        check_u64(&hex_cases[i], parse_hex_u64);
}

static void test_u32(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(decimal_cases); i++) {
        const struct u64_case *c = &decimal_cases[i];
        uint32_t max = c->max > UINT32_MAX ? UINT32_MAX : (uint32_t)c->max, v = 77;
        int want = c->result == 0 && c->value > max ? -ERANGE : c->result;
        assert_int_equal(parse_u32(slice_str(c->text), max, &v), want);
        assert_int_equal(v, want == 0 ? c->value : 77);
    }
}

/* The slice ends where it says, whatever stands behind it; a NUL inside is no digit. */
static void test_slice_bounds(void **state)
{
    (void)state;
    uint64_t v = 0;
    assert_int_equal(parse_u64(slice_of("1234", 2), 99, &v), 0);
    assert_int_equal(v, 12);
    assert_int_equal(parse_u64(slice_of("1\0002", 3), 999, &v), -EINVAL);
    assert_int_equal(parse_u64(slice_of("12\0", 3), 999, &v), -EINVAL);
    assert_int_equal(parse_u64(slice_of(NULL, 0), 999, &v), -EINVAL);
    assert_int_equal(v, 12);
}

static const struct {
    const char *text;
    int64_t min, max;
    int result;
    int64_t value;
} signed_cases[] = {
    {"0", INT64_MIN, INT64_MAX, 0, 0},
    {"-0", INT64_MIN, INT64_MAX, 0, 0},
    {"5", -5, 5, 0, 5},
    {"6", -5, 5, -ERANGE, 0},
    {"-5", -5, 5, 0, -5},
    {"-6", -5, 5, -ERANGE, 0},
    {"-1", 0, 5, -ERANGE, 0},
    {"9223372036854775807", INT64_MIN, INT64_MAX, 0, INT64_MAX},
    {"9223372036854775808", INT64_MIN, INT64_MAX, -ERANGE, 0},
    {"-9223372036854775808", INT64_MIN, INT64_MAX, 0, INT64_MIN},
    {"-9223372036854775809", INT64_MIN, INT64_MAX, -ERANGE, 0},
    {"18446744073709551616", INT64_MIN, INT64_MAX, -ERANGE, 0},
    {"-18446744073709551616", INT64_MIN, INT64_MAX, -ERANGE, 0},
    {"", INT64_MIN, INT64_MAX, -EINVAL, 0},
    {"-", INT64_MIN, INT64_MAX, -EINVAL, 0},
    {"--1", INT64_MIN, INT64_MAX, -EINVAL, 0},
    {"+1", INT64_MIN, INT64_MAX, -EINVAL, 0},
    {"- 1", INT64_MIN, INT64_MAX, -EINVAL, 0},
    {"1-", INT64_MIN, INT64_MAX, -EINVAL, 0},
};

static void test_signed(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(signed_cases); i++) {
        int64_t v = 4242;
        int r = parse_i64(slice_str(signed_cases[i].text), signed_cases[i].min, signed_cases[i].max,
                          &v);
        if (r != signed_cases[i].result || v != (r == 0 ? signed_cases[i].value : 4242))
            fail_msg("'%s': got %d, %lld", signed_cases[i].text, r, (long long)v);
    }
}

static void test_be32(void **state)
{
    (void)state;
    static const uint32_t values[] = {0, 1, 0x80, 0xff, 0x01020304, 0x80000000, 0xffffffff};
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        unsigned char b[4];
        store_be32(b, values[i]);
        assert_int_equal(b[0], values[i] >> 24);
        assert_int_equal(b[3], values[i] & 0xff);
        assert_true(load_be32(b) == values[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decimal), cmocka_unit_test(test_hex),
        cmocka_unit_test(test_u32),     cmocka_unit_test(test_slice_bounds),
        cmocka_unit_test(test_signed),  cmocka_unit_test(test_be32),
    };
    return cmocka_run_group_tests_name("base/num", tests, NULL, NULL);
}
