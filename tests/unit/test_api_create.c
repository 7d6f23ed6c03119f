/* The create body: what is taken, what is refused and with which words. */
// deps: api http json base jansson uv
#include "api/create_parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct create_limits limits = {.default_timeout_s = 15, .max_timeout_s = 86400};

struct parse {
    struct create_request req;
    struct buf ignored;
    struct err err;
    int result;
};

static void parse_text(struct parse *p, const char *text, bool strict)
{
    *p = (struct parse){0};
    buf_init(&p->ignored, API_IGNORED_MAX_BYTES);
    struct api_fields fields = {&p->ignored, strict};
    p->result = create_request_parse(slice_str(text), &limits, &fields, &p->req, &p->err);
}

static void parse_done(struct parse *p)
{
    create_request_done(&p->req);
    buf_done(&p->ignored);
}

static const struct refusal {
    const char *body, *message;
} refusals[] = {
    {"", "the request body is missing"},
    {"[]", "the request body must be a JSON object"},
    {"\"x\"", "the request body must be a JSON object"},
    {"{}", "templateID is required"},
    {"{\"templateID\":null}", "templateID is required"},
    {"{\"templateID\":\"\"}", "templateID must not be empty"},
    {"{\"templateID\":5}", "templateID must be a string"},
    {"{\"templateID\":\"b\",\"timeout\":0}", "timeout must be greater than 0"},
    {"{\"templateID\":\"b\",\"timeout\":-1}", "timeout must be greater than 0"},
    {"{\"templateID\":\"b\",\"timeout\":86401}", "timeout cannot be greater than 24 hours"},
    {"{\"templateID\":\"b\",\"timeout\":\"5\"}", "timeout must be a whole number"},
    {"{\"templateID\":\"b\",\"timeout\":1.5}", "timeout must be a whole number"},
    {"{\"templateID\":\"b\",\"timeout\":true}", "timeout must be a whole number"},
    {"{\"templateID\":\"b\",\"secure\":1}", "secure must be true or false"},
    {"{\"templateID\":\"b\",\"metadata\":[]}", "metadata must be an object"},
    {"{\"templateID\":\"b\",\"metadata\":{\"a\":1}}", "metadata.a must be a string"},
    {"{\"templateID\":\"b\",\"envVars\":{\"a\":null}}", "envVars.a must be a string"},
    {"{\"templateID\":\"b\",\"envVars\":{\"\":\"x\"}}",
     "envVars has a name that is empty or contains '='"},
    {"{\"templateID\":\"b\",\"envVars\":{\"a=b\":\"x\"}}",
     "envVars has a name that is empty or contains '='"},
    {"{\"templateID\":\"b\",\"allow_internet_access\":\"no\"}",
     "allow_internet_access must be true or false"},
    {"{\"templateID\":\"b\",\"autoPause\":true}", "autoPause is not supported by this server"},
    {"{\"templateID\":\"b\",\"autoPause\":\"x\"}", "autoPause must be true or false"},
    {"{\"templateID\":\"b\",\"autoPauseMemory\":false}",
     "autoPauseMemory may be false only with autoPause true"},
    {"{\"templateID\":\"b\",\"autoResume\":{}}", "autoResume.enabled is required"},
    {"{\"templateID\":\"b\",\"autoResume\":{\"enabled\":true}}",
     "autoResume is not supported by this server"},
    {"{\"templateID\":\"b\",\"mcp\":{\"x\":{}}}", "mcp is not supported by this server"},
    {"{\"templateID\":\"b\",\"iam\":{\"tokens\":{}}}", "iam is not supported by this server"},
    {"{\"templateID\":\"b\",\"volumeMounts\":[{\"name\":\"v\",\"path\":\"/v\"}]}",
     "volumeMounts is not supported by this server"},
    {"{\"templateID\":\"b\",\"volumeMounts\":{}}", "volumeMounts must be an array"},
    {"{\"templateID\":\"b\",\"network\":[]}", "network must be an object"},
    {"{\"templateID\":\"b\",\"network\":{\"allowOut\":[\"1.1.1.1\"]}}",
     "network.allowOut is not supported by this server"},
    {"{\"templateID\":\"b\",\"network\":{\"denyOut\":[\"0.0.0.0/0\"]}}",
     "network.denyOut is not supported by this server"},
    {"{\"templateID\":\"b\",\"network\":{\"rules\":{\"a.b\":[]}}}",
     "network.rules is not supported by this server"},
    {"{\"templateID\":\"b\",\"network\":{\"egressProxy\":{\"address\":\"h:1\"}}}",
     "network.egressProxy is not supported by this server"},
    {"{\"templateID\":\"b\",\"network\":{\"httpsPorts\":[8443]}}",
     "network.httpsPorts is not supported by this server"},
    {"{\"templateID\":\"b\",\"network\":{\"allowPublicTraffic\":\"x\"}}",
     "network.allowPublicTraffic must be true or false"},
    {"{\"templateID\":\"b\",\"network\":{\"maskRequestHost\":\"-https://abcd\"}}",
     "network.maskRequestHost is not valid: it must be host or host:port"},
    {"{\"templateID\":\"b\",\"network\":{\"maskRequestHost\":\"a\\u00e9\"}}",
     "network.maskRequestHost is not ASCII"},
    {"{\"templateID\":\"b\",\"network\":{\"maskRequestHost\":\"a\\r\\nX: y\"}}",
     "network.maskRequestHost is not valid: it must be host or host:port"},
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        struct parse p;
        parse_text(&p, refusals[i].body, false);
        if (p.result >= 0)
            fail_msg("taken: %s", refusals[i].body);
        assert_string_equal(p.err.msg, refusals[i].message);
        assert_int_equal(p.err.kind, ERR_INVALID);
        assert_int_equal(api_error_status(&p.err), 400);
        parse_done(&p);
    }
}

static void test_broken_json_is_400(void **state)
{
    (void)state;
    static const char *const bodies[] = {"{", "{\"a\":1,\"a\":2}", "nul", "{}x"};
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct parse p;
        parse_text(&p, bodies[i], false);
        assert_true(p.result < 0);
        assert_int_equal(api_error_status(&p.err), 400);
        parse_done(&p);
    }
}

static void test_defaults(void **state)
{
    (void)state;
    struct parse p;
    parse_text(&p, "{\"templateID\":\"base\"}", false);
    assert_int_equal(p.result, 0);
    assert_string_equal(p.req.spec.template, "base");
    assert_int_equal(p.req.spec.timeout_s, 15);
    assert_int_equal(p.req.spec.internet, -1);
    assert_true(p.req.spec.public_traffic);
    assert_null(p.req.spec.mask_host);
    assert_null(p.req.spec.network_json);
    assert_int_equal(p.ignored.n, 0);
    parse_done(&p);
}

static void test_everything_given(void **state)
{
    (void)state;
    struct parse p;
    parse_text(
        &p,
        "{\"templateID\":\"base:v1\",\"timeout\":86400,\"secure\":false,"
        "\"metadata\":{\"k\":\"v\",\"\":\"e\"},\"envVars\":{\"A\":\"1\",\"B\":\"=\"},"
        "\"allow_internet_access\":false,\"autoPause\":false,\"autoPauseMemory\":true,"
        "\"autoResume\":{\"enabled\":false},\"mcp\":null,\"iam\":{},\"volumeMounts\":[],"
        "\"network\":{\"allowPublicTraffic\":false,\"maskRequestHost\":\"localhost:${PORT}\","
        "\"allowOut\":[],\"rules\":null}}",
        true);
    assert_int_equal(p.result, 0);
    assert_int_equal(p.req.spec.timeout_s, 86400);
    assert_int_equal(p.req.spec.internet, 0);
    assert_false(p.req.spec.public_traffic);
    assert_string_equal(p.req.spec.mask_host, "localhost:${PORT}");
    assert_string_equal(p.req.spec.network_json,
                        "{\"allowPublicTraffic\":false,\"maskRequestHost\":\"localhost:${PORT}\"}");
    assert_int_equal(p.req.spec.n_metadata, 2);
    assert_int_equal(p.req.spec.n_envs, 2);
    assert_string_equal(p.req.spec.metadata[0].key, "k");
    assert_string_equal(p.req.spec.metadata[0].value, "v");
    parse_done(&p);
}

static void test_unknown_fields(void **state)
{
    (void)state;
    const char *body = "{\"templateID\":\"b\",\"zzz\":1,\"\":1,\"network\":{\"x\\r\\ny, z\":1}}";
    struct parse p;
    parse_text(&p, body, false);
    assert_int_equal(p.result, 0);
    assert_string_equal(buf_str(&p.ignored), "zzz, ?, network.x??y??z");
    parse_done(&p);
    parse_text(&p, body, true);
    assert_int_equal(p.result, -EINVAL);
    assert_string_equal(p.err.msg, "zzz is not a known field");
    assert_string_equal(p.err.code, API_CODE_UNKNOWN_FIELD);
    parse_done(&p);
}

static void test_limits_of_maps(void **state)
{
    (void)state;
    for (int n = CREATE_METADATA_MAX; n <= CREATE_METADATA_MAX + 1; n++) {
        struct parse p;
        _cleanup_buf_ struct buf body = BUF_INIT(65536);
        buf_put_str(&body, "{\"templateID\":\"b\",\"metadata\":{");
        for (int i = 0; i < n; i++)
            (void)buf_printf(&body, "%s\"k%d\":\"\"", i > 0 ? "," : "", i);
        buf_put_str(&body, "}}");
        parse_text(&p, buf_str(&body), false);
        assert_int_equal(p.result == 0, n == CREATE_METADATA_MAX);
        parse_done(&p);
    }
    for (int n = CREATE_METADATA_MAX_BYTES - 1; n <= CREATE_METADATA_MAX_BYTES; n++) {
        struct parse p;
        _cleanup_buf_ struct buf body = BUF_INIT(65536);
        (void)buf_printf(&body, "{\"templateID\":\"b\",\"metadata\":{\"k\":\"%0*d\"}}", n, 0);
        parse_text(&p, buf_str(&body), false);
        assert_int_equal(p.result == 0, n == CREATE_METADATA_MAX_BYTES - 1);
        parse_done(&p);
    }
}

static void test_mask_hosts(void **state)
{
    (void)state;
    static const struct {
        const char *mask;
        bool ok;
    } cases[] = {
        {"localhost", true},
        {"localhost:${PORT}", true},
        {"${PORT}.example.org", true},
        {"a.b:80", true},
        {"127.0.0.1:8080", true},
        {"a:65536", false},
        {"a:", false},
        {":80", false},
        {"a b", false},
        {"-a", false},
        {"a/b", false},
        {"a:b", false},
        {"http://a", false},
        {"", false},
        {"${POR}", false},
        {"a:8${PORT}", true},
        {".a", false},
        {"a_b", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (create_mask_host_valid(slice_str(cases[i].mask)) != cases[i].ok)
            fail_msg("%s", cases[i].mask);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),       cmocka_unit_test(test_broken_json_is_400),
        cmocka_unit_test(test_defaults),       cmocka_unit_test(test_everything_given),
        cmocka_unit_test(test_unknown_fields), cmocka_unit_test(test_limits_of_maps),
        cmocka_unit_test(test_mask_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
