/* The API on a live server: status and body of every answer; the rig is api_rig.h. */
// deps: api http json base jansson uv
#include "api_rig.h"

static const struct failure {
    const char *line, *headers, *body;
    int status;
    const char *message;
} failures[] = {
    {"GET /sandboxes", "", "", 401, "the X-API-Key header is missing"},
    {"GET /sandboxes", "X-API-Key: e2b_00\r\n", "", 401, "the API key is not valid"},
    {"POST /sandboxes", "X-API-Key: \r\n", "{}", 401, "the X-API-Key header is missing"},
    {"GET /nope", AUTH, "", 404, "no such endpoint"},
    {"GET /", AUTH, "", 404, "no such endpoint"},
    {"PUT /sandboxes", AUTH, "", 405, "this endpoint takes POST, GET"},
    {"GET /sandboxes/%zz", AUTH, "", 400, "the path is not well-formed"},
    {"POST /sandboxes", AUTH, "{", 400, NULL},
    {"POST /sandboxes", AUTH, "", 400, "the request body is missing"},
    {"POST /sandboxes", AUTH, "{}", 400, "templateID is required"},
    {"POST /v2/sandboxes", AUTH, "{\"templateID\":\"b\",\"timeout\":0}", 400,
     "timeout must be greater than 0"},
    {"GET /sandboxes/inone", AUTH, "", 404,
     "Sandbox \"inone\" doesn't exist or you don't have access to it"},
    {"GET /sandboxes/..", AUTH, "", 400, "Invalid sandbox ID"},
    {"GET /sandboxes/I0", AUTH, "", 400, "Invalid sandbox ID"},
    {"DELETE /sandboxes/inone", AUTH, "", 404,
     "Sandbox \"inone\" doesn't exist or you don't have access to it"},
    {"POST /sandboxes/inone/timeout", AUTH, "{\"timeout\":1}", 404,
     "Sandbox \"inone\" doesn't exist or you don't have access to it"},
    {"POST /sandboxes/i0/timeout", AUTH, "{}", 400, "timeout is required"},
    {"POST /sandboxes/i0/timeout", AUTH, "{\"timeout\":-1}", 400, "timeout must be at least 0"},
    {"POST /sandboxes/i0/timeout", AUTH, "", 400, "the request body is missing"},
    {"POST /sandboxes/i0/refreshes", AUTH, "{\"duration\":3601}", 400,
     "duration cannot be greater than 1 hour"},
    {"POST /sandboxes/i0/connect", AUTH, "{}", 400, "timeout is required"},
    {"POST /sandboxes/I0/connect", AUTH, "{}", 400, "timeout is required"},
    {"POST /sandboxes/I0/connect", AUTH, "{\"timeout\":1}", 400, "Invalid sandbox ID"},
    {"POST /v2/sandboxes/i0/connect", AUTH, "{\"timeout\":0}", 400,
     "timeout must be greater than 0"},
    {"POST /v2/sandboxes/i0/connect", AUTH, "{\"timeout\":86401}", 400,
     "timeout cannot be greater than 24 hours"},
    {"POST /v2/sandboxes/inone/connect", AUTH, "", 404,
     "Sandbox \"inone\" doesn't exist or you don't have access to it"},
    {"GET /v2/sandboxes?limit=0", AUTH, "", 400, "limit must be between 1 and 100"},
    {"POST /sandboxes/i0/pause", AUTH, "{}", 501,
     "pausing a sandbox is not implemented by this server"},
    {"GET /sandboxes/i0/metrics", AUTH, "", 501,
     "metrics of sandboxes is not implemented by this server"},
    {"POST /sandboxes/i0/pause", "", "{}", 401, "the X-API-Key header is missing"},
};

static void test_errors(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(failures); i++) {
        const struct failure *f = &failures[i];
        const char *body;
        int status = ask(f->line, f->headers, f->body, &body);
        if (status != f->status)
            fail_msg("%d instead of %d: %s %s", status, f->status, f->line, live_text);
        check_error(body, f->status, f->message);
        if (status == 405)
            live_has("Allow: POST, GET\r\n");
    }
    assert_string_equal(fake.template, "");
}

static void test_create(void **state)
{
    (void)state;
    const char *body;
    assert_int_equal(ask("POST /sandboxes", AUTH,
                         "{\"templateID\":\"base\",\"envVars\":{\"A\":\"b\"},\"odd\":1,"
                         "\"network\":{\"allowPublicTraffic\":false}}",
                         &body),
                     201);
    assert_string_equal(body, "{\"sandboxID\":\"i0\",\"templateID\":\"tttttttttttttttttttt\","
                              "\"clientID\":\"51110000\",\"envdVersion\":\"0.6.13\","
                              "\"alias\":\"base\",\"envdAccessToken\":\"envdtoken\","
                              "\"domain\":\"localhost:3000\"}");
    live_has("Silica-Ignored-Fields: odd\r\n");
    assert_string_equal(fake.team, TEAM);
    assert_string_equal(fake.template, "base");
    assert_int_equal(fake.timeout_s, 15);
    assert_int_equal(fake.internet, -1);
    assert_false(fake.public_traffic);
    assert_int_equal(fake.n_envs, 1);

    fake.box[0].traffic_token = "tt";
    assert_int_equal(ask("POST /v2/sandboxes", AUTH, "{\"templateID\":\"base\"}", &body), 201);
    assert_int_equal(fake.timeout_s, 300);
    assert_non_null(strstr(body, "\"trafficAccessToken\":\"tt\""));
    live_has_not("Silica-Ignored-Fields:");
}

static void test_create_failures(void **state)
{
    (void)state;
    static const struct {
        enum err_kind kind;
        const char *code;
        int status;
        const char *message;
    } cases[] = {
        {ERR_NOT_FOUND, "", 404, "template 'x' not found"},
        {ERR_LIMIT, "", 429, "template 'x' not found"},
        {ERR_UNAVAILABLE, "sandbox_capacity_unavailable", 503, "template 'x' not found"},
        {ERR_TIMEOUT, "", 504, "template 'x' not found"},
        {ERR_INTERNAL, "", 500, "The sandbox could not be started"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *body;
        err_set(&fake.fail, -EIO, cases[i].kind, "template 'x' not found");
        if (cases[i].code[0] != '\0')
            err_code(&fake.fail, cases[i].code);
        assert_int_equal(ask("POST /sandboxes", AUTH, "{\"templateID\":\"x\"}", &body),
                         cases[i].status);
        check_error(body, cases[i].status, cases[i].message);
        fake.fail = (struct err){0};
    }
}

static void finish_create(void *arg)
{
    (void)arg;
    fake.held(fake.held_user, &fake.box[0], NULL);
}

static void held(void *arg)
{
    *(bool *)arg = fake.held != NULL;
}

static void nothing(void *arg)
{
    (void)arg;
}

static void test_client_gone_during_create(void **state)
{
    (void)state;
    fake.hold = true;
    int fd = live_connect();
    live_put(fd, "POST /sandboxes HTTP/1.1\r\nHost: localhost\r\n" AUTH
                 "Transfer-Encoding: chunked\r\n\r\n16\r\n{\"templateID\": \"base\"}\r\n0\r\n\r\n");
    for (bool there = false; !there;)
        live_call(held, &there);
    struct linger reset = {.l_onoff = 1};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
    fd = fd_close(fd);
    for (int i = 0; i < 50; i++)
        live_call(nothing, NULL); /* the loop sees the reset */
    live_call(finish_create, NULL);
}

static void test_get(void **state)
{
    (void)state;
    const char *body;
    fake.box[0].network_json = "{\"allowPublicTraffic\":false}";
    fake.box[0].internet = 0;
    assert_int_equal(ask("GET /sandboxes/i0-6532622b", AUTH, "", &body), 200);
    assert_string_equal(body,
                        "{\"sandboxID\":\"i0\",\"templateID\":\"tttttttttttttttttttt\","
                        "\"clientID\":\"51110000\",\"envdVersion\":\"0.6.13\",\"alias\":\"base\","
                        "\"startedAt\":\"2026-09-21T14:13:20Z\",\"endAt\":\"2026-09-21T14:18:20Z\","
                        "\"cpuCount\":2,\"memoryMB\":512,\"diskSizeMB\":1024,\"state\":\"running\","
                        "\"metadata\":{\"k\":\"v\"},\"envdAccessToken\":\"envdtoken\","
                        "\"domain\":\"localhost:3000\",\"allowInternetAccess\":false,"
                        "\"network\":{\"allowPublicTraffic\":false},"
                        "\"lifecycle\":{\"autoResume\":false,\"onTimeout\":\"kill\"},"
                        "\"silica\":{\"outOfMemory\":0,\"processLimit\":0,\"diskFull\":0,"
                        "\"inodesFull\":0}}");
    assert_int_equal(ask("GET /sandboxes/i1", AUTH, "", &body), 200);
    assert_non_null(strstr(body, "\"allowInternetAccess\":null"));
    assert_null(strstr(body, "\"network\""));
    assert_null(strstr(body, "\"alias\""));
}

static void test_life(void **state)
{
    (void)state;
    const char *body;
    assert_int_equal(ask("DELETE /sandboxes/i0", AUTH, "", &body), 204);
    assert_string_equal(body, "");
    assert_string_equal(fake.called, "kill");
    static const struct {
        const char *line, *body;
        int status;
        int64_t timeout_s;
        bool extend_only;
    } cases[] = {
        {"POST /sandboxes/i0/timeout", "{\"timeout\":0}", 204, 0, false},
        {"POST /sandboxes/i0/timeout", "{\"timeout\":90000}", 204, 90000, false},
        {"POST /sandboxes/i0/refreshes", "", 204, 15, true},
        {"POST /sandboxes/i0/refreshes", "{\"duration\":3}", 204, 15, true},
        {"POST /sandboxes/i0/refreshes", "{\"duration\":3600}", 204, 3600, true},
        {"POST /sandboxes/i0/connect", "{\"timeout\":0}", 200, 0, true},
        {"POST /sandboxes/i0/connect", "{\"timeout\":7,\"memory\":false}", 200, 7, true},
        {"POST /v2/sandboxes/i0/connect", "", 200, 300, true},
        {"POST /v2/sandboxes/i0/connect", "{}", 200, 300, true},
        {"POST /v2/sandboxes/i0/connect", "{\"timeout\":1}", 200, 1, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(ask(cases[i].line, AUTH, cases[i].body, &body), cases[i].status);
        assert_true(fake.timeout_s == cases[i].timeout_s);
        assert_int_equal(fake.extend_only, cases[i].extend_only);
    }
}

/* The ids of a list answer, in order, as "i4 i3 ". */
static const char *listed(const char *body)
{
    static char out[128];
    size_t n = 0;
    _cleanup_json_ json_t *doc = NULL;
    out[0] = '\0';
    assert_int_equal(json_parse(slice_str(body), &doc, NULL), 0);
    assert_true(json_is_array(doc));
    for (size_t i = 0; i < json_array_size(doc); i++)
        n += (size_t)snprintf(
            out + n, sizeof(out) - n, "%s ",
            json_string_value(json_object_get(json_array_get(doc, i), "sandboxID")));
    return out;
}

static void test_list(void **state)
{
    (void)state;
    const char *body;
    assert_int_equal(ask("GET /sandboxes", AUTH, "", &body), 200);
    assert_string_equal(listed(body), "i4 i3 i2 i1 i0 ");
    assert_int_equal(ask("GET /v2/sandboxes", AUTH, "", &body), 200);
    assert_string_equal(listed(body), "i4 i3 i2 i1 i0 ");
    live_has("X-Total-Running: 5\r\n");
    live_has_not("X-Next-Token:");
    assert_null(strstr(body, "envdAccessToken"));
    assert_int_equal(ask("GET /v2/sandboxes?state=paused", AUTH, "", &body), 200);
    assert_string_equal(body, "[]");
    live_has_not("X-Total-Running:");
    assert_int_equal(ask("GET /v2/sandboxes?template=base&order=asc", AUTH, "", &body), 200);
    assert_string_equal(listed(body), "i0 i2 i4 ");
    live_has("X-Total-Running: 3\r\n");
}

/* Walks the pages of two; between them the last one shown ends and a new one begins. */
static void test_pages(void **state)
{
    (void)state;
    static const char *const want[2][3] = {{"i4 i3 ", "i2 i1 ", "i0 "},
                                           {"i0 i1 ", "i2 i3 ", "i4 "}};
    for (int asc = 0; asc < 2; asc++) {
        char line[512] = "";
        (void)snprintf(line, sizeof(line), "GET /v2/sandboxes?limit=2%s", asc ? "&order=asc" : "");
        for (int page = 0; page < 3; page++) {
            const char *body;
            assert_int_equal(ask(line, AUTH, "", &body), 200);
            assert_string_equal(listed(body), want[asc][page]);
            const char *token = strstr(live_text, "X-Next-Token: ");
            assert_int_equal(token != NULL, page < 2);
            if (token == NULL)
                break;
            token += strlen("X-Next-Token: ");
            (void)snprintf(line, sizeof(line), "GET /v2/sandboxes?limit=2%s&nextToken=%.*s",
                           asc ? "&order=asc" : "", (int)strcspn(token, "\r"), token);
        }
    }
}

static void test_host_names(void **state)
{
    (void)state;
    static const struct {
        const char *host;
        bool ok;
    } cases[] = {{"localhost", true},
                 {"127.0.0.1:3000", true},
                 {"api.example.test", true},
                 {"rebound.attacker.test", false},
                 {"example.test", false}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char head[256];
        (void)snprintf(head, sizeof(head), "GET /health HTTP/1.1\r\nHost: %s\r\n\r\n",
                       cases[i].host);
        _cleanup_close_ int fd = live_connect();
        live_put(fd, head);
        live_get(fd, cases[i].ok ? "ok\n" : "host_not_allowed");
        live_has(cases[i].ok ? "HTTP/1.1 200 " : "HTTP/1.1 403 ");
    }
}

static void test_preflight(void **state)
{
    (void)state;
    const char *body;
    assert_int_equal(ask("OPTIONS /v2/sandboxes",
                         "Origin: https://a.test\r\nAccess-Control-Request-Method: POST\r\n"
                         "Access-Control-Request-Headers: x-api-key\r\n",
                         "", &body),
                     204);
    live_has("Access-Control-Allow-Origin: *\r\n");
    live_has("Access-Control-Allow-Headers: x-api-key\r\n");
    assert_int_equal(ask("OPTIONS /v2/sandboxes", AUTH, "", &body), 405);
    assert_int_equal(ask("GET /sandboxes", AUTH, "", &body), 200);
    live_has("Access-Control-Expose-Headers: X-Next-Token, X-Total-Running");
}

static void test_large_body(void **state)
{
    (void)state;
    _cleanup_close_ int fd = live_connect();
    live_put(fd, "POST /sandboxes HTTP/1.1\r\nHost: localhost\r\n" AUTH
                 "Content-Length: 16777217\r\n\r\n");
    live_get(fd, "body_too_large");
    live_has("HTTP/1.1 413 ");
    _cleanup_close_ int stranger = live_connect();
    live_put(stranger, "POST /sandboxes HTTP/1.1\r\nHost: localhost\r\n"
                       "Content-Length: 16777216\r\n\r\n");
    live_expect(stranger, "HTTP/1.1 401 "); /* without waiting for the body */
}

static void test_meta(void **state)
{
    (void)state;
    const char *body;
    assert_int_equal(ask("GET /health", "", "", &body), 200);
    assert_int_equal(ask("GET /capabilities", AUTH, "", &body), 200);
    assert_non_null(strstr(body, "\"driver\":\"container\""));
    assert_int_equal(ask("GET /templates?teamID=x", AUTH, "", &body), 200);
    assert_non_null(strstr(body, "\"aliases\":[\"base\"]"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_errors),     TEST(test_create),
        TEST(test_list),       TEST(test_create_failures),
        TEST(test_get),        TEST(test_client_gone_during_create),
        TEST(test_life),       TEST(test_pages),
        TEST(test_host_names), TEST(test_preflight),
        TEST(test_large_body), TEST(test_meta),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
