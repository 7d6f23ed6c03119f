/*
 * The server's protocol, seen from a raw socket: bytes in, bytes out, and what the handler is told.
 * Queues, deadlines and limits are in test_http_server_limits.c.
 */
// deps: http
#include "http_server_rig.h"

static void test_keep_alive(void **state)
{
    (void)state;
    WORLD(w);
    w.echo = true;
    int fd = rig_dial(w.port);
    for (int i = 0; i < 3; i++) {
        rig_say(&w.rig, fd, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
        rig_hear(&w.rig, fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n/a");
    }
    rig_assert_log(&w.rig, "GET /a;closed 0;GET /a;closed 0;GET /a;closed 0;");
    close(fd);
    stop(&w);
}

static void test_head_in_single_bytes(void **state)
{
    (void)state;
    WORLD(w);
    w.echo = true;
    int fd = rig_dial(w.port);
    static const char request[] = "GET /slow HTTP/1.1\r\nHost: h\r\nX-A: b\r\n\r\n";
    for (size_t i = 0; i + 1 < sizeof(request); i++) {
        assert_false(rig_logged(&w.rig, "GET"));
        rig_send(&w.rig, fd, slice_of(request + i, 1));
    }
    rig_hear(&w.rig, fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n/slow");
    close(fd);
    stop(&w);
}

static void test_pipelining(void **state)
{
    (void)state;
    WORLD(w);
    int fd = rig_dial(w.port);
    rig_say(&w.rig, fd,
            "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nPOST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n"
            "\r\nabcGET /3 HTTP/1.1\r\nHost: h\r\n\r\n");
    rig_await(&w.rig, "GET /1;");
    rig_idle(&w.rig);
    rig_assert_log(&w.rig, "GET /1;"); /* the second waits for the first's answer */
    http_x_reply(w.x, 200, NULL, SLICE_LIT("one"));
    rig_hear(&w.rig, fd, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none");
    rig_await(&w.rig, "POST /2;");
    http_x_read(w.x);
    rig_await(&w.rig, "body abc;");
    http_x_reply(w.x, 200, NULL, SLICE_LIT("two"));
    rig_await(&w.rig, "GET /3;");
    http_x_reply(w.x, 200, NULL, SLICE_LIT("three"));
    rig_hear(&w.rig, fd,
             "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo"
             "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthree");
    close(fd);
    stop(&w);
}

static void test_unread_body_is_dropped(void **state)
{
    (void)state;
    WORLD(w);
    w.echo = true;
    int fd = rig_dial(w.port);
    rig_say(&w.rig, fd, "POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab");
    rig_hear(&w.rig, fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n/1");
    rig_say(&w.rig, fd, "cdeGET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
    rig_hear(&w.rig, fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n/2");
    rig_assert_log(&w.rig, "POST /1;closed 0;GET /2;closed 0;"); /* no byte of it is a request */
    close(fd);
    stop(&w);
}

/* A body too large to drop: the answer still arrives, although we never read the body. */
static void test_early_response_to_large_body(void **state)
{
    (void)state;
    WORLD(w);
    w.echo = true;
    int fd = rig_dial(w.port);
    rig_say(&w.rig, fd, "POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 10000000\r\n\r\n");
    static char block[1 << 20];
    for (int i = 0; i < 3; i++)
        rig_send(&w.rig, fd, slice_of(block, sizeof(block)));
    rig_hear_end(&w.rig, fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n/1",
                 RIG_EOF);
    rig_assert_log(&w.rig, "POST /1;closed 0;");
    close(fd);
    stop(&w);
}

static void test_http10(void **state)
{
    (void)state;
    WORLD(w);
    int fd = rig_dial(w.port);
    rig_say(&w.rig, fd, "GET /a HTTP/1.0\r\n\r\n");
    rig_await(&w.rig, "GET /a;");
    assert_int_equal(http_x_respond(w.x, 200, NULL, 0, HTTP_LENGTH_UNKNOWN), 0);
    assert_int_equal(http_x_write(w.x, SLICE_LIT("text")), 0);
    http_x_end(w.x);
    rig_hear_end(&w.rig, fd, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\ntext", RIG_EOF);
    close(fd);
    /* Without a length only the close ends it, whatever the client asked for. */
    fd = rig_dial(w.port);
    rig_say(&w.rig, fd, "GET /c HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    rig_await(&w.rig, "GET /c;");
    assert_int_equal(http_x_respond(w.x, 200, NULL, 0, HTTP_LENGTH_UNKNOWN), 0);
    http_x_end(w.x);
    rig_hear_end(&w.rig, fd, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", RIG_EOF);
    close(fd);
    fd = rig_dial(w.port);
    w.echo = true;
    for (int i = 0; i < 2; i++) {
        rig_say(&w.rig, fd, "GET /b HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        rig_hear(&w.rig, fd,
                 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n/b");
    }
    close(fd);
    stop(&w);
}

static void test_bodyless_answers(void **state)
{
    (void)state;
    WORLD(w);
    static const struct {
        const char *method;
        unsigned status;
        int64_t length;
        const char *answer;
    } cases[] = {
        {"HEAD", 200, 5, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"},
        {"HEAD", 200, HTTP_LENGTH_UNKNOWN, "HTTP/1.1 200 OK\r\n\r\n"},
        {"GET", 204, 0, "HTTP/1.1 204 No Content\r\n\r\n"},
        {"GET", 304, HTTP_LENGTH_UNKNOWN, "HTTP/1.1 304 Not Modified\r\n\r\n"},
        {"GET", 200, 5, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nbytes"},
        {"GET", 200, HTTP_LENGTH_UNKNOWN,
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbytes\r\n0\r\n\r\n"},
        {"GET", 299, 0, "HTTP/1.1 299 Unknown\r\nContent-Length: 0\r\n\r\n"},
    };
    int fd = rig_dial(w.port);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        rig_say(&w.rig, fd, cases[i].method);
        rig_say(&w.rig, fd, " /x HTTP/1.1\r\nHost: h\r\n\r\n");
        rig_until(&w.rig, w.x != NULL);
        assert_int_equal(http_x_respond(w.x, cases[i].status, NULL, 0, cases[i].length), 0);
        if (cases[i].status != 299)
            assert_int_equal(http_x_write(w.x, SLICE_LIT("bytes")), 0);
        http_x_end(w.x);
        rig_hear(&w.rig, fd, cases[i].answer);
        rig_until(&w.rig, w.x == NULL);
    }
    close(fd);
    stop(&w);
}

static void test_chunked_with_trailers(void **state)
{
    (void)state;
    WORLD(w);
    int fd = rig_dial(w.port);
    rig_say(&w.rig, fd, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    rig_await(&w.rig, "GET /x;");
    const struct http_header good = {SLICE_LIT("X-Sum"), SLICE_LIT("42")};
    const struct http_header bad = {SLICE_LIT("Content-Length"), SLICE_LIT("42")};
    const struct http_header worse = {SLICE_LIT("X"), SLICE_LIT("a\r\nb")};
    assert_int_equal(http_x_respond(w.x, 200, NULL, 0, HTTP_LENGTH_UNKNOWN), 0);
    assert_int_equal(http_x_write(w.x, SLICE_LIT("")), 0); /* must not become the last chunk */
    assert_int_equal(http_x_write(w.x, SLICE_LIT("0123456789abcdef")), 0);
    assert_int_equal(http_x_trailer(w.x, &bad, 1), -EINVAL);
    assert_int_equal(http_x_trailer(w.x, &worse, 1), -EINVAL);
    assert_int_equal(http_x_trailer(w.x, &good, 1), 0);
    http_x_end(w.x);
    assert_int_equal(http_x_write(w.x, SLICE_LIT("late")), -EPIPE);
    rig_hear(&w.rig, fd,
             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n0123456789abcdef\r\n0\r\n"
             "X-Sum: 42\r\n\r\n");
    close(fd);
    stop(&w);
}

static void test_chunked_request(void **state)
{
    (void)state;
    WORLD(w);
    int fd = rig_dial(w.port);
    rig_say(&w.rig, fd, "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab");
    rig_await(&w.rig, "POST /x;");
    http_x_read(w.x);
    rig_await(&w.rig, "body ab;");
    rig_say(&w.rig, fd, "c\r\n0\r\nX-T: 1\r\n\r\nGET /y HTTP/1.1\r\nHost: h\r\n\r\n");
    http_x_read(w.x);
    rig_await(&w.rig, "body c;");
    rig_idle(&w.rig);
    assert_false(rig_logged(&w.rig, "end;")); /* not asked for yet */
    http_x_read(w.x);
    rig_await(&w.rig, "end;");
    http_x_reply(w.x, 204, NULL, SLICE_LIT(""));
    rig_await(&w.rig, "GET /y;");
    close(fd);
    stop(&w);
}

static void test_malformed_body(void **state)
{
    (void)state;
    WORLD(w);
    int fd = rig_dial(w.port);
    rig_say(&w.rig, fd, "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
    rig_await(&w.rig, "POST /x;");
    http_x_read(w.x);
    rig_await(&w.rig, "closed EBADMSG;");
    rig_hear_end(&w.rig, fd,
                 "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n"
                 "Connection: close\r\nContent-Length: 47\r\n\r\n"
                 "{\"code\":400,\"message\":\"malformed request body\"}",
                 RIG_EOF);
    close(fd);
    stop(&w);
}

static void test_malformed_head(void **state)
{
    (void)state;
    WORLD(w);
    static const struct {
        const char *bytes, *status;
    } cases[] = {
        {"\x16\x03\x01\x02", "HTTP/1.1 400 "},
        {"GET / HTTP/1.1\nHost: h\n\n", "HTTP/1.1 400 "},
        {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
        {"GET / HTTP/2.0\r\n", "HTTP/1.1 505 "},
        {"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", "HTTP/1.1 501 "},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_buf_ struct buf in = BUF_INIT(4096);
        int fd = rig_dial(w.port);
        rig_say(&w.rig, fd, cases[i].bytes);
        rig_until(&w.rig, rig_recv(fd, &in) == RIG_EOF);
        assert_true(slice_has_prefix(buf_slice(&in), cases[i].status));
        assert_non_null(strstr(buf_str(&in), "Connection: close\r\n"));
        close(fd);
    }
    rig_assert_log(&w.rig, "");
    stop(&w);
}

static void test_head_limits(void **state)
{
    (void)state;
    WORLD(w);
    for (int many = 0; many < 2; many++) {
        _cleanup_buf_ struct buf in = BUF_INIT(4096);
        _cleanup_buf_ struct buf head = BUF_INIT(1 << 20);
        buf_put_str(&head, "GET / HTTP/1.1\r\nHost: h\r\n");
        for (int i = 0; i < (many ? 128 : 1); i++)
            buf_put_str(&head, "A: b\r\n");
        while (!many && head.n < HTTP_HEAD_MAX_BYTES)
            buf_put_str(&head, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
        int fd = rig_dial(w.port);
        rig_send(&w.rig, fd, buf_slice(&head));
        rig_until(&w.rig, rig_recv(fd, &in) == RIG_EOF);
        assert_true(slice_has_prefix(buf_slice(&in), "HTTP/1.1 431 "));
        close(fd);
    }
    stop(&w);
}

static void test_expect_continue(void **state)
{
    (void)state;
    WORLD(w);
    int fd = rig_dial(w.port);
    rig_say(&w.rig, fd,
            "PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    rig_await(&w.rig, "PUT /x;");
    rig_idle(&w.rig);
    rig_hear(&w.rig, fd, ""); /* not before the handler asks */
    http_x_read(w.x);
    rig_hear(&w.rig, fd, "HTTP/1.1 100 Continue\r\n\r\n");
    rig_say(&w.rig, fd, "ab");
    rig_await(&w.rig, "body ab;");
    http_x_read(w.x);
    rig_await(&w.rig, "end;");
    http_x_reply(w.x, 201, NULL, SLICE_LIT(""));
    rig_hear(&w.rig, fd, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    close(fd);
    /* Refused without reading: the client may send the body or not, so the connection ends. */
    fd = rig_dial(w.port);
    w.echo = true;
    rig_say(&w.rig, fd,
            "PUT /y HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    rig_hear_end(&w.rig, fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n/y",
                 RIG_EOF);
    close(fd);
    stop(&w);
}

static void test_interim(void **state)
{
    (void)state;
    WORLD(w);
    int fd = rig_dial(w.port);
    const struct http_header link = {SLICE_LIT("Link"), SLICE_LIT("</a>")};
    rig_say(&w.rig, fd, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    rig_await(&w.rig, "GET /x;");
    assert_int_equal(http_x_respond_interim(w.x, 101, &link, 1), -EINVAL);
    assert_int_equal(http_x_respond_interim(w.x, 200, &link, 1), -EINVAL);
    assert_int_equal(http_x_respond_interim(w.x, 103, &link, 1), 0);
    rig_hear(&w.rig, fd, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    http_x_reply(w.x, 200, NULL, SLICE_LIT(""));
    assert_int_equal(http_x_respond_interim(w.x, 103, &link, 1), -EINVAL);
    close(fd);
    stop(&w);
}

static void test_refused_headers(void **state)
{
    (void)state;
    WORLD(w);
    static const struct http_header bad[] = {
        {{"Date", 4}, {"x", 1}},        {{"content-length", 14}, {"1", 1}},
        {{"Connection", 10}, {"x", 1}}, {{"TRANSFER-ENCODING", 17}, {"chunked", 7}},
        {{"X", 1}, {"a\r\nB: c", 7}},   {{"X", 1}, {"a\nb", 3}},
        {{"X Y", 3}, {"a", 1}},         {{"", 0}, {"a", 1}},
        {{"X", 1}, {"a\0b", 3}},        {{"X:", 2}, {"a", 1}},
    };
    int fd = rig_dial(w.port);
    rig_say(&w.rig, fd, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    rig_await(&w.rig, "GET /x;");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(http_x_respond(w.x, 200, &bad[i], 1, 0), -EINVAL);
    assert_int_equal(http_x_respond(w.x, 100, NULL, 0, 0), -EINVAL);
    assert_int_equal(http_x_respond(w.x, 200, NULL, 0, -2), -EINVAL);
    assert_int_equal(http_x_respond(w.x, 200, NULL, 0, 3), 0);
    assert_int_equal(http_x_respond(w.x, 200, NULL, 0, 3), -EINVAL);
    assert_int_equal(http_x_write(w.x, SLICE_LIT("four")), -EMSGSIZE);
    assert_int_equal(http_x_write(w.x, SLICE_LIT("abc")), 0);
    http_x_end(w.x);
    /* Nothing of the refused heads was sent. */
    rig_hear(&w.rig, fd, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
    close(fd);
    stop(&w);
}

static void test_short_response_is_cut(void **state)
{
    (void)state;
    WORLD(w);
    int fd = rig_dial(w.port);
    rig_say(&w.rig, fd, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    rig_await(&w.rig, "GET /x;");
    assert_int_equal(http_x_respond(w.x, 200, NULL, 0, 10), 0);
    assert_int_equal(http_x_write(w.x, SLICE_LIT("abc")), 0);
    http_x_end(w.x);
    rig_await(&w.rig, "closed ECANCELED;");
    rig_hear_end(&w.rig, fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", RIG_EOF);
    close(fd);
    stop(&w);
}

/* Until close, only a reset tells a cut response from a whole one. */
static void test_abort_until_close_is_a_reset(void **state)
{
    (void)state;
    WORLD(w);
    int fd = rig_dial(w.port);
    rig_say(&w.rig, fd, "GET /x HTTP/1.0\r\n\r\n");
    rig_await(&w.rig, "GET /x;");
    assert_int_equal(http_x_respond(w.x, 200, NULL, 0, HTTP_LENGTH_UNKNOWN), 0);
    assert_int_equal(http_x_write(w.x, SLICE_LIT("abc")), 0);
    rig_hear(&w.rig, fd, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc");
    http_x_abort(w.x);
    http_x_abort(w.x);                          /* twice is fine */
    assert_false(rig_logged(&w.rig, "closed")); /* never from inside the call */
    rig_await(&w.rig, "closed ECANCELED;");
    rig_hear_end(&w.rig, fd, "", RIG_RESET);
    close(fd);
    stop(&w);
}

static void test_client_gone_while_idle(void **state)
{
    (void)state;
    for (int variant = 0; variant < 3; variant++) {
        const struct http_server_opts opts = {.half_close_is_close = variant == 1};
        struct world w;
        start_with(&w, &opts);
        int fd = rig_dial(w.port);
        rig_say(&w.rig, fd, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
        if (variant == 2) /* with unread pipelined bytes before the end */
            rig_say(&w.rig, fd, "GET /y HTTP/1.1\r\nHost: h\r\n\r\n");
        rig_await(&w.rig, "GET /x;");
        if (variant == 1)
            close(fd); /* a FIN */
        else
            rig_reset(fd);
        rig_await(&w.rig, "closed ECONNRESET;");
        rig_assert_log(&w.rig, "GET /x;closed ECONNRESET;");
        stop(&w);
    }
}

static void test_half_close_still_gets_its_answer(void **state)
{
    (void)state;
    WORLD(w);
    int fd = rig_dial(w.port);
    rig_say(&w.rig, fd, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    rig_await(&w.rig, "POST /x;");
    rig_idle(&w.rig);
    rig_assert_log(&w.rig, "POST /x;");
    http_x_read(w.x);
    rig_await(&w.rig, "body abc;");
    http_x_reply(w.x, 200, NULL, SLICE_LIT("late"));
    rig_hear_end(&w.rig, fd, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate", RIG_EOF);
    rig_assert_log(&w.rig, "POST /x;body abc;closed 0;");
    close(fd);
    stop(&w);
}

/* A reset behind a FIN is not told by the kernel to who does not watch; it is looked for. */
static void test_reset_behind_half_close(void **state)
{
    (void)state;
    WORLD(w);
    int fd = rig_dial(w.port);
    rig_say(&w.rig, fd, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    rig_await(&w.rig, "GET /x;");
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    rig_idle(&w.rig);
    rig_assert_log(&w.rig, "GET /x;");
    rig_reset(fd);
    rig_await(&w.rig, "closed ECONNRESET;");
    stop(&w);
}

static void test_cut_body(void **state)
{
    (void)state;
    WORLD(w);
    /* Nobody reads: that the rest cannot come is seen all the same. */
    int fd = rig_dial(w.port);
    rig_say(&w.rig, fd, "POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 30\r\n\r\nabc");
    rig_await(&w.rig, "POST /1;");
    close(fd);
    rig_await(&w.rig, "POST /1;closed ECONNRESET;");
    /* A chunked body: seen when it is read. */
    fd = rig_dial(w.port);
    rig_say(&w.rig, fd,
            "POST /2 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc");
    rig_await(&w.rig, "POST /2;");
    http_x_read(w.x);
    rig_await(&w.rig, "body abc;");
    close(fd);
    http_x_read(w.x);
    rig_await(&w.rig, "body abc;closed ECONNRESET;");
    stop(&w);
}

static void test_read_all(void **state)
{
    (void)state;
    static const struct {
        const char *request, *log;
    } cases[] = {
        {"Content-Length: 3\r\n\r\nabc", "all 0 abc;closed 0;"},
        {"Content-Length: 0\r\n\r\n", "all 0 ;closed 0;"},
        {"\r\n", "all 0 ;closed 0;"},
        {"Content-Length: 8\r\n\r\n12345678", "all 0 12345678;closed 0;"},
        {"Content-Length: 9\r\n\r\n123456789", "all EMSGSIZE ;closed 0;"},
        {"Content-Length: 900000000\r\n\r\n", "all EMSGSIZE ;closed 0;"},
        {"Transfer-Encoding: chunked\r\n\r\n8\r\n12345678\r\n0\r\n\r\n",
         "all 0 12345678;closed 0;"},
        {"Transfer-Encoding: chunked\r\n\r\n9\r\n123456789\r\n0\r\n\r\n",
         "all EMSGSIZE ;closed 0;"},
        {"Transfer-Encoding: chunked\r\n\r\n5\r\nabc", "all ECONNRESET ;closed ECONNRESET;"},
        {"Transfer-Encoding: chunked\r\n\r\nx", "all EBADMSG ;closed 0;"},
        {"Content-Length: 4\r\n\r\nabc", "all ECONNRESET ;closed ECONNRESET;"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        WORLD(w);
        int fd = rig_dial(w.port);
        rig_say(&w.rig, fd, "POST /x HTTP/1.1\r\nHost: h\r\n");
        rig_say(&w.rig, fd, cases[i].request);
        rig_await(&w.rig, "POST /x;");
        buf_clear(&w.rig.log);
        http_x_read_all(w.x, 8, on_all, &w);
        assert_int_equal(w.rig.log.n, 0); /* never from inside the call */
        shutdown(fd, SHUT_WR);
        rig_await(&w.rig, "closed");
        rig_assert_log(&w.rig, cases[i].log);
        close(fd);
        stop(&w);
    }
}

static void test_upgrade(void **state)
{
    (void)state;
    WORLD(w);
    const struct http_header up = {SLICE_LIT("Upgrade"), SLICE_LIT("websocket")};
    int fd = rig_dial(w.port);
    rig_say(&w.rig, fd, "GET /plain HTTP/1.1\r\nHost: h\r\n\r\n");
    rig_await(&w.rig, "GET /plain;");
    assert_int_equal(http_x_upgrade(w.x, &up, 1), -EINVAL);
    http_x_reply(w.x, 204, NULL, SLICE_LIT(""));
    rig_hear(&w.rig, fd, "HTTP/1.1 204 No Content\r\n\r\n");
    rig_say(
        &w.rig, fd,
        "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello");
    rig_await(&w.rig, "GET /ws;");
    assert_int_equal(http_x_upgrade(w.x, &up, 1), 0);
    rig_hear(
        &w.rig, fd,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n");
    buf_clear(&w.rig.log);
    http_x_read(w.x);
    rig_await(&w.rig, "body hello;"); /* what came with the head */
    assert_int_equal(http_x_write(w.x, SLICE_LIT("frame")), 0);
    rig_hear(&w.rig, fd, "frame");
    http_x_read(w.x);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    rig_await(&w.rig, "end;");
    assert_int_equal(http_x_write(w.x, SLICE_LIT("last")), 0); /* our direction is still open */
    rig_idle(&w.rig);
    assert_non_null(w.x);
    http_x_end(w.x);
    rig_hear_end(&w.rig, fd, "last", RIG_EOF);
    rig_await(&w.rig, "closed 0;");
    close(fd);
    stop(&w);
}

static void test_reply_twice_cuts(void **state)
{
    (void)state;
    WORLD(w);
    int fd = rig_dial(w.port);
    rig_say(&w.rig, fd, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    rig_await(&w.rig, "GET /x;");
    assert_int_equal(http_x_respond(w.x, 200, NULL, 0, HTTP_LENGTH_UNKNOWN), 0);
    http_x_reply(w.x, 500, NULL, SLICE_LIT("no"));
    rig_await(&w.rig, "closed ECANCELED;");
    close(fd);
    stop(&w);
}

/* A value that may not stand in a head gives a plain 500 instead of a smuggled line. */
static void test_reply_with_bad_header(void **state)
{
    (void)state;
    WORLD(w);
    int fd = rig_dial(w.port);
    rig_say(&w.rig, fd, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    rig_await(&w.rig, "GET /x;");
    http_x_reply(w.x, 200, "text/plain\r\nX-Evil: 1", SLICE_LIT("body"));
    rig_hear(&w.rig, fd, "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n");
    close(fd);
    stop(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keep_alive),
        cmocka_unit_test(test_head_in_single_bytes),
        cmocka_unit_test(test_pipelining),
        cmocka_unit_test(test_unread_body_is_dropped),
        cmocka_unit_test(test_early_response_to_large_body),
        cmocka_unit_test(test_http10),
        cmocka_unit_test(test_bodyless_answers),
        cmocka_unit_test(test_chunked_with_trailers),
        cmocka_unit_test(test_chunked_request),
        cmocka_unit_test(test_malformed_body),
        cmocka_unit_test(test_malformed_head),
        cmocka_unit_test(test_head_limits),
        cmocka_unit_test(test_expect_continue),
        cmocka_unit_test(test_interim),
        cmocka_unit_test(test_refused_headers),
        cmocka_unit_test(test_short_response_is_cut),
        cmocka_unit_test(test_abort_until_close_is_a_reset),
        cmocka_unit_test(test_client_gone_while_idle),
        cmocka_unit_test(test_half_close_still_gets_its_answer),
        cmocka_unit_test(test_reset_behind_half_close),
        cmocka_unit_test(test_cut_body),
        cmocka_unit_test(test_read_all),
        cmocka_unit_test(test_upgrade),
        cmocka_unit_test(test_reply_twice_cuts),
        cmocka_unit_test(test_reply_with_bad_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
