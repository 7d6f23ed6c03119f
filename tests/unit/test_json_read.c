/* Reading JSON: what parses, typed members with every kind of wrong value, and the path in each message. */
// deps: json base
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "json/json.h"

#include <fcntl.h>

static const struct {
    const char *text;
    bool ok;
} parse_cases[] = {
    {"{}", true},
    {"[]", true},
    {"null", true},
    {"true", true},
    {"\"x\"", true},
    {"0", true},
    {"-0", true},
    {"1.5e3", true},
    {" \t\r\n{} \n", true},
    {"{\"a\":{\"a\":1}}", true}, /* the same name one level down */
    {"9223372036854775807", true},
    {"-9223372036854775808", true},
    {"[\"\\ud83d\\ude00\", \"\\u00e9\"]", true},
    {"[\"\xf0\x9f\x98\x80\"]", true},
    {"[\"[[[[\", \"\\\"[\"]", true},
    {"", false},
    {" ", false},
    {"{", false},
    {"}", false},
    {"[1,]", false},
    {"[,1]", false},
    {"[1 2]", false},
    {"{\"a\"}", false},
    {"{\"a\":}", false},
    {"{\"a\":1,}", false},
    {"{a:1}", false},
    {"{'a':1}", false},
    {"{\"a\":1 \"b\":2}", false},
    {"{\"a\":1,\"a\":1}", false},
    {"{\"a\":1,\"\\u0061\":2}", false}, /* the same name, written otherwise */
    {"{} {}", false},
    {"{}x", false},
    {"{},", false},
    {"nul", false},
    {"True", false},
    {"NaN", false},
    {"Infinity", false},
    {"01", false},
    {"+1", false},
    {".5", false},
    {"1.", false},
    {"1e", false},
    {"0x1", false},
    {"- 1", false},
    {"9223372036854775808", false},
    {"-9223372036854775809", false},
    {"1e999", false},
    {"\"", false},
    {"\"\\\"", false},
    {"\"\\x41\"", false},
    {"\"\\u12\"", false},
    {"\"\\u0000\"", false},
    {"{\"a\\u0000b\":1}", false},
    {"\"\\ud83d\"", false},
    {"\"\\ude00\"", false},
    {"\"\\ud83d\\u0041\"", false},
    {"\"\x01\"", false},
    {"\"\n\"", false},
    {"\"\xff\"", false},
    {"\"\xc0\xaf\"", false},
    {"\"\xed\xa0\x80\"", false},
    {"\xef\xbb\xbf{}", false}, /* byte order mark */
    {"// comment\n{}", false},
    {"/* comment */ {}", false},
    {"[\v1]", false},
};

static void test_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(parse_cases); i++) {
        _cleanup_json_ json_t *root = NULL;
        struct err err = {0};
        int r = json_parse(slice_str(parse_cases[i].text), &root, &err);
        if (r != (parse_cases[i].ok ? 0 : -EBADMSG) || (root != NULL) != parse_cases[i].ok)
            fail_msg("'%s': %d %s", parse_cases[i].text, r, err.msg);
        if (r < 0)
            assert_true(err.kind == ERR_INVALID && strstr(err.msg, "invalid JSON") == err.msg);
    }
}

static void test_parse_bytes(void **state)
{
    (void)state;
    _cleanup_json_ json_t *root = NULL;
    assert_int_equal(json_parse(slice_of("{}\0", 3), &root, NULL), -EBADMSG);
    assert_int_equal(json_parse(slice_of("[\"a\0b\"]", 7), &root, NULL), -EBADMSG);
    assert_int_equal(json_parse(slice_of(NULL, 0), &root, NULL), -EBADMSG);
    assert_null(root);
    assert_int_equal(json_parse(slice_of("[1]garbage", 3), &root, NULL), 0);
}

static void test_error_position(void **state)
{
    (void)state;
    _cleanup_json_ json_t *root = NULL;
    struct err err;
    assert_int_equal(json_parse(SLICE_LIT("{\n  \"a\": x\n}"), &root, &err), -EBADMSG);
    assert_non_null(strstr(err.msg, "line 2, column 8"));
}

static int parse_nested(size_t depth, char open, char close)
{
    char text[1000] = "";
    memset(text, open, depth);
    memset(text + depth, close, depth);
    _cleanup_json_ json_t *root = NULL;
    return json_parse(slice_of(text, 2 * depth), &root, NULL);
}

/* n empty objects in one array, hence n + 1 brackets and n - 1 commas. */
static int parse_many(size_t n)
{
    _cleanup_buf_ struct buf b = BUF_INIT(4 * (size_t)JSON_VALUES_MAX);
    for (size_t i = 0; i < n; i++)
        (void)buf_put_str(&b, i == 0 ? "[{}" : ",{}");
    (void)buf_put_str(&b, "]");
    _cleanup_json_ json_t *root = NULL;
    struct err err = {0};
    int r = json_parse(buf_slice(&b), &root, &err);
    if (r < 0)
        assert_non_null(strstr(err.msg, "values"));
    json_freep(&root);
    assert_int_equal(json_parse_answer(buf_slice(&b), &root, NULL), 0);
    return r;
}

static void test_number_of_values(void **state)
{
    (void)state;
    assert_int_equal(parse_many(JSON_VALUES_MAX / 2 - 1), 0);
    assert_int_equal(parse_many(JSON_VALUES_MAX / 2 + 1), -EBADMSG);
    /* commas inside of strings are none */
    _cleanup_buf_ struct buf b = BUF_INIT(4 * (size_t)JSON_VALUES_MAX);
    (void)buf_put_str(&b, "[\"");
    for (size_t i = 0; i < JSON_VALUES_MAX; i++)
        (void)buf_put_str(&b, "[,");
    (void)buf_put_str(&b, "\"]");
    _cleanup_json_ json_t *root = NULL;
    assert_int_equal(json_parse(buf_slice(&b), &root, NULL), 0);
}

static void test_depth(void **state)
{
    (void)state;
    assert_int_equal(parse_nested(JSON_DEPTH_MAX, '[', ']'), 0);
    assert_int_equal(parse_nested(JSON_DEPTH_MAX + 1, '[', ']'), -EBADMSG);
    assert_int_equal(parse_nested(400, '[', ']'), -EBADMSG);
    /* brackets inside of strings are no nesting, whatever is escaped there */
    _cleanup_buf_ struct buf b = BUF_INIT(10000);
    (void)buf_put_str(&b, "[\"\\\\\\\"");
    for (int i = 0; i < 200; i++)
        (void)buf_put_str(&b, "[{");
    (void)buf_put_str(&b, "\\\\\"]");
    _cleanup_json_ json_t *root = NULL;
    assert_int_equal(json_parse(buf_slice(&b), &root, NULL), 0);
    buf_clear(&b);
    for (int i = 0; i < 300; i++) /* many brackets side by side are no depth either */
        (void)buf_put_str(&b, i == 0 ? "[[]" : ",[]");
    (void)buf_put_str(&b, "]");
    _cleanup_json_ json_t *flat = NULL;
    assert_int_equal(json_parse(buf_slice(&b), &flat, NULL), 0);
}

enum type { STR, BOOL, I64, OBJ, ARR, ANY };

static const struct {
    const char *text;
    enum type type;
    enum json_need need;
    int result;
    const char *msg;
} member_cases[] = {
    {"{\"a\":\"x\"}", STR, JSON_REQUIRED, 1, NULL},
    {"{\"a\":\"\"}", STR, JSON_REQUIRED, 1, NULL},
    {"{}", STR, JSON_OPTIONAL, 0, NULL},
    {"{\"a\":null}", STR, JSON_OPTIONAL, 0, NULL},
    {"{\"A\":\"x\"}", STR, JSON_OPTIONAL, 0, NULL},
    {"{}", STR, JSON_REQUIRED, -EINVAL, "a is required"},
    {"{\"a\":null}", STR, JSON_REQUIRED, -EINVAL, "a is required"},
    {"{\"a\":1}", STR, JSON_OPTIONAL, -EINVAL, "a must be a string"},
    {"{\"a\":true}", STR, JSON_OPTIONAL, -EINVAL, "a must be a string"},
    {"{\"a\":[]}", STR, JSON_OPTIONAL, -EINVAL, "a must be a string"},
    {"{\"a\":{}}", STR, JSON_REQUIRED, -EINVAL, "a must be a string"},
    {"[]", STR, JSON_OPTIONAL, -EINVAL, "body must be an object"},
    {"\"a\"", STR, JSON_OPTIONAL, -EINVAL, "body must be an object"},
    {"null", STR, JSON_OPTIONAL, -EINVAL, "body must be an object"},
    {"{\"a\":true}", BOOL, JSON_REQUIRED, 1, NULL},
    {"{\"a\":false}", BOOL, JSON_REQUIRED, 1, NULL},
    {"{\"a\":null}", BOOL, JSON_OPTIONAL, 0, NULL},
    {"{\"a\":1}", BOOL, JSON_OPTIONAL, -EINVAL, "a must be true or false"},
    {"{\"a\":\"true\"}", BOOL, JSON_OPTIONAL, -EINVAL, "a must be true or false"},
    {"{}", BOOL, JSON_REQUIRED, -EINVAL, "a is required"},
    {"{\"a\":5}", I64, JSON_REQUIRED, 1, NULL},
    {"{\"a\":-5}", I64, JSON_REQUIRED, 1, NULL},
    {"{\"a\":10}", I64, JSON_REQUIRED, 1, NULL},
    {"{\"a\":11}", I64, JSON_REQUIRED, -ERANGE, "a must be between -5 and 10"},
    {"{\"a\":-6}", I64, JSON_REQUIRED, -ERANGE, "a must be between -5 and 10"},
    {"{\"a\":9223372036854775807}", I64, JSON_REQUIRED, -ERANGE, "a must be between -5 and 10"},
    {"{\"a\":5.0}", I64, JSON_REQUIRED, -EINVAL, "a must be a whole number"},
    {"{\"a\":5e0}", I64, JSON_REQUIRED, -EINVAL, "a must be a whole number"},
    {"{\"a\":\"5\"}", I64, JSON_REQUIRED, -EINVAL, "a must be a whole number"},
    {"{\"a\":true}", I64, JSON_REQUIRED, -EINVAL, "a must be a whole number"},
    {"{}", I64, JSON_OPTIONAL, 0, NULL},
    {"{\"a\":{}}", OBJ, JSON_REQUIRED, 1, NULL},
    {"{\"a\":[]}", OBJ, JSON_REQUIRED, -EINVAL, "a must be an object"},
    {"{\"a\":\"{}\"}", OBJ, JSON_OPTIONAL, -EINVAL, "a must be an object"},
    {"{\"a\":null}", OBJ, JSON_OPTIONAL, 0, NULL},
    {"{}", OBJ, JSON_REQUIRED, -EINVAL, "a is required"},
    {"{\"a\":[]}", ARR, JSON_REQUIRED, 1, NULL},
    {"{\"a\":{}}", ARR, JSON_REQUIRED, -EINVAL, "a must be an array"},
    {"{\"a\":1}", ARR, JSON_OPTIONAL, -EINVAL, "a must be an array"},
    {"{}", ARR, JSON_OPTIONAL, 0, NULL},
    {"{\"a\":1}", ANY, JSON_REQUIRED, 1, NULL},
    {"{\"a\":[1]}", ANY, JSON_OPTIONAL, 1, NULL},
    {"{\"a\":null}", ANY, JSON_OPTIONAL, 0, NULL},
    {"{\"a\":null}", ANY, JSON_REQUIRED, -EINVAL, "a is required"},
};

static int get(const struct json_ref *ref, enum type type, enum json_need need, struct err *err)
{
    static const char sentinel[] = "untouched";
    const char *s = sentinel;
    bool b = false;
    int64_t i = 4242;
    struct json_ref sub = {.key = sentinel};
    int r = type == STR    ? json_get_str(ref, "a", need, &s, err)
            : type == BOOL ? json_get_bool(ref, "a", need, &b, err)
            : type == I64  ? json_get_i64(ref, "a", need, -5, 10, &i, err)
            : type == OBJ  ? json_get_obj(ref, "a", need, &sub, err)
            : type == ARR  ? json_get_arr(ref, "a", need, &sub, err)
                           : json_get_any(ref, "a", need, &sub, err);
    if (r <= 0)
        assert_true(s == sentinel && !b && i == 4242 && sub.key == sentinel);
    else
        assert_true(s != sentinel || i != 4242 || sub.key != sentinel || type == BOOL);
    return r;
}

static void test_members(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(member_cases); i++) {
        _cleanup_json_ json_t *root = NULL;
        struct err err = {0};
        assert_int_equal(json_parse(slice_str(member_cases[i].text), &root, &err), 0);
        struct json_ref ref = json_root(root);
        int r = get(&ref, member_cases[i].type, member_cases[i].need, &err);
        const char *want = member_cases[i].msg != NULL ? member_cases[i].msg : "";
        if (r != member_cases[i].result || strcmp(err.msg, want) != 0 || err.num != (r < 0 ? r : 0))
            fail_msg("'%s': %d '%s'", member_cases[i].text, r, err.msg);
        assert_int_equal(get(&ref, member_cases[i].type, member_cases[i].need, NULL), r);
    }
}

static void test_values(void **state)
{
    (void)state;
    _cleanup_json_ json_t *root = NULL;
    struct err err;
    const char text[] = "{\"s\":\"caf\\u00e9\",\"n\":-7,\"b\":true,\"f\":false}";
    assert_int_equal(json_parse(slice_str(text), &root, &err), 0);
    struct json_ref ref = json_root(root);
    const char *s = NULL;
    int64_t n = 0;
    bool b = false, f = true;
    assert_int_equal(json_get_str(&ref, "s", JSON_REQUIRED, &s, &err), 1);
    assert_int_equal(json_get_i64(&ref, "n", JSON_REQUIRED, INT64_MIN, INT64_MAX, &n, &err), 1);
    assert_int_equal(json_get_bool(&ref, "b", JSON_REQUIRED, &b, &err), 1);
    assert_int_equal(json_get_bool(&ref, "f", JSON_REQUIRED, &f, &err), 1);
    assert_string_equal(s, "caf\xc3\xa9");
    assert_int_equal(n, -7);
    assert_true(b && !f);
}

/* The example of the header: network.rules[2].name must be a string. */
static void test_nested_path(void **state)
{
    (void)state;
    _cleanup_json_ json_t *root = NULL;
    struct err err;
    const char text[] = "{\"network\":{\"rules\":[{},{},{\"name\":5}]}}";
    assert_int_equal(json_parse(slice_str(text), &root, &err), 0);
    struct json_ref ref = json_root(root), network, rules;
    const char *s = NULL;
    char path[100];
    assert_int_equal(json_get_obj(&ref, "network", JSON_REQUIRED, &network, &err), 1);
    assert_int_equal(json_get_arr(&network, "rules", JSON_REQUIRED, &rules, &err), 1);
    assert_int_equal(json_arr_len(&rules), 3);
    struct json_ref third = json_arr_at(&rules, 2);
    assert_int_equal(json_get_str(&third, "name", JSON_REQUIRED, &s, &err), -EINVAL);
    assert_string_equal(err.msg, "network.rules[2].name must be a string");
    assert_int_equal(json_get_str(&third, "port", JSON_REQUIRED, &s, &err), -EINVAL);
    assert_string_equal(err.msg, "network.rules[2].port is required");
    assert_string_equal(json_path(&third, path, sizeof(path)), "network.rules[2]");
    assert_string_equal(json_path(&ref, path, sizeof(path)), "");
    assert_int_equal(json_as_str(&third, &s, &err), -EINVAL);
    assert_string_equal(err.msg, "network.rules[2] must be a string");
    assert_int_equal(json_refuse(&third, &err, "is %s", "wrong"), -EINVAL);
    assert_string_equal(err.msg, "network.rules[2] is wrong");
}

/* A path that does not fit ends early, between characters, and without a byte past its buffer. */
static void test_path_is_cut(void **state)
{
    (void)state;
    char key[200] = "";
    for (int i = 0; i < 60; i++)
        memcpy(key + 3 * i, "\xe2\x82\xac", 4);
    struct json_ref root = {.v = NULL}, a = {.up = &root, .key = key};
    struct json_ref b = {.up = &a, .index = 12345}, c = {.up = &b, .key = "tail"};
    for (size_t cap = 1; cap < 120; cap++) {
        char path[128];
        memset(path, 'z', sizeof(path));
        json_path(&c, path, cap);
        assert_true(strlen(path) < cap);
        assert_int_equal(path[cap], 'z');
        assert_true(slice_is_utf8(slice_str(path)));
    }
    char path[128];
    const char *tail = strstr(json_path(&c, path, sizeof(path)), "[12345].tail");
    assert_non_null(tail);
    assert_int_equal(tail - path, 63); /* 21 characters of the name */
}

static int collect(const char *key, const char *value, void *user, struct err *err)
{
    if (strcmp(key, "stop") == 0)
        return err_set(err, -ECANCELED, ERR_CONFLICT, "stopped");
    return buf_printf(user, "%s=%s;", key, value);
}

static const struct {
    const char *text;
    int result;
    const char *seen, *msg;
} map_cases[] = {
    {"{\"m\":{}}", 0, "", ""},
    {"{\"m\":{\"a\":\"1\",\"b\":\"\"}}", 0, "a=1;b=;", ""},
    {"{\"m\":{\"a\":1}}", -EINVAL, "", "m.a must be a string"},
    {"{\"m\":{\"a\":null}}", -EINVAL, "", "m.a must be a string"},
    {"{\"m\":{\"a\":\"1\",\"b\":{}}}", -EINVAL, "a=1;", "m.b must be a string"},
    {"{\"m\":{\"a\":\"1\",\"stop\":\"x\",\"c\":\"3\"}}", -ECANCELED, "a=1;", "stopped"},
    {"{\"m\":[\"a\"]}", -EINVAL, "", "m must be an object"},
    {"{\"m\":\"a\"}", -EINVAL, "", "m must be an object"},
};

static void test_maps(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(map_cases); i++) {
        _cleanup_json_ json_t *root = NULL;
        _cleanup_buf_ struct buf seen = BUF_INIT(1000);
        struct err err = {0};
        assert_int_equal(json_parse(slice_str(map_cases[i].text), &root, &err), 0);
        struct json_ref ref = json_root(root), map;
        assert_int_equal(json_get_any(&ref, "m", JSON_REQUIRED, &map, &err), 1);
        assert_int_equal(json_each_str(&map, collect, &seen, &err), map_cases[i].result);
        assert_string_equal(buf_str(&seen), map_cases[i].seen);
        assert_string_equal(err.msg, map_cases[i].msg);
    }
}

/* Memory that was given back is looked at through the kernel: the program itself must not. */
static void read_memory(uintptr_t at, char *dst, size_t n)
{
    _cleanup_close_ int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, dst, n, (off_t)at), n);
}

static void test_wiped(void **state)
{
    char secret[65], left[sizeof(secret)] = "";
    json_t *text;
    (void)state;
    memset(secret, 's', sizeof(secret) - 1);
    secret[sizeof(secret) - 1] = '\0';
    for (int wiped = 0; wiped < 2; wiped++) {
        if (wiped)
            json_wipe_freed();
        text = json_string(secret);
        uintptr_t at = (uintptr_t)json_string_value(text);
        json_decref(text);
        read_memory(at, left, sizeof(left) - 1);
        /* the allocator's own words stand at the start; without wiping the rest is as it was */
        assert_int_equal(strstr(left + 32, "ssss") == NULL, wiped);
        for (size_t i = 32; wiped && i < sizeof(left) - 1; i++)
            assert_int_equal(left[i], 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),          cmocka_unit_test(test_parse_bytes),
        cmocka_unit_test(test_error_position), cmocka_unit_test(test_depth),
        cmocka_unit_test(test_members),        cmocka_unit_test(test_values),
        cmocka_unit_test(test_nested_path),    cmocka_unit_test(test_path_is_cut),
        cmocka_unit_test(test_maps),           cmocka_unit_test(test_number_of_values),
        cmocka_unit_test(test_wiped),
    };
    return cmocka_run_group_tests_name("json/read", tests, NULL, NULL);
}
