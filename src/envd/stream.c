/*
 * A server stream: READING the one request frame → OPEN (response head sent, frames flow) → ENDED
 * (end frame queued) → gone. Errors before OPEN are told in an end frame too, with status 200,
 * because clients ignore the body of any other status.
 *
 * After its frame the request body is read on and thrown away: a client may send the end of its body
 * later, and a client that goes away is noticed only by reading. The most that one slow client pins
 * is the exchange's high-water mark and one frame.
 *
 * The stream holds a reference on the request, and dies when the exchange is closed and both timers
 * are.
 */
#include "base/clock.h"
#include "envd/request.h"
#include "envd/rpc.h"
#include "envd/rpc_head.h"
#include "http/connect.h"

#include <errno.h>

struct stream {
    struct request *r; /* a counted reference */
    const struct stream_ops *ops;
    void *user;
    struct rpc_head head;
    struct connect_reader reader;
    uv_timer_t deadline, keepalive;
    unsigned open_handles;
    bool got_message, opened, ended, gone;
};

struct request *stream_request(const struct stream *s)
{
    return s->r;
}

void stream_set_user(struct stream *s, void *user)
{
    s->user = user;
}

void *stream_user(const struct stream *s)
{
    return s->user;
}

uint64_t stream_timeout_ms(const struct stream *s)
{
    return s->head.timeout_ms;
}

static void on_handle_closed(uv_handle_t *h)
{
    struct stream *s = h->data;
    if (--s->open_handles > 0)
        return;
    connect_reader_done(&s->reader);
    request_unref(s->r);
    free(s);
}

static void on_gone(struct request *r, int reason)
{
    struct stream *s = r->state;
    (void)reason;
    s->gone = s->ended = true;
    s->ops->on_gone(s);
    uv_close((uv_handle_t *)&s->deadline, on_handle_closed);
    uv_close((uv_handle_t *)&s->keepalive, on_handle_closed);
}

static void on_silence(uv_timer_t *t)
{
    struct stream *s = t->data;
    if (!s->ended)
        s->ops->on_silence(s);
}

static void on_deadline(uv_timer_t *t)
{
    struct stream *s = t->data;
    struct err err;
    if (s->ended)
        return;
    s->ops->on_deadline(s);
    (void)rpc_fail(&err, RPC_DEADLINE_EXCEEDED, "context deadline exceeded");
    stream_end(s, &err);
}

static int send_frame(struct stream *s, unsigned flags, struct slice payload)
{
    unsigned char prefix[CONNECT_PREFIX_BYTES] = {(unsigned char)flags};
    static const struct http_header type = {{"Content-Type", 12}, {"application/connect+json", 24}};
    if (s->gone || s->ended)
        return -EPIPE;
    if (!s->opened) {
        s->opened = true;
        int r = request_respond(s->r, 200, &type, 1, HTTP_LENGTH_UNKNOWN);
        if (r < 0)
            return -EPIPE;
    }
    _cleanup_buf_ struct buf frame = BUF_INIT(sizeof(prefix) + payload.n);
    if (connect_put_frame(&frame, flags, payload) < 0) {
        http_x_abort(s->r->x); /* out of memory: a cut stream is an error at the client */
        return -EPIPE;
    }
    return http_x_write(s->r->x, buf_slice(&frame));
}

static void arm_keepalive(struct stream *s)
{
    uint64_t ms = s->head.keepalive_s * 1000;
    (void)uv_timer_start(&s->keepalive, on_silence, ms, ms);
}

int stream_send(struct stream *s, struct slice json)
{
    int r = send_frame(s, 0, json);
    if (r != -EPIPE)
        arm_keepalive(s);
    return r;
}

void stream_end(struct stream *s, const struct err *err)
{
    _cleanup_buf_ struct buf payload = BUF_INIT(8192);
    if (s->ended)
        return;
    rpc_put_end(&payload, err);
    (void)send_frame(s, CONNECT_FLAG_END, buf_slice(&payload));
    s->ended = true;
    (void)uv_timer_stop(&s->deadline);
    (void)uv_timer_stop(&s->keepalive);
    if (!s->gone)
        http_x_end(s->r->x);
}

/* The complete request frame. */
static void take_message(struct stream *s, unsigned flags, struct slice payload)
{
    _cleanup_json_ json_t *doc = NULL;
    struct err err;
    int r;
    s->got_message = true;
    if ((flags & CONNECT_FLAG_COMPRESSED) != 0)
        r = rpc_fail(&err, RPC_INTERNAL, "protocol error: compressed frame without an encoding");
    else if ((flags & CONNECT_FLAG_END) != 0)
        r = rpc_fail(&err, RPC_INVALID_ARGUMENT, "protocol error: the first frame ends the stream");
    else
        r = rpc_parse(payload, &doc, &err);
    if (r < 0) {
        stream_end(s, &err);
        return;
    }
    arm_keepalive(s);
    struct json_ref root = json_root(doc);
    s->ops->on_message(s, &root);
}

static void feed(struct stream *s, struct slice data)
{
    unsigned flags = 0;
    struct slice payload = {0};
    struct err err;
    /* feed() also judges what follows the first frame, which is not our business: only next()
     * decides, except when the bytes could not be kept. */
    int r = connect_reader_feed(&s->reader, data);
    if (r != -ENOMEM && http_x_hold(s->r->x, s->reader.pending.n) < 0)
        r = -ENOBUFS;
    else if (r != -ENOMEM)
        r = connect_reader_next(&s->reader, &flags, &payload);
    if (r == 1)
        take_message(s, flags, payload);
    else if (r == -EMSGSIZE)
        (void)rpc_fail(&err, RPC_RESOURCE_EXHAUSTED, "message is larger than %d bytes",
                       RPC_REQUEST_MAX_BYTES);
    else if (r == -ENOBUFS)
        (void)rpc_fail(&err, RPC_RESOURCE_EXHAUSTED, "too many large messages at once");
    else if (r < 0)
        (void)rpc_fail(&err, RPC_INVALID_ARGUMENT, "protocol error: malformed envelope");
    else if (data.n == 0)
        r = rpc_fail(&err, RPC_INVALID_ARGUMENT, "protocol error: the request frame is incomplete");
    if (r < 0)
        stream_end(s, &err);
}

static void on_body(struct request *r, struct slice data)
{
    struct stream *s = r->state;
    if (!s->got_message && !s->ended) {
        feed(s, data);
        if (s->got_message) {
            connect_reader_done(&s->reader);
            if (r->x != NULL)
                (void)http_x_hold(r->x, 0);
        }
    }
    if (data.n != 0 && r->x != NULL && !s->ended)
        http_x_read(r->x);
}

static void on_writable(struct request *r)
{
    struct stream *s = r->state;
    if (!s->ended)
        s->ops->on_writable(s);
}

void stream_start(struct request *r, const struct stream_ops *ops)
{
    struct err err;
    if (!rpc_check_type(r, "application/connect+json"))
        return;
    struct stream *s = xnew(struct stream);
    s->r = r;
    s->ops = ops;
    s->open_handles = 2;
    connect_reader_init(&s->reader, RPC_REQUEST_MAX_BYTES);
    (void)uv_timer_init(r->envd->loop, &s->deadline);
    (void)uv_timer_init(r->envd->loop, &s->keepalive);
    s->deadline.data = s->keepalive.data = s;
    request_ref(r);
    r->state = s;
    r->on_body = on_body;
    r->on_writable = on_writable;
    r->on_gone = on_gone;
    if (rpc_head_read(r, "Connect-Content-Encoding", &s->head, &err) < 0) {
        stream_end(s, &err);
        return;
    }
    if (s->head.timeout_ms != 0)
        (void)uv_timer_start(&s->deadline, on_deadline, s->head.timeout_ms, 0);
    http_x_read(r->x);
}
