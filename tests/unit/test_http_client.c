/*
 * The client, with a raw socket as its server: what it sends, and what it makes of the bytes that a
 * server, honest or hostile, sends back.
 */
// deps: http
#include "http_rig.h"

#include "http/client.h"

#include <sys/un.h>

struct world {
    struct rig rig;
    int listen_fd;
    uint16_t port;
    struct http_call *call; /* NULL after on_closed */
    bool pull;              /* read on by itself */
    uint64_t in_bytes;
    bool log_bytes;
};

static void on_interim(struct http_call *c, const struct http_head *h, void *user)
{
    struct world *w = user;
    (void)c;
    buf_printf(&w->rig.log, "interim %u;", h->status);
}

static void on_head(struct http_call *c, const struct http_head *h, void *user)
{
    struct world *w = user;
    struct slice v = http_head_get(h, "x-v");
    buf_printf(&w->rig.log, "head %u %.*s;", h->status, (int)v.n, v.n > 0 ? v.p : "");
    if (w->pull)
        http_call_read(c);
}

static void on_body(struct http_call *c, struct slice data, void *user)
{
    struct world *w = user;
    w->in_bytes += data.n;
    if (data.n == 0)
        buf_put_str(&w->rig.log, "end;");
    else if (w->log_bytes)
        buf_printf(&w->rig.log, "body %.*s;", (int)data.n, data.p);
    if (data.n > 0 && w->pull)
        http_call_read(c);
}

static void on_writable(struct http_call *c, void *user)
{
    struct world *w = user;
    (void)c;
    buf_put_str(&w->rig.log, "writable;");
}

static void on_closed(struct http_call *c, int reason, void *user)
{
    struct world *w = user;
    size_t n;
    const struct http_header *t = http_call_trailers(c, &n);
    for (size_t i = 0; i < n; i++)
        buf_printf(&w->rig.log, "trailer %.*s=%.*s;", (int)t[i].name.n, t[i].name.p,
                   (int)t[i].value.n, t[i].value.p);
    buf_printf(&w->rig.log, "closed %s;", rig_errno(reason));
    w->call = NULL;
}

static const struct http_call_callbacks callbacks = {on_interim, on_head, on_body, on_writable,
                                                     on_closed};

static void start(struct world *w)
{
    *w = (struct world){.pull = true, .log_bytes = true};
    rig_init(&w->rig);
    w->listen_fd = rig_listen(&w->port);
}

static void stop(struct world *w)
{
    close(w->listen_fd);
    rig_done(&w->rig);
}

#define WORLD(w)                                                                                   \
    struct world w;                                                                                \
    start(&w)

static const struct http_header host = {{"Host", 4}, {"h", 1}};

static int call_with(struct world *w, struct http_call_opts opts)
{
    struct sockaddr_in a = rig_addr(w->port);
    if (opts.addr == NULL) {
        opts.addr = (const struct sockaddr *)&a;
        opts.addr_len = sizeof(a);
    }
    if (opts.headers == NULL) {
        opts.headers = &host;
        opts.n_headers = 1;
    }
    opts.target = opts.target.p != NULL ? opts.target : SLICE_LIT("/x");
    opts.method = opts.method.p != NULL ? opts.method : SLICE_LIT("GET");
    struct err err;
    return http_call_start(&w->rig.loop, &opts, &callbacks, w, &w->call, &err);
}

/* A GET, its request heard; returns the server's end. */
static int get(struct world *w, const char *method)
{
    _cleanup_buf_ struct buf want = BUF_INIT(4096);
    buf_printf(&want, "%s /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", method);
    assert_int_equal(call_with(w, (struct http_call_opts){.method = slice_str(method)}), 0);
    int fd = rig_accept(&w->rig, w->listen_fd);
    rig_hear(&w->rig, fd, buf_str(&want));
    return fd;
}

static void test_responses(void **state)
{
    (void)state;
    static const struct {
        const char *method, *bytes, *log;
        bool reset;
    } cases[] = {
        {"GET", "HTTP/1.1 200 OK\r\nX-V: 1\r\nContent-Length: 3\r\n\r\nabc",
         "head 200 1;body abc;end;closed 0;", false},
        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "head 200 ;end;closed 0;", false},
        {"GET", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "head 200 ;end;closed 0;", false},
        {"GET", "HTTP/1.0 200 OK\r\n\r\nabc", "head 200 ;body abc;end;closed 0;", false},
        {"GET", "HTTP/1.0 200 OK\r\n\r\nabc", "head 200 ;body abc;closed ECONNRESET;", true},
        {"GET", "HTTP/1.1 200 OK\r\n\r\n", "head 200 ;end;closed 0;", false},
        {"GET", "HTTP/1.1 204 No\r\n\r\n", "head 204 ;end;closed 0;", false},
        {"GET", "HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n", "head 304 ;end;closed 0;", false},
        {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "head 200 ;end;closed 0;", false},
        {"GET",
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: 1\r\n\r\n",
         "head 200 ;body abc;end;trailer T=1;closed 0;", false},
        {"GET", "HTTP/1.1 103 Hint\r\n\r\nHTTP/1.1 100 Go\r\n\r\nHTTP/1.1 200 OK\r\nX-V: 2\r\n\r\n",
         "interim 103;interim 100;head 200 2;end;closed 0;", false},
        /* Cut and hostile ones. */
        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
         "head 200 ;body abc;closed ECONNRESET;", false},
        {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
         "head 200 ;body abc;closed ECONNRESET;", false},
        {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nq",
         "head 200 ;body abc;closed EBADMSG;", false},
        {"GET", "HTTP/1.1 200 OK\r\nCont", "closed ECONNRESET;", false},
        {"GET", "", "closed ECONNRESET;", false},
        {"GET", "", "closed ECONNRESET;", true},
        {"GET", "rubbish", "closed EBADMSG;", false},
        {"GET", "HTTP/1.1 101 Up\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "closed EBADMSG;",
         false},
        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
         "closed EBADMSG;", false},
        {"GET", "HTTP/1.1 200 OK\nContent-Length: 1\n\na", "closed EBADMSG;", false},
        {"GET", "HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\nabc", "closed EBADMSG;", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        WORLD(w);
        int fd = get(&w, cases[i].method);
        rig_say(&w.rig, fd, cases[i].bytes);
        if (cases[i].reset) {
            rig_idle(&w.rig);
            rig_reset(fd);
        } else {
            close(fd);
        }
        rig_await(&w.rig, "closed");
        rig_assert_log(&w.rig, cases[i].log);
        stop(&w);
    }
}

static void test_endless_interims(void **state)
{
    (void)state;
    WORLD(w);
    int fd = get(&w, "GET");
    for (int i = 0; i < 100 && w.call != NULL; i++)
        rig_say(&w.rig, fd, "HTTP/1.1 102 Wait\r\n\r\n");
    rig_await(&w.rig, "closed EBADMSG;");
    close(fd);
    stop(&w);
}

static void test_request_bodies(void **state)
{
    (void)state;
    static const struct {
        int64_t length;
        const char *heard;
    } cases[] = {
        {3, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"},
        {0, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
        {HTTP_LENGTH_UNKNOWN, "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
                              "Connection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        WORLD(w);
        struct http_call_opts o = {.method = SLICE_LIT("POST"), .body_length = cases[i].length};
        assert_int_equal(call_with(&w, o), 0);
        if (cases[i].length != 0)
            assert_int_equal(http_call_write(w.call, SLICE_LIT("abc")), 0);
        if (cases[i].length == 3)
            assert_int_equal(http_call_write(w.call, SLICE_LIT("d")), -EMSGSIZE);
        http_call_end(w.call);
        int fd = rig_accept(&w.rig, w.listen_fd);
        rig_hear(&w.rig, fd, cases[i].heard);
        rig_say(&w.rig, fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        rig_await(&w.rig, "closed 0;");
        close(fd);
        stop(&w);
    }
}

static void test_short_request_is_cut(void **state)
{
    (void)state;
    WORLD(w);
    struct http_call_opts o = {.method = SLICE_LIT("POST"), .body_length = 9};
    assert_int_equal(call_with(&w, o), 0);
    http_call_end(w.call);
    rig_await(&w.rig, "closed ECANCELED;");
    stop(&w);
}

static void test_refused_requests(void **state)
{
    (void)state;
    WORLD(w);
    static const struct http_header bad[] = {
        {{"X", 1}, {"a\r\nB: c", 7}},
        {{"Content-Length", 14}, {"1", 1}},
        {{"transfer-encoding", 17}, {"chunked", 7}},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(call_with(&w, (struct http_call_opts){.headers = &bad[i], .n_headers = 1}),
                         -EINVAL);
    static const char *const targets[] = {"/a b", "/a\r\nX: y", "/a#b", "/\x80"};
    for (size_t i = 0; i < ARRAY_LEN(targets); i++)
        assert_int_equal(call_with(&w, (struct http_call_opts){.target = slice_str(targets[i])}),
                         -EINVAL);
    assert_int_equal(call_with(&w, (struct http_call_opts){.method = SLICE_LIT("G T")}), -EINVAL);
    rig_idle(&w.rig);
    rig_assert_log(&w.rig, ""); /* what did not start does not call back */
    stop(&w);
}

static void test_not_connected(void **state)
{
    (void)state;
    WORLD(w);
    close(w.listen_fd);
    assert_int_equal(call_with(&w, (struct http_call_opts){0}), 0);
    rig_assert_log(&w.rig, "");
    rig_await(&w.rig, "closed ECONNREFUSED;");
    const struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/nowhere/at/all"};
    buf_clear(&w.rig.log);
    struct http_call_opts o = {.addr = (const struct sockaddr *)&un, .addr_len = sizeof(un)};
    assert_int_equal(call_with(&w, o), 0);
    rig_assert_log(&w.rig, "");
    rig_await(&w.rig, "closed ECONNREFUSED;");
    w.listen_fd = -1;
    stop(&w);
}

/* A full backlog leaves the connect pending: its deadline ends it. */
static void test_connect_deadline(void **state)
{
    (void)state;
    WORLD(w);
    assert_int_equal(listen(w.listen_fd, 0), 0);
    int fillers[8];
    struct sockaddr_in a = rig_addr(w.port);
    for (size_t i = 0; i < ARRAY_LEN(fillers); i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(fillers[i], (struct sockaddr *)&a, sizeof(a));
    }
    assert_int_equal(call_with(&w, (struct http_call_opts){.connect_timeout_ms = 30}), 0);
    rig_await(&w.rig, "closed ETIMEDOUT;");
    for (size_t i = 0; i < ARRAY_LEN(fillers); i++)
        close(fillers[i]);
    stop(&w);
}

static void test_head_and_idle_deadlines(void **state)
{
    (void)state;
    WORLD(w);
    assert_int_equal(call_with(&w, (struct http_call_opts){.head_timeout_ms = 30}), 0);
    int fd = rig_accept(&w.rig, w.listen_fd);
    rig_await(&w.rig, "closed ETIMEDOUT;");
    close(fd);
    buf_clear(&w.rig.log);
    w.pull = false;
    assert_int_equal(call_with(&w, (struct http_call_opts){.idle_timeout_ms = 20}), 0);
    fd = rig_accept(&w.rig, w.listen_fd);
    rig_say(&w.rig, fd, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
    rig_await(&w.rig, "head 200 ;");
    rig_idle(&w.rig); /* longer than the deadline, which counts only while we wait for the peer */
    rig_assert_log(&w.rig, "head 200 ;");
    w.pull = true;
    http_call_read(w.call);
    rig_await(&w.rig, "body abc;closed ETIMEDOUT;");
    close(fd);
    stop(&w);
}

/* The server answers and closes while we still send: the answer counts. */
static void test_early_response(void **state)
{
    (void)state;
    WORLD(w);
    static char block[1 << 20];
    struct http_call_opts o = {.method = SLICE_LIT("POST"), .body_length = 1 << 30};
    assert_int_equal(call_with(&w, o), 0);
    int fd = rig_accept(&w.rig, w.listen_fd);
    do { /* until the kernel takes no more */
        buf_clear(&w.rig.log);
        int r = 0;
        while (r == 0)
            r = http_call_write(w.call, slice_of(block, 65536));
        assert_int_equal(r, -EAGAIN);
        rig_idle(&w.rig);
    } while (rig_logged(&w.rig, "writable;"));
    w.pull = w.log_bytes = false;
    rig_say(&w.rig, fd, "HTTP/1.1 413 Big\r\nContent-Length: 80000\r\n\r\n");
    rig_send(&w.rig, fd, slice_of(block, 80000)); /* more than one input block */
    rig_await(&w.rig, "head 413 ;");
    rig_idle(&w.rig); /* all of it has come, a part of it is still in the kernel */
    close(fd);        /* with unread bytes: a reset */
    rig_await(&w.rig, "writable;");
    assert_int_equal(http_call_write(w.call, slice_of(block, 10)), -EPIPE);
    w.pull = true;
    http_call_read(w.call);
    rig_await(&w.rig, "end;closed 0;");
    assert_int_equal(w.in_bytes, 80000);
    stop(&w);
}

/* A response that nobody pulls is not read: the server's send stops. */
static void test_backpressure(void **state)
{
    (void)state;
    WORLD(w);
    w.pull = w.log_bytes = false;
    int fd = get(&w, "GET");
    static char block[65536];
    rig_say(&w.rig, fd, "HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n");
    rig_await(&w.rig, "head 200 ;");
    rig_fix_buffers(fd);
    uint64_t sent = 0;
    int idle = 0;
    while (idle < RIG_IDLE_TURNS && sent < RIG_BIG_BYTES) {
        ssize_t n = send(fd, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += n > 0 ? (uint64_t)n : 0;
        idle = n > 0 ? 0 : idle + 1;
        rig_turn(&w.rig);
    }
    assert_true(sent < RIG_BIG_BYTES);
    assert_int_equal(w.in_bytes, 0);
    w.pull = true;
    http_call_read(w.call);
    while (sent < RIG_BIG_BYTES) {
        size_t left = RIG_BIG_BYTES - sent;
        ssize_t n = send(fd, block, left < sizeof(block) ? left : sizeof(block),
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += n > 0 ? (uint64_t)n : 0;
        uv_run(&w.rig.loop, UV_RUN_NOWAIT);
    }
    rig_await(&w.rig, "end;closed 0;");
    assert_int_equal(w.in_bytes, RIG_BIG_BYTES);
    close(fd);
    stop(&w);
}

static void test_tunnel(void **state)
{
    (void)state;
    WORLD(w);
    const struct http_header headers[] = {{SLICE_LIT("Host"), SLICE_LIT("h")},
                                          {SLICE_LIT("Upgrade"), SLICE_LIT("websocket")}};
    struct http_call_opts o = {.upgrade = true, .headers = headers, .n_headers = 2};
    assert_int_equal(call_with(&w, o), 0);
    http_call_end(w.call); /* of the request, which has no body; not of the tunnel */
    int fd = rig_accept(&w.rig, w.listen_fd);
    rig_hear(&w.rig, fd,
             "GET /x HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n");
    rig_say(&w.rig, fd,
            "HTTP/1.1 101 Up\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nfirst");
    rig_await(&w.rig, "head 101 ;body first;");
    assert_int_equal(http_call_write(w.call, SLICE_LIT("frame")), 0);
    rig_hear(&w.rig, fd, "frame");
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    rig_await(&w.rig, "end;");
    rig_idle(&w.rig);
    assert_non_null(w.call); /* our direction is still open */
    assert_int_equal(http_call_write(w.call, SLICE_LIT("last")), 0);
    http_call_end(w.call);
    rig_hear_end(&w.rig, fd, "last", RIG_EOF);
    rig_await(&w.rig, "closed 0;");
    close(fd);
    stop(&w);
}

static void test_abort(void **state)
{
    (void)state;
    WORLD(w);
    int fd = get(&w, "GET");
    http_call_abort(w.call);
    http_call_abort(w.call);
    rig_assert_log(&w.rig, ""); /* never from inside the call */
    rig_await(&w.rig, "closed ECANCELED;");
    rig_hear_end(&w.rig, fd, "", RIG_EOF);
    close(fd);
    stop(&w);
}

/* http_fetch(). */

static void on_fetched(unsigned status, struct slice body, const struct err *err, void *user)
{
    struct world *w = user;
    buf_printf(&w->rig.log, "fetched %u %.*s %s;", status, (int)body.n, body.n > 0 ? body.p : "",
               rig_errno(err != NULL ? err->num : 0));
}

static struct http_fetch *fetch(struct world *w, const char *method, const char *body, size_t max,
                                unsigned timeout_ms)
{
    struct sockaddr_in a = rig_addr(w->port);
    struct http_call_opts o = {.addr = (const struct sockaddr *)&a,
                               .addr_len = sizeof(a),
                               .method = slice_str(method),
                               .target = SLICE_LIT("/f"),
                               .headers = &host,
                               .n_headers = 1};
    struct http_fetch *f =
        http_fetch(&w->rig.loop, &o, slice_str(body), max, timeout_ms, on_fetched, w);
    rig_assert_log(&w->rig, ""); /* never from inside the call */
    return f;
}

static void test_fetch(void **state)
{
    (void)state;
    static const struct {
        const char *answer, *log;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes", "fetched 200 yes 0;"},
        {"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", "fetched 404  0;"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123456789", "fetched 0  EMSGSIZE;"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nye", "fetched 0  ECONNRESET;"},
        {"rubbish", "fetched 0  EBADMSG;"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        WORLD(w);
        fetch(&w, "POST", "ask", 8, 60000);
        int fd = rig_accept(&w.rig, w.listen_fd);
        rig_hear(
            &w.rig, fd,
            "POST /f HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nConnection: close\r\n\r\nask");
        rig_say(&w.rig, fd, cases[i].answer);
        close(fd);
        rig_await(&w.rig, "fetched");
        rig_assert_log(&w.rig, cases[i].log);
        stop(&w);
    }
}

static void test_fetch_failures(void **state)
{
    (void)state;
    WORLD(w);
    fetch(&w, "GET", "", 8, 20); /* accepted by the backlog, never answered */
    rig_await(&w.rig, "fetched 0  ETIMEDOUT;");
    buf_clear(&w.rig.log);
    fetch(&w, "B D", "", 8, 0); /* does not start */
    rig_await(&w.rig, "fetched 0  EINVAL;");
    buf_clear(&w.rig.log);
    close(w.listen_fd);
    fetch(&w, "GET", "", 8, 0);
    rig_await(&w.rig, "fetched 0  ECONNREFUSED;");
    w.listen_fd = -1;
    stop(&w);
}

static void test_fetch_abort(void **state)
{
    (void)state;
    WORLD(w);
    http_fetch_abort(NULL);
    http_fetch_abort(fetch(&w, "GET", "", 8, 0)); /* while it connects, to one who never answers */
    rig_assert_log(&w.rig, "");
    rig_await(&w.rig, "fetched 0  ECANCELED;");
    buf_clear(&w.rig.log);
    http_fetch_abort(fetch(&w, "B D", "", 8, 0)); /* one that does not start says so */
    rig_await(&w.rig, "fetched 0  EINVAL;");
    stop(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_responses),
        cmocka_unit_test(test_endless_interims),
        cmocka_unit_test(test_request_bodies),
        cmocka_unit_test(test_short_request_is_cut),
        cmocka_unit_test(test_refused_requests),
        cmocka_unit_test(test_not_connected),
        cmocka_unit_test(test_connect_deadline),
        cmocka_unit_test(test_head_and_idle_deadlines),
        cmocka_unit_test(test_early_response),
        cmocka_unit_test(test_backpressure),
        cmocka_unit_test(test_tunnel),
        cmocka_unit_test(test_abort),
        cmocka_unit_test(test_fetch),
        cmocka_unit_test(test_fetch_failures),
        cmocka_unit_test(test_fetch_abort),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
