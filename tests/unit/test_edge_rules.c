/* The edge's pure parts: targets, reserved paths, header rules, JSON or page, frame borders. */
// deps: edge http json base uv
#include "base/cleanup.h"
#include "edge/answer.h"
#include "edge/border.h"
#include "edge/headers.h"
#include "edge/target.h"
#include "http/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct http_head parse(const char *text)
{
    struct http_head head;
    size_t used;
    struct err err = {0};
    if (http_head_parse_request(slice_str(text), &head, &used, &err) < 0)
        fail_msg("%s: %s", text, err.msg);
    return head;
}

#define ID "i0123456789abcdefghij"

static const struct {
    const char *head;
    bool wanted;
    enum edge_target_error error;
    const char *id;
    uint32_t port;
} targets[] = {
    {"GET / HTTP/1.1\r\nHost: 3000-iabc.localhost:3000\r\n\r\n", true, EDGE_TARGET_OK, "iabc",
     3000},
    {"GET / HTTP/1.1\r\nHost: 3000-iabc-6532622b.e2b.app\r\n\r\n", true, EDGE_TARGET_OK, "iabc",
     3000},
    {"GET / HTTP/1.1\r\nHost: 0-a.x\r\n\r\n", true, EDGE_TARGET_OK, "a", 0},
    {"GET / HTTP/1.1\r\nHost: 70000-a.x\r\n\r\n", true, EDGE_TARGET_OK, "a", 70000},
    {"GET / HTTP/1.1\r\nHost: 80-ABC.x\r\n\r\n", true, EDGE_TARGET_BAD_ID, NULL, 0},
    {"GET / HTTP/1.1\r\nHost: 80-.x\r\n\r\n", true, EDGE_TARGET_BAD_ID, NULL, 0},
    {"GET / HTTP/1.1\r\nHost: 99999999999-a.x\r\n\r\n", true, EDGE_TARGET_BAD_PORT, NULL, 0},
    {"GET / HTTP/1.1\r\nHost: abc-" ID ".box.test:80\r\n\r\n", true, EDGE_TARGET_BAD_PORT, NULL, 0},
    {"GET / HTTP/1.1\r\nHost: my-api.box.test\r\n\r\n", false, EDGE_TARGET_BAD_HOST, NULL, 0},
    {"GET / HTTP/1.1\r\nHost: abc-" ID ".other.test\r\n\r\n", false, EDGE_TARGET_BAD_HOST, NULL, 0},
    {"GET / HTTP/1.1\r\nHost: 3000-iabc\r\n\r\n", false, EDGE_TARGET_BAD_HOST, NULL, 0},
    {"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", false, EDGE_TARGET_BAD_HOST, NULL, 0},
    {"GET / HTTP/1.1\r\nHost: 127.0.0.1:3000\r\n\r\n", false, EDGE_TARGET_BAD_HOST, NULL, 0},
    {"GET / HTTP/1.1\r\nHost: localhost\r\nE2b-Sandbox-Id: ix\r\nE2B-Sandbox-Port: 49983\r\n\r\n",
     true, EDGE_TARGET_OK, "ix", 49983},
    {"GET / HTTP/1.1\r\nHost: gw.example\r\nE2b-Sandbox-Id: ix\r\nE2b-Sandbox-Port: 1\r\n\r\n",
     true, EDGE_TARGET_OK, "ix", 1},
    {"GET / HTTP/1.1\r\nHost: localhost\r\nE2b-Sandbox-Id: ix\r\n\r\n", true,
     EDGE_TARGET_MISSING_HEADER, NULL, 0},
    {"GET / HTTP/1.1\r\nHost: localhost\r\nE2b-Sandbox-Port: 1\r\n\r\n", true,
     EDGE_TARGET_MISSING_HEADER, NULL, 0},
    {"GET / HTTP/1.1\r\nHost: localhost\r\nE2b-Sandbox-Id: ix\r\nE2b-Sandbox-Port: +1\r\n\r\n",
     true, EDGE_TARGET_BAD_PORT, NULL, 0},
    {"GET / HTTP/1.1\r\nHost: localhost\r\nE2b-Sandbox-Id: ix-1\r\nE2b-Sandbox-Port: 1\r\n\r\n",
     true, EDGE_TARGET_BAD_ID, NULL, 0},
    {"GET / HTTP/1.1\r\nHost: localhost\r\nE2b-Sandbox-Id: ../x\r\nE2b-Sandbox-Port: 1\r\n\r\n",
     true, EDGE_TARGET_BAD_ID, NULL, 0},
    /* the host name wins over the headers */
    {"GET / HTTP/1.1\r\nHost: 80-ihost.x\r\nE2b-Sandbox-Id: ihead\r\nE2b-Sandbox-Port: 1\r\n\r\n",
     true, EDGE_TARGET_OK, "ihost", 80},
    /* absolute form, as proxies get it */
    {"GET http://80-iabs.x/p HTTP/1.1\r\nHost: 80-iabs.x\r\n\r\n", true, EDGE_TARGET_OK, "iabs",
     80},
    {"OPTIONS * HTTP/1.1\r\nHost: 80-ihost.x\r\n\r\n", true, EDGE_TARGET_BAD_REQUEST, NULL, 0},
};

static void test_targets(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
        struct http_head head = parse(targets[i].head);
        struct edge_target t = {0};
        if (edge_target_wanted(&head, "box.test:80") != targets[i].wanted)
            fail_msg("wanted: %s", targets[i].head);
        enum edge_target_error e = edge_target_parse(&head, "box.test:80", &t);
        if (e != targets[i].error)
            fail_msg("%d instead of %d: %s", (int)e, (int)targets[i].error, targets[i].head);
        if (e != EDGE_TARGET_OK)
            continue;
        assert_string_equal(t.id, targets[i].id);
        assert_int_equal(t.port, targets[i].port);
    }
}

static void test_target_text_is_kept(void **state)
{
    (void)state;
    static const struct {
        const char *target, *path, *query;
    } cases[] = {
        {"/", "/", ""},
        {"/a%2Fb?x=%zz&y", "/a%2Fb", "?x=%zz&y"},
        {"/a?", "/a", "?"},
        {"http://80-a.x", "/", ""},
        {"http://80-a.x?q", "/", "?q"},
        {"http://80-a.x/p?q?r", "/p", "?q?r"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_buf_ struct buf text = BUF_INIT(256);
        (void)buf_printf(&text, "GET %s HTTP/1.1\r\nHost: 80-a.x\r\n\r\n", cases[i].target);
        struct http_head head = parse(buf_str(&text));
        struct edge_target t;
        assert_int_equal(edge_target_parse(&head, "x", &t), EDGE_TARGET_OK);
        assert_true(slice_eq_str(t.path, cases[i].path));
        assert_true(slice_eq(t.query, slice_str(cases[i].query)));
    }
}

static void test_reserved_paths(void **state)
{
    (void)state;
    static const char *const reserved[] = {
        "/init",    "/init/",     "//init",         "/./init",   "/x/../init", "/%69nit",
        "/%2finit", "/freeze",    "/unfreeze",      "/fsfreeze", "/fsthaw",    "/collapse",
        "/upgrade", "/upgrade//", "/x/%2e%2e/init", "/%zz",      "/init%00",   "/x/..%2finit"};
    static const char *const open[] = {"/",       "/health", "/initx", "/files",
                                       "/init/x", "/x/init", "/INIT",  "/process.Process/Start"};
    for (size_t i = 0; i < ARRAY_LEN(reserved); i++)
        if (!edge_path_reserved(slice_str(reserved[i])))
            fail_msg("let through: %s", reserved[i]);
    for (size_t i = 0; i < ARRAY_LEN(open); i++)
        if (edge_path_reserved(slice_str(open[i])))
            fail_msg("refused: %s", open[i]);
}

static const char *value_of(const struct edge_headers *h, const char *name, char *dst, size_t cap)
{
    for (size_t i = 0; i < h->n; i++)
        if (slice_ieq_str(h->h[i].name, name) && slice_copy(h->h[i].value, dst, cap) == 0)
            return dst;
    return NULL;
}

static void test_request_headers(void **state)
{
    (void)state;
    struct http_head head =
        parse("POST / HTTP/1.1\r\nHost: client.host\r\nConnection: close, X-Hop\r\n"
              "X-Hop: 1\r\nKeep-Alive: 5\r\nProxy-Authorization: x\r\n"
              "TE: trailers, gzip\r\nTrailer: A\r\nTransfer-Encoding: chunked\r\n"
              "Forwarded: for=x\r\nX-Forwarded-For: 1\r\n"
              "X-Forwarded-Host: h\r\nX-Forwarded-Proto: p\r\n"
              "X-Silica-Control: secret\r\nExpect: 100-continue\r\n"
              "X-Access-Token: t\r\nCookie: c\r\nAccept-Encoding: gzip\r\n"
              "E2b-Traffic-Access-Token: tt\r\nAuthorization: a\r\n\r\n");
    static const struct {
        const char *name, *value;
    } want[] = {
        {"Host", "the.host"},
        {"Connection", NULL},
        {"X-Hop", NULL},
        {"Keep-Alive", NULL},
        {"Proxy-Authorization", NULL},
        {"TE", "trailers"},
        {"Trailer", NULL},
        {"Transfer-Encoding", NULL},
        {"Forwarded", NULL},
        {"X-Forwarded-For", NULL},
        {"X-Forwarded-Host", "orig"},
        {"X-Forwarded-Proto", NULL},
        {"X-Silica-Control", NULL},
        {"Expect", NULL},
        {"X-Access-Token", "t"},
        {"Cookie", "c"},
        {"Accept-Encoding", "gzip"},
        {"E2b-Traffic-Access-Token", "tt"},
        {"Authorization", "a"},
        {"Upgrade", NULL},
        {"User-Agent", NULL},
    };
    struct edge_headers out;
    edge_headers_request(&head, SLICE_LIT("the.host"), SLICE_LIT("orig"), &out);
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        char dst[64];
        const char *v = value_of(&out, want[i].name, dst, sizeof(dst));
        if ((v == NULL) != (want[i].value == NULL))
            fail_msg("%s", want[i].name);
        if (v != NULL)
            assert_string_equal(v, want[i].value);
    }
}

static void test_upgrade_header_passes(void **state)
{
    (void)state;
    struct http_head head = parse("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n"
                                  "Upgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n");
    struct edge_headers out;
    char dst[64];
    edge_headers_request(&head, SLICE_LIT("h"), (struct slice){0}, &out);
    assert_string_equal(value_of(&out, "Upgrade", dst, sizeof(dst)), "websocket");
    assert_string_equal(value_of(&out, "Sec-WebSocket-Key", dst, sizeof(dst)), "k");
    assert_null(value_of(&out, "X-Forwarded-Host", dst, sizeof(dst)));
}

static void test_response_headers_and_length(void **state)
{
    (void)state;
    static const struct {
        const char *head, *method;
        int64_t length;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nDate: x\r\nConnection: close\r\nX-A: 1\r\n\r\n",
         "GET", 5},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\n\r\n", "HEAD", 5},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\n\r\n", "GET",
         HTTP_LENGTH_UNKNOWN},
        {"HTTP/1.0 200 OK\r\nX-A: 1\r\n\r\n", "GET", HTTP_LENGTH_UNKNOWN},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct http_head head;
        size_t used;
        assert_int_equal(http_head_parse_response(slice_str(cases[i].head),
                                                  slice_str(cases[i].method), &head, &used, NULL),
                         0);
        assert_int_equal(edge_response_length(&head), cases[i].length);
        struct edge_headers out;
        edge_headers_response(&head, false, &out);
        assert_int_equal(out.n, 1);
        assert_true(slice_eq_str(out.h[0].name, "X-A"));
    }
}

static void test_page_or_json(void **state)
{
    (void)state;
    static const struct {
        const char *headers;
        bool page;
    } cases[] = {
        {"", false},
        {"User-Agent: curl/8\r\n", false},
        {"User-Agent: Mozilla/5.0\r\n", true},
        {"User-Agent: MOZILLA\r\nAccept: application/json\r\n", false},
        {"User-Agent: Mozilla\r\nAccept: text/html, application/json\r\n", true},
        {"User-Agent: Mozilla\r\nSec-Fetch-Mode: cors\r\n", false},
        {"User-Agent: Mozilla\r\nSec-Fetch-Mode: websocket\r\n", false},
        {"User-Agent: Mozilla\r\nSec-Fetch-Mode: navigate\r\nX-Requested-With: x\r\n", true},
        {"User-Agent: Mozilla\r\nX-Requested-With: x\r\n", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_buf_ struct buf text = BUF_INIT(512);
        (void)buf_printf(&text, "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n", cases[i].headers);
        struct http_head head = parse(buf_str(&text));
        if (edge_wants_page(&head) != cases[i].page)
            fail_msg("%s", cases[i].headers);
    }
}

static void test_borders(void **state)
{
    (void)state;
    /* two frames, then an end frame; fed in every pair of pieces */
    static const char stream[] = "\0\0\0\0\3abc\0\0\0\0\0\2\0\0\0\1}";
    static const size_t n = sizeof(stream) - 1;
    for (size_t cut = 0; cut <= n; cut++) {
        struct border b = {0};
        border_feed(&b, slice_of(stream, cut));
        bool open = cut == 0 || cut == 8 || cut == 13;
        assert_int_equal(border_open(&b), open);
        border_feed(&b, slice_of(stream + cut, n - cut));
        assert_false(border_open(&b)); /* it has its end frame */
        assert_true(b.ended && b.remaining == 0 && b.n_prefix == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_target_text_is_kept),
        cmocka_unit_test(test_reserved_paths),
        cmocka_unit_test(test_request_headers),
        cmocka_unit_test(test_upgrade_header_passes),
        cmocka_unit_test(test_response_headers_and_length),
        cmocka_unit_test(test_page_or_json),
        cmocka_unit_test(test_borders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
