/* Targets, escapes, queries, paths and hosts: tables of texts and what comes of them. */
// deps: http
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "http/url.h"

#include <errno.h>

#define BAD NULL

static const struct {
    const char *target, *authority, *path, *query; /* path BAD: refused */
} targets[] = {
    {"/", "", "/", ""},
    {"/a/b", "", "/a/b", ""},
    {"/a?b=c", "", "/a", "b=c"},
    {"/a?", "", "/a", ""},
    {"/?a?b", "", "/", "a?b"},
    {"//a", "", "//a", ""},
    {"/a%2Fb", "", "/a%2Fb", ""},
    {"/http://x", "", "/http://x", ""},
    {"http://h", "h", "/", ""},
    {"http://h/", "h", "/", ""},
    {"http://h:80/a?b", "h:80", "/a", "b"},
    {"http://h?b/c", "h", "/", "b/c"},
    {"https://[::1]:8/x", "[::1]:8", "/x", ""},
    {"", "", BAD, ""},
    {"*", "", BAD, ""},
    {"a", "", BAD, ""},
    {"?a", "", BAD, ""},
    {"http:/h", "", BAD, ""},
    {"http://", "", BAD, ""},
    {"http:///a", "", BAD, ""},
    {"http://u@h/", "", BAD, ""},
    {"http://u:p@h/", "", BAD, ""},
    {"http://h:x/", "", BAD, ""},
    {"HTTP://h/", "", BAD, ""},
    {"ftp://h/", "", BAD, ""},
};

static void test_targets(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
        struct url_target t;
        int r = url_parse_target(slice_str(targets[i].target), &t);
        if (r != (targets[i].path != BAD ? 0 : -EINVAL))
            fail_msg("%d for %s", r, targets[i].target);
        if (r < 0)
            continue;
        assert_true(slice_eq_str(t.authority, targets[i].authority));
        assert_true(slice_eq_str(t.path, targets[i].path));
        assert_true(slice_eq_str(t.query, targets[i].query));
    }
}

static const struct {
    const char *in;
    unsigned flags;
    const char *out; /* BAD: refused */
} escapes[] = {
    {"", 0, ""},
    {"abc", 0, "abc"},
    {"%41%42", 0, "AB"},
    {"%c3%A4", 0, "\xc3\xa4"},
    {"a+b", 0, "a+b"},
    {"a+b", URL_PLUS_IS_SPACE, "a b"},
    {"a%2Bb", URL_PLUS_IS_SPACE, "a+b"},
    {"%2541", 0, "%41"}, /* once only */
    {"%25", 0, "%"},
    {"\xff", 0, "\xff"},
    {"%", 0, BAD},
    {"%4", 0, BAD},
    {"a%", 0, BAD},
    {"%g1", 0, BAD},
    {"%1g", 0, BAD},
    {"% 1", 0, BAD},
    {"%-1", 0, BAD},
    {"%%41", 0, BAD},
    {"%u0041", 0, BAD},
    {"a%00b", URL_NO_NUL, BAD},
};

static void test_decode(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(escapes); i++) {
        _cleanup_buf_ struct buf out = BUF_INIT(64);
        int r = url_decode(&out, slice_str(escapes[i].in), escapes[i].flags);
        if (r != (escapes[i].out != BAD ? 0 : -EINVAL))
            fail_msg("%d for %s", r, escapes[i].in);
        if (r == 0)
            assert_string_equal(buf_str(&out), escapes[i].out);
    }
    _cleanup_buf_ struct buf nul = BUF_INIT(64), small = BUF_INIT(2);
    assert_int_equal(url_decode(&nul, SLICE_LIT("a%00b"), 0), 0);
    assert_int_equal(nul.n, 3);
    assert_int_equal(url_decode(&small, SLICE_LIT("abc"), 0), -ENOBUFS);
}

static void test_encode(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } encoded[] = {
        {"", ""},         {"azAZ09-._~", "azAZ09-._~"},
        {"a b", "a%20b"}, {"/?#&=+", "%2F%3F%23%26%3D%2B"},
        {"%", "%25"},     {"\xc3\xa4", "%C3%A4"},
        {"\x01", "%01"},
    };
    for (size_t i = 0; i < ARRAY_LEN(encoded); i++) {
        _cleanup_buf_ struct buf out = BUF_INIT(64), back = BUF_INIT(64);
        assert_int_equal(url_encode(&out, slice_str(encoded[i].in)), 0);
        assert_string_equal(buf_str(&out), encoded[i].out);
        assert_int_equal(url_decode(&back, buf_slice(&out), 0), 0);
        assert_string_equal(buf_str(&back), encoded[i].in);
    }
    _cleanup_buf_ struct buf small = BUF_INIT(2);
    assert_int_equal(url_encode(&small, SLICE_LIT(" ")), -ENOBUFS);
}

static const struct {
    const char *query, *name;
    int result;
    const char *value;
} queries[] = {
    {"", "a", 0, ""},
    {"a", "a", 1, ""},
    {"a=", "a", 1, ""},
    {"a=b", "a", 1, "b"},
    {"a=b=c", "a", 1, "b=c"},
    {"x=1&a=b", "a", 1, "b"},
    {"&&a=b&&", "a", 1, "b"},
    {"aa=1&a=2", "a", 1, "2"},
    {"a=b", "A", 0, ""},
    {"a=b", "b", 0, ""},
    {"a=b", "", 0, ""},
    {"=b", "", 1, "b"},
    {"a=b+c%20d%2Be", "a", 1, "b c d+e"},
    {"%61=b", "a", 1, "b"},
    {"a+b=c", "a b", 1, "c"},
    {"a=b;c=d", "a", 1, "b;c=d"},
    {"a=1&a=2", "a", -EINVAL, ""},
    {"a=1&%61=2", "a", -EINVAL, ""},
    {"a=%", "a", -EINVAL, ""},
    {"a=%00", "a", -EINVAL, ""},
    {"%=1&a=2", "a", -EINVAL, ""},
    {"x=%zz&a=2", "a", 1, "2"}, /* another one's value is not looked at */
};

static void test_queries(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(queries); i++) {
        _cleanup_buf_ struct buf out = BUF_INIT(64);
        buf_put_str(&out, "old");
        int r = url_query_get(slice_str(queries[i].query), queries[i].name, &out);
        if (r != queries[i].result)
            fail_msg("%d for %s in %s", r, queries[i].name, queries[i].query);
        if (r >= 0)
            assert_string_equal(buf_str(&out), queries[i].value);
    }
}

static void test_clean_path(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } paths[] = {
        {"/", "/"},
        {"/a", "/a"},
        {"/a/", "/a"},
        {"//", "/"},
        {"//a//b", "/a/b"},
        {"/./a/.", "/a"},
        {"/a/../b", "/b"},
        {"/..", "/"},
        {"/../../a", "/a"},
        {"/a/b/../..", "/"},
        {"/a/...", "/a/..."},
        {"/%2e%2e/a", "/a"},
        {"/a/%2E/b", "/a/b"},
        {"/a%2F..%2Fb", "/b"},
        {"/a%20b", "/a b"},
        {"/.a", "/.a"},
        {"", BAD},
        {"a", BAD},
        {"/%", BAD},
        {"/%00", BAD},
        {"../a", BAD},
    };
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        _cleanup_buf_ struct buf out = BUF_INIT(64);
        int r = url_clean_path(&out, slice_str(paths[i].in));
        if (r != (paths[i].out != BAD ? 0 : -EINVAL))
            fail_msg("%d for %s", r, paths[i].in);
        if (r == 0)
            assert_string_equal(buf_str(&out), paths[i].out);
    }
    _cleanup_buf_ struct buf kept = BUF_INIT(64);
    buf_put_str(&kept, "/pre");
    assert_int_equal(url_clean_path(&kept, SLICE_LIT("/../x")), 0);
    assert_string_equal(buf_str(&kept), "/pre/x"); /* what was there is not climbed into */
}

static void test_hosts(void **state)
{
    (void)state;
    static const struct {
        const char *in, *host;
        uint16_t port;
    } hosts[] = {
        {"h", "h", 0},
        {"h:1", "h", 1},
        {"h:65535", "h", 65535},
        {"h:00080", "h", 80},
        {"127.0.0.1:80", "127.0.0.1", 80},
        {"49983-ixyz.localhost:3000", "49983-ixyz.localhost", 3000},
        {"[::1]", "::1", 0},
        {"[::1]:80", "::1", 80},
        {"[fe80::1%25eth0]:80", "fe80::1%25eth0", 80},
        {"", BAD, 0},
        {":80", BAD, 0},
        {"h:", BAD, 0},
        {"h:0", BAD, 0},
        {"h:65536", BAD, 0},
        {"h:000080", BAD, 0},
        {"h:-1", BAD, 0},
        {"h:+1", BAD, 0},
        {"h:8 0", BAD, 0},
        {"h:80:80", BAD, 0},
        {"::1", BAD, 0},
        {"[]", BAD, 0},
        {"[::1", BAD, 0},
        {"[::1]x", BAD, 0},
        {"[::1]80", BAD, 0},
        {"[a/b]", BAD, 0},
        {"u@h", BAD, 0},
        {"h/p", BAD, 0},
        {"h h", BAD, 0},
        {"h,h", BAD, 0},
        {"h\t", BAD, 0},
        {"\xc3\xa4", BAD, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        struct slice host;
        uint16_t port;
        int r = url_split_host(slice_str(hosts[i].in), &host, &port);
        if (r != (hosts[i].host != BAD ? 0 : -EINVAL))
            fail_msg("%d for %s", r, hosts[i].in);
        if (r < 0)
            continue;
        assert_true(slice_eq_str(host, hosts[i].host));
        assert_int_equal(port, hosts[i].port);
    }
    char name[URL_HOST_MAX_BYTES + 1];
    struct slice host;
    uint16_t port;
    memset(name, 'a', sizeof(name));
    assert_int_equal(url_split_host(slice_of(name, sizeof(name) - 1), &host, &port), 0);
    assert_int_equal(url_split_host(slice_of(name, sizeof(name)), &host, &port), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_targets),    cmocka_unit_test(test_decode),
        cmocka_unit_test(test_encode),     cmocka_unit_test(test_queries),
        cmocka_unit_test(test_clean_path), cmocka_unit_test(test_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
