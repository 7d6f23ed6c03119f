/*
 * The client's side of one exchange.
 *
 * States: CONNECTING, HEAD (the request goes out, the response head is awaited), BODY (on_head was
 * called; pieces are given out on request), then gone. A tunnel is BODY with a raw body both ways.
 *
 * A peer may answer before it has read the request, and close: so a failing send only ends our
 * direction, and the response is still read to its end.
 *
 * Memory: struct http_call, one copy of the response head, one input block, the output queue.
 */
#include "http/client.h"

#include "base/cleanup.h"
#include "http/body.h"
#include "http/head_internal.h"

#include <netinet/tcp.h>

enum {
    CALL_CONNECT_TIMEOUT_MS = 10000,
    CALL_INTERIM_MAX = 16, /* interim responses before the final one */
};

enum call_state { CALL_CONNECTING, CALL_HEAD, CALL_BODY };

struct http_call {
    struct http_conn c;
    enum call_state state;
    char method[HTTP_METHOD_MAX_BYTES + 1];
    bool upgrade, tunnel;
    unsigned connect_timeout_ms, head_timeout_ms, idle_timeout_ms;
    uint64_t state_ms; /* since when */
    size_t parsed;     /* HEAD: bytes that parsing has looked at */
    unsigned n_interim;
    struct http_head head;
    char *head_bytes; /* owned; what head's slices point into */
    struct http_body_in in;
    struct http_body_out out;
    bool read_wanted, in_end;
    uint64_t read_ms;
    int reason; /* negative: the call ends for it in the next step */
    bool over;  /* on_closed was called */
    struct http_call_callbacks cb;
    void *user;
};

static void call_free(struct http_call *c)
{
    http_body_in_done(&c->in);
    http_body_out_done(&c->out);
    free(c->head_bytes);
    free(c);
}

static void finish(struct http_call *c, int reason)
{
    c->over = true;
    if (c->reason == 0)
        c->reason = -EPIPE; /* calls made in on_closed do nothing */
    if (c->cb.on_closed != NULL)
        c->cb.on_closed(c, reason, c->user);
    http_conn_close(&c->c);
}

/* Deadlines. */

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static bool request_is_sent(const struct http_call *c)
{
    return c->out.ended || (c->out.mode == HTTP_OUT_LENGTH && c->out.left == 0);
}

/* Idle time counts only while we wait for the peer: a slow user of ours is not its fault. */
static uint64_t idle_deadline(const struct http_call *c)
{
    bool waits = (c->state == CALL_HEAD && request_is_sent(c)) || c->read_wanted ||
                 http_conn_queued(&c->c) > 0;
    if (c->idle_timeout_ms == 0 || !waits)
        return 0;
    uint64_t since = later(later(c->c.in_ms, c->c.out_ms), c->read_wanted ? c->read_ms : 0);
    return since + c->idle_timeout_ms;
}

static uint64_t call_deadline(struct http_conn *conn)
{
    const struct http_call *c = container_of(conn, struct http_call, c);
    if (c->state == CALL_CONNECTING)
        return c->state_ms + c->connect_timeout_ms;
    uint64_t at = idle_deadline(c);
    if (c->state == CALL_HEAD && c->head_timeout_ms != 0) {
        uint64_t head_at = c->state_ms + c->head_timeout_ms;
        at = at == 0 || head_at < at ? head_at : at;
    }
    return at;
}

static bool call_want_read(struct http_conn *conn)
{
    const struct http_call *c = container_of(conn, struct http_call, c);
    return c->state == CALL_HEAD || (c->state == CALL_BODY && c->read_wanted);
}

static void set_state(struct http_call *c, enum call_state state)
{
    c->state = state;
    c->state_ms = uv_now(c->c.loop);
}

/* Steps. */

static int connect_error(int error)
{
    switch (-error) {
    case ECONNREFUSED:
    case ENOENT: /* a unix socket that is not there */
    case EAGAIN: /* a unix socket whose backlog is full */
        return -ECONNREFUSED;
    case ETIMEDOUT:
        return -ETIMEDOUT;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case EHOSTDOWN:
    case ENETDOWN:
        return -EHOSTUNREACH;
    default:
        return error;
    }
}

static bool step_connecting(struct http_call *c)
{
    if (c->c.connecting)
        return false;
    if (c->c.connect_failed)
        c->reason = connect_error(c->c.error);
    else
        set_state(c, CALL_HEAD);
    return true;
}

static bool step_interim(struct http_call *c, const struct http_head *head, size_t used)
{
    if (++c->n_interim > CALL_INTERIM_MAX) {
        c->reason = -EBADMSG;
        return true;
    }
    if (c->cb.on_interim != NULL)
        c->cb.on_interim(c, head, c->user);
    http_conn_consume(&c->c, used);
    c->parsed = 0;
    return true;
}

/* Keep the final head beyond the input block, and set up what follows it. */
static bool accept_head(struct http_call *c, const struct http_head *head, size_t used)
{
    const char *from = http_conn_input(&c->c).p;
    c->head_bytes = malloc(used);
    if (c->head_bytes == NULL) {
        c->reason = -ENOMEM;
        return true;
    }
    memcpy(c->head_bytes, from, used);
    c->head = *head;
    http_head_rebase(&c->head, from, c->head_bytes);
    http_conn_consume(&c->c, used);
    set_state(c, CALL_BODY);
    c->tunnel = head->status == 101;
    http_body_in_done(&c->in);
    http_body_in_init(&c->in, c->tunnel ? HTTP_BODY_UNTIL_CLOSE : head->framing,
                      head->content_length);
    if (c->tunnel) { /* an http_call_end() so far was for the request, not for the tunnel */
        c->out.mode = HTTP_OUT_RAW;
        c->out.ended = false;
    }
    if (c->cb.on_head != NULL)
        c->cb.on_head(c, &c->head, c->user);
    return true;
}

/* -EAGAIN also when parsing is not worth a try: no line has ended since the last one. */
static int try_parse(struct http_call *c, struct http_head *head, size_t *ret_used)
{
    struct slice in = http_conn_input(&c->c), fresh = slice_from(in, c->parsed);
    bool worth = c->parsed == 0 || in.n == HTTP_IN_BLOCK_BYTES;
    if (in.n == 0 || (!worth && slice_find(fresh, '\n') == fresh.n))
        return -EAGAIN;
    c->parsed = in.n;
    return http_head_parse_response(in, slice_str(c->method), head, ret_used, NULL);
}

static bool step_head(struct http_call *c)
{
    struct http_head head;
    size_t used;
    int r = try_parse(c, &head, &used);
    if (r == -EAGAIN) {
        if (http_conn_fill(&c->c) > 0)
            return true;
        if (c->c.eof)
            c->reason = -ECONNRESET;
        return c->c.eof;
    }
    bool unasked = r == 0 && head.status == 101 && (!c->upgrade || !head.upgrade);
    if (r < 0 || unasked) {
        c->reason = -EBADMSG;
        return true;
    }
    return head.status < 200 && head.status != 101 ? step_interim(c, &head, used)
                                                   : accept_head(c, &head, used);
}

static bool step_read(struct http_call *c)
{
    struct slice data = {0};
    size_t used = 0;
    int r = http_body_in_next(&c->in, &c->c, &data, &used);
    if (r == HTTP_BODY_WAIT)
        return false;
    if (r < 0) {
        c->reason = r == -EBADMSG || r == -EMSGSIZE ? -EBADMSG : -ECONNRESET;
        return true;
    }
    c->read_wanted = false;
    c->in_end = r == HTTP_BODY_END;
    if (c->cb.on_body != NULL)
        c->cb.on_body(c, c->in_end ? slice_of(NULL, 0) : data, c->user);
    http_conn_consume(&c->c, used);
    return true;
}

static bool step_body(struct http_call *c)
{
    if (http_body_out_unblocked(&c->out, &c->c)) {
        if (c->cb.on_writable != NULL)
            c->cb.on_writable(c, c->user);
        return true;
    }
    if (c->state == CALL_BODY && c->read_wanted && step_read(c))
        return true;
    return c->state == CALL_HEAD ? step_head(c) : false;
}

static bool is_complete(const struct http_call *c)
{
    if (!c->in_end || c->reason != 0)
        return false;
    return !c->tunnel || (c->out.ended && http_conn_is_shut(&c->c));
}

static bool call_step(struct http_conn *conn)
{
    struct http_call *c = container_of(conn, struct http_call, c);
    uint64_t deadline = call_deadline(conn);
    if (c->over)
        return false;
    if (is_complete(c)) {
        finish(c, 0);
        return false;
    }
    if (c->reason == 0 && deadline != 0 && uv_now(conn->loop) >= deadline)
        c->reason = -ETIMEDOUT;
    if (c->reason < 0) {
        finish(c, c->reason);
        return false;
    }
    return c->state == CALL_CONNECTING ? step_connecting(c) : step_body(c);
}

static void call_freed(struct http_conn *conn)
{
    call_free(container_of(conn, struct http_call, c));
}

static const struct http_conn_ops call_ops = {
    .step = call_step,
    .want_read = call_want_read,
    .deadline = call_deadline,
    .freed = call_freed,
};

/* Starting. */

static int put_request(struct http_call *c, const struct http_call_opts *o)
{
    struct buf *out = http_conn_out(&c->c);
    (void)buf_put_slice(out, o->method);
    (void)buf_put_str(out, " ");
    (void)buf_put_slice(out, o->target);
    (void)buf_put_str(out, " HTTP/1.1\r\n");
    int r = http_put_headers(out, o->headers, o->n_headers, true);
    if (r < 0)
        return r;
    if (o->body_length > 0 || (o->body_length == 0 && !slice_eq_str(o->method, "GET") &&
                               !slice_eq_str(o->method, "HEAD") && !o->upgrade))
        (void)http_put_length(out, (uint64_t)o->body_length);
    if (o->body_length == HTTP_LENGTH_UNKNOWN)
        (void)buf_put_str(out, "Transfer-Encoding: chunked\r\n");
    (void)buf_put_str(out,
                      o->upgrade ? "Connection: upgrade\r\n\r\n" : "Connection: close\r\n\r\n");
    c->out.mode = o->body_length == HTTP_LENGTH_UNKNOWN ? HTTP_OUT_CHUNKED : HTTP_OUT_LENGTH;
    c->out.left = o->body_length > 0 ? (uint64_t)o->body_length : 0;
    return out->error;
}

static bool is_method_and_target(const struct http_call_opts *o)
{
    for (size_t i = 0; i < o->target.n; i++)
        if (o->target.p[i] <= ' ' || o->target.p[i] >= 0x7f || o->target.p[i] == '#')
            return false;
    return http_is_token(o->method) && o->method.n <= HTTP_METHOD_MAX_BYTES && o->target.n > 0 &&
           o->target.n <= HTTP_TARGET_MAX_BYTES && o->body_length >= HTTP_LENGTH_UNKNOWN;
}

/* A connecting socket. *ret_error gets what connect said at once, to be told by on_closed. */
static int open_socket(const struct http_call_opts *o, int *ret_error)
{
    _cleanup_close_ int fd =
        socket(o->addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    const int on = 1;
    if (o->addr->sa_family != AF_UNIX)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* only helps */
    *ret_error = connect(fd, o->addr, o->addr_len) == 0 || errno == EINPROGRESS ? 0 : -errno;
    return take_fd(&fd);
}

static void set_options(struct http_call *c, const struct http_call_opts *o,
                        const struct http_call_callbacks *cb, void *user)
{
    memcpy(c->method, o->method.p, o->method.n); /* checked to fit */
    c->upgrade = o->upgrade;
    c->connect_timeout_ms =
        o->connect_timeout_ms != 0 ? o->connect_timeout_ms : CALL_CONNECT_TIMEOUT_MS;
    c->head_timeout_ms = o->head_timeout_ms;
    c->idle_timeout_ms = o->idle_timeout_ms;
    c->cb = *cb;
    c->user = user;
    http_body_in_init(&c->in, HTTP_BODY_NONE, 0);
    http_body_out_init(&c->out);
}

int http_call_start(uv_loop_t *loop, const struct http_call_opts *opts,
                    const struct http_call_callbacks *cb, void *user, struct http_call **ret,
                    struct err *err)
{
    if (!is_method_and_target(opts))
        return err_set(err, -EINVAL, ERR_INVALID, "malformed method or request target");
    int error = 0;
    _cleanup_close_ int fd = open_socket(opts, &error);
    if (fd < 0)
        return err_sys(err, fd, "make a socket");
    struct http_call *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return err_set(err, -ENOMEM, ERR_INTERNAL, "no memory for an HTTP call");
    set_options(c, opts, cb, user);
    int r = http_conn_init(&c->c, loop, fd, true, &call_ops);
    if (r < 0) {
        call_free(c);
        return err_sys(err, r, "watch a socket");
    }
    (void)take_fd(&fd);
    set_state(c, CALL_CONNECTING);
    c->reason = connect_error(error);
    r = put_request(c, opts);
    if (r < 0) {
        c->over = true;
        http_conn_close(&c->c);
        return err_set(err, r, ERR_INVALID, "malformed or forbidden request header");
    }
    *ret = c;
    return 0;
}

/* The calls. */

int http_call_write(struct http_call *c, struct slice data)
{
    return c->reason < 0 ? -EPIPE : http_body_out_write(&c->out, &c->c, data);
}

void http_call_end(struct http_call *c)
{
    if (c->reason < 0)
        return;
    if (http_body_out_end(&c->out, &c->c) < 0)
        http_call_abort(c);
    else if (c->tunnel)
        http_conn_shut(&c->c);
}

void http_call_read(struct http_call *c)
{
    if (c->reason < 0 || c->read_wanted)
        return;
    c->read_wanted = true;
    c->read_ms = uv_now(c->c.loop);
    http_conn_kick(&c->c);
}

void http_call_abort(struct http_call *c)
{
    if (c->reason == 0)
        c->reason = -ECANCELED;
    http_conn_kick(&c->c);
}

const struct http_header *http_call_trailers(const struct http_call *c, size_t *ret_n)
{
    *ret_n = c->in.done ? c->in.chunks.n_fields : 0;
    return c->in.chunks.fields;
}
