/* Host names, sandbox ids and the error table. */
// deps: api http json base jansson uv
#include "api/api_internal.h"
#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct {
    const char *host;
    bool ok;
} hosts[] = {
    {"127.0.0.1", true},
    {"127.0.0.1:3000", true},
    {"10.1.2.3:80", true},
    {"[::1]:3000", true},
    {"[fe80::1]", true},
    {"localhost", true},
    {"LOCALHOST:3000", true},
    {"localhost.:3000", true},
    {"api.localhost:3000", true},
    {"box.example.org", true},
    {"box.example.org:8443", true},
    {"api.box.example.org", true},
    {"configured.test", true},
    {"", false},
    {"evil.example.com", false},
    {"localhost.evil.com", false},
    {"notlocalhost", false},
    {".localhost", false},
    {"127.0.0.1.evil.com", false},
    {"x.box.example.org", false},
    {"api.configured.test", false},
    {"0x7f.1", false},
    {"user@127.0.0.1", false},
    {"127.0.0.1,evil.com", false},
};

static void test_hosts(void **state)
{
    (void)state;
    char domain[] = "box.example.org:8443", name[] = "configured.test";
    char *names[] = {name};
    const struct api api = {.domain = domain, .hosts = names, .n_hosts = 1};
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
        if (api_host_allowed(&api, slice_str(hosts[i].host)) != hosts[i].ok)
            fail_msg("%s", hosts[i].host);
}

static void test_ids(void **state)
{
    (void)state;
    static const struct {
        const char *given, *id;
    } cases[] = {
        {"i0123456789abcdefghij", "i0123456789abcdefghij"},
        {"iabc-6532622b", "iabc"},
        {"7", "7"},
        {"", NULL},
        {"-x", NULL},
        {"Iabc", NULL},
        {"../x", NULL},
        {"i\xc3\xa9", NULL},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char id[API_ID_MAX_BYTES] = "";
        struct err err = {0};
        int r = api_sandbox_id(cases[i].given, id, &err);
        assert_int_equal(r, cases[i].id != NULL ? 0 : -EINVAL);
        if (cases[i].id != NULL)
            assert_string_equal(id, cases[i].id);
        else
            assert_string_equal(err.msg, "Invalid sandbox ID");
    }
}

static void test_each_kind_has_a_status(void **state)
{
    (void)state;
    static const unsigned want[ERR_KIND_MAX_] = {
        [ERR_INTERNAL] = 500, [ERR_INVALID] = 400, [ERR_NOT_FOUND] = 404,   [ERR_CONFLICT] = 409,
        [ERR_LIMIT] = 429,    [ERR_DENIED] = 403,  [ERR_UNAVAILABLE] = 503, [ERR_TIMEOUT] = 504};
    for (int kind = 0; kind < ERR_KIND_MAX_; kind++) {
        struct err err = {0};
        err_set(&err, -EIO, (enum err_kind)kind, "x");
        assert_int_equal(api_error_status(&err), want[kind]);
        err_code(&err, "sandbox_of_a_later_version");
        assert_int_equal(api_error_status(&err), want[kind]);
    }
}

static void test_codes_decide(void **state)
{
    (void)state;
    struct err err = {0};
    err_set(&err, -EACCES, ERR_DENIED, "no key");
    err_code(&err, API_CODE_UNAUTHORIZED);
    assert_int_equal(api_error_status(&err), 401);
    _cleanup_buf_ struct buf out = BUF_INIT(1024);
    assert_int_equal(api_error_render(&err, &out), 0);
    assert_string_equal(buf_str(&out), "{\"code\":401,\"message\":\"no key\","
                                       "\"error_code\":\"unauthorized\"}");
}

static void test_internal_messages_stay_inside(void **state)
{
    (void)state;
    struct err err = {0};
    err_set(&err, -EIO, ERR_INTERNAL, "open /secret/path: denied");
    _cleanup_buf_ struct buf out = BUF_INIT(1024);
    assert_int_equal(api_error_render(&err, &out), 0);
    assert_string_equal(buf_str(&out), "{\"code\":500,\"message\":\"Internal server error\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_each_kind_has_a_status),
        cmocka_unit_test(test_codes_decide),
        cmocka_unit_test(test_internal_messages_stay_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
