/*
 * Replies in one call, of any size, and what all exchanges of a server together hold in memory.
 *
 * The queue of a connection has a maximum that a large reply (a folder of 10^5 names) passes. Such a
 * reply is copied once into `rest` and written piece by piece, as fast as its client reads.
 */
#include "http/server_internal.h"

int exchange_hold(struct http_exchange *x, size_t bytes)
{
    struct http_server *s = x->sc->server;
    size_t counted = bytes > HTTP_HELD_FREE_BYTES ? bytes : 0;
    if (counted > x->held && counted - x->held > s->opts.held_max_bytes - s->held)
        return -ENOBUFS;
    s->held = s->held - x->held + counted;
    x->held = counted;
    return 0;
}

void exchange_send_rest(struct http_exchange *x)
{
    int r = 0;
    while (r == 0 && x->rest_at < x->rest.n) {
        struct slice left = slice_from(buf_slice(&x->rest), x->rest_at);
        struct slice piece = slice_sub(left, 0, http_x_high_water(x));
        x->rest_at += piece.n;
        r = http_x_write(x, piece);
    }
    if (r == -EAGAIN && x->rest_at < x->rest.n)
        return;
    buf_done(&x->rest);
    (void)exchange_hold(x, x->all.n);
    http_x_end(x); /* after a failure it finds out that the body is not whole */
}

int http_x_hold(struct http_exchange *x, size_t bytes)
{
    return x->reason < 0 ? 0 : exchange_hold(x, bytes);
}

/* The copy of a body that the queue cannot take. */
static int keep_rest(struct http_exchange *x, struct slice body)
{
    if (exchange_hold(x, body.n) < 0)
        return -ENOBUFS;
    buf_init(&x->rest, body.n);
    return buf_put_slice(&x->rest, body);
}

void http_x_reply_with(struct http_exchange *x, unsigned status, const struct http_header *headers,
                       size_t n_headers, struct slice body)
{
    bool large = body.n > HTTP_OUT_HIGH_WATER && !x->responded && x->reason == 0;
    if (large && keep_rest(x, body) < 0) {
        buf_done(&x->rest);
        large = false;
        body = slice_of(NULL, 0);
        status = 503;
    }
    int r = http_x_respond(x, status, headers, n_headers, (int64_t)body.n);
    if (r == -EINVAL && !x->responded) {
        buf_done(&x->rest);
        large = false;
        body = slice_of(NULL, 0);
        r = http_x_respond(x, 500, NULL, 0, 0);
    }
    if (r == -EINVAL) {
        http_x_abort(x);
        return;
    }
    if (large) {
        exchange_send_rest(x);
        return;
    }
    (void)http_x_write(x, body); /* the end below finds out */
    http_x_end(x);
}

void http_x_reply(struct http_exchange *x, unsigned status, const char *content_type,
                  struct slice body)
{
    const struct http_header type = {SLICE_LIT("Content-Type"), slice_str(content_type)};
    http_x_reply_with(x, status, &type, content_type != NULL ? 1 : 0, body);
}
