/* The head parser: one line of the tables is one case. */
// deps: http
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "http/head_internal.h"

#define N "\r\n"
#define H "Host: h" N

/* Request lines: what follows is always a Host header and the end. Status "" means accepted. */
static const struct {
    const char *line, *status;
} request_lines[] = {
    {"GET / HTTP/1.1", ""},
    {"GET / HTTP/1.0", ""},
    {"POST /a/b?c=d HTTP/1.1", ""},
    {"OPTIONS * HTTP/1.1", ""},
    {"M-SEARCH / HTTP/1.1", ""},
    {"G!#$%&'*+-.^_`|~ / HTTP/1.1", ""},
    {"abcdefghijklmnopqrstuvwxyzABCDEF / HTTP/1.1", ""},
    {"abcdefghijklmnopqrstuvwxyzABCDEFG / HTTP/1.1", "400"},
    {"GET /%20 HTTP/1.1", ""},
    {"GET /%zz HTTP/1.1", ""}, /* escapes are the URL code's business */
    {"GET /a|b{c}\"[]\\^` HTTP/1.1", ""},
    {"GET //a HTTP/1.1", ""},
    {"GET /?? HTTP/1.1", ""},
    {"GET http://h HTTP/1.1", ""},
    {"GET http://h/ HTTP/1.1", ""},
    {"GET http://H/ HTTP/1.1", ""},
    {"GET http://h?x HTTP/1.1", ""},
    {"GET https://h/x HTTP/1.1", ""},
    {"GET http://other/ HTTP/1.1", "400"},
    {"GET http://h:80/ HTTP/1.1", "400"}, /* not what Host says */
    {"GET http://u@h/ HTTP/1.1", "400"},
    {"GET http:///x HTTP/1.1", "400"},
    {"GET ftp://h/ HTTP/1.1", "400"},
    {"GET h/ HTTP/1.1", "400"},
    {"GET h:80 HTTP/1.1", "400"},
    {"GET * HTTP/1.1", "400"},
    {"OPTIONS ** HTTP/1.1", "400"},
    {"CONNECT h:443 HTTP/1.1", ""},
    {"CONNECT h HTTP/1.1", "400"},
    {"CONNECT h:0 HTTP/1.1", "400"},
    {"CONNECT /x HTTP/1.1", "400"},
    {"CONNECT [::1]:443 HTTP/1.1", ""},
    {"", "400"},
    {" ", "400"},
    {"GET", "400"},
    {"GET ", "400"},
    {"GET /", "400"},
    {"GET / ", "400"},
    {"GET  / HTTP/1.1", "400"},
    {"GET /  HTTP/1.1", "400"},
    {" GET / HTTP/1.1", "400"},
    {"GET / HTTP/1.1 ", "400"},
    {"GET\t/ HTTP/1.1", "400"},
    {"GET /\tHTTP/1.1", "400"},
    {"GET /a b HTTP/1.1", "400"},
    {"GET /a#b HTTP/1.1", "400"},
    {"GET /\x7f HTTP/1.1", "400"},
    {"GET /\x01 HTTP/1.1", "400"},
    {"GET /\xc3\xa4 HTTP/1.1", "400"},
    {"GET /\xff HTTP/1.1", "400"},
    {"G@T / HTTP/1.1", "400"},
    {"G\x80T / HTTP/1.1", "400"},
    {"G(T / HTTP/1.1", "400"},
    {"GET: / HTTP/1.1", "400"},
    {"GET / http/1.1", "400"},
    {"GET / HTTP/1", "400"},
    {"GET / HTTP/1.", "400"},
    {"GET / HTTP/1.1x", "400"},
    {"GET / HTTP/11.1", "400"},
    {"GET / HTTP/1.10", "400"},
    {"GET / HTTP/1,1", "400"},
    {"GET / HTTP/-1.1", "400"},
    {"GET / HTTP/a.1", "400"},
    {"GET / HTTP/1.a", "400"},
    {"GET / HTTPS/1.1", "400"},
    {"GET / XTTP/1.1", "400"},
    {"GET / HTTP 1.1", "400"},
    {"GET / HTTP/0.9", "505"},
    {"GET / HTTP/1.2", "505"},
    {"GET / HTTP/1.9", "505"},
    {"GET / HTTP/2.0", "505"},
    {"GET / HTTP/3.0", "505"},
    {"GET / HTTP/9.9", "505"},
    {"PRI * HTTP/2.0", "505"},
};

/* Header lines behind a good HTTP/1.1 request line; the end is added. */
static const struct {
    const char *lines, *status;
} request_headers[] = {
    {H, ""},
    {"", "400"},
    {"A: b" N, "400"},
    {"host:h" N, ""},
    {"HOST:\th\t" N, ""},
    {"Host:" N, "400"},
    {"Host: " N, "400"},
    {H H, "400"},
    {H "host: h" N, "400"},
    {H "Host: other" N, "400"},
    {"Host: h:80" N, ""},
    {"Host: h:65535" N, ""},
    {"Host: h:65536" N, "400"},
    {"Host: h:" N, "400"},
    {"Host: h:0" N, "400"},
    {"Host: h:x" N, "400"},
    {"Host: h:80:80" N, "400"},
    {"Host: 127.0.0.1:3000" N, ""},
    {"Host: [::1]:3000" N, ""},
    {"Host: [::1]" N, ""},
    {"Host: [::1" N, "400"},
    {"Host: ::1" N, "400"},
    {"Host: a_b-c.d~e" N, ""},
    {"Host: a b" N, "400"},
    {"Host: a/b" N, "400"},
    {"Host: a@b" N, "400"},
    {"Host: a,b" N, "400"},
    {"Host: a?b" N, "400"},
    {"Host: a#b" N, "400"},
    {"Host: a\\b" N, "400"},
    {"Host: \"a\"" N, "400"},
    {"Host: \xc3\xa4" N, "400"},
    /* Field lines. */
    {H "A:" N, ""},
    {H "A: " N, ""},
    {H "A: \t \t" N, ""},
    {H "A:b" N, ""},
    {H "A:\tb\t c \t" N, ""},
    {H "A: b:c" N, ""},
    {H "A: \x80\xff" N, ""},
    {H "A: \xc3\xa4" N, ""},
    {H "!#$%&'*+-.^_`|~09azAZ: x" N, ""},
    {H "A: b" N "A: c" N, ""},
    {H "A : b" N, "400"},
    {H "A\t: b" N, "400"},
    {H " A: b" N, "400"},
    {H "\tA: b" N, "400"},
    {" Host: h" N, "400"},
    {H "A: b" N " folded" N, "400"},
    {H "A: b" N "\tfolded" N, "400"},
    {H " " N, "400"},
    {H "A" N, "400"},
    {H ": b" N, "400"},
    {H ":" N, "400"},
    {H "A b: c" N, "400"},
    {H "A(: c" N, "400"},
    {H "A\x80: c" N, "400"},
    {H "\"A\": c" N, "400"},
    {H "A@: c" N, "400"},
    {H "A,: c" N, "400"},
    {H "A;: c" N, "400"},
    {H "A/: c" N, "400"},
    {H "A: \x01" N, "400"},
    {H "A: b\x0b" N, "400"},
    {H "A: b\x0c" N, "400"},
    {H "A: b\x1f" N, "400"},
    {H "A: b\x7f" N, "400"},
    {H "A: b\x08z" N, "400"},
    /* Line ends. */
    {"Host: h\n", "400"},
    {H "A: b\n", "400"},
    {H "A: b\r" N, "400"},
    {H "A: b\rB: c" N, "400"},
    {H "\r", "400"},
    {H "A: b\n\r\n", "400"},
    {H "A: b\r\r\n", "400"},
    {H "\rA: b" N, "400"},
    {"\n" H, "400"},
    {H "\n", "400"},
    /* Content-Length. */
    {H "Content-Length: 0" N, ""},
    {H "Content-Length: 5" N, ""},
    {H "content-length:5" N, ""},
    {H "Content-Length: 005" N, ""},
    {H "Content-Length: 9223372036854775807" N, ""},
    {H "Content-Length: 9223372036854775808" N, "400"},
    {H "Content-Length: 18446744073709551616" N, "400"},
    {H "Content-Length: 99999999999999999999999" N, "400"},
    {H "Content-Length:" N, "400"},
    {H "Content-Length: -1" N, "400"},
    {H "Content-Length: +1" N, "400"},
    {H "Content-Length: 0x5" N, "400"},
    {H "Content-Length: 5a" N, "400"},
    {H "Content-Length: 5 5" N, "400"},
    {H "Content-Length: 5,5" N, "400"},
    {H "Content-Length: 5, 5" N, "400"},
    {H "Content-Length: 5," N, "400"},
    {H "Content-Length: 1.0" N, "400"},
    {H "Content-Length: 1e3" N, "400"},
    {H "Content-Length: \"5\"" N, "400"},
    {H "Content-Length: five" N, "400"},
    {H "Content-Length: 5" N "Content-Length: 5" N, "400"},
    {H "Content-Length: 5" N "Content-Length: 6" N, "400"},
    {H "Content-Length: 5" N "content-length: 5" N, "400"},
    {H "Content-Length : 5" N, "400"},
    {H "Content_Length: 5" N, ""}, /* another field, with no meaning to us */
    /* Transfer-Encoding. */
    {H "Transfer-Encoding: chunked" N, ""},
    {H "transfer-encoding:CHUNKED" N, ""},
    {H "Transfer-Encoding:   chunked  " N, ""},
    {H "Transfer-Encoding: \tchunked" N, "400"}, /* read otherwise by others */
    {H "Transfer-Encoding: chunked\t" N, "400"},
    {H "Content-Length: 5\t" N, "400"},
    {H "Content-Length:\t5" N, "400"},
    {H "Transfer-Encoding:" N, "400"},
    {H "Transfer-Encoding: chunked, chunked" N, "400"},
    {H "Transfer-Encoding: chunked," N, "400"},
    {H "Transfer-Encoding: ,chunked" N, "400"},
    {H "Transfer-Encoding: gzip, chunked" N, "400"},
    {H "Transfer-Encoding: chunked, gzip" N, "400"},
    {H "Transfer-Encoding: gzip" N, "501"},
    {H "Transfer-Encoding: identity" N, "501"},
    {H "Transfer-Encoding: xchunked" N, "501"},
    {H "Transfer-Encoding: chunkedx" N, "501"},
    {H "Transfer-Encoding: \"chunked\"" N, "501"},
    {H "Transfer-Encoding: chunked;q=1" N, "501"},
    {H "Transfer-Encoding: chunked x" N, "501"},
    {H "Transfer-Encoding: \x0b"
       "chunked" N,
     "400"},
    {H "Transfer-Encoding : chunked" N, "400"},
    {H "Transfer-Encoding: chunked" N "Transfer-Encoding: chunked" N, "400"},
    {H "Transfer-Encoding: chunked" N "Transfer-Encoding: gzip" N, "400"},
    {H "Transfer-Encoding: gzip" N "Transfer-Encoding: chunked" N, "400"},
    {H "Transfer-Encoding: identity" N "Transfer-Encoding: chunked" N, "400"},
    {H "Transfer-Encoding: chunked" N "Content-Length: 5" N, "400"},
    {H "Content-Length: 5" N "Transfer-Encoding: chunked" N, "400"},
    {H "Content-Length: 0" N "Transfer-Encoding: chunked" N, "400"},
    {H "Transfer-Encoding: gzip" N "Content-Length: 5" N, "400"},
    {H "Transfer-Encoding:\n chunked" N, "400"},
};

static void check_request(const char *text, const char *status)
{
    struct http_head h;
    struct err err;
    size_t used = 0;
    int r = http_head_parse_request(slice_str(text), &h, &used, &err);
    if (*status == '\0') {
        if (r != 0 || used != strlen(text))
            fail_msg("refused (%d): %s", r, text);
        return;
    }
    if (r >= 0 || r == -EAGAIN)
        fail_msg("accepted (%d): %s", r, text);
    assert_string_equal(err.code, status);
    assert_int_equal(err.num, r);
    assert_null(strchr(err.msg, '"')); /* the server puts it into JSON as it is */
}

static void test_request_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(request_lines); i++) {
        _cleanup_buf_ struct buf text = BUF_INIT(4096);
        bool connect = slice_has_prefix(slice_str(request_lines[i].line), "CONNECT ");
        buf_printf(&text, "%s" N "%s" N, request_lines[i].line, connect ? "Host: any" N : H);
        check_request(buf_str(&text), request_lines[i].status);
    }
}

static void test_request_headers(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(request_headers); i++) {
        _cleanup_buf_ struct buf text = BUF_INIT(4096);
        buf_printf(&text, "GET / HTTP/1.1" N "%s" N, request_headers[i].lines);
        check_request(buf_str(&text), request_headers[i].status);
    }
}

/* No prefix of a good head is accepted or refused: the answer is always "more". */
static void test_every_prefix_wants_more(void **state)
{
    (void)state;
    static const char *const heads[] = {
        "GET /a HTTP/1.1" N H "A: b" N N,
        "CONNECT h:1 HTTP/1.1" N H N,
        "POST http://h/ HTTP/1.0" N H "Content-Length: 3" N N,
    };
    for (size_t i = 0; i < ARRAY_LEN(heads); i++)
        for (size_t n = 0; n < strlen(heads[i]); n++) {
            struct http_head h;
            size_t used;
            int r = http_head_parse_request(slice_of(heads[i], n), &h, &used, NULL);
            if (r != -EAGAIN)
                fail_msg("%d for %.*s", r, (int)n, heads[i]);
        }
}

/* What can be seen to be wrong is refused before its line is complete. */
static void test_rubbish_is_refused_at_once(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "\x16\x03\x01", " ", "\n",      "\r",
        "\r\n",         "{", "GET\x01", "abcdefghijklmnopqrstuvwxyzABCDEFG"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct http_head h;
        size_t used;
        int r = http_head_parse_request(slice_str(texts[i]), &h, &used, NULL);
        if (r != -EBADMSG && !(r == -EAGAIN && texts[i][0] == '\r' && texts[i][1] == '\0'))
            fail_msg("%d for %s", r, texts[i]);
    }
    struct http_head h;
    size_t used;
    assert_int_equal(
        http_head_parse_response(SLICE_LIT("SSH-2"), SLICE_LIT("GET"), &h, &used, NULL), -EBADMSG);
    assert_int_equal(http_head_parse_response(SLICE_LIT("HTT"), SLICE_LIT("GET"), &h, &used, NULL),
                     -EAGAIN);
}

static void test_request_with_nul(void **state)
{
    (void)state;
    static const struct slice texts[] = {
        {"GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n", 30},
        {"GET / HTTP/1.1\r\nHost: h\0\r\n\r\n", 29},
        {"GET / HTTP/1.1\r\nHost: h\r\nA\0: b\r\n\r\n", 36},
        {"GET / HTTP/1.1\r\nHost: h\r\nA: \0\r\n\r\n", 35},
        {"G\0T / HTTP/1.1\r\nHost: h\r\n\r\n", 28},
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct http_head h;
        size_t used;
        assert_int_equal(http_head_parse_request(texts[i], &h, &used, NULL), -EBADMSG);
    }
}

struct framing_case {
    const char *method; /* of the request that a response answers; NULL: a request */
    const char *text;
    int result;
    enum http_framing framing;
    uint64_t length;
    bool keep_alive, expect, upgrade;
};

#define REQ(m, rest, ...)                                                                          \
    {                                                                                              \
        NULL, m " / HTTP/1.1" N H rest N, 0, __VA_ARGS__                                           \
    }
#define REQ0(rest, ...)                                                                            \
    {                                                                                              \
        NULL, "GET / HTTP/1.0" N rest N, 0, __VA_ARGS__                                            \
    }
#define RES(m, s, rest, ...)                                                                       \
    {                                                                                              \
        m, "HTTP/1.1 " s " X" N rest N, 0, __VA_ARGS__                                             \
    }
#define BAD(m, s, rest)                                                                            \
    {                                                                                              \
        m, "HTTP/1.1 " s " X" N rest N, -EBADMSG                                                   \
    }

static const struct framing_case framing_cases[] = {
    REQ("GET", "", HTTP_BODY_NONE, 0, true, false, false),
    REQ("POST", "", HTTP_BODY_NONE, 0, true, false, false),
    REQ("POST", "Content-Length: 5" N, HTTP_BODY_LENGTH, 5, true, false, false),
    REQ("POST", "Content-Length: 0" N, HTTP_BODY_LENGTH, 0, true, false, false),
    REQ("POST", "Transfer-Encoding: chunked" N, HTTP_BODY_CHUNKED, 0, true, false, false),
    REQ("GET", "Connection: close" N, HTTP_BODY_NONE, 0, false, false, false),
    REQ("GET", "Connection: a , CLOSE" N, HTTP_BODY_NONE, 0, false, false, false),
    REQ("GET", "Connection: a" N "Connection: close" N, HTTP_BODY_NONE, 0, false, false, false),
    REQ("GET", "Connection: keep-alive, close" N, HTTP_BODY_NONE, 0, false, false, false),
    REQ("GET", "Connection: closed" N, HTTP_BODY_NONE, 0, true, false, false),
    REQ0("", HTTP_BODY_NONE, 0, false, false, false),
    REQ0("Connection: Keep-Alive" N, HTTP_BODY_NONE, 0, true, false, false),
    REQ0("Connection: keep-alive, close" N, HTTP_BODY_NONE, 0, false, false, false),
    REQ0("Content-Length: 2" N, HTTP_BODY_LENGTH, 2, false, false, false),
    {NULL, "GET / HTTP/1.0" N "Transfer-Encoding: chunked" N N, -EBADMSG},
    {NULL, "GET / HTTP/1.0" N H H N, -EBADMSG},
    {NULL, "GET http://h/ HTTP/1.0" N N, 0, HTTP_BODY_NONE, 0, false, false, false},
    REQ("PUT", "Expect: 100-continue" N "Content-Length: 1" N, HTTP_BODY_LENGTH, 1, true, true,
        false),
    REQ("PUT", "Expect: 100-Continue" N "Transfer-Encoding: chunked" N, HTTP_BODY_CHUNKED, 0, true,
        true, false),
    REQ("PUT", "Expect: 100-continue" N, HTTP_BODY_NONE, 0, true, false, false),
    REQ("PUT", "Expect: 100-continue" N "Content-Length: 0" N, HTTP_BODY_LENGTH, 0, true, false,
        false),
    REQ("PUT", "Expect: nothing" N "Content-Length: 1" N, HTTP_BODY_LENGTH, 1, true, false, false),
    REQ0("Expect: 100-continue" N "Content-Length: 1" N, HTTP_BODY_LENGTH, 1, false, false, false),
    REQ("GET", "Connection: Upgrade" N "Upgrade: websocket" N, HTTP_BODY_NONE, 0, true, false,
        true),
    REQ("GET", "Connection: keep-alive, upgrade" N "Upgrade: x" N, HTTP_BODY_NONE, 0, true, false,
        true),
    REQ("GET", "Upgrade: websocket" N, HTTP_BODY_NONE, 0, true, false, false),
    REQ("GET", "Connection: upgrade" N, HTTP_BODY_NONE, 0, true, false, false),
    REQ("GET", "Connection: upgrade" N "Upgrade:" N, HTTP_BODY_NONE, 0, true, false, false),
    REQ("POST", "Connection: upgrade" N "Upgrade: x" N "Content-Length: 1" N, HTTP_BODY_LENGTH, 1,
        true, false, false),
    REQ0("Connection: upgrade" N "Upgrade: x" N, HTTP_BODY_NONE, 0, false, false, false),
    /* Responses. */
    RES("GET", "200", "", HTTP_BODY_UNTIL_CLOSE, 0, false, false, false),
    RES("GET", "200", "Content-Length: 5" N, HTTP_BODY_LENGTH, 5, true, false, false),
    RES("GET", "200", "Transfer-Encoding: chunked" N, HTTP_BODY_CHUNKED, 0, true, false, false),
    RES("GET", "200", "Connection: close" N "Content-Length: 5" N, HTTP_BODY_LENGTH, 5, false,
        false, false),
    RES("HEAD", "200", "", HTTP_BODY_NONE, 0, true, false, false),
    RES("HEAD", "200", "Content-Length: 5" N, HTTP_BODY_NONE, 5, true, false, false),
    RES("HEAD", "200", "Transfer-Encoding: chunked" N, HTTP_BODY_NONE, 0, true, false, false),
    RES("GET", "204", "", HTTP_BODY_NONE, 0, true, false, false),
    RES("GET", "204", "Content-Length: 0" N, HTTP_BODY_NONE, 0, true, false, false),
    RES("GET", "304", "Content-Length: 5" N, HTTP_BODY_NONE, 5, true, false, false),
    RES("GET", "304", "Transfer-Encoding: chunked" N, HTTP_BODY_NONE, 0, true, false, false),
    RES("GET", "100", "", HTTP_BODY_NONE, 0, true, false, false),
    RES("GET", "199", "", HTTP_BODY_NONE, 0, true, false, false),
    RES("GET", "101", "Connection: upgrade" N "Upgrade: x" N, HTTP_BODY_NONE, 0, true, false, true),
    RES("CONNECT", "200", "", HTTP_BODY_NONE, 0, true, false, false),
    RES("CONNECT", "200", "Content-Length: 5" N, HTTP_BODY_NONE, 5, true, false, false),
    RES("CONNECT", "403", "Content-Length: 5" N, HTTP_BODY_LENGTH, 5, true, false, false),
    RES("GET", "500", "", HTTP_BODY_UNTIL_CLOSE, 0, false, false, false),
    RES("GET", "999", "Content-Length: 0" N, HTTP_BODY_LENGTH, 0, true, false, false),
    BAD("GET", "204", "Content-Length: 1" N),
    BAD("GET", "204", "Transfer-Encoding: chunked" N),
    BAD("GET", "100", "Content-Length: 1" N),
    BAD("GET", "103", "Transfer-Encoding: chunked" N),
    BAD("GET", "200", "Content-Length: 1" N "Content-Length: 1" N),
    BAD("GET", "200", "Content-Length: 1" N "Transfer-Encoding: chunked" N),
    BAD("HEAD", "200", "Content-Length: x" N),
    BAD("GET", "200", "A : b" N),
    BAD("GET", "200", "A: b" N " c" N),
    BAD("GET", "099", ""),
    BAD("GET", "20", ""),
    BAD("GET", "2000", ""),
    BAD("GET", "20x", ""),
    BAD("GET", "+20", ""),
    BAD("GET", "-20", ""),
    BAD("GET", " 200", ""),
    {"GET", "HTTP/1.1 200" N N, 0, HTTP_BODY_UNTIL_CLOSE, 0, false, false, false},
    {"GET", "HTTP/1.1 200 " N N, 0, HTTP_BODY_UNTIL_CLOSE, 0, false, false, false},
    {"GET", "HTTP/1.1 200 a b \xff" N N, 0, HTTP_BODY_UNTIL_CLOSE, 0, false, false, false},
    {"GET", "HTTP/1.0 200 X" N "Content-Length: 1" N N, 0, HTTP_BODY_LENGTH, 1, false, false,
     false},
    {"GET", "HTTP/1.0 200 X" N "Connection: keep-alive" N "Content-Length: 1" N N, 0,
     HTTP_BODY_LENGTH, 1, true, false, false},
    {"GET", "HTTP/1.0 200 X" N "Transfer-Encoding: chunked" N N, -EBADMSG},
    {"GET", "HTTP/1.1 200 a\x01" N N, -EBADMSG},
    {"GET", "HTTP/1.1 200 X\n\n", -EBADMSG},
    {"GET", "HTTP/1.1  200 X" N N, -EBADMSG},
    {"GET", "HTTP/1.1" N N, -EBADMSG},
    {"GET", "http/1.1 200 X" N N, -EBADMSG},
    {"GET", "HTTP/2.0 200 X" N N, -EOPNOTSUPP},
    {"GET", "HTTP/1.1 200 X" N "Transfer-Encoding: gzip" N N, -EOPNOTSUPP},
};

static void test_framing(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(framing_cases); i++) {
        const struct framing_case *c = &framing_cases[i];
        struct http_head h;
        size_t used;
        struct slice in = slice_str(c->text);
        int r = c->method == NULL
                    ? http_head_parse_request(in, &h, &used, NULL)
                    : http_head_parse_response(in, slice_str(c->method), &h, &used, NULL);
        if (r != c->result)
            fail_msg("%d for %s", r, c->text);
        if (r < 0)
            continue;
        if (h.framing != c->framing || h.content_length != c->length ||
            h.keep_alive != c->keep_alive || h.expect_continue != c->expect ||
            h.upgrade != c->upgrade)
            fail_msg("framing %d length %llu keep %d expect %d upgrade %d: %s", h.framing,
                     (unsigned long long)h.content_length, h.keep_alive, h.expect_continue,
                     h.upgrade, c->text);
    }
}

static void test_fields(void **state)
{
    (void)state;
    static const char text[] =
        "PUT /p?q HTTP/1.1\r\nHost:h\r\nX-A:  b c\t\r\nx-a: , d ,E\r\n\r\nrest";
    struct http_head h;
    size_t used;
    assert_int_equal(http_head_parse_request(slice_str(text), &h, &used, NULL), 0);
    assert_int_equal(used, sizeof(text) - 5);
    assert_true(slice_eq_str(h.method, "PUT"));
    assert_true(slice_eq_str(h.target, "/p?q"));
    assert_int_equal(h.status, 0);
    assert_int_equal(h.minor, 1);
    assert_int_equal(h.n_headers, 3);
    assert_true(slice_eq_str(http_head_get(&h, "x-A"), "b c"));
    assert_true(slice_eq_str(h.headers[2].value, ", d ,E"));
    assert_null(http_head_find(&h, "x"));
    assert_null(http_head_get(&h, "nope").p);
    assert_true(http_head_has_token(&h, "X-A", "e"));
    assert_true(http_head_has_token(&h, "X-A", "D"));
    assert_true(http_head_has_token(&h, "X-A", "b c"));
    assert_false(http_head_has_token(&h, "X-A", "b"));
    assert_false(http_head_has_token(&h, "nope", "d"));
}

static void put_run(struct buf *b, size_t n)
{
    while (n-- > 0)
        buf_put_char(b, 'a');
}

/* A head of exactly `total` bytes. */
static int parse_sized(size_t total, struct err *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT(2 * HTTP_HEAD_MAX_BYTES);
    struct http_head h;
    size_t used;
    buf_put_str(&text, "GET / HTTP/1.1" N H "A: ");
    put_run(&text, total - text.n - 4);
    buf_put_str(&text, N N);
    return http_head_parse_request(buf_slice(&text), &h, &used, err);
}

static int parse_target(size_t target, struct err *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT(2 * HTTP_HEAD_MAX_BYTES);
    struct http_head h;
    size_t used;
    buf_put_str(&text, "GET /");
    put_run(&text, target - 1);
    buf_put_str(&text, " HTTP/1.1" N H N);
    return http_head_parse_request(buf_slice(&text), &h, &used, err);
}

static int parse_count(size_t n, struct err *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT(2 * HTTP_HEAD_MAX_BYTES);
    struct http_head h;
    size_t used;
    buf_put_str(&text, "GET / HTTP/1.1" N H);
    for (size_t i = 1; i < n; i++)
        buf_put_str(&text, "A: b" N);
    buf_put_str(&text, N);
    return http_head_parse_request(buf_slice(&text), &h, &used, err);
}

static void test_limits(void **state)
{
    (void)state;
    struct err err;
    assert_int_equal(parse_sized(HTTP_HEAD_MAX_BYTES, &err), 0);
    assert_int_equal(parse_sized(HTTP_HEAD_MAX_BYTES + 1, &err), -EMSGSIZE);
    assert_string_equal(err.code, "431");
    assert_int_equal(parse_target(HTTP_TARGET_MAX_BYTES, &err), 0);
    assert_int_equal(parse_target(HTTP_TARGET_MAX_BYTES + 1, &err), -EMSGSIZE);
    assert_string_equal(err.code, "414");
    assert_int_equal(parse_count(HTTP_HEADERS_MAX, &err), 0);
    assert_int_equal(parse_count(HTTP_HEADERS_MAX + 1, &err), -EMSGSIZE);
    assert_string_equal(err.code, "431");
    /* A target that is too long is refused before its line ends. */
    _cleanup_buf_ struct buf text = BUF_INIT(2 * HTTP_HEAD_MAX_BYTES);
    struct http_head h;
    size_t used;
    buf_put_str(&text, "GET /");
    put_run(&text, HTTP_TARGET_MAX_BYTES + 16);
    assert_int_equal(http_head_parse_request(buf_slice(&text), &h, &used, &err), -EMSGSIZE);
    assert_string_equal(err.code, "414");
}

static void test_header_valid(void **state)
{
    (void)state;
    static const struct {
        struct slice name, value;
        bool valid;
    } cases[] = {
        {{"A", 1}, {"b", 1}, true},      {{"A", 1}, {"", 0}, true},
        {{"A", 1}, {"b c\td", 5}, true}, {{"A", 1}, {"\xff", 1}, true},
        {{"", 0}, {"b", 1}, false},      {{"A ", 2}, {"b", 1}, false},
        {{"A:", 2}, {"b", 1}, false},    {{"A\n", 2}, {"b", 1}, false},
        {{"A", 1}, {" b", 2}, false},    {{"A", 1}, {"b ", 2}, false},
        {{"A", 1}, {"\tb", 2}, false},   {{"A", 1}, {"b\r", 2}, false},
        {{"A", 1}, {"b\nc", 3}, false},  {{"A", 1}, {"b\0c", 3}, false},
        {{"A", 1}, {"\x7f", 1}, false},  {{"A\0", 2}, {"b", 1}, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(http_header_valid(cases[i].name, cases[i].value), cases[i].valid);
}

/* Copying the bytes and rebasing gives the same head. */
static void test_rebase(void **state)
{
    (void)state;
    static const char text[] = "PUT /p HTTP/1.1\r\nHost: h\r\nA:\r\n\r\n";
    char copy[sizeof(text)];
    struct http_head h;
    size_t used;
    memcpy(copy, text, sizeof(text));
    assert_int_equal(http_head_parse_request(slice_str(text), &h, &used, NULL), 0);
    http_head_rebase(&h, text, copy);
    assert_ptr_equal(h.method.p, copy);
    assert_ptr_equal(h.target.p, copy + 4);
    assert_ptr_equal(h.headers[0].value.p, copy + 23);
    assert_int_equal(h.headers[1].value.n, 0);
}

static void test_status_text(void **state)
{
    (void)state;
    assert_string_equal(http_status_text(404), "Not Found");
    assert_string_equal(http_status_text(502), "Bad Gateway");
    assert_string_equal(http_status_text(299), "Unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_lines),
        cmocka_unit_test(test_request_headers),
        cmocka_unit_test(test_every_prefix_wants_more),
        cmocka_unit_test(test_rubbish_is_refused_at_once),
        cmocka_unit_test(test_request_with_nul),
        cmocka_unit_test(test_framing),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_header_valid),
        cmocka_unit_test(test_rebase),
        cmocka_unit_test(test_status_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
