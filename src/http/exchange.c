/*
 * One request and its response. The http_x_ calls only change state, queue output and kick the
 * connection; callbacks come from exchange_step() alone. `reason` is the only way to fail: once it
 * is set, calls do nothing, and the next step ends the exchange.
 */
#include "http/server_internal.h"

#include "base/cleanup.h"
#include "http/head_internal.h"

#include <sys/ioctl.h>

struct http_exchange *exchange_new(struct sconn *sc, const struct http_head *head, size_t used)
{
    _cleanup_free_ struct http_exchange *x = calloc(1, sizeof(*x));
    _cleanup_free_ char *bytes = malloc(used);
    if (x == NULL || bytes == NULL)
        return NULL;
    const char *from = http_conn_input(&sc->c).p;
    memcpy(bytes, from, used);
    x->sc = sc;
    x->head = *head;
    http_head_rebase(&x->head, from, bytes);
    x->head_bytes = take_ptr(&bytes);
    http_body_out_init(&x->out);
    http_conn_consume(&sc->c, used);
    http_body_in_done(&sc->body);
    http_body_in_init(&sc->body, head->framing, head->content_length);
    x->close_after = !head->keep_alive;
    return take_ptr(&x);
}

static void exchange_free(struct http_exchange *x)
{
    (void)exchange_hold(x, 0);
    http_body_out_done(&x->out);
    buf_done(&x->all);
    buf_done(&x->rest);
    free(x->head_bytes);
    free(x);
}

static void finish(struct http_exchange *x, int reason)
{
    struct sconn *sc = x->sc;
    x->reason = reason < 0 ? reason : -EPIPE; /* calls made in on_closed do nothing */
    if (x->all_done != NULL && reason == -ECONNRESET)
        x->all_done(x, reason, slice_of(NULL, 0), x->all_user);
    if (x->cb.on_closed != NULL)
        x->cb.on_closed(x, reason, x->user);
    sconn_exchange_ended(sc, x, reason);
    exchange_free(x);
}

void exchange_cancel(struct http_exchange *x, int reason)
{
    if (x->reason == 0)
        x->reason = reason;
    http_conn_kick(&x->sc->c);
}

/* The rest of a body of known length can no longer come: less is buffered than is missing. */
static bool body_is_cut(const struct sconn *sc)
{
    int n = 0;
    if (sc->body.done || sc->body.framing != HTTP_BODY_LENGTH || ioctl(sc->c.fd, FIONREAD, &n) < 0)
        return false;
    return (uint64_t)n + http_conn_input(&sc->c).n < sc->body.left;
}

static bool peer_is_gone(const struct http_exchange *x)
{
    const struct sconn *sc = x->sc;
    const struct http_conn *c = &sc->c;
    if (c->cut || c->out_dead)
        return true;
    if (x->tunnel)
        return false;
    if (c->gone)
        return true;
    if (!c->hup && !c->eof)
        return false;
    return sc->body.done ? sc->server->opts.half_close_is_close : body_is_cut(sc);
}

static uint64_t read_deadline(const struct http_exchange *x)
{
    const struct http_conn *c = &x->sc->c;
    if (!x->read_wanted || x->tunnel)
        return 0;
    uint64_t since = c->in_ms > x->read_ms ? c->in_ms : x->read_ms;
    return since + x->sc->server->opts.body_timeout_ms;
}

static uint64_t write_deadline(const struct http_exchange *x)
{
    const struct http_conn *c = &x->sc->c;
    return http_conn_queued(c) > 0 ? c->out_ms + x->sc->server->opts.write_timeout_ms : 0;
}

uint64_t exchange_deadline(const struct http_exchange *x)
{
    uint64_t r = read_deadline(x), w = write_deadline(x);
    if (r == 0 || w == 0)
        return r + w;
    return r < w ? r : w;
}

static bool passed(const struct http_exchange *x, uint64_t deadline)
{
    return deadline != 0 && uv_now(x->sc->c.loop) >= deadline;
}

bool exchange_want_read(const struct http_exchange *x)
{
    return x->read_wanted && !x->too_large && x->reason == 0;
}

static void end_read_all(struct http_exchange *x, int result)
{
    void (*done)(struct http_exchange *, int, struct slice, void *) = x->all_done;
    x->all_done = NULL;
    x->read_wanted = false;
    done(x, result, result == 0 ? buf_slice(&x->all) : slice_of(NULL, 0), x->all_user);
    buf_done(&x->all);
    (void)exchange_hold(x, x->rest.n);
}

/* Reading the body came to a bad end; nothing after it on this connection can be understood. */
static void body_failed(struct http_exchange *x, int error)
{
    int reason = error == -ETIMEDOUT || error == -EBADMSG ? error
                 : error == -EMSGSIZE                     ? -EBADMSG
                                                          : -ECONNRESET;
    x->close_after = true;
    x->read_wanted = false;
    if (x->all_done != NULL && reason != -ECONNRESET) {
        end_read_all(x, reason);
        return;
    }
    x->reason = reason;
    if (x->responded || reason == -ECONNRESET)
        return;
    x->refused = true;
    if (reason == -ETIMEDOUT)
        sconn_put_error(x->sc, 408, "the request body did not arrive in time");
    else
        sconn_put_error(x->sc, 400, "malformed request body");
}

/* A piece of the body for http_x_read_all(). */
static void collect(struct http_exchange *x, struct slice data)
{
    if (buf_put_slice(&x->all, data) < 0) {
        x->close_after = x->close_after || x->sc->body.framing == HTTP_BODY_CHUNKED;
        end_read_all(x, x->all.error == -ENOBUFS ? -EMSGSIZE : -ENOMEM);
    } else if (exchange_hold(x, x->all.n) < 0) {
        x->close_after = true;
        end_read_all(x, -ENOBUFS);
    } else {
        x->read_ms = uv_now(x->sc->c.loop);
    }
}

static bool step_read(struct http_exchange *x)
{
    struct sconn *sc = x->sc;
    if (x->too_large && x->all_done != NULL) {
        end_read_all(x, -EMSGSIZE);
        return true;
    }
    struct slice data = {0};
    size_t used = 0;
    int r = http_body_in_next(&sc->body, &sc->c, &data, &used);
    if (r == HTTP_BODY_WAIT)
        return false;
    if (r < 0) {
        body_failed(x, r);
        return true;
    }
    x->in_end = r == HTTP_BODY_END;
    if (x->all_done != NULL) {
        if (x->in_end)
            end_read_all(x, 0);
        else
            collect(x, data);
    } else {
        x->read_wanted = false;
        if (x->cb.on_body != NULL)
            x->cb.on_body(x, x->in_end ? slice_of(NULL, 0) : data, x->user);
    }
    http_conn_consume(&sc->c, used);
    return true;
}

static bool is_complete(const struct http_exchange *x)
{
    const struct http_conn *c = &x->sc->c;
    if (!x->out.ended || http_conn_queued(c) > 0 || c->out_dead || x->reason != 0)
        return false;
    return !x->tunnel || (x->in_end && c->shut);
}

bool exchange_step(struct http_exchange *x)
{
    if (is_complete(x)) {
        finish(x, 0);
        return true;
    }
    if (x->reason == 0 && peer_is_gone(x))
        x->reason = -ECONNRESET;
    if (x->reason == 0 && passed(x, write_deadline(x)))
        x->reason = -ETIMEDOUT;
    if (x->reason < 0) {
        finish(x, x->reason);
        return true;
    }
    if (http_body_out_unblocked(&x->out, &x->sc->c)) {
        if (x->rest.n > 0)
            exchange_send_rest(x);
        else if (x->cb.on_writable != NULL)
            x->cb.on_writable(x, x->user);
        return true;
    }
    if (x->read_wanted && step_read(x))
        return true;
    if (!passed(x, read_deadline(x)))
        return false;
    body_failed(x, -ETIMEDOUT);
    return true;
}

/* The calls. */

const struct http_head *http_x_head(const struct http_exchange *x)
{
    return &x->head;
}

uv_loop_t *http_x_loop(const struct http_exchange *x)
{
    return x->sc->c.loop;
}

void http_x_peer(const struct http_exchange *x, struct sockaddr_storage *ret)
{
    *ret = x->sc->peer;
}

void http_x_set_callbacks(struct http_exchange *x, const struct http_x_callbacks *cb, void *user)
{
    x->cb = *cb;
    x->user = user;
}

void *http_x_user(const struct http_exchange *x)
{
    return x->user;
}

/* The client waits for leave to send its body. */
static bool awaits_continue(const struct http_exchange *x)
{
    return x->head.expect_continue && !x->continue_sent && !x->sc->body.done &&
           http_conn_input(&x->sc->c).n == 0;
}

static void want_read(struct http_exchange *x)
{
    if (awaits_continue(x) && !x->responded)
        (void)http_conn_write(&x->sc->c, SLICE_LIT("HTTP/1.1 100 Continue\r\n\r\n"));
    x->continue_sent = true;
    x->ever_read = true;
    x->read_wanted = true;
    x->read_ms = uv_now(x->sc->c.loop);
    http_conn_kick(&x->sc->c);
}

void http_x_read(struct http_exchange *x)
{
    if (x->reason == 0 && !x->read_wanted)
        want_read(x);
}

void http_x_read_all(struct http_exchange *x, size_t max,
                     void (*done)(struct http_exchange *x, int result, struct slice body,
                                  void *user),
                     void *user)
{
    if (x->reason < 0 || x->read_wanted)
        return;
    x->all_done = done;
    x->all_user = user;
    buf_init(&x->all, max);
    struct http_body_in *body = &x->sc->body;
    /* Known to be too large: refused before the client is asked to send it. */
    if (body->framing == HTTP_BODY_LENGTH && body->left > max) {
        x->too_large = true;
        x->read_wanted = true;
        x->read_ms = uv_now(x->sc->c.loop);
        http_conn_kick(&x->sc->c);
        return;
    }
    want_read(x);
}

/* Appends what every final or 101 head of ours begins with. */
static int put_head(struct buf *out, unsigned status, const struct http_header *headers, size_t n)
{
    char date[HTTP_DATE_BYTES];
    http_date(date);
    (void)http_put_status_line(out, status);
    (void)buf_printf(out, "Date: %s\r\n", date);
    return http_put_headers(out, headers, n, false);
}

/* Undo a half-written head. A full queue stays an error, and cuts the connection. */
static int take_back(struct http_conn *c, size_t before, int r)
{
    struct buf *out = http_conn_out(c);
    if (out->error < 0)
        return http_conn_wrote(c);
    if (out->p != NULL) {
        out->n = before;
        out->p[before] = '\0';
    }
    return r;
}

/* Whether the connection must end after this response, seen from the moment it starts. */
static bool must_close(const struct http_exchange *x)
{
    const struct sconn *sc = x->sc;
    if (x->close_after || sc->server->closing || awaits_continue(x))
        return true;
    return (!x->ever_read || x->too_large) && !sc->body.done &&
           sc->body.framing == HTTP_BODY_LENGTH && sc->body.left > HTTP_DRAIN_MAX_BYTES;
}

static enum http_out_mode mode_of(const struct http_exchange *x, unsigned status, int64_t length)
{
    if (status == 204 || status == 304 || slice_eq_str(x->head.method, "HEAD"))
        return HTTP_OUT_DISCARD;
    if (length >= 0)
        return HTTP_OUT_LENGTH;
    return x->head.minor >= 1 ? HTTP_OUT_CHUNKED : HTTP_OUT_RAW;
}

static void put_framing(struct http_exchange *x, struct buf *out, unsigned status, int64_t length)
{
    if (length >= 0 && status != 204 && status != 304)
        (void)http_put_length(out, (uint64_t)length);
    if (x->out.mode == HTTP_OUT_CHUNKED)
        (void)buf_put_str(out, "Transfer-Encoding: chunked\r\n");
    if (x->close_after)
        (void)buf_put_str(out, "Connection: close\r\n");
    else if (x->head.minor == 0)
        (void)buf_put_str(out, "Connection: keep-alive\r\n");
    (void)buf_put_str(out, "\r\n");
}

int http_x_respond(struct http_exchange *x, unsigned status, const struct http_header *headers,
                   size_t n_headers, int64_t length)
{
    struct http_conn *c = &x->sc->c;
    if (x->reason < 0)
        return -EPIPE;
    if (x->responded || status < 200 || status > 999 || length < HTTP_LENGTH_UNKNOWN)
        return -EINVAL;
    struct buf *out = http_conn_out(c);
    size_t before = out->n;
    int r = put_head(out, status, headers, n_headers);
    if (r < 0)
        return take_back(c, before, r);
    x->responded = true;
    x->out.mode = mode_of(x, status, length);
    x->out.left = length > 0 ? (uint64_t)length : 0;
    x->close_after = must_close(x) || x->out.mode == HTTP_OUT_RAW;
    put_framing(x, out, status, length);
    return http_conn_wrote(c);
}

int http_x_respond_interim(struct http_exchange *x, unsigned status,
                           const struct http_header *headers, size_t n_headers)
{
    struct http_conn *c = &x->sc->c;
    if (x->reason < 0)
        return -EPIPE;
    if (x->responded || status < 100 || status > 199 || status == 101)
        return -EINVAL;
    if (x->head.minor == 0)
        return 0; /* HTTP/1.0 knows none: RFC 9110 15.2 */
    struct buf *out = http_conn_out(c);
    size_t before = out->n;
    (void)http_put_status_line(out, status);
    int r = http_put_headers(out, headers, n_headers, false);
    if (r < 0)
        return take_back(c, before, r);
    x->continue_sent = x->continue_sent || status == 100;
    (void)buf_put_str(out, "\r\n");
    return http_conn_wrote(c);
}

int http_x_upgrade(struct http_exchange *x, const struct http_header *headers, size_t n_headers)
{
    struct http_conn *c = &x->sc->c;
    if (x->reason < 0)
        return -EPIPE;
    if (x->responded || !x->head.upgrade)
        return -EINVAL;
    struct buf *out = http_conn_out(c);
    size_t before = out->n;
    int r = put_head(out, 101, headers, n_headers);
    if (r < 0)
        return take_back(c, before, r);
    (void)buf_put_str(out, "Connection: upgrade\r\n\r\n");
    x->responded = x->tunnel = x->close_after = true;
    x->out.mode = HTTP_OUT_RAW;
    http_body_in_done(&x->sc->body);
    http_body_in_init(&x->sc->body, HTTP_BODY_UNTIL_CLOSE, 0);
    return http_conn_wrote(c);
}

size_t http_x_high_water(const struct http_exchange *x)
{
    const struct http_server *s = x->sc->server;
    size_t share = s->opts.queued_max_bytes / (s->n_conns > 0 ? s->n_conns : 1);
    if (share > HTTP_OUT_HIGH_WATER)
        return HTTP_OUT_HIGH_WATER;
    return share > HTTP_OUT_HIGH_WATER_MIN ? share : HTTP_OUT_HIGH_WATER_MIN;
}

int http_x_write(struct http_exchange *x, struct slice data)
{
    x->out.high_water = http_x_high_water(x);
    return x->reason < 0 ? -EPIPE : http_body_out_write(&x->out, &x->sc->c, data);
}

int http_x_trailer(struct http_exchange *x, const struct http_header *headers, size_t n_headers)
{
    return x->reason < 0 ? -EPIPE : http_body_out_trailers(&x->out, headers, n_headers);
}

void http_x_end(struct http_exchange *x)
{
    if (x->reason < 0)
        return;
    if (!x->responded || http_body_out_end(&x->out, &x->sc->c) < 0)
        exchange_cancel(x, -ECANCELED); /* a response that is not whole must not look whole */
    else if (x->tunnel)
        http_conn_shut(&x->sc->c);
}

void http_x_abort(struct http_exchange *x)
{
    exchange_cancel(x, -ECANCELED);
}
