/*
 * The server, seen from a raw socket: bytes in, bytes out, and what the handler is told. The handler
 * of these tests keeps the exchange in the rig, so that a test plays both sides line by line.
 */
// deps: http
#include "http_rig.h"

#include "http/server_internal.h"

struct world {
    struct rig rig;
    struct http_server *server;
    uint16_t port;
    struct http_exchange *x; /* the latest, NULL after its on_closed */
    bool echo;               /* the handler answers by itself */
    bool log_bytes;          /* bodies go to the log as text, else as a sum */
    uint64_t in_bytes;
    bool server_gone;
};

static void on_body(struct http_exchange *x, struct slice data, void *user)
{
    struct world *w = user;
    (void)x;
    w->in_bytes += data.n;
    if (data.n == 0)
        buf_put_str(&w->rig.log, "end;");
    else if (w->log_bytes)
        buf_printf(&w->rig.log, "body %.*s;", (int)data.n, data.p);
}

static void on_writable(struct http_exchange *x, void *user)
{
    struct world *w = user;
    (void)x;
    buf_put_str(&w->rig.log, "writable;");
}

static void on_closed(struct http_exchange *x, int reason, void *user)
{
    struct world *w = user;
    buf_printf(&w->rig.log, "closed %s;", rig_errno(reason));
    if (w->x == x)
        w->x = NULL;
}

static void handler(struct http_exchange *x, void *user)
{
    static const struct http_x_callbacks cb = {on_body, on_writable, on_closed};
    struct world *w = user;
    const struct http_head *h = http_x_head(x);
    buf_printf(&w->rig.log, "%.*s %.*s;", (int)h->method.n, h->method.p, (int)h->target.n,
               h->target.p);
    http_x_set_callbacks(x, &cb, w);
    w->x = x;
    if (w->echo)
        http_x_reply(x, 200, NULL, h->target);
}

static void start_with(struct world *w, const struct http_server_opts *opts)
{
    *w = (struct world){.log_bytes = true};
    rig_init(&w->rig);
    struct err err;
    int fd = rig_listen(&w->port);
    assert_int_equal(http_server_new(&w->rig.loop, fd, opts, handler, w, &w->server, &err), 0);
}

static void start(struct world *w)
{
    start_with(w, NULL);
}

static void on_server_gone(void *user)
{
    ((struct world *)user)->server_gone = true;
}

static void stop(struct world *w)
{
    http_server_close(w->server, true, on_server_gone, w);
    assert_false(w->server_gone); /* never from inside the call */
    rig_until(&w->rig, w->server_gone);
    rig_done(&w->rig);
}

#define WORLD(w)                                                                                   \
    struct world w;                                                                                \
    start(&w)

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

static void on_all(struct http_exchange *x, int result, struct slice body, void *user)
{
    struct world *w = user;
    buf_printf(&w->rig.log, "all %s %.*s;", rig_errno(result), (int)body.n,
               body.n > 0 ? body.p : "");
    if (result != -ECONNRESET)
        http_x_reply(x, result == 0 ? 200 : result == -EMSGSIZE ? 413 : 400, NULL, SLICE_LIT(""));
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

/* Write blocks until the queue is full or everything is written; the queue keeps its maximum. */
static void write_until_full(struct world *w, uint64_t *sent)
{
    static char block[65536];
    int r = 0;
    while (r == 0 && *sent < RIG_BIG_BYTES) {
        r = http_x_write(w->x, slice_of(block, sizeof(block)));
        assert_true(r == 0 || r == -EAGAIN);
        *sent += sizeof(block);
        assert_true(http_conn_queued(&w->x->sc->c) <= HTTP_OUT_HIGH_WATER + sizeof(block));
    }
}

/* Writable is told once for each -EAGAIN, and only when the queue has run low. */
static bool take_writable(struct world *w)
{
    if (!rig_logged(&w->rig, "writable;"))
        return false;
    rig_assert_log(&w->rig, "writable;");
    assert_true(http_conn_queued(&w->x->sc->c) <= HTTP_OUT_LOW_WATER);
    buf_clear(&w->rig.log);
    return true;
}

static uint64_t receive(int fd)
{
    _cleanup_buf_ struct buf in = BUF_INIT(RIG_BIG_BYTES);
    (void)rig_recv(fd, &in);
    return in.n;
}

/*
 * A client that does not read stops the handler, and one that reads on lets it go on. How much the
 * kernel takes meanwhile, and when, is its own affair: its buffers grow, and late.
 */
static void test_backpressure_out(void **state)
{
    (void)state;
    WORLD(w);
    int fd = rig_dial(w.port);
    rig_say(&w.rig, fd, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    rig_await(&w.rig, "GET /x;");
    buf_clear(&w.rig.log);
    rig_fix_buffers(fd);
    rig_fix_buffers(w.x->sc->c.fd);
    assert_int_equal(http_x_respond(w.x, 200, NULL, 0, RIG_BIG_BYTES), 0);
    uint64_t sent = 0, received = 0;
    write_until_full(&w, &sent);
    for (int idle = 0; idle < RIG_IDLE_TURNS; idle++) {
        rig_turn(&w.rig);
        if (take_writable(&w)) {
            write_until_full(&w, &sent);
            idle = 0;
        }
    }
    assert_true(sent < RIG_BIG_BYTES); /* nothing was read yet */
    while (sent < RIG_BIG_BYTES) {
        rig_until(&w.rig, ({
            received += receive(fd);
            take_writable(&w);
        }));
        write_until_full(&w, &sent);
    }
    http_x_end(w.x);
    rig_until(&w.rig, ({
        received += receive(fd);
        received > RIG_BIG_BYTES; /* the head came before it */
    }));
    rig_await(&w.rig, "closed 0;");
    close(fd);
    stop(&w);
}

/* A handler that does not read stops its client: we take at most one block and what the kernel has. */
static void test_backpressure_in(void **state)
{
    (void)state;
    WORLD(w);
    w.log_bytes = false;
    int fd = rig_dial(w.port);
    static char block[65536];
    rig_say(&w.rig, fd, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 67108864\r\n\r\n");
    rig_await(&w.rig, "POST /x;");
    rig_fix_buffers(fd);
    rig_fix_buffers(w.x->sc->c.fd);
    uint64_t sent = 0;
    int idle = 0;
    while (idle < RIG_IDLE_TURNS && sent < RIG_BIG_BYTES) {
        ssize_t n = send(fd, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += n > 0 ? (uint64_t)n : 0;
        idle = n > 0 ? 0 : idle + 1;
        rig_turn(&w.rig);
    }
    assert_true(sent < RIG_BIG_BYTES);
    assert_true(http_conn_input(&w.x->sc->c).n <= HTTP_IN_BLOCK_BYTES);
    uint64_t total = 0;
    while (!rig_logged(&w.rig, "end;")) {
        total = w.in_bytes;
        http_x_read(w.x);
        rig_until(&w.rig, ({
            if (sent < RIG_BIG_BYTES) {
                ssize_t n = send(fd, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL);
                sent += n > 0 ? (uint64_t)n : 0;
            }
            w.in_bytes > total || rig_logged(&w.rig, "end;");
        }));
    }
    assert_int_equal(w.in_bytes, RIG_BIG_BYTES);
    http_x_reply(w.x, 204, NULL, SLICE_LIT(""));
    rig_await(&w.rig, "closed 0;");
    close(fd);
    stop(&w);
}

/* A writer that ignores -EAGAIN is cut, and the queue has its maximum. */
static void test_flood_is_cut(void **state)
{
    (void)state;
    WORLD(w);
    int fd = rig_dial(w.port);
    static char block[1 << 20];
    rig_say(&w.rig, fd, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    rig_await(&w.rig, "GET /x;");
    assert_int_equal(http_x_respond(w.x, 200, NULL, 0, HTTP_LENGTH_UNKNOWN), 0);
    int r = 0;
    for (int i = 0; i < 64 && r != -EPIPE; i++)
        r = http_x_write(w.x, slice_of(block, sizeof(block)));
    assert_int_equal(r, -EPIPE);
    rig_await(&w.rig, "closed ECONNRESET;");
    close(fd);
    stop(&w);
}

/* A reply larger than the queue may be arrives whole, also when its client reads late. */
static void test_large_reply(void **state)
{
    (void)state;
    WORLD(w);
    static char body[RIG_BIG_BYTES / 2];
    int fd = rig_dial(w.port);
    rig_say(&w.rig, fd, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    rig_await(&w.rig, "GET /x;");
    rig_fix_buffers(fd);
    rig_fix_buffers(w.x->sc->c.fd);
    memset(body, 'a', sizeof(body));
    http_x_reply(w.x, 200, NULL, slice_of(body, sizeof(body)));
    memset(body, 'b', sizeof(body)); /* it was copied */
    rig_idle(&w.rig);
    assert_true(http_conn_queued(&w.x->sc->c) <= 2 * HTTP_OUT_HIGH_WATER);
    uint64_t received = 0;
    rig_until(&w.rig, ({
        received += receive(fd);
        received > sizeof(body); /* the head came before it */
    }));
    rig_await(&w.rig, "closed 0;");
    assert_null(strstr(buf_str(&w.rig.log), "writable")); /* the handler is not concerned */
    rig_say(&w.rig, fd, "GET /y HTTP/1.1\r\nHost: h\r\n\r\n");
    rig_await(&w.rig, "GET /y;"); /* the connection goes on */
    close(fd);
    stop(&w);
}

/* Many connections have lower marks each, one alone has the usual one. */
static void test_shared_queue(void **state)
{
    (void)state;
    struct world w;
    int others[8];
    static char block[HTTP_OUT_HIGH_WATER_MIN];
    start_with(&w, &(struct http_server_opts){.queued_max_bytes = (size_t)9 * 32768});
    int fd = rig_dial(w.port);
    rig_say(&w.rig, fd, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    rig_await(&w.rig, "GET /x;");
    assert_int_equal(http_x_high_water(w.x), HTTP_OUT_HIGH_WATER);
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        others[i] = rig_dial(w.port);
    rig_until(&w.rig, w.server->n_conns == ARRAY_LEN(others) + 1);
    assert_int_equal(http_x_high_water(w.x), 32768);
    rig_fix_buffers(fd);
    rig_fix_buffers(w.x->sc->c.fd);
    assert_int_equal(http_x_respond(w.x, 200, NULL, 0, RIG_BIG_BYTES), 0);
    uint64_t sent = 0;
    for (int idle = 0; idle < RIG_IDLE_TURNS; idle++) {
        while (!w.x->out.blocked) {
            (void)http_x_write(w.x, slice_of(block, sizeof(block)));
            sent += sizeof(block);
            idle = 0;
        }
        assert_true(http_conn_queued(&w.x->sc->c) <= 32768 + sizeof(block));
        rig_turn(&w.rig);
    }
    assert_true(sent < RIG_BIG_BYTES);
    buf_clear(&w.rig.log);
    rig_until(&w.rig, ({
        (void)receive(fd);
        take_writable(&w); /* also with a low mark the handler hears that it may go on */
    }));
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        close(others[i]);
    close(fd);
    stop(&w);
}

/* Send a request with a body of 600000 bytes, but its last one, and collect what comes. */
static int begin_large(struct world *w, struct http_exchange **ret)
{
    static char body[599999];
    int fd = rig_dial(w->port);
    buf_clear(&w->rig.log);
    rig_say(&w->rig, fd, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 600000\r\n\r\n");
    rig_await(&w->rig, "POST /x;");
    *ret = w->x;
    http_x_read_all(w->x, 1 << 20, on_all, w);
    memset(body, 'x', sizeof(body));
    rig_send(&w->rig, fd, slice_of(body, sizeof(body)));
    return fd;
}

/* What all exchanges hold together has a maximum; small ones are served above it. */
static void test_held(void **state)
{
    (void)state;
    struct world w;
    struct http_exchange *first, *second;
    start_with(&w, &(struct http_server_opts){.held_max_bytes = 1000000});
    int a = begin_large(&w, &first);
    rig_until(&w.rig, first->all.n == 599999);
    assert_int_equal(http_x_hold(first, 1000001), -ENOBUFS);
    int b = begin_large(&w, &second);
    rig_await(&w.rig, "all ENOBUFS ;");
    close(b);
    rig_await(&w.rig, "closed");
    int c = rig_dial(w.port);
    rig_say(&w.rig, c, "POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
    rig_await(&w.rig, "POST /small;");
    assert_int_equal(http_x_hold(w.x, HTTP_HELD_FREE_BYTES), 0);
    http_x_read_all(w.x, 1 << 20, on_all, &w);
    rig_await(&w.rig, "all 0 abc;");
    close(c);
    buf_clear(&w.rig.log);
    rig_say(&w.rig, a, "x");
    rig_await(&w.rig, "all 0 xxx");
    rig_await(&w.rig, "closed 0;");
    assert_int_equal(w.server->held, 0); /* each gave back what it had */
    close(a);
    stop(&w);
}

static void test_deadlines(void **state)
{
    (void)state;
    const struct http_server_opts opts = {.head_timeout_ms = 50,
                                          .idle_timeout_ms = 50,
                                          .body_timeout_ms = 50,
                                          .write_timeout_ms = 50};
    struct world w;
    start_with(&w, &opts);
    /* No byte at all: closed without a word. */
    int fd = rig_dial(w.port);
    rig_hear_end(&w.rig, fd, "", RIG_EOF);
    close(fd);
    /* Half a head: 408. */
    _cleanup_buf_ struct buf in = BUF_INIT(4096);
    fd = rig_dial(w.port);
    rig_say(&w.rig, fd, "GET / HT");
    rig_until(&w.rig, rig_recv(fd, &in) == RIG_EOF);
    assert_true(slice_has_prefix(buf_slice(&in), "HTTP/1.1 408 "));
    close(fd);
    /* Half a body. */
    buf_clear(&in);
    fd = rig_dial(w.port);
    rig_say(&w.rig, fd, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n");
    rig_await(&w.rig, "POST /x;");
    http_x_read(w.x);
    rig_await(&w.rig, "closed ETIMEDOUT;");
    rig_until(&w.rig, rig_recv(fd, &in) == RIG_EOF);
    assert_true(slice_has_prefix(buf_slice(&in), "HTTP/1.1 408 "));
    close(fd);
    /* Nobody takes the answer. */
    buf_clear(&w.rig.log);
    static char block[1 << 20];
    fd = rig_dial(w.port);
    rig_say(&w.rig, fd, "GET /y HTTP/1.1\r\nHost: h\r\n\r\n");
    rig_await(&w.rig, "GET /y;");
    assert_int_equal(http_x_respond(w.x, 200, NULL, 0, HTTP_LENGTH_UNKNOWN), 0);
    while (http_x_write(w.x, slice_of(block, sizeof(block))) == 0)
        ;
    rig_await(&w.rig, "closed ETIMEDOUT;");
    close(fd);
    stop(&w);
}

/* A handler may think for as long as it likes: only the peer has deadlines. */
static void test_slow_handler_is_no_fault(void **state)
{
    (void)state;
    const struct http_server_opts opts = {.body_timeout_ms = 5, .write_timeout_ms = 5};
    struct world w;
    start_with(&w, &opts);
    int fd = rig_dial(w.port);
    rig_say(&w.rig, fd, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n");
    rig_await(&w.rig, "POST /x;");
    buf_clear(&w.rig.log);
    rig_idle(&w.rig);
    rig_assert_log(&w.rig, "");
    http_x_reply(w.x, 204, NULL, SLICE_LIT(""));
    rig_await(&w.rig, "closed 0;");
    close(fd);
    stop(&w);
}

static void test_max_connections(void **state)
{
    (void)state;
    const struct http_server_opts opts = {.max_connections = 2};
    struct world w;
    int fds[2];
    start_with(&w, &opts);
    for (int i = 0; i < 2; i++) {
        fds[i] = rig_dial(w.port);
        rig_say(&w.rig, fds[i], "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
        rig_await(&w.rig, i == 0 ? "GET /a;" : "GET /a;GET /a;");
    }
    int third = rig_dial(w.port);
    rig_say(&w.rig, third, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    rig_hear_end(&w.rig, third,
                 "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
                 "Connection: close\r\nContent-Length: 45\r\n\r\n"
                 "{\"code\":503,\"message\":\"too many connections\"}",
                 RIG_EOF);
    close(third);
    close(fds[0]);
    close(fds[1]);
    stop(&w);
}

/* Connections without a request make room: first the one that has been silent for longest. */
static void test_silent_connections_make_room(void **state)
{
    (void)state;
    const struct http_server_opts opts = {.max_connections = 3};
    struct world w;
    int fds[3];
    start_with(&w, &opts);
    w.echo = true;
    fds[0] = rig_dial(w.port);
    rig_until(&w.rig, w.server->n_conns == 1);
    struct sconn *silent = container_of(w.server->conns.next, struct sconn, node);
    for (int i = 1; i < 3; i++) {
        fds[i] = rig_dial(w.port);
        rig_say(&w.rig, fds[i], "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
        rig_hear(&w.rig, fds[i], "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n/a");
    }
    silent->state_ms = 0;         /* for longer than the others */
    for (int i = 0; i < 3; i++) { /* each in its turn */
        int more = rig_dial(w.port);
        rig_say(&w.rig, more, "GET /b HTTP/1.1\r\nHost: h\r\n\r\n");
        rig_hear(&w.rig, more, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n/b");
        if (i == 0)
            rig_hear_end(&w.rig, fds[0], "", RIG_EOF);
        assert_true(w.server->n_conns <= 3);
        close(more);
    }
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    stop(&w);
}

/* The same while the most that are refused at once are still being told so. */
static void test_room_beside_refused(void **state)
{
    (void)state;
    const struct http_server_opts opts = {.max_connections = 1};
    struct world w;
    int refused[HTTP_REFUSED_MAX];
    start_with(&w, &opts);
    int busy = rig_dial(w.port);
    rig_say(&w.rig, busy, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    rig_await(&w.rig, "GET /a;");
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        refused[i] = rig_dial(w.port);
    rig_until(&w.rig, w.server->n_conns == 1 + HTTP_REFUSED_MAX);
    http_x_reply(w.x, 204, NULL, SLICE_LIT(""));
    rig_await(&w.rig, "closed 0;"); /* it waits now, and may go */
    int fd = rig_dial(w.port);
    rig_say(&w.rig, fd, "GET /b HTTP/1.1\r\nHost: h\r\n\r\n");
    rig_await(&w.rig, "GET /b;");
    close(fd);
    close(busy);
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        close(refused[i]);
    stop(&w);
}

static void test_graceful_close(void **state)
{
    (void)state;
    WORLD(w);
    int idle = rig_dial(w.port), busy = rig_dial(w.port);
    rig_until(&w.rig, w.server->n_conns == 2);
    rig_say(&w.rig, busy, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    rig_await(&w.rig, "GET /x;");
    http_server_close(w.server, false, on_server_gone, &w);
    rig_hear_end(&w.rig, idle, "", RIG_EOF);
    rig_idle(&w.rig);
    assert_false(w.server_gone);
    http_x_reply(w.x, 200, NULL, SLICE_LIT("bye"));
    rig_hear_end(&w.rig, busy,
                 "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbye", RIG_EOF);
    close(busy);
    close(idle);
    rig_until(&w.rig, w.server_gone);
    rig_done(&w.rig);
}

static void test_hard_close(void **state)
{
    (void)state;
    WORLD(w);
    int fd = rig_dial(w.port);
    rig_say(&w.rig, fd, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    rig_await(&w.rig, "GET /x;");
    http_server_close(w.server, true, on_server_gone, &w);
    rig_assert_log(&w.rig, "GET /x;"); /* never from inside the call */
    rig_until(&w.rig, w.server_gone);
    rig_assert_log(&w.rig, "GET /x;closed ECANCELED;");
    rig_hear_end(&w.rig, fd, "", RIG_EOF);
    close(fd);
    rig_done(&w.rig);
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
        cmocka_unit_test(test_backpressure_out),
        cmocka_unit_test(test_backpressure_in),
        cmocka_unit_test(test_flood_is_cut),
        cmocka_unit_test(test_large_reply),
        cmocka_unit_test(test_held),
        cmocka_unit_test(test_shared_queue),
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_slow_handler_is_no_fault),
        cmocka_unit_test(test_max_connections),
        cmocka_unit_test(test_silent_connections_make_room),
        cmocka_unit_test(test_room_beside_refused),
        cmocka_unit_test(test_graceful_close),
        cmocka_unit_test(test_hard_close),
        cmocka_unit_test(test_reply_twice_cuts),
        cmocka_unit_test(test_reply_with_bad_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
