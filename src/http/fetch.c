/*
 * http_fetch(): a whole small exchange as one call. It owns its call, a copy of the request body
 * and a timer; done is called once, when the call is over, and the memory goes when the timer's
 * handle has.
 */
#include "http/client.h"

#include "base/cleanup.h"

#include <errno.h>

struct http_fetch {
    struct http_call *call; /* NULL before the start and after on_closed */
    uv_timer_t timer;
    struct buf request, response;
    size_t sent; /* bytes of request that were written */
    unsigned status;
    struct err err; /* why it was aborted; num 0 when it was not */
    void (*done)(unsigned status, struct slice body, const struct err *err, void *user);
    void *user;
};

enum { FETCH_PIECE_BYTES = 65536, FETCH_REQUEST_MAX_BYTES = 16 * 1024 * 1024 };

static void timer_closed(uv_handle_t *h)
{
    struct http_fetch *f = container_of((uv_timer_t *)(void *)h, struct http_fetch, timer);
    buf_done(&f->request);
    buf_done(&f->response);
    free(f);
}

static void finish(struct http_fetch *f)
{
    if (f->err.num < 0)
        f->done(0, slice_of(NULL, 0), &f->err, f->user);
    else
        f->done(f->status, buf_slice(&f->response), NULL, f->user);
    uv_close((uv_handle_t *)&f->timer, timer_closed);
}

static void send_more(struct http_fetch *f)
{
    int r = 0;
    while (r == 0 && f->sent < f->request.n) {
        struct slice piece = slice_sub(buf_slice(&f->request), f->sent, FETCH_PIECE_BYTES);
        f->sent += piece.n;
        r = http_call_write(f->call, piece);
    }
    if (f->sent == f->request.n)
        http_call_end(f->call);
}

static void on_writable(struct http_call *c, void *user)
{
    (void)c;
    send_more(user);
}

static void on_head(struct http_call *c, const struct http_head *h, void *user)
{
    struct http_fetch *f = user;
    f->status = h->status;
    http_call_read(c);
}

static void on_body(struct http_call *c, struct slice data, void *user)
{
    struct http_fetch *f = user;
    if (data.n == 0)
        return;
    int r = buf_put_slice(&f->response, data);
    if (r < 0) {
        (void)err_set(&f->err, r == -ENOBUFS ? -EMSGSIZE : r, ERR_LIMIT,
                      "the answer is larger than %zu bytes", f->response.max);
        http_call_abort(c);
        return;
    }
    http_call_read(c);
}

static void on_closed(struct http_call *c, int reason, void *user)
{
    struct http_fetch *f = user;
    (void)c;
    f->call = NULL;
    if (reason < 0 && f->err.num == 0)
        (void)err_sys(&f->err, reason, "HTTP request failed");
    finish(f);
}

static void on_timer(uv_timer_t *timer)
{
    struct http_fetch *f = container_of(timer, struct http_fetch, timer);
    if (f->call == NULL) { /* the start failed: this turn of the loop tells it */
        finish(f);
        return;
    }
    (void)err_set(&f->err, -ETIMEDOUT, ERR_TIMEOUT, "no complete answer in time");
    http_call_abort(f->call);
}

static const struct http_call_callbacks callbacks = {
    .on_head = on_head,
    .on_body = on_body,
    .on_writable = on_writable,
    .on_closed = on_closed,
};

static int start(struct http_fetch *f, uv_loop_t *loop, const struct http_call_opts *opts,
                 struct slice body)
{
    struct http_call_opts o = *opts;
    o.body_length = (int64_t)body.n;
    if (buf_put_slice(&f->request, body) < 0)
        return err_set(&f->err, -EMSGSIZE, ERR_LIMIT, "the request body is too large");
    int r = http_call_start(loop, &o, &callbacks, f, &f->call, &f->err);
    if (r == 0)
        send_more(f);
    return r;
}

struct http_fetch *http_fetch(uv_loop_t *loop, const struct http_call_opts *opts, struct slice body,
                              size_t max, unsigned total_timeout_ms,
                              void (*done)(unsigned status, struct slice body,
                                           const struct err *err, void *user),
                              void *user)
{
    struct http_fetch *f = xnew(struct http_fetch);
    (void)uv_timer_init(loop, &f->timer);
    buf_init(&f->request, FETCH_REQUEST_MAX_BYTES);
    buf_init(&f->response, max);
    f->done = done;
    f->user = user;
    int r = start(f, loop, opts, body);
    if (r < 0 || total_timeout_ms > 0)
        (void)uv_timer_start(&f->timer, on_timer, r < 0 ? 0 : total_timeout_ms, 0);
    return f;
}

void http_fetch_abort(struct http_fetch *f)
{
    if (f == NULL || f->call == NULL)
        return;
    (void)err_set(&f->err, -ECANCELED, ERR_UNAVAILABLE, "it is not wanted any more");
    http_call_abort(f->call);
}
