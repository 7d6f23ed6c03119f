#include "http/conn.h"

#include "base/cleanup.h"

#include <assert.h>
#include <poll.h>
#include <sys/uio.h>

enum { OUT_COMPACT_BYTES = 65536 }; /* sent bytes at the queue's front that are worth a move */

static void on_poll(uv_poll_t *poll_handle, int status, int events);
static void on_work(uv_idle_t *work);
static void on_timer(uv_timer_t *timer);

int http_conn_init(struct http_conn *c, uv_loop_t *loop, int fd, bool connecting,
                   const struct http_conn_ops *ops)
{
    *c = (struct http_conn){.ops = ops,
                            .loop = loop,
                            .fd = -EBADF,
                            .connecting = connecting,
                            .readable = !connecting,
                            .writable = !connecting,
                            .out = BUF_INIT(HTTP_OUT_MAX_BYTES)};
    int r = uv_poll_init(loop, &c->poll, fd);
    if (r < 0)
        return r;
    (void)uv_idle_init(loop, &c->work); /* these two only link the handle into the loop */
    (void)uv_timer_init(loop, &c->timer);
    c->open_handles = 3;
    c->fd = fd;
    c->in_ms = c->out_ms = uv_now(loop);
    http_conn_kick(c);
    return 0;
}

static void handle_closed(struct http_conn *c)
{
    if (--c->open_handles == 0)
        c->ops->freed(c);
}

static void poll_closed(uv_handle_t *h)
{
    handle_closed(container_of((uv_poll_t *)(void *)h, struct http_conn, poll));
}

static void work_closed(uv_handle_t *h)
{
    handle_closed(container_of((uv_idle_t *)(void *)h, struct http_conn, work));
}

static void timer_closed(uv_handle_t *h)
{
    handle_closed(container_of((uv_timer_t *)(void *)h, struct http_conn, timer));
}

void http_conn_close(struct http_conn *c)
{
    if (c->closing)
        return;
    c->closing = true;
    uv_close((uv_handle_t *)&c->poll, poll_closed); /* stops watching at once: fd may go now */
    uv_close((uv_handle_t *)&c->work, work_closed);
    uv_close((uv_handle_t *)&c->timer, timer_closed);
    c->fd = fd_close(c->fd);
    free(c->in);
    c->in = NULL;
    c->in_from = c->in_to = 0;
    buf_done(&c->out);
    c->out_from = 0;
}

void http_conn_reset(struct http_conn *c)
{
    if (c->closing)
        return;
    const struct linger hard = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)); /* not for unix sockets */
    http_conn_close(c);
}

void http_conn_kick(struct http_conn *c)
{
    if (c->closing)
        return;
    if (c->in_turn)
        c->again = true;
    else
        (void)uv_idle_start(&c->work, on_work);
}

/* The connection is of no more use, for the reason `error`. */
static void set_cut(struct http_conn *c, int error)
{
    if (c->cut)
        return;
    c->cut = c->gone = c->out_dead = true;
    c->error = error == -EPIPE ? -ECONNRESET : error;
}

/* Input. */

struct slice http_conn_input(const struct http_conn *c)
{
    return slice_of(c->in != NULL ? c->in + c->in_from : NULL, c->in_to - c->in_from);
}

void http_conn_consume(struct http_conn *c, size_t n)
{
    assert(n <= c->in_to - c->in_from);
    c->in_from += n;
    if (c->in_from == c->in_to)
        c->in_from = c->in_to = 0;
}

/* A connection that waits holds no buffers. */
static void release_empty_block(struct http_conn *c)
{
    if (http_conn_queued(c) == 0 && c->out.cap > OUT_COMPACT_BYTES)
        buf_done(&c->out);
    if (c->in_to == 0 && c->in != NULL) {
        free(c->in);
        c->in = NULL;
    }
}

static bool make_room(struct http_conn *c)
{
    if (c->in == NULL) {
        c->in = malloc(HTTP_IN_BLOCK_BYTES);
        if (c->in == NULL)
            return false;
    }
    if (c->in_from > 0 && c->in_to == HTTP_IN_BLOCK_BYTES) {
        memmove(c->in, c->in + c->in_from, c->in_to - c->in_from);
        c->in_to -= c->in_from;
        c->in_from = 0;
    }
    return c->in_to < HTTP_IN_BLOCK_BYTES;
}

size_t http_conn_fill(struct http_conn *c)
{
    if (c->eof || !c->readable || c->connecting || c->closing)
        return 0;
    if (!make_room(c)) {
        if (c->in == NULL)
            set_cut(c, -ENOMEM);
        return 0;
    }
    ssize_t n;
    do
        n = recv(c->fd, c->in + c->in_to, HTTP_IN_BLOCK_BYTES - c->in_to, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n > 0) {
        c->in_to += (size_t)n;
        c->in_ms = uv_now(c->loop);
        return (size_t)n;
    }
    c->readable = false;
    if (n == 0)
        c->eof = true;
    else if (errno != EAGAIN)
        set_cut(c, -errno);
    if (c->cut)
        c->eof = true;
    return 0;
}

/* Output. */

size_t http_conn_queued(const struct http_conn *c)
{
    return c->out.n - c->out_from;
}

static void drop_output(struct http_conn *c)
{
    buf_clear(&c->out);
    c->out_from = 0;
}

/*
 * One sendmsg of the queue and of `extra` behind it. Returns the bytes taken, 0 when the kernel
 * takes none now or never again (out_dead).
 */
static size_t send_once(struct http_conn *c, struct slice extra)
{
    struct iovec iov[2] = {
        {.iov_base = c->out.p != NULL ? c->out.p + c->out_from : NULL,
         .iov_len = http_conn_queued(c)},
        {.iov_base = (void *)(uintptr_t)extra.p, .iov_len = extra.n}, /* sendmsg only reads it */
    };
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
    ssize_t n;
    do
        n = sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n >= 0) {
        c->out_ms = uv_now(c->loop);
        if ((size_t)n < iov[0].iov_len + iov[1].iov_len)
            c->writable = false;
        return (size_t)n;
    }
    if (errno == EAGAIN) {
        c->writable = false;
        return 0;
    }
    /* What the peer sent before it closed can still be read: only this direction is over. */
    c->out_dead = true;
    drop_output(c);
    http_conn_kick(c);
    return 0;
}

/* Drop n sent bytes from the front of the queue. */
static void queue_consume(struct http_conn *c, size_t n)
{
    c->out_from += n;
    if (c->out_from == c->out.n)
        drop_output(c);
    else if (c->out_from >= OUT_COMPACT_BYTES) {
        buf_consume(&c->out, c->out_from);
        c->out_from = 0;
    }
}

static bool can_send(const struct http_conn *c)
{
    return c->writable && !c->connecting && !c->out_dead && !c->closing;
}

bool http_conn_flush(struct http_conn *c)
{
    bool progress = false;
    if (c->out_dead)
        drop_output(c);
    while (http_conn_queued(c) > 0 && can_send(c)) {
        size_t n = send_once(c, slice_of(NULL, 0));
        if (n == 0)
            break;
        queue_consume(c, n);
        progress = true;
    }
    if (c->shut_wanted && !c->shut && http_conn_queued(c) == 0 && !c->connecting && !c->closing) {
        c->shut = true;
        if (!c->out_dead)
            (void)shutdown(c->fd, SHUT_WR); /* fails only when the peer is gone: noticed anyway */
        progress = true;
    }
    return progress;
}

struct buf *http_conn_out(struct http_conn *c)
{
    if (http_conn_queued(c) == 0)
        c->out_ms = uv_now(c->loop); /* a write's deadline counts from here */
    return &c->out;
}

int http_conn_wrote(struct http_conn *c)
{
    int r = c->out.error;
    if (r < 0)
        set_cut(c, r);
    if (c->out_dead)
        drop_output(c);
    http_conn_kick(c);
    return r < 0 ? r : c->out_dead ? -EPIPE : 0;
}

int http_conn_write(struct http_conn *c, struct slice data)
{
    if (c->out_dead || c->closing)
        return -EPIPE;
    if (data.n >= HTTP_DIRECT_SEND_BYTES && can_send(c)) {
        size_t queued = http_conn_queued(c), n = send_once(c, data);
        if (c->out_dead)
            return -EPIPE;
        queue_consume(c, n < queued ? n : queued);
        data = slice_from(data, n > queued ? n - queued : 0);
    }
    (void)buf_put_slice(http_conn_out(c), data);
    return http_conn_wrote(c);
}

void http_conn_shut(struct http_conn *c)
{
    c->shut_wanted = true;
    http_conn_kick(c);
}

bool http_conn_is_shut(const struct http_conn *c)
{
    return c->shut || c->out_dead;
}

/* The loop's side. */

static int take_socket_error(const struct http_conn *c)
{
    int e = 0;
    socklen_t n = sizeof(e);
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &e, &n) < 0)
        return -errno;
    return -e;
}

/* Behind a FIN: has the peer reset, or (unix sockets) closed its other direction too? */
static void probe(struct http_conn *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLRDHUP};
    if (poll(&p, 1, 0) < 0)
        return;
    if ((p.revents & POLLERR) != 0) {
        int e = take_socket_error(c);
        set_cut(c, e < 0 ? e : -ECONNRESET);
    }
    if ((p.revents & POLLHUP) != 0 && !c->shut)
        c->gone = c->out_dead = true;
    c->probe_ms = uv_now(c->loop) + HTTP_HUP_PROBE_MS;
}

static uint64_t next_deadline(struct http_conn *c)
{
    uint64_t at = c->ops->deadline(c);
    if (c->hup && !c->cut && !c->gone && (at == 0 || c->probe_ms < at))
        at = c->probe_ms;
    return at;
}

/* The timer may fire early (that costs one turn) but never late. */
static void update_timer(struct http_conn *c)
{
    uint64_t at = next_deadline(c), now = uv_now(c->loop);
    if (at == 0 || (c->timer_at_ms != 0 && c->timer_at_ms <= at))
        return;
    c->timer_at_ms = at;
    (void)uv_timer_start(&c->timer, on_timer, at > now ? at - now : 0, 0);
}

/* The one place where interest in the descriptor is decided. */
static void update_interest(struct http_conn *c)
{
    int events = 0;
    if (c->connecting) {
        events = UV_WRITABLE;
    } else if (!c->cut) {
        if (!c->eof && c->ops->want_read(c))
            events |= UV_READABLE;
        if (http_conn_queued(c) > 0)
            events |= UV_WRITABLE;
        if (!c->hup)
            events |= UV_DISCONNECT;
    }
    if (events == c->events)
        return;
    c->events = events;
    if (events != 0)
        (void)uv_poll_start(&c->poll, events, on_poll);
    else
        (void)uv_poll_stop(&c->poll);
}

static void run(struct http_conn *c)
{
    unsigned steps = 0;
    c->in_turn = true;
    do {
        c->again = false;
        (void)http_conn_flush(c);
        while (steps++ < HTTP_TURN_STEPS && !c->closing && c->ops->step(c))
            (void)http_conn_flush(c);
        if (!c->closing && http_conn_flush(c))
            c->again = true;
    } while (c->again && steps < HTTP_TURN_STEPS && !c->closing);
    c->in_turn = false;
    if (c->closing)
        return;
    if (c->again || steps >= HTTP_TURN_STEPS)
        http_conn_kick(c);
    release_empty_block(c);
    update_interest(c);
    update_timer(c);
}

static void on_work(uv_idle_t *work)
{
    (void)uv_idle_stop(work);
    run(container_of(work, struct http_conn, work));
}

static void on_timer(uv_timer_t *timer)
{
    struct http_conn *c = container_of(timer, struct http_conn, timer);
    c->timer_at_ms = 0;
    if (c->hup && !c->cut && uv_now(c->loop) >= c->probe_ms)
        probe(c);
    run(c);
}

static void connect_finished(struct http_conn *c)
{
    int e = take_socket_error(c);
    c->connecting = false;
    c->readable = c->writable = true;
    c->in_ms = c->out_ms = uv_now(c->loop);
    if (e < 0) {
        c->connect_failed = true;
        set_cut(c, e);
    }
}

static void on_poll(uv_poll_t *poll_handle, int status, int events)
{
    struct http_conn *c = container_of(poll_handle, struct http_conn, poll);
    if (status < 0)
        c->events = 0; /* libuv has stopped watching */
    if (c->connecting) {
        connect_finished(c);
    } else if (status < 0) {
        int e = take_socket_error(c);
        c->readable = true; /* what came before the reset may still be there */
        set_cut(c, e < 0 ? e : -ECONNRESET);
    }
    if ((events & UV_READABLE) != 0)
        c->readable = true;
    if ((events & UV_WRITABLE) != 0)
        c->writable = true;
    if ((events & UV_DISCONNECT) != 0) {
        c->hup = c->readable = true;
        probe(c);
    }
    run(c);
}
