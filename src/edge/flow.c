/*
 * One request between its client and its sandbox.
 *
 *     client ── exchange (x) ── flow ── call ── guest
 *
 * States
 *   DIALLING   no response head yet. The body may already be on its way. A refused dial is repeated
 *              (a guest's server may need a moment), at most DIAL_ATTEMPTS times; a request of which
 *              a byte may have reached the guest is never repeated.
 *   ANSWERING  the head was passed on, the body follows.
 *   TUNNEL     101 was passed on, bytes go both ways until both sides ended.
 *   DONE       answered, cut, or ended; only waiting for the callbacks that come last.
 *
 * Both directions are pulled: the next piece of the client's body is asked for only when the call
 * took the last one below its high-water mark, and the other way round. So one flow holds, in each
 * direction, one high-water buffer and one piece, and until the dial succeeded a copy of what was
 * sent (at most REPLAY_MAX_BYTES). A transfer of any size moves the daemon's memory no further.
 *
 * Ends. Client gone: the call is aborted. Guest gone before its head: 502. Guest gone in the middle:
 * the client's connection is cut, except a Connect stream on a frame border, which gets an end frame
 * with the code "unavailable". Sandbox ended (link): the same, at once.
 *
 * The flow is freed when the exchange, the call and the timer are all closed (`refs`). No deadline
 * runs here but that of the dial: streams live for hours; their keep-alives are the guest's.
 */
#include "edge/flow.h"

#include "base/cleanup.h"
#include "base/ids.h"
#include "edge/answer.h"
#include "edge/border.h"
#include "edge/headers.h"
#include "http/client.h"
#include "http/connect.h"
#include "json/writer.h"

#include <arpa/inet.h>

enum {
    DIAL_ATTEMPTS = 5,
    DIAL_PAUSE_MS = 100, /* after the first attempt; then 200, 300, 400 */
    DIAL_TIMEOUT_MS = 30000,
    REPLAY_MAX_BYTES = 2 * HTTP_OUT_HIGH_WATER,
    MASKED_HOST_MAX_BYTES = 2048,
    END_FRAME_MAX_BYTES = 512,
};

enum flow_state { FLOW_DIALLING, FLOW_ANSWERING, FLOW_TUNNEL, FLOW_DONE };

struct flow {
    struct edge *edge;
    struct http_exchange *x; /* NULL once closed */
    struct http_call *call;  /* NULL between attempts and once closed */
    struct sandbox_link link;
    struct edge_lane *lane;
    uv_timer_t retry;
    unsigned refs;
    enum flow_state state;

    struct edge_target target;
    struct sockaddr_in addr;
    struct buf masked_host; /* empty: the guest sees the client's Host */
    struct buf target_text; /* the request target in origin form */
    int64_t body_length;

    unsigned attempts;
    struct buf replay;  /* body bytes sent since the dial began */
    bool replay_lost;   /* they did not fit: no further attempt */
    bool connected;     /* the dial is known to have succeeded */
    bool request_ended; /* the client's body, or its tunnel direction, has ended */
    bool reading_x;     /* a http_x_read() is under way */

    bool connect_stream; /* the response is application/connect+... of unknown length */
    struct border border;
};

static void flow_unref(struct flow *f)
{
    if (--f->refs > 0)
        return;
    buf_done(&f->masked_host);
    buf_done(&f->target_text);
    buf_done(&f->replay);
    free(f);
}

/* ---- ends ---- */

static void append_end_frame(struct flow *f)
{
    _cleanup_buf_ struct buf json = BUF_INIT(END_FRAME_MAX_BYTES);
    _cleanup_buf_ struct buf text = BUF_INIT(END_FRAME_MAX_BYTES);
    _cleanup_buf_ struct buf frame = BUF_INIT(END_FRAME_MAX_BYTES + CONNECT_PREFIX_BYTES);
    struct json_writer w;
    (void)buf_printf(&text, "the connection to sandbox %s ended before the stream completed",
                     f->target.id);
    jw_init(&w, &json);
    jw_obj(&w);
    jw_key(&w, "error");
    jw_obj(&w);
    jw_kstr(&w, "code", "unavailable");
    jw_kstr(&w, "message", buf_str(&text));
    jw_end(&w);
    jw_end(&w);
    (void)connect_put_frame(&frame, CONNECT_FLAG_END, buf_slice(&json));
    (void)http_x_write(f->x, buf_slice(&frame)); /* taken even above the high-water mark */
    http_x_end(f->x);
}

/* The guest or its sandbox is gone. What the client gets depends on how far the answer came. */
static void lose_guest(struct flow *f, enum edge_failure failure)
{
    enum flow_state was = f->state;
    f->state = FLOW_DONE;
    if (f->x == NULL || was == FLOW_DONE)
        return;
    if (was == FLOW_DIALLING)
        edge_answer(f->x, failure, &f->target, 0);
    else if (f->connect_stream && border_open(&f->border))
        append_end_frame(f);
    else
        http_x_abort(f->x);
}

static void drop_call(struct flow *f)
{
    if (f->call != NULL)
        http_call_abort(f->call); /* on_call_closed gives its reference back */
}

static void on_gone(struct sandbox_link *link)
{
    struct flow *f = container_of(link, struct flow, link);
    (void)uv_timer_stop(&f->retry);
    lose_guest(f, EDGE_NOT_FOUND);
    drop_call(f);
}

/* ---- client to guest ---- */

static void pull_request(struct flow *f)
{
    if (f->x == NULL || f->request_ended || f->reading_x)
        return;
    f->reading_x = true;
    http_x_read(f->x);
}

static void keep_for_replay(struct flow *f, struct slice data)
{
    if (f->connected || f->replay_lost || buf_put_slice(&f->replay, data) == 0)
        return;
    f->replay_lost = true;
    buf_done(&f->replay);
}

static void dial_succeeded(struct flow *f)
{
    f->connected = true;
    buf_done(&f->replay);
}

static void send_request(struct flow *f, struct slice data)
{
    if (data.n == 0 || http_call_write(f->call, data) == 0)
        pull_request(f);
    /* Otherwise on_call_writable() or on_call_closed() goes on. */
}

static void on_x_body(struct http_exchange *x, struct slice data, void *user)
{
    (void)x;
    struct flow *f = user;
    f->reading_x = false;
    if (f->state == FLOW_DONE)
        return;
    if (data.n == 0) {
        f->request_ended = true;
        if (f->call != NULL)
            http_call_end(f->call);
        return;
    }
    keep_for_replay(f, data);
    if (f->call != NULL) /* else between two attempts: dial() sends the replay and pulls on */
        send_request(f, data);
}

static void on_call_writable(struct http_call *c, void *user)
{
    (void)c;
    struct flow *f = user;
    dial_succeeded(f);
    if (f->state != FLOW_DONE)
        pull_request(f);
}

/* ---- guest to client ---- */

static void on_call_interim(struct http_call *c, const struct http_head *h, void *user)
{
    (void)c;
    struct flow *f = user;
    dial_succeeded(f);
    if (f->state != FLOW_DIALLING || h->status == 100)
        return; /* 100 is between the edge and each side */
    struct edge_headers headers;
    edge_headers_response(h, false, &headers);
    (void)http_x_respond_interim(f->x, h->status, headers.h, headers.n);
}

static bool is_connect_stream(const struct http_head *h)
{
    static const struct slice prefix = SLICE_LIT("application/connect+");
    return h->framing != HTTP_BODY_LENGTH &&
           slice_ieq(slice_sub(http_head_get(h, "Content-Type"), 0, prefix.n), prefix);
}

static void open_tunnel(struct flow *f, const struct http_head *h)
{
    struct edge_headers headers;
    edge_headers_response(h, true, &headers);
    if (!http_x_head(f->x)->upgrade || http_x_upgrade(f->x, headers.h, headers.n) < 0) {
        lose_guest(f, EDGE_PORT_CLOSED); /* a guest that switches protocols unasked */
        drop_call(f);
        return;
    }
    f->state = FLOW_TUNNEL;
    f->request_ended = false;
    pull_request(f);
    http_call_read(f->call);
}

static void on_call_head(struct http_call *c, const struct http_head *h, void *user)
{
    struct flow *f = user;
    dial_succeeded(f);
    if (f->state != FLOW_DIALLING)
        return;
    if (h->status == 101) {
        open_tunnel(f, h);
        return;
    }
    struct edge_headers headers;
    edge_headers_response(h, false, &headers);
    if (http_x_respond(f->x, h->status, headers.h, headers.n, edge_response_length(h)) < 0) {
        lose_guest(f, EDGE_PORT_CLOSED);
        drop_call(f);
        return;
    }
    f->state = FLOW_ANSWERING;
    f->connect_stream = is_connect_stream(h);
    http_call_read(c);
}

static void end_answer(struct flow *f)
{
    size_t n = 0;
    const struct http_header *trailers = http_call_trailers(f->call, &n);
    if (n > 0)
        (void)http_x_trailer(f->x, trailers, n); /* a client that takes none loses only them */
    f->state = FLOW_DONE;
    http_x_end(f->x);
}

static void on_call_body(struct http_call *c, struct slice data, void *user)
{
    struct flow *f = user;
    if (f->state == FLOW_DONE || f->x == NULL)
        return;
    if (data.n == 0 && f->state == FLOW_TUNNEL) {
        http_x_end(f->x);
        return;
    }
    if (data.n == 0) {
        end_answer(f);
        return;
    }
    if (f->connect_stream)
        border_feed(&f->border, data);
    int r = http_x_write(f->x, data);
    if (r == 0)
        http_call_read(c);
    else if (r != -EAGAIN)
        http_call_abort(c); /* on_x_closed is on its way */
}

static void on_x_writable(struct http_exchange *x, void *user)
{
    (void)x;
    struct flow *f = user;
    if (f->call != NULL && f->state != FLOW_DONE)
        http_call_read(f->call);
}

/* ---- dialling ---- */

static void dial(struct flow *f);

static void on_retry(uv_timer_t *t)
{
    dial(container_of(t, struct flow, retry));
}

static void on_call_closed(struct http_call *c, int reason, void *user)
{
    struct flow *f = user;
    bool again = f->state == FLOW_DIALLING && reason == -ECONNREFUSED && !f->connected &&
                 !f->replay_lost && f->attempts < DIAL_ATTEMPTS;
    if (f->state == FLOW_ANSWERING && reason == 0)
        end_answer(f);
    (void)c;
    f->call = NULL;
    if (again)
        (void)uv_timer_start(&f->retry, on_retry, (uint64_t)f->attempts * DIAL_PAUSE_MS, 0);
    else if (f->state != FLOW_TUNNEL || reason != 0)
        lose_guest(f, EDGE_PORT_CLOSED);
    flow_unref(f);
}

static int start_call(struct flow *f)
{
    static const struct http_call_callbacks callbacks = {
        .on_interim = on_call_interim,
        .on_head = on_call_head,
        .on_body = on_call_body,
        .on_writable = on_call_writable,
        .on_closed = on_call_closed,
    };
    const struct http_head *head = http_x_head(f->x);
    struct edge_headers headers;
    bool masked = f->masked_host.n > 0;
    edge_headers_request(head, masked ? buf_slice(&f->masked_host) : f->target.host,
                         masked ? f->target.host : (struct slice){0}, &headers);
    const struct http_call_opts opts = {
        .addr = (const struct sockaddr *)&f->addr,
        .addr_len = sizeof(f->addr),
        .method = head->method,
        .target = buf_slice(&f->target_text),
        .headers = headers.h,
        .n_headers = headers.n,
        .body_length = f->body_length,
        .upgrade = head->upgrade,
        .connect_timeout_ms = DIAL_TIMEOUT_MS,
    };
    return http_call_start(http_x_loop(f->x), &opts, &callbacks, f, &f->call, NULL);
}

static void dial(struct flow *f)
{
    if (f->state != FLOW_DIALLING || f->x == NULL)
        return;
    f->attempts++;
    if (start_call(f) < 0) {
        f->call = NULL;
        lose_guest(f, EDGE_PORT_CLOSED);
        return;
    }
    f->refs++;
    if (f->body_length == 0)
        return;
    send_request(f, buf_slice(&f->replay));
    if (f->request_ended)
        http_call_end(f->call);
}

/* ---- beginning ---- */

static void on_timer_closed(uv_handle_t *h)
{
    flow_unref(container_of((uv_timer_t *)h, struct flow, retry));
}

static void on_x_closed(struct http_exchange *x, int reason, void *user)
{
    (void)x, (void)reason;
    struct flow *f = user;
    f->x = NULL;
    f->state = FLOW_DONE;
    sandbox_unlink(&f->link);
    edge_lane_leave(f->lane);
    drop_call(f);
    uv_close((uv_handle_t *)&f->retry, on_timer_closed);
    flow_unref(f);
}

/* "localhost:${PORT}" with the port in place of each ${PORT}. */
static void put_masked_host(struct buf *out, const char *mask, uint32_t port)
{
    static const struct slice placeholder = SLICE_LIT("${PORT}");
    struct slice rest = slice_str(mask);
    while (rest.n > 0) {
        bool is_port = slice_has_prefix(rest, placeholder.p);
        if (is_port)
            buf_put_u64(out, port);
        else
            buf_put_char(out, rest.p[0]);
        rest = slice_from(rest, is_port ? placeholder.n : 1);
    }
}

static int64_t body_length_of(const struct http_head *head)
{
    if (head->framing == HTTP_BODY_LENGTH && head->content_length <= INT64_MAX)
        return (int64_t)head->content_length;
    return head->framing == HTTP_BODY_NONE ? 0 : HTTP_LENGTH_UNKNOWN;
}

void edge_flow_start(struct edge *edge, struct http_exchange *x, const struct edge_target *target,
                     const struct sandbox_info *info, struct edge_lane *lane)
{
    static const struct http_x_callbacks callbacks = {
        .on_body = on_x_body,
        .on_writable = on_x_writable,
        .on_closed = on_x_closed,
    };
    struct flow *f = xnew(struct flow);
    f->edge = edge;
    f->x = x;
    f->lane = lane;
    f->target = *target;
    f->addr = info->addr;
    f->addr.sin_port = htons((uint16_t)target->port);
    f->refs = 2; /* the exchange and the timer */
    buf_init(&f->masked_host, MASKED_HOST_MAX_BYTES);
    buf_init(&f->target_text, HTTP_TARGET_MAX_BYTES);
    buf_init(&f->replay, REPLAY_MAX_BYTES);
    buf_put_slice(&f->target_text, target->path);
    buf_put_slice(&f->target_text, target->query);
    if (info->mask_host != NULL && target->port != ENVD_PORT)
        put_masked_host(&f->masked_host, info->mask_host, target->port);
    f->body_length = body_length_of(http_x_head(x));
    f->request_ended = f->body_length == 0;
    list_init(&f->link.node);
    f->link.on_gone = on_gone;
    (void)uv_timer_init(http_x_loop(x), &f->retry);
    http_x_set_callbacks(x, &callbacks, f);
    if (sandbox_link(edge->manager, target->id, info->lifecycle, &f->link) < 0)
        lose_guest(f, EDGE_NOT_FOUND);
    else
        dial(f);
}
