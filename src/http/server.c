/*
 * Listener and connections of the server; the states are in server_internal.h.
 *
 * Memory for one connection: struct sconn, at most one input block, the output queue (see conn.h),
 * and one exchange with a copy of its head. Descriptors: one. An idle connection holds no buffers.
 */
#include "http/server_internal.h"

#include "base/cleanup.h"
#include "base/num.h"
#include "http/head_internal.h"

#include <netinet/tcp.h>

static void set_state(struct sconn *sc, enum sconn_state state)
{
    sc->state = state;
    sc->state_ms = uv_now(sc->c.loop);
    sc->parsed = 0;
    sc->dropped = 0;
    if (state == SCONN_LINGER)
        http_conn_shut(&sc->c);
}

void sconn_put_error(struct sconn *sc, unsigned status, const char *msg)
{
    char date[HTTP_DATE_BYTES];
    http_date(date);
    _cleanup_buf_ struct buf body = BUF_INIT(512);
    (void)buf_printf(&body, "{\"code\":%u,\"message\":\"%s\"}", status, msg);
    struct buf *out = http_conn_out(&sc->c);
    (void)http_put_status_line(out, status);
    (void)buf_printf(out, "Date: %s\r\nContent-Type: application/json\r\nConnection: close\r\n",
                     date);
    (void)http_put_length(out, body.n);
    (void)buf_put_str(out, "\r\n");
    (void)buf_put_slice(out, buf_slice(&body));
    (void)http_conn_wrote(&sc->c); /* a failure cuts the connection, which is ending anyway */
}

static bool refuse(struct sconn *sc, unsigned status, const char *msg)
{
    sconn_put_error(sc, status, msg);
    set_state(sc, SCONN_LINGER);
    return true;
}

static uint64_t sconn_deadline(struct http_conn *c)
{
    const struct sconn *sc = container_of(c, struct sconn, c);
    const struct http_server_opts *o = &sc->server->opts;
    switch (sc->state) {
    case SCONN_IDLE:
        return sc->state_ms + o->idle_timeout_ms;
    case SCONN_HEAD:
        return sc->state_ms + o->head_timeout_ms;
    case SCONN_EXCHANGE:
        return exchange_deadline(sc->x);
    case SCONN_DRAIN:
        return sc->state_ms + HTTP_DRAIN_MS;
    case SCONN_LINGER:
        return sc->state_ms + HTTP_LINGER_MS;
    }
    return 0;
}

static bool expired(struct sconn *sc)
{
    return uv_now(sc->c.loop) >= sconn_deadline(&sc->c);
}

static bool close_conn(struct sconn *sc)
{
    http_conn_close(&sc->c);
    return false;
}

static bool step_idle(struct sconn *sc)
{
    if (http_conn_input(&sc->c).n == 0 && !sc->server->closing)
        (void)http_conn_fill(&sc->c);
    if (http_conn_input(&sc->c).n > 0) {
        set_state(sc, SCONN_HEAD);
        return true;
    }
    if (sc->server->closing || sc->c.eof || sc->c.gone || expired(sc))
        return close_conn(sc);
    return false;
}

/* The status that belongs to a refused head. */
static unsigned status_of(const struct err *err)
{
    uint32_t status;
    return parse_u32(slice_str(err->code), 999, &status) == 0 ? status : 400;
}

/* -EAGAIN, or parsing is not worth a try: no line has ended since the last one. */
static int try_parse(struct sconn *sc, struct http_head *head, size_t *ret_used, struct err *err)
{
    struct slice in = http_conn_input(&sc->c), fresh = slice_from(in, sc->parsed);
    bool worth = sc->parsed == 0 || in.n == HTTP_IN_BLOCK_BYTES;
    if (!worth && slice_find(fresh, '\n') == fresh.n)
        return -EAGAIN;
    sc->parsed = in.n;
    return http_head_parse_request(in, head, ret_used, err);
}

static bool step_head(struct sconn *sc)
{
    struct http_head head;
    struct err err;
    size_t used;
    int r = try_parse(sc, &head, &used, &err);
    if (r == -EAGAIN) {
        if (http_conn_fill(&sc->c) > 0)
            return true;
        if (sc->c.eof || sc->c.gone)
            return close_conn(sc);
        return expired(sc) ? refuse(sc, 408, "the request head did not arrive in time") : false;
    }
    if (r < 0)
        return refuse(sc, status_of(&err), err.msg);
    struct http_exchange *x = exchange_new(sc, &head, used);
    if (x == NULL)
        return close_conn(sc);
    sc->x = x;
    set_state(sc, SCONN_EXCHANGE);
    sc->server->handler(x, sc->server->user);
    return true;
}

void sconn_exchange_ended(struct sconn *sc, struct http_exchange *x, int reason)
{
    bool keep = reason == 0 && !x->close_after && !x->tunnel && !sc->server->closing;
    bool polite = reason == 0 || x->refused;
    sc->x = NULL;
    if (keep)
        set_state(sc, sc->body.done ? SCONN_IDLE : SCONN_DRAIN);
    else if (polite)
        set_state(sc, SCONN_LINGER);
    else if (x->out.mode == HTTP_OUT_RAW && !x->tunnel)
        http_conn_reset(&sc->c); /* only a reset tells a cut from an end */
    else
        http_conn_close(&sc->c);
    if (sc->state != SCONN_DRAIN)
        http_body_in_done(&sc->body);
}

static bool step_drain(struct sconn *sc)
{
    struct slice data;
    size_t used = 0;
    int r = http_body_in_next(&sc->body, &sc->c, &data, &used);
    if (r == HTTP_BODY_DATA) {
        http_conn_consume(&sc->c, used);
        sc->dropped += used;
    }
    if (r == HTTP_BODY_END) {
        http_body_in_done(&sc->body);
        set_state(sc, SCONN_IDLE);
    } else if (r < 0 || sc->dropped > HTTP_DRAIN_MAX_BYTES || expired(sc)) {
        http_body_in_done(&sc->body);
        set_state(sc, SCONN_LINGER);
    } else {
        return r == HTTP_BODY_DATA;
    }
    return true;
}

static bool step_linger(struct sconn *sc)
{
    size_t n = http_conn_input(&sc->c).n;
    if (n == 0)
        n = http_conn_fill(&sc->c);
    http_conn_consume(&sc->c, n);
    sc->dropped += n;
    bool done = sc->c.eof && http_conn_is_shut(&sc->c);
    if (done || sc->c.gone || sc->dropped > HTTP_LINGER_MAX_BYTES || expired(sc))
        return close_conn(sc);
    return n > 0;
}

static bool sconn_step(struct http_conn *c)
{
    struct sconn *sc = container_of(c, struct sconn, c);
    switch (sc->state) {
    case SCONN_IDLE:
        return step_idle(sc);
    case SCONN_HEAD:
        return step_head(sc);
    case SCONN_EXCHANGE:
        return exchange_step(sc->x);
    case SCONN_DRAIN:
        return step_drain(sc);
    case SCONN_LINGER:
        return step_linger(sc);
    }
    return false;
}

static bool sconn_want_read(struct http_conn *c)
{
    const struct sconn *sc = container_of(c, struct sconn, c);
    return sc->state != SCONN_EXCHANGE || exchange_want_read(sc->x);
}

static void maybe_closed(struct http_server *s)
{
    if (!s->closing || s->n_conns > 0 || s->open_handles > 0)
        return;
    void (*closed)(void *) = s->closed;
    void *user = s->closed_user;
    free(s);
    if (closed != NULL)
        closed(user);
}

static void sconn_freed(struct http_conn *c)
{
    struct sconn *sc = container_of(c, struct sconn, c);
    struct http_server *s = sc->server;
    http_body_in_done(&sc->body);
    list_remove(&sc->node);
    s->n_conns--;
    free(sc);
    maybe_closed(s);
}

static const struct http_conn_ops sconn_ops = {
    .step = sconn_step,
    .want_read = sconn_want_read,
    .deadline = sconn_deadline,
    .freed = sconn_freed,
};

/* A dead peer that sends neither FIN nor reset is found by the kernel in two minutes. */
static void set_socket_options(int fd, int family)
{
    const int on = 1, idle_s = 60, interval_s = 15, count = 4;
    if (family == AF_UNIX)
        return;
    /* All of these only improve matters: a failure is not worth refusing the connection. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

/* How long a connection has been of use to nobody; 0 when it is of use, or may soon be. */
static uint64_t useless_ms(const struct sconn *sc, uint64_t now)
{
    if (sc->c.closing || (sc->state != SCONN_IDLE && sc->state != SCONN_HEAD))
        return 0;
    uint64_t ms = now - sc->state_ms;
    return sc->state == SCONN_IDLE ? ms + 1 : ms > HTTP_SLOW_HEAD_MS ? ms - HTTP_SLOW_HEAD_MS : 0;
}

/*
 * Close the connection that has waited longest without a request, so that those who open many and
 * say nothing keep nobody out. False when all have one.
 */
static bool close_useless(struct http_server *s)
{
    uint64_t most = 0;
    struct sconn *found = NULL;
    list_for_each_safe(it, next, &s->conns)
    {
        struct sconn *sc = container_of(it, struct sconn, node);
        uint64_t ms = useless_ms(sc, uv_now(s->loop));
        if (ms > most) {
            most = ms;
            found = sc;
        }
    }
    if (found != NULL)
        http_conn_close(&found->c);
    return found != NULL;
}

/* fd is taken over in every case. */
static void add_conn(struct http_server *s, int taken_fd, const struct sockaddr_storage *peer)
{
    _cleanup_close_ int fd = taken_fd;
    bool room = s->n_conns < s->opts.max_connections || close_useless(s);
    if (!room && s->n_conns >= (size_t)s->opts.max_connections + HTTP_REFUSED_MAX)
        return;
    struct sconn *sc = calloc(1, sizeof(*sc));
    if (sc == NULL)
        return;
    set_socket_options(fd, peer->ss_family);
    if (http_conn_init(&sc->c, s->loop, fd, false, &sconn_ops) < 0) {
        free(sc);
        return;
    }
    (void)take_fd(&fd);
    sc->server = s;
    sc->peer = *peer;
    list_append(&s->conns, &sc->node);
    s->n_conns++;
    set_state(sc, SCONN_IDLE);
    if (!room)
        (void)refuse(sc, 503, "too many connections");
}

static void on_listen(uv_poll_t *poll, int status, int events);

static void on_pause_over(uv_timer_t *timer)
{
    struct http_server *s = container_of(timer, struct http_server, pause);
    if (!s->closing)
        (void)uv_poll_start(&s->poll, UV_READABLE, on_listen);
}

static void on_listen(uv_poll_t *poll, int status, int events)
{
    struct http_server *s = container_of(poll, struct http_server, poll);
    (void)status; /* an error of the listening socket shows in accept4 */
    (void)events;
    for (int i = 0; i < HTTP_ACCEPTS_PER_WAKEUP && !s->closing; i++) {
        struct sockaddr_storage peer = {0};
        socklen_t n = sizeof(peer);
        int fd = accept4(s->fd, (struct sockaddr *)&peer, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            add_conn(s, fd, &peer);
            continue;
        }
        if (errno == EAGAIN)
            return;
        if (errno == ECONNABORTED || errno == EINTR)
            continue;
        /* Out of descriptors or memory: the connection waits in the backlog, we do not spin. */
        (void)uv_poll_stop(&s->poll);
        (void)uv_timer_start(&s->pause, on_pause_over, HTTP_ACCEPT_PAUSE_MS, 0);
        return;
    }
}

static void fill_defaults(struct http_server_opts *o)
{
    o->head_timeout_ms = o->head_timeout_ms != 0 ? o->head_timeout_ms : 30000;
    o->idle_timeout_ms = o->idle_timeout_ms != 0 ? o->idle_timeout_ms : 620000;
    o->body_timeout_ms = o->body_timeout_ms != 0 ? o->body_timeout_ms : 120000;
    o->write_timeout_ms = o->write_timeout_ms != 0 ? o->write_timeout_ms : 120000;
    o->max_connections = o->max_connections != 0 ? o->max_connections : 4096;
    o->queued_max_bytes = o->queued_max_bytes != 0 ? o->queued_max_bytes : (size_t)512 << 20;
    o->held_max_bytes = o->held_max_bytes != 0 ? o->held_max_bytes : (size_t)512 << 20;
}

int http_server_new(uv_loop_t *loop, int listen_fd, const struct http_server_opts *opts,
                    http_handler handler, void *user, struct http_server **ret, struct err *err)
{
    _cleanup_close_ int fd = listen_fd;
    _cleanup_free_ struct http_server *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return err_set(err, -ENOMEM, ERR_INTERNAL, "no memory for an HTTP server");
    s->loop = loop;
    s->opts = opts != NULL ? *opts : (struct http_server_opts){0};
    s->handler = handler;
    s->user = user;
    fill_defaults(&s->opts);
    list_init(&s->conns);
    int r = uv_poll_init(loop, &s->poll, fd);
    if (r < 0)
        return err_sys(err, r, "watch the listening socket");
    (void)uv_timer_init(loop, &s->pause);
    s->open_handles = 2;
    s->fd = take_fd(&fd);
    (void)uv_poll_start(&s->poll, UV_READABLE, on_listen);
    *ret = take_ptr(&s);
    return 0;
}

static void listener_handle_closed(struct http_server *s)
{
    s->open_handles--;
    maybe_closed(s);
}

static void poll_closed(uv_handle_t *h)
{
    listener_handle_closed(container_of((uv_poll_t *)(void *)h, struct http_server, poll));
}

static void pause_closed(uv_handle_t *h)
{
    listener_handle_closed(container_of((uv_timer_t *)(void *)h, struct http_server, pause));
}

static void stop_listening(struct http_server *s)
{
    uv_close((uv_handle_t *)&s->poll, poll_closed);
    uv_close((uv_handle_t *)&s->pause, pause_closed);
    s->fd = fd_close(s->fd);
}

void http_server_close(struct http_server *s, bool now, void (*done)(void *user), void *user)
{
    if (!s->closing) {
        s->closing = true;
        s->closed = done;
        s->closed_user = user;
        stop_listening(s);
    }
    list_for_each_safe(it, next, &s->conns)
    {
        struct sconn *sc = container_of(it, struct sconn, node);
        if (sc->x != NULL && now)
            exchange_cancel(sc->x, -ECANCELED);
        else if (sc->state == SCONN_IDLE || (now && sc->x == NULL))
            http_conn_close(&sc->c);
    }
}
