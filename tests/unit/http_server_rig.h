/*
 * A server, a handler that writes what it is told to a log and keeps the exchange, and the test as
 * its client: both sides are played line by line. For the tests of http/server.h.
 */
#pragma once

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

static inline void on_body(struct http_exchange *x, struct slice data, void *user)
{
    struct world *w = user;
    (void)x;
    w->in_bytes += data.n;
    if (data.n == 0)
        buf_put_str(&w->rig.log, "end;");
    else if (w->log_bytes)
        buf_printf(&w->rig.log, "body %.*s;", (int)data.n, data.p);
}

static inline void on_writable(struct http_exchange *x, void *user)
{
    struct world *w = user;
    (void)x;
    buf_put_str(&w->rig.log, "writable;");
}

static inline void on_closed(struct http_exchange *x, int reason, void *user)
{
    struct world *w = user;
    buf_printf(&w->rig.log, "closed %s;", rig_errno(reason));
    if (w->x == x)
        w->x = NULL;
}

static inline void handler(struct http_exchange *x, void *user)
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

static inline void start_with(struct world *w, const struct http_server_opts *opts)
{
    *w = (struct world){.log_bytes = true};
    rig_init(&w->rig);
    struct err err;
    int fd = rig_listen(&w->port);
    assert_int_equal(http_server_new(&w->rig.loop, fd, opts, handler, w, &w->server, &err), 0);
}

static inline void start(struct world *w)
{
    start_with(w, NULL);
}

static inline void on_server_gone(void *user)
{
    ((struct world *)user)->server_gone = true;
}

static inline void stop(struct world *w)
{
    http_server_close(w->server, true, on_server_gone, w);
    assert_false(w->server_gone); /* never from inside the call */
    rig_until(&w->rig, w->server_gone);
    rig_done(&w->rig);
}

static inline void on_all(struct http_exchange *x, int result, struct slice body, void *user)
{
    struct world *w = user;
    buf_printf(&w->rig.log, "all %s %.*s;", rig_errno(result), (int)body.n,
               body.n > 0 ? body.p : "");
    if (result != -ECONNRESET)
        http_x_reply(x, result == 0 ? 200 : result == -EMSGSIZE ? 413 : 400, NULL, SLICE_LIT(""));
}

#define WORLD(w)                                                                                   \
    struct world w;                                                                                \
    start(&w)
