/*
 * What the server holds, waits for and admits: backpressure, shared queues, deadlines, the number of
 * connections, and how it closes. The protocol itself is in test_http_server.c.
 */
// deps: http
#include "http_server_rig.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
