/*
 * The container driver: requests to silica-priv, their answers to the core.
 *
 * Each call becomes a request in `pending` and completes by callback when its reply arrives, in the
 * order the helper decides. The core promises that it calls from the loop's thread and is answered
 * from the loop, never from inside its call: a request that cannot be sent is answered by the
 * `failed` timer.
 *
 *   CONNECTED  requests are sent at once.
 *   WAITING    the helper is away (start of the host, restart after a crash). Requests wait, without
 *              having been sent, until it is back or their patience ends.
 *
 * When the connection breaks, requests that were sent are in doubt. A stop is sent again (it is
 * idempotent). A start is answered with an error only after a stop for its id was answered, so that
 * a failed start leaves nothing behind; a list is asked again from the beginning.
 * After a reconnect the driver asks for a list of its own: a sandbox it knew and that is gone
 * without an exit event is reported as ended, for the event may have been lost with the helper.
 */
#include "sandbox/container/container.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "sandbox/container/container_internal.h"
#include "sandbox/container/known.h"

#include <string.h>

enum {
    RETRY_MS = 50,
    START_PATIENCE_MS = 60000, /* its first start makes the place of all disks */
};

static struct container *from_driver(struct driver *d)
{
    return container_of(d, struct container, base);
}

static void stop_polling(struct container *c)
{
    if (c->polling)
        (void)uv_poll_stop(&c->poll);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct container *c = handle->data;
    if (--c->handles > 0 || !c->closing)
        return;
    free(c->path);
    free(c);
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct container *c = handle->data;
    c->polling = false;
    priv_client_close(&c->client); /* after the loop has let go of the descriptor */
    on_handle_closed(handle);
}

static void drop_poll(struct container *c)
{
    if (c->polling && !uv_is_closing((uv_handle_t *)&c->poll)) {
        stop_polling(c);
        uv_close((uv_handle_t *)&c->poll, on_poll_closed);
    }
}

static void disconnected(struct container *c)
{
    if (c->greeted)
        log_warning("the connection to silica-priv broke, reconnecting");
    c->greeted = false;
    drop_poll(c);
    list_for_each_safe(it, next, &c->pending)
    {
        struct request *q = container_of(it, struct request, node);
        if (q->kind == REQUEST_CHECK) {
            request_finish(q, NULL, NULL);
            continue;
        }
        if (q->sent && q->kind == REQUEST_START)
            q->undo = true;
        q->sent = false;
        q->since_ns = clock_monotonic_ns();
    }
    container_connect_later(c);
}

static void start_check(struct container *c)
{
    list_for_each_safe(it, next, &c->known) container_of(it, struct known, node)->seen = false;
    (void)request_new(c, REQUEST_CHECK, "", NULL);
}

static void start_answered(struct container *c, struct request *q, const struct priv_reply *reply,
                           struct err *err)
{
    if (q->undo) {
        (void)err_set(err, -ECONNRESET, ERR_UNAVAILABLE,
                      "silica-priv was restarted while the sandbox was started");
        request_finish(q, NULL, err);
    } else if (reply->error < 0) {
        request_finish(q, NULL, err);
    } else {
        known_add(&c->known, q->id);
        request_finish(q, &reply->inst, NULL);
    }
}

static void on_reply(struct container *c, const struct priv_reply *reply)
{
    struct err err;
    if (reply->error < 0)
        priv_reply_error(reply, &err);
    if (!c->greeted && reply->head.seq == c->hello_seq) {
        if (reply->error < 0) {
            static struct log_rate rate;
            if (log_allow(&rate, 1))
                log_error("%s", err.msg);
            return;
        }
        c->greeted = true;
        start_check(c);
        requests_flush(c);
        return;
    }
    struct request *q = request_find(c, reply->head.seq);
    if (q == NULL)
        return;
    if (q->kind == REQUEST_START) {
        start_answered(c, q, reply, &err);
        return;
    }
    if (q->kind == REQUEST_CHECK && reply->error == 0)
        told_nothing(c);
    if ((q->kind == REQUEST_STOP || q->kind == REQUEST_SNAPSHOT) && reply->error == 0)
        (void)known_remove(&c->known, q->id);
    request_finish(q, NULL, reply->error < 0 ? &err : NULL);
}

static void on_item(struct container *c, const struct priv_item *item)
{
    struct driver_instance inst;
    struct request *q = request_find(c, item->head.seq);
    if (q == NULL)
        return;
    struct known *k = known_find(&c->known, item->inst.id);
    if (k != NULL)
        k->seen = true;
    if (q->kind != REQUEST_LIST)
        return;
    known_add(&c->known, item->inst.id);
    request_instance(&item->inst, &inst);
    q->each(q->user, item->inst.id, &inst);
}

static void on_readable(uv_poll_t *handle, int status, int events)
{
    struct container *c = handle->data;
    union priv_packet p;
    (void)events;
    int r = status < 0 ? -EPIPE : 0;
    while (r == 0 && !c->closing && !uv_is_closing((uv_handle_t *)handle)) {
        r = priv_client_receive(&c->client, &p);
        if (r < 0)
            break;
        if (p.head.op == PRIV_REPLY)
            on_reply(c, &p.reply);
        else if (p.head.op == PRIV_ITEM)
            on_item(c, &p.item);
        else if (p.head.op == PRIV_EVENT)
            told_event(c, &p.event);
        else
            told_exit(c, &p.exit);
    }
    if (r == -EPIPE && !c->closing)
        disconnected(c);
}

static int try_connect(struct container *c, struct err *err)
{
    int r = priv_client_open(&c->client, c->path, &c->hello_seq, err);
    if (r < 0)
        return r;
    r = uv_poll_init(c->loop, &c->poll, c->client.fd);
    if (r < 0) {
        priv_client_close(&c->client);
        return err_sys(err, r, "watch silica-priv");
    }
    c->poll.data = c;
    c->polling = true;
    c->handles++;
    r = uv_poll_start(&c->poll, UV_READABLE | UV_DISCONNECT, on_readable);
    if (r < 0) {
        drop_poll(c);
        return err_sys(err, r, "watch silica-priv");
    }
    return 0;
}

static void on_timer(uv_timer_t *timer)
{
    struct container *c = timer->data;
    if (!c->polling && try_connect(c, NULL) < 0)
        c->greeted = false;
    requests_flush(c);
    requests_give_up(c);
    if (c->closing)
        return;
    bool waiting = false;
    list_for_each_safe(it, next, &c->pending) waiting =
        waiting || !container_of(it, struct request, node)->sent;
    if (c->greeted && !waiting)
        (void)uv_timer_stop(timer);
}

void container_connect_later(struct container *c)
{
    if (!c->closing && !uv_is_active((uv_handle_t *)&c->timer))
        (void)uv_timer_start(&c->timer, on_timer, RETRY_MS, RETRY_MS);
}

/* ---- the driver's face ---- */

static void send_soon(struct container *c, struct request *q)
{
    if (c->greeted && request_send(c, q, NULL) == 0)
        q->sent = true;
    else
        container_connect_later(c);
}

static void container_start(struct driver *d, const struct driver_start *start,
                            void (*done)(void *user, const struct driver_instance *inst,
                                         const struct err *err),
                            void *user)
{
    struct container *c = from_driver(d);
    struct request *q = request_new(c, REQUEST_START, start->id, user);
    q->started = done;
    q->start = (struct priv_start){.memory_bytes = start->limits.memory_bytes,
                                   .cpu_millis = start->limits.cpu_millis,
                                   .pids = start->limits.pids,
                                   .disk_bytes = start->limits.disk_bytes,
                                   .network_rate = start->limits.network_rate,
                                   .kind = (uint32_t)start->kind,
                                   .internet = start->internet};
    (void)snprintf(q->start.id, sizeof(q->start.id), "%s", start->id);
    (void)snprintf(q->start.template_id, sizeof(q->start.template_id), "%.*s",
                   (int)sizeof(q->start.template_id) - 1, start->artifact.template_id);
    (void)snprintf(q->start.control_secret, sizeof(q->start.control_secret), "%s",
                   start->control_secret);
    send_soon(c, q);
}

static void container_stop(struct driver *d, const char *id,
                           void (*done)(void *user, const struct err *err), void *user)
{
    struct container *c = from_driver(d);
    struct request *q = request_new(c, REQUEST_STOP, id, user);
    q->done = done;
    send_soon(c, q);
}

void container_driver_snapshot(struct driver *d, const char *id,
                               void (*done)(void *user, const struct err *err), void *user)
{
    struct container *c = from_driver(d);
    struct request *q = request_new(c, REQUEST_SNAPSHOT, id, user);
    q->done = done;
    send_soon(c, q);
}

static void container_list(struct driver *d,
                           void (*each)(void *user, const char *id,
                                        const struct driver_instance *inst),
                           void (*done)(void *user, const struct err *err), void *user)
{
    struct container *c = from_driver(d);
    struct request *q = request_new(c, REQUEST_LIST, "", user);
    q->each = each;
    q->done = done;
    send_soon(c, q);
}

/* Requests under way are forgotten without an answer: their owner is going away too. */
static void container_free(struct driver *d)
{
    if (d == NULL)
        return;
    struct container *c = from_driver(d);
    c->closing = true;
    list_for_each_safe(it, next, &c->pending)
    {
        struct request *q = container_of(it, struct request, node);
        list_remove(&q->node);
        explicit_bzero(&q->start, sizeof(q->start));
        free(q);
    }
    list_for_each_safe(it, next, &c->known)
    {
        list_remove(it);
        free(container_of(it, struct known, node));
    }
    drop_poll(c);
    uv_close((uv_handle_t *)&c->timer, on_handle_closed);
}

static const struct driver_ops container_ops = {
    .name = "container",
    .start = container_start,
    .stop = container_stop,
    .list = container_list,
    .free = container_free,
};

int container_driver_new(uv_loop_t *loop, const char *priv_socket, struct driver **ret,
                         struct err *err)
{
    struct container *c = xnew(struct container);
    c->base.ops = &container_ops;
    c->loop = loop;
    c->client.fd = -EBADF;
    list_init(&c->pending);
    list_init(&c->known);
    c->path = slice_dup(slice_str(priv_socket));
    int r = c->path != NULL ? uv_timer_init(loop, &c->timer) : -ENOMEM;
    if (r < 0) {
        free(c->path);
        free(c);
        return err_sys(err, r, "start the container driver");
    }
    c->timer.data = c;
    c->handles = 1;
    uint64_t deadline = clock_monotonic_ns() + START_PATIENCE_MS * NS_PER_MS;
    while ((r = try_connect(c, err)) < 0 && clock_monotonic_ns() < deadline)
        uv_sleep(RETRY_MS); /* before anything is served: nobody waits for the loop yet */
    if (r < 0) {
        container_free(&c->base);
        return r;
    }
    *ret = &c->base;
    return 0;
}
