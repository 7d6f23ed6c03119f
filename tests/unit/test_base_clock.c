/* RFC 3339: tables of times and of what is none, and the two directions against each other. */
// deps: base
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>

static const struct {
    const char *text;
    int64_t ns;
} good[] = {
    {"1970-01-01T00:00:00Z", INT64_C(0)},
    {"1970-01-01T00:00:00.000000001Z", INT64_C(1)},
    {"1969-12-31T23:59:59.999999999Z", INT64_C(-1)},
    {"1970-01-01T00:00:00.1Z", INT64_C(100000000)},
    {"1970-01-01T00:00:00.12Z", INT64_C(120000000)},
    {"1970-01-01T00:00:00.123456789Z", INT64_C(123456789)},
    {"1970-01-01T00:00:00.1234567899Z", INT64_C(123456789)},
    {"1970-01-01T00:00:00.00000000000000000009Z", INT64_C(0)},
    {"2026-08-22T10:11:12Z", INT64_C(1787393472000000000)},
    {"2026-08-22t10:11:12z", INT64_C(1787393472000000000)},
    {"2026-08-22 10:11:12Z", INT64_C(1787393472000000000)},
    {"2026-08-22T10:11:12+00:00", INT64_C(1787393472000000000)},
    {"2026-08-22T10:11:12-00:00", INT64_C(1787393472000000000)},
    {"2026-08-22T10:11:12+05:30", INT64_C(1787373672000000000)},
    {"2026-08-22T10:11:12-08:00", INT64_C(1787422272000000000)},
    {"2026-08-22T10:11:12.5+23:59", INT64_C(1787307132500000000)},
    {"2026-08-22T10:11:12-23:59", INT64_C(1787479812000000000)},
    {"2024-02-29T00:00:00Z", INT64_C(1709164800000000000)},
    {"2000-02-29T12:00:00Z", INT64_C(951825600000000000)},
    {"2016-12-31T23:59:60Z", INT64_C(1483228800000000000)},
    {"2016-12-31T23:59:60.5Z", INT64_C(1483228800500000000)},
    {"1678-01-01T00:00:00Z", INT64_C(-9214560000000000000)},
    {"2261-12-31T23:59:59.999999999Z", INT64_C(9214646399999999999)},
    {"1677-12-31T23:00:00-01:00", INT64_C(-9214560000000000000)},
    {"2262-01-01T00:00:00+00:01", INT64_C(9214646340000000000)},
    {"2023-11-30T00:00:00Z", INT64_C(1701302400000000000)},
    {"2023-12-31T00:00:00Z", INT64_C(1703980800000000000)},
};

static const char *const bad[] = {
    "",
    "Z",
    "2026",
    "2026-08-22",
    "2026-08-22T10:11:12",
    "2026-08-22T10:11Z",
    "2026-08-22T10:11:12.Z",
    "2026-08-22T10:11:12,5Z",
    "2026-08-22T10:11:12 Z",
    "2026-08-22T10:11:12Zx",
    "2026-08-22T10:11:12Z ",
    "x2026-08-22T10:11:12Z",
    " 2026-08-22T10:11:12Z",
    "26-08-22T10:11:12Z",
    "02026-08-22T10:11:12Z",
    "2026-8-22T10:11:12Z",
    "2026-08-2T10:11:12Z",
    "2026-08-22T1:11:12Z",
    "2026/08/22T10:11:12Z",
    "2026-08-22T10-11-12Z",
    "2026-08-22T24:00:00Z",
    "2026-08-22T10:60:00Z",
    "2026-08-22T10:11:61Z",
    "2026-00-22T10:11:12Z",
    "2026-13-22T10:11:12Z",
    "2026-08-00T10:11:12Z",
    "2026-08-32T10:11:12Z",
    "2026-04-31T00:00:00Z",
    "2023-02-29T00:00:00Z",
    "2023-02-30T00:00:00Z",
    "1900-02-29T00:00:00Z",
    "2100-02-29T00:00:00Z",
    "2026-08-22T10:11:12+24:00",
    "2026-08-22T10:11:12+05:60",
    "2026-08-22T10:11:12+0530",
    "2026-08-22T10:11:12+05",
    "2026-08-22T10:11:12+5:30",
    "2026-08-22T10:11:12 05:30",
    "2026-08-22T10:11:12+05:30Z",
    "2026-08-22T10:11:12ZZ",
    "+026-08-22T10:11:12Z",
    "-026-08-22T10:11:12Z",
    "2026-08-22T10:11:+2Z",
    "2026-08-22T-1:11:12Z",
    "2026-08-22T10:11:12.-5Z",
    "1677-12-31T23:59:59Z",
    "2262-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00Z",
    "2261-12-31T23:59:59-23:59",
    "1678-01-01T00:00:00+00:01",
    "2261-12-31T23:59:60Z",
    "2026-08-22X10:11:12Z",
    "2026-08-22_10:11:12Z",
    "now",
    "20260822T101112Z",
};

static const struct {
    int64_t ns;
    const char *text;
} formats[] = {
    {INT64_C(0), "1970-01-01T00:00:00Z"},
    {INT64_C(1), "1970-01-01T00:00:00.000000001Z"},
    {INT64_C(1000), "1970-01-01T00:00:00.000001Z"},
    {INT64_C(1000000), "1970-01-01T00:00:00.001Z"},
    {INT64_C(1000000000), "1970-01-01T00:00:01Z"},
    {INT64_C(-1), "1969-12-31T23:59:59.999999999Z"},
    {INT64_C(-1000), "1969-12-31T23:59:59.999999Z"},
    {INT64_C(-1000000), "1969-12-31T23:59:59.999Z"},
    {INT64_C(-1000000000), "1969-12-31T23:59:59Z"},
    {INT64_C(123456789), "1970-01-01T00:00:00.123456789Z"},
    {INT64_C(100000000), "1970-01-01T00:00:00.100Z"},
    {INT64_C(123400000), "1970-01-01T00:00:00.123400Z"},
    {INT64_C(999999999), "1970-01-01T00:00:00.999999999Z"},
    {INT64_C(1787393472123456789), "2026-08-22T10:11:12.123456789Z"},
    {INT64_C(1709251199000000000), "2024-02-29T23:59:59Z"},
    {INT64_MAX, "2262-04-11T23:47:16.854775807Z"},
    {INT64_MIN, "1677-09-21T00:12:43.145224192Z"},
};

static void test_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        int64_t at = 42;
        int r = rfc3339_parse(slice_str(good[i].text), &at);
        if (r != 0 || at != good[i].ns)
            fail_msg("'%s': %d, %lld", good[i].text, r, (long long)at);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int64_t at = 42;
        if (rfc3339_parse(slice_str(bad[i]), &at) != -EINVAL || at != 42)
            fail_msg("'%s' was taken as %lld", bad[i], (long long)at);
    }
}

/* Every beginning of a good time is refused, and nothing behind the slice is looked at. */
static void test_truncated(void **state)
{
    (void)state;
    static const char whole[] = "2026-08-22T10:11:12.123+05:30";
    int64_t at = 42;
    for (size_t n = 0; n < sizeof(whole) - 1; n++)
        assert_int_equal(rfc3339_parse(slice_of(whole, n), &at), -EINVAL);
    assert_int_equal(rfc3339_parse(slice_of(whole, sizeof(whole) - 1), &at), 0);
}

static void test_format(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        char text[RFC3339_BYTES];
        rfc3339_format(formats[i].ns, text);
        assert_string_equal(text, formats[i].text);
    }
}

/* Days over the whole range, at odd times of day: both directions agree. */
static void test_round_trip(void **state)
{
    (void)state;
    const int64_t step = INT64_C(86399) * (int64_t)NS_PER_S * 97 + 123456789;
    for (int64_t at = INT64_C(-9200000000) * (int64_t)NS_PER_S;
         at < INT64_C(9200000000) * (int64_t)NS_PER_S; at += step) {
        char text[RFC3339_BYTES];
        int64_t back = 0;
        rfc3339_format(at, text);
        assert_int_equal(rfc3339_parse(slice_str(text), &back), 0);
        assert_true(back == at);
    }
}

static void test_clocks(void **state)
{
    (void)state;
    uint64_t before = clock_monotonic_ns();
    assert_true(clock_monotonic_ns() >= before);
    assert_true(clock_wall_ns() > INT64_C(1600000000) * (int64_t)NS_PER_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),      cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_truncated),  cmocka_unit_test(test_format),
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_clocks),
    };
    return cmocka_run_group_tests_name("base/clock", tests, NULL, NULL);
}
