// deps: sdk http json base
/*
 * What libsilica decides without a network: options, credentials, error tables, event messages.
 */
#include "sdk/proc_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void clear_env(void)
{
    (void)unsetenv("E2B_API_KEY");
    (void)unsetenv("E2B_API_URL");
    (void)unsetenv("E2B_SANDBOX_URL");
    (void)unsetenv("E2B_DOMAIN");
}

static void a_key_is_needed(void **state)
{
    (void)state;
    silica_client *c = NULL;
    silica_error err;
    clear_env();
    assert_int_equal(silica_client_new(NULL, &c, &err), SILICA_E_AUTH);
    assert_non_null(strstr(err.message, "E2B_API_KEY"));
    assert_int_equal(err.http_status, 0);
    (void)setenv("E2B_API_KEY", "e2b_12", 1);
    assert_int_equal(silica_client_new(SILICA_CLIENT_OPTS(.no_env = 1), &c, &err), SILICA_E_AUTH);
    assert_int_equal(silica_client_new(SILICA_CLIENT_OPTS(.api_key = "two words"), &c, &err),
                     SILICA_E_AUTH);
    assert_null(strstr(err.message, "two words"));
    assert_int_equal(silica_client_new(NULL, &c, &err), SILICA_OK);
    assert_string_equal(c->api_key, "e2b_12");
    assert_string_equal(c->api_url, "https://api.e2b.app");
    assert_null(c->sandbox_url);
    silica_client_free(c);
}

static void addresses(void **state)
{
    (void)state;
    silica_client *c = NULL;
    clear_env();
    (void)setenv("E2B_DOMAIN", "env.example:1", 1);
    (void)setenv("E2B_SANDBOX_URL", "http://s/", 1);
    assert_int_equal(silica_client_new(SILICA_CLIENT_OPTS(.api_key = "k"), &c, NULL), SILICA_OK);
    assert_string_equal(c->api_url, "https://api.env.example:1");
    assert_string_equal(c->sandbox_url, "http://s");
    silica_client_free(c);
    static const char *const bad[] = {"ftp://x", "x", "http://u@h", "http://h?q", "http://a b", ""};
    for (size_t i = 0; i + 1 < ARRAY_LEN(bad); i++)
        assert_int_equal(
            silica_client_new(SILICA_CLIENT_OPTS(.api_key = "k", .api_url = bad[i]), &c, NULL),
            SILICA_E_INVALID);
    assert_int_equal(
        silica_client_new(SILICA_CLIENT_OPTS(.api_key = "k", .domain = "a/b"), &c, NULL),
        SILICA_E_INVALID);
    clear_env();
}

static void ranges(void **state)
{
    (void)state;
    silica_client *c = NULL;
    assert_int_equal(
        silica_client_new(SILICA_CLIENT_OPTS(.api_key = "k", .max_attempts = 21), &c, NULL),
        SILICA_E_INVALID);
    assert_int_equal(
        silica_client_new(SILICA_CLIENT_OPTS(.api_key = "k", .retry_base_ms = -1), &c, NULL),
        SILICA_E_INVALID);
    assert_int_equal(
        silica_client_new(SILICA_CLIENT_OPTS(.api_key = "k", .request_timeout_ms = -2), &c, NULL),
        SILICA_E_INVALID);
    assert_int_equal(
        silica_client_new(SILICA_CLIENT_OPTS(.api_key = "k", .user_agent = "a\r\nb"), &c, NULL),
        SILICA_E_INVALID);
}

static void sizes_of_options(void **state)
{
    (void)state;
    struct {
        silica_file_opts known;
        uint64_t newer;
    } larger = {{.size = sizeof(larger)}, 0};
    silica_file_opts o;
    assert_int_equal(sdk_opts_copy(&o, sizeof(o), NULL, "o", NULL), SILICA_OK);
    assert_int_equal(o.max_bytes, 0);
    larger.known.max_bytes = 7;
    assert_int_equal(sdk_opts_copy(&o, sizeof(o), &larger, "o", NULL), SILICA_OK);
    assert_int_equal(o.max_bytes, 7);
    larger.newer = 1;
    assert_int_equal(sdk_opts_copy(&o, sizeof(o), &larger, "o", NULL), SILICA_E_UNSUPPORTED);
    larger.known.size = offsetof(silica_file_opts, max_bytes);
    assert_int_equal(sdk_opts_copy(&o, sizeof(o), &larger, "o", NULL), SILICA_OK);
    assert_int_equal(o.max_bytes, 0);
    larger.known.size = 0;
    assert_int_equal(sdk_opts_copy(&o, sizeof(o), &larger, "o", NULL), SILICA_E_INVALID);
}

static void statuses(void **state)
{
    (void)state;
    static const struct {
        int status;
        enum sdk_scope scope;
        const char *body;
        int64_t retry_after_ms;
        silica_rc rc;
    } cases[] = {
        {400, SDK_SCOPE_API, "{\"code\":400,\"message\":\"m\"}", -1, SILICA_E_INVALID},
        {401, SDK_SCOPE_DATA, "{\"code\":401,\"message\":\"m\"}", -1, SILICA_E_AUTH},
        {403, SDK_SCOPE_API, "", -1, SILICA_E_AUTH},
        {404, SDK_SCOPE_CREATE, "", -1, SILICA_E_NOT_FOUND},
        {404, SDK_SCOPE_SANDBOX, "", -1, SILICA_E_GONE},
        {404, SDK_SCOPE_DATA, "", -1, SILICA_E_NOT_FOUND},
        {405, SDK_SCOPE_DATA, "", -1, SILICA_E_UNSUPPORTED},
        {409, SDK_SCOPE_SANDBOX, "", -1, SILICA_E_CONFLICT},
        {429, SDK_SCOPE_CREATE, "", -1, SILICA_E_QUOTA},
        {429, SDK_SCOPE_CREATE, "", 1000, SILICA_E_RATE_LIMIT},
        {429, SDK_SCOPE_DATA, "", -1, SILICA_E_RATE_LIMIT},
        {500, SDK_SCOPE_API, "<html>", -1, SILICA_E_INTERNAL},
        {502, SDK_SCOPE_DATA, "{\"sandboxId\":\"i\",\"code\":502}", -1, SILICA_E_GONE},
        {502, SDK_SCOPE_DATA, "{\"port\":49983,\"code\":502}", -1, SILICA_E_NETWORK},
        {502, SDK_SCOPE_API, "", -1, SILICA_E_NETWORK},
        {503, SDK_SCOPE_API, "", -1, SILICA_E_UNAVAILABLE},
        {504, SDK_SCOPE_API, "", -1, SILICA_E_TIMEOUT},
        {507, SDK_SCOPE_DATA, "", -1, SILICA_E_NO_SPACE},
        {302, SDK_SCOPE_API, "", -1, SILICA_E_PROTOCOL},
        {404, SDK_SCOPE_DATA, "{\"code\":\"not_found\"}", -1, SILICA_E_NOT_FOUND},
        {409, SDK_SCOPE_DATA, "{\"code\":\"already_exists\"}", -1, SILICA_E_CONFLICT},
        {400, SDK_SCOPE_DATA, "{\"code\":\"failed_precondition\"}", -1, SILICA_E_CONFLICT},
        {503, SDK_SCOPE_DATA, "{\"code\":\"unavailable\"}", -1, SILICA_E_GONE},
        {500, SDK_SCOPE_DATA, "{\"code\":\"never heard of\"}", -1, SILICA_E_INTERNAL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct sdk_response r = {.status = cases[i].status,
                                 .retry_after_ms = cases[i].retry_after_ms,
                                 .body = BUF_INIT(1024)};
        silica_error err;
        (void)buf_put_str(&r.body, cases[i].body);
        silica_rc rc = sdk_fail_status(&err, &r, cases[i].scope);
        if (rc != cases[i].rc || err.rc != rc || err.http_status != cases[i].status)
            fail_msg("case %zu: %s", i, silica_rc_name(rc));
        assert_true(err.message[0] != '\0');
        sdk_response_done(&r);
    }
}

static void events(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        silica_rc rc;
        silica_event_kind kind;
        silica_exit exit;
    } cases[] = {
        {"{\"event\":{\"keepalive\":{}}}", SILICA_OK, SILICA_EVENT_NONE, {0, 0, 0}},
        {"{\"event\":{\"start\":{\"pid\":5}}}", SILICA_OK, SILICA_EVENT_NONE, {0, 0, 0}},
        {"{\"event\":{\"start\":{\"pid\":0}}}", SILICA_E_PROTOCOL, SILICA_EVENT_NONE, {0, 0, 0}},
        {"{\"event\":{\"start\":{\"pid\":6}}}", SILICA_E_PROTOCOL, SILICA_EVENT_NONE, {0, 0, 0}},
        {"{\"event\":{\"data\":{\"stderr\":\"eA==\"}}}", SILICA_OK, SILICA_EVENT_OUTPUT, {0, 0, 0}},
        {"{\"event\":{\"data\":{\"stdout\":\"\"}}}", SILICA_OK, SILICA_EVENT_NONE, {0, 0, 0}},
        {"{\"event\":{\"data\":{\"stdout\":1}}}", SILICA_E_PROTOCOL, SILICA_EVENT_NONE, {0, 0, 0}},
        {"{\"event\":{\"newer\":{}}}", SILICA_OK, SILICA_EVENT_NONE, {0, 0, 0}},
        {"{}", SILICA_OK, SILICA_EVENT_NONE, {0, 0, 0}},
        {"{\"event\":7}", SILICA_E_PROTOCOL, SILICA_EVENT_NONE, {0, 0, 0}},
        {"{\"event\":{\"end\":{\"exited\":true,\"status\":\"exit status 0\"}}}",
         SILICA_OK,
         SILICA_EVENT_NONE,
         {SILICA_EXITED, 0, 0}},
        {"{\"event\":{\"end\":{\"exitCode\":-1,\"status\":\"signal: killed\"}}}",
         SILICA_OK,
         SILICA_EVENT_NONE,
         {SILICA_SIGNALED, -1, 9}},
        {"{\"event\":{\"end\":{\"exitCode\":-1,\"status\":\"signal: aborted (core dumped)\"}}}",
         SILICA_OK,
         SILICA_EVENT_NONE,
         {SILICA_SIGNALED, -1, 6}},
        {"{\"event\":{\"end\":{\"exitCode\":-1,\"status\":\"signal: signal 64\"}}}",
         SILICA_OK,
         SILICA_EVENT_NONE,
         {SILICA_SIGNALED, -1, 0}},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        silica_proc p = {.pid = 5, .data = BUF_INIT(4096)};
        silica_event ev;
        silica_rc rc = proc_parse_event(&p, slice_str(cases[i].text), &ev, NULL);
        if (rc != cases[i].rc || ev.kind != cases[i].kind || p.exit.kind != cases[i].exit.kind ||
            p.exit.code != cases[i].exit.code || p.exit.signal != cases[i].exit.signal)
            fail_msg("%s: %s", cases[i].text, silica_rc_name(rc));
        buf_done(&p.data);
    }
}

static void names_of_codes(void **state)
{
    (void)state;
    assert_string_equal(silica_rc_name(SILICA_OK), "ok");
    assert_string_equal(silica_rc_name(SILICA_E_GONE), "gone");
    assert_string_equal(silica_rc_name(SILICA_E_INTERNAL), "internal");
    assert_string_equal(silica_rc_name((silica_rc)-20), "unknown");
    assert_string_equal(silica_rc_name((silica_rc)1), "unknown");
}

static void cancel_wakes(void **state)
{
    (void)state;
    silica_cancel *c = NULL;
    assert_int_equal(silica_cancel_new(&c, NULL), SILICA_OK);
    silica_cancel_trigger(c);
    silica_cancel_trigger(c);
    uint64_t n = 0;
    assert_int_equal(read(c->fd, &n, sizeof(n)), sizeof(n));
    silica_cancel_trigger(c);
    silica_cancel_reset(c);
    assert_int_equal(read(c->fd, &n, sizeof(n)), -1);
    silica_cancel_free(c);
    silica_cancel_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_needed), cmocka_unit_test(addresses),
        cmocka_unit_test(ranges),          cmocka_unit_test(sizes_of_options),
        cmocka_unit_test(statuses),        cmocka_unit_test(events),
        cmocka_unit_test(names_of_codes),  cmocka_unit_test(cancel_wakes),
    };
    return cmocka_run_group_tests_name("sdk client", tests, NULL, NULL);
}
