/* Writing JSON: structure, escapes, text that is not UTF-8, numbers at their ends, room running out. */
// deps: json base
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "json/json.h"
#include "json/writer.h"

static const struct {
    const char *text;
    size_t n;
    const char *json;
} string_cases[] = {
    {"", 0, "\"\""},
    {"abc", 3, "\"abc\""},
    {"\"", 1, "\"\\\"\""},
    {"\\", 1, "\"\\\\\""},
    {"/", 1, "\"/\""},
    {"\n\r\t", 3, "\"\\n\\r\\t\""},
    {"\b\f\v", 3, "\"\\u0008\\u000c\\u000b\""},
    {"\0", 1, "\"\\u0000\""},
    {"a\0b", 3, "\"a\\u0000b\""},
    {"\x01\x1f\x7f", 3, "\"\\u0001\\u001f\\u007f\""},
    {"\xc3\xa4", 2, "\"\xc3\xa4\""},
    {"\xe2\x82\xac", 3, "\"\xe2\x82\xac\""},
    {"\xf0\x9f\x98\x80", 4, "\"\xf0\x9f\x98\x80\""},
    {"\xff", 1, "\"\xef\xbf\xbd\""},
    {"a\xff"
     "b",
     3,
     "\"a\xef\xbf\xbd"
     "b\""},
    {"\xc3", 1, "\"\xef\xbf\xbd\""},
    {"\xc3(", 2, "\"\xef\xbf\xbd(\""},
    {"\xe2\x82", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\""},
    {"\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
    {"\xc0\xaf", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\""},
    {"\x80"
     "a",
     2,
     "\"\xef\xbf\xbd"
     "a\""},
    {"\xf0\x9f\x98\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, /* cut by its length */
    {"</script>", 9, "\"</script>\""},
};

static void test_strings(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(string_cases); i++) {
        _cleanup_buf_ struct buf b = BUF_INIT(1000);
        struct json_writer w;
        jw_init(&w, &b);
        jw_strn(&w, slice_of(string_cases[i].text, string_cases[i].n));
        if (strcmp(buf_str(&b), string_cases[i].json) != 0)
            fail_msg("case %zu: %s", i, buf_str(&b));
    }
}

static void test_structure(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf b = BUF_INIT(1000);
    struct json_writer w;
    jw_init(&w, &b);
    jw_obj(&w);
    jw_kstr(&w, "s", "x");
    jw_ku64(&w, "u", 1);
    jw_ki64(&w, "i", -1);
    jw_kbool(&w, "b", true);
    jw_key(&w, "empty");
    jw_obj(&w);
    jw_end(&w);
    jw_keyn(&w, slice_of("arrays", 3));
    jw_arr(&w);
    jw_null(&w);
    jw_arr(&w);
    jw_end(&w);
    jw_arr(&w);
    jw_bool(&w, false);
    jw_bool(&w, true);
    jw_end(&w);
    jw_obj(&w);
    jw_key(&w, "k\"");
    jw_raw(&w, SLICE_LIT("[1, 2]"));
    jw_end(&w);
    jw_end(&w);
    jw_key(&w, "data");
    jw_base64(&w, SLICE_LIT("foob"));
    jw_key(&w, "none");
    jw_str(&w, NULL);
    jw_end(&w);
    assert_int_equal(w.depth, 0);
    assert_string_equal(buf_str(&b), "{\"s\":\"x\",\"u\":1,\"i\":-1,\"b\":true,\"empty\":{},"
                                     "\"arr\":[null,[],[false,true],{\"k\\\"\":[1, 2]}],"
                                     "\"data\":\"Zm9vYg==\",\"none\":\"\"}");
    _cleanup_json_ json_t *root = NULL;
    assert_int_equal(json_parse(buf_slice(&b), &root, NULL), 0);
}

static void test_numbers(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf b = BUF_INIT(1000);
    struct json_writer w;
    jw_init(&w, &b);
    jw_arr(&w);
    jw_i64(&w, 0);
    jw_i64(&w, -1);
    jw_i64(&w, INT64_MAX);
    jw_i64(&w, INT64_MIN);
    jw_u64(&w, 0);
    jw_u64(&w, UINT64_MAX);
    jw_double(&w, 0.125, 2);
    jw_double(&w, -2.5, 3);
    jw_double(&w, 1e15, 0);
    jw_end(&w);
    assert_string_equal(buf_str(&b),
                        "[0,-1,9223372036854775807,-9223372036854775808,0,18446744073709551615,"
                        "0.12,-2.500,1000000000000000]");
}

static void test_deepest(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf b = BUF_INIT(1000);
    struct json_writer w;
    jw_init(&w, &b);
    for (int i = 0; i < JSON_WRITER_DEPTH; i++)
        jw_arr(&w);
    for (int i = 0; i < JSON_WRITER_DEPTH; i++)
        jw_end(&w);
    assert_int_equal(b.n, 2 * JSON_WRITER_DEPTH);
    _cleanup_json_ json_t *root = NULL;
    assert_int_equal(json_parse(buf_slice(&b), &root, NULL), 0);
}

/* Whatever the room, running out of it is told by the buffer and nothing is written past it. */
static void test_out_of_room(void **state)
{
    (void)state;
    static const char whole[] = "{\"key\":\"va\\\"lue\",\"data\":\"Zm9vYg==\",\"n\":[123456,null]}";
    for (size_t max = 0; max <= sizeof(whole); max++) {
        _cleanup_buf_ struct buf b = BUF_INIT(max);
        struct json_writer w;
        jw_init(&w, &b);
        jw_obj(&w);
        jw_kstr(&w, "key", "va\"lue");
        jw_key(&w, "data");
        jw_base64(&w, SLICE_LIT("foob"));
        jw_key(&w, "n");
        jw_arr(&w);
        jw_u64(&w, 123456);
        jw_null(&w);
        jw_end(&w);
        jw_end(&w);
        assert_int_equal(b.error, max < sizeof(whole) - 1 ? -ENOBUFS : 0);
        assert_true(b.n <= max && strncmp(buf_str(&b), whole, b.n) == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings),     cmocka_unit_test(test_structure),
        cmocka_unit_test(test_numbers),     cmocka_unit_test(test_deepest),
        cmocka_unit_test(test_out_of_room),
    };
    return cmocka_run_group_tests_name("json/write", tests, NULL, NULL);
}
