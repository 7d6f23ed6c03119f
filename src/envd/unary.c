/*
 * A unary call: READING the body → WORKING (the handler has it) → answered. The deadline may answer
 * first; the handler's own answer is then dropped. The call holds one reference on the request and
 * dies when the handler has answered and the timer is closed.
 */
#include "envd/request.h"
#include "envd/rpc.h"
#include "envd/rpc_head.h"

#include <errno.h>

struct unary {
    struct request *r; /* a counted reference */
    unary_handler handler;
    uv_timer_t deadline;
    bool answered; /* something was sent, or nobody listens any more */
    bool working;  /* the handler owes an answer */
    bool closing;
};

static void free_unary(uv_handle_t *h)
{
    struct unary *u = container_of(h, struct unary, deadline);
    request_unref(u->r);
    free(u);
}

static void maybe_close(struct unary *u)
{
    if (u->answered && !u->working && !u->closing) {
        u->closing = true;
        u->r->state = NULL; /* the exchange may outlive the call */
        uv_close((uv_handle_t *)&u->deadline, free_unary);
    }
}

static void answer_error(struct unary *u, const struct err *err)
{
    _cleanup_buf_ struct buf body = BUF_INIT(8192);
    if (u->answered)
        return;
    u->answered = true;
    rpc_put_error(&body, err);
    request_reply(u->r, rpc_status_of(rpc_code_of(err)), "application/json", buf_slice(&body));
}

static int too_busy(struct err *err)
{
    return rpc_fail(err, RPC_RESOURCE_EXHAUSTED, "too many large messages at once");
}

void unary_reply(struct unary *u, struct slice json)
{
    struct err err;
    if (!u->answered && http_x_hold(u->r->x, json.n) < 0) {
        (void)too_busy(&err);
        answer_error(u, &err);
    }
    if (!u->answered) {
        u->answered = true;
        request_reply(u->r, 200, "application/json", json);
    }
    u->working = false;
    maybe_close(u);
}

void unary_fail(struct unary *u, const struct err *err)
{
    answer_error(u, err);
    u->working = false;
    maybe_close(u);
}

struct request *unary_request(const struct unary *u)
{
    return u->r;
}

static void on_deadline(uv_timer_t *t)
{
    struct unary *u = container_of(t, struct unary, deadline);
    struct err err;
    (void)rpc_fail(&err, RPC_DEADLINE_EXCEEDED, "context deadline exceeded");
    answer_error(u, &err);
    maybe_close(u);
}

static void on_gone(struct request *r, int reason)
{
    struct unary *u = r->state;
    (void)reason;
    if (u == NULL)
        return;
    r->state = NULL;
    u->answered = true; /* nobody listens */
    maybe_close(u);
}

static void on_message(struct http_exchange *x, int result, struct slice body, void *user)
{
    struct unary *u = ((struct request *)user)->state;
    _cleanup_json_ json_t *doc = NULL;
    struct err err;
    (void)x;
    if (u == NULL || u->answered) /* the deadline was first */
        return;
    int r = result == -EMSGSIZE  ? rpc_fail(&err, RPC_RESOURCE_EXHAUSTED,
                                            "message is larger than %d bytes", RPC_REQUEST_MAX_BYTES)
            : result == -ENOBUFS ? too_busy(&err)
            : result < 0 ? rpc_fail(&err, RPC_INVALID_ARGUMENT, "the body did not arrive whole")
                         : rpc_parse(body, &doc, &err);
    if (r < 0) {
        answer_error(u, &err);
        maybe_close(u);
        return;
    }
    struct json_ref root = json_root(doc);
    u->working = true;
    u->handler(u, &root);
}

void unary_start(struct request *r, unary_handler handler)
{
    struct rpc_head head;
    struct err err;
    if (!rpc_check_type(r, "application/json"))
        return;
    if (rpc_head_read(r, "Content-Encoding", &head, &err) < 0) {
        rpc_fail_request(r, &err);
        return;
    }
    struct unary *u = xnew(struct unary);
    request_ref(r);
    u->r = r;
    u->handler = handler;
    r->state = u;
    r->on_gone = on_gone;
    (void)uv_timer_init(r->envd->loop, &u->deadline);
    if (head.timeout_ms != 0)
        (void)uv_timer_start(&u->deadline, on_deadline, head.timeout_ms, 0);
    http_x_read_all(r->x, RPC_REQUEST_MAX_BYTES, on_message, r);
}
