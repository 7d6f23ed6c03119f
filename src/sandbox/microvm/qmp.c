/*
 * The connection to one QEMU.
 *
 * States: GREETING (its first line is awaited), NEGOTIATING (our qmp_capabilities is under way), READY,
 * ENDED (why it ended is known, and what follows is told by the timer). Events are taken from
 * NEGOTIATING on; an answer is taken only while its call is sent and not answered.
 *
 * Calls are a list in the order they were made. The first one may be `sent`; the next is sent when that
 * was answered and the bytes that had come until then were looked at, so an answer that was there
 * before its call is one that nobody waits for. What qmp_call() cannot take goes to a second list, for
 * the timer to answer. The bytes of a call are sent from its own buffer.
 *
 * Bounds. One recv() of QMP_READ_BYTES a turn of the loop. Lines without a waiting call are events,
 * QMP_EVENTS_PER_S of QMP_EVENT_MAX_BYTES, or the end; so a hostile QEMU makes us parse 256 KiB a second,
 * and the answers we ask for. What it does not read stays in one call's buffer, until its deadline.
 *
 * Deadlines. The loop runs timers before it looks at descriptors, so after a standstill of ours the
 * answer may lie there, unread: a deadline that passed has to pass a second time, a turn later.
 *
 * Two-phase close: the poll and the timer are closed by qmp_close(), or the poll already at the end of
 * the connection; memory goes with the last of them. Every loop that calls back looks at `closing`.
 */
#include "sandbox/microvm/qmp_internal.h"

#include "base/cleanup.h"

#include <sys/socket.h>
#include <sys/un.h>

enum {
    QMP_READ_BYTES = 16384,
    QMP_SOON_MS = 1, /* with 0 the loop would run the timer again before it looks at descriptors */
    QMP_WINDOW_MS = 1000,
};

static void settle(struct qmp *q);
static void on_timer(uv_timer_t *timer);

/* Life. */

static void on_handle_closed(uv_handle_t *handle)
{
    struct qmp *q = handle->data;
    if (--q->handles > 0)
        return;
    buf_done(&q->in);
    free(q);
}

static void disconnect(struct qmp *q)
{
    if (q->fd < 0)
        return;
    uv_close((uv_handle_t *)&q->poll, on_handle_closed); /* stops watching at once: fd may go */
    q->fd = fd_close(q->fd);
}

void qmp_close(struct qmp *q)
{
    if (q == NULL || q->closing)
        return;
    q->closing = true;
    q->state = QMP_ENDED;
    qmp_calls_drop(&q->calls);
    qmp_calls_drop(&q->refused);
    disconnect(q);
    uv_close((uv_handle_t *)&q->timer, on_handle_closed);
}

/* The timer tells it: the caller may be a call, or between two lines. */
static void end(struct qmp *q, enum qmp_end how, const struct err *why)
{
    if (q->state == QMP_ENDED)
        return;
    q->state = QMP_ENDED;
    q->how = how;
    q->why = *why;
    disconnect(q);
}

/* Deadlines, and what the timer tells. */

/* 0 when nothing is waited for. */
static uint64_t next_deadline(const struct qmp *q)
{
    const struct call *c = qmp_call_overdue(q);
    uint64_t at = c != NULL ? c->until_ms : 0;
    if (q->state != QMP_READY && (at == 0 || q->ready_by_ms < at))
        at = q->ready_by_ms;
    return at;
}

static void arm(struct qmp *q)
{
    bool soon = !list_empty(&q->refused) || (q->state == QMP_ENDED && !q->told);
    uint64_t at = q->state != QMP_ENDED ? next_deadline(q) : 0, now = qmp_now_ms(q);
    if (soon || at != 0) { /* cannot fail on a live handle with a callback */
        uint64_t wait = !soon && at > now ? at - now : QMP_SOON_MS;
        (void)uv_timer_start(&q->timer, on_timer, wait, 0);
    } else {
        (void)uv_timer_stop(&q->timer);
    }
}

static void end_late(struct qmp *q, uint64_t now)
{
    const struct call *c = qmp_call_overdue(q);
    struct err why;
    if (c != NULL && c->until_ms <= now)
        (void)err_set(&why, -ETIMEDOUT, ERR_TIMEOUT, "QEMU did not answer %s within %u ms",
                      c->command, c->limit_ms);
    else
        (void)err_set(&why, -ETIMEDOUT, ERR_TIMEOUT, "QEMU did not greet within %d ms",
                      QMP_GREETING_MS);
    end(q, QMP_END_DEADLINE, &why);
}

static void look_at_deadlines(struct qmp *q)
{
    uint64_t at = next_deadline(q), now = qmp_now_ms(q);
    bool passed = at != 0 && at <= now;
    if (passed && q->late)
        end_late(q, now);
    q->late = passed;
}

/* Once ended, no call is added to q->calls. */
static void tell_end(struct qmp *q)
{
    for (struct call *c; (c = qmp_call_first(&q->calls)) != NULL;)
        qmp_call_finish(c, NULL, &q->why);
    if (q->closing || q->told)
        return;
    q->told = true;
    if (q->cb.on_end != NULL)
        q->cb.on_end(q->user, q->how, &q->why);
}

static void on_timer(uv_timer_t *timer)
{
    struct qmp *q = timer->data;
    q->in_turn = true;
    qmp_calls_tell_refused(q);
    if (q->state != QMP_ENDED)
        look_at_deadlines(q);
    if (q->state == QMP_ENDED && !q->closing)
        tell_end(q);
    q->in_turn = false;
    settle(q);
}

/* Lines. */

static void broken(struct qmp *q, const char *what)
{
    struct err why;
    (void)err_set(&why, -EBADMSG, ERR_INTERNAL, "QEMU sent %s", what);
    end(q, QMP_END_PROTOCOL, &why);
}

static void on_negotiated(void *user, const struct json_ref *ret, const struct err *err)
{
    struct qmp *q = user;
    (void)ret;
    if (q->state != QMP_NEGOTIATING)
        return; /* the connection ended before the answer */
    if (err != NULL) {
        end(q, QMP_END_PROTOCOL, err);
        return;
    }
    q->state = QMP_READY;
    if (q->cb.on_ready != NULL)
        q->cb.on_ready(q->user);
}

static void on_greeting(struct qmp *q)
{
    if (q->state != QMP_GREETING) {
        broken(q, "a second greeting");
        return;
    }
    q->state = QMP_NEGOTIATING;
    struct call *c = qmp_call_new(q, "qmp_capabilities", QMP_GREETING_MS);
    c->until_ms = q->ready_by_ms;
    c->done = on_negotiated;
    c->user = q;
    (void)qmp_call_put(c, NULL); /* it fits; without memory the deadline ends all */
    list_insert_before(q->calls.next, &c->node);
}

static void on_event(struct qmp *q, const struct qmp_event *ev)
{
    uint64_t now = uv_now(q->loop);
    if (now - q->window_ms >= QMP_WINDOW_MS) {
        q->window_ms = now;
        q->n_events = 0;
    }
    if (++q->n_events > QMP_EVENTS_PER_S) {
        struct err why;
        (void)err_set(&why, -ENOBUFS, ERR_LIMIT, "QEMU sent more than %d events in a second",
                      QMP_EVENTS_PER_S);
        end(q, QMP_END_FLOOD, &why);
    } else if (q->state == QMP_GREETING) {
        broken(q, "an event before its greeting");
    } else if (q->cb.on_event != NULL) {
        q->cb.on_event(q->user, ev);
    }
}

static void on_answer(struct qmp *q, struct qmp_line *line)
{
    struct call *c = qmp_call_awaited(q);
    if (c == NULL || c->id != (uint64_t)line->id)
        broken(q, "an answer that nobody waits for");
    else if (line->kind == QMP_LINE_RETURN)
        qmp_call_finish(c, &line->value, NULL);
    else {
        (void)err_wrap(&line->refusal, "QEMU refused %s", c->command);
        qmp_call_finish(c, NULL, &line->refusal);
    }
}

static void on_line(struct qmp *q, struct slice text)
{
    struct qmp_line line;
    struct err why;
    if (text.n > QMP_EVENT_MAX_BYTES && qmp_call_awaited(q) == NULL) {
        broken(q, "a long line that nobody waits for");
        return;
    }
    if (qmp_line_parse(text, &line, &why) < 0) {
        end(q, QMP_END_PROTOCOL, &why);
        return;
    }
    if (line.kind == QMP_LINE_GREETING)
        on_greeting(q);
    else if (line.kind == QMP_LINE_EVENT)
        on_event(q, &line.event);
    else
        on_answer(q, &line);
    qmp_line_done(&line);
}

/* Nothing changes q->in meanwhile: a callback that closes leaves it to on_handle_closed(). */
static void look_at_lines(struct qmp *q)
{
    size_t from = 0;
    while (q->state != QMP_ENDED) {
        struct slice rest = slice_from(buf_slice(&q->in), from);
        size_t n = q->looked_at + slice_find(slice_from(rest, q->looked_at), '\n');
        q->looked_at = n < rest.n ? 0 : n;
        if (n > QMP_LINE_MAX_BYTES)
            broken(q, "a line that is too long");
        if (n == rest.n || q->state == QMP_ENDED)
            break;
        on_line(q, slice_of(rest.p, n));
        from += n + 1;
    }
    buf_consume(&q->in, from);
    if (q->in.n == 0)
        buf_done(&q->in); /* a connection that waits holds no buffer */
}

/* The loop's side. */

static void end_cut(struct qmp *q, int error)
{
    struct err why;
    if (error < 0 && error != -ECONNRESET)
        (void)err_sys(&why, error, "read from QEMU");
    else
        (void)err_set(&why, -EPIPE, ERR_UNAVAILABLE, "QEMU closed its monitor");
    end(q, QMP_END_CLOSED, &why);
}

static void end_no_memory(struct qmp *q)
{
    struct err why;
    (void)err_set(&why, -ENOMEM, ERR_INTERNAL, "no memory for a line of QEMU");
    end(q, QMP_END_SYSTEM, &why);
}

/* One recv. `failed`: the descriptor has an error, behind what may still be read. */
static void take_in(struct qmp *q, bool failed)
{
    size_t room = q->in.max - q->in.n;
    size_t want = room < QMP_READ_BYTES ? room : QMP_READ_BYTES;
    char *at = buf_reserve(&q->in, want);
    if (at == NULL) {
        end_no_memory(q);
        return;
    }
    ssize_t n = recv(q->fd, at, want, MSG_DONTWAIT);
    if (n > 0) {
        buf_commit(&q->in, (size_t)n);
        look_at_lines(q);
    } else if (n == 0 || failed || (errno != EAGAIN && errno != EINTR)) {
        end_cut(q, n == 0 || errno == EAGAIN ? 0 : -errno);
    }
}

/* Send what the kernel takes of the call that is under way. */
static void put_out(struct qmp *q)
{
    struct call *c = qmp_call_awaited(q);
    while (c != NULL && c->text.n > 0 && !q->out_dead) {
        ssize_t n = send(q->fd, c->text.p, c->text.n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0)
            buf_consume(&c->text, (size_t)n);
        else if (errno == EAGAIN)
            return;
        else if (errno != EINTR)
            q->out_dead = true; /* reading finds the end, or the deadline does */
    }
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct qmp *q = poll->data;
    if (status < 0)
        q->events = 0; /* libuv has stopped watching */
    q->in_turn = true;
    if (status < 0 || (events & UV_READABLE) != 0)
        take_in(q, status < 0);
    q->in_turn = false;
    settle(q);
}

/* The one place where interest in the descriptor is decided. */
static void watch(struct qmp *q)
{
    const struct call *c = qmp_call_awaited(q);
    bool more = c != NULL && c->text.n > 0 && !q->out_dead;
    int events = UV_READABLE | (more ? UV_WRITABLE : 0);
    if (q->events == events)
        return;
    int r = uv_poll_start(&q->poll, events, on_poll);
    struct err why;
    if (r < 0) {
        (void)err_sys(&why, r, "watch QEMU's monitor");
        end(q, QMP_END_SYSTEM, &why);
        return;
    }
    q->events = events;
}

/* After every change: the next call goes out, interest and the timer follow the state. */
static void settle(struct qmp *q)
{
    if (q->closing || q->in_turn)
        return;
    struct call *c = qmp_call_first(&q->calls);
    if (c != NULL && (q->state == QMP_NEGOTIATING || q->state == QMP_READY))
        c->sent = true; /* while negotiating, that is the first one */
    if (q->state != QMP_ENDED) {
        put_out(q);
        watch(q);
    }
    arm(q);
}

/* The face. */

void qmp_call(struct qmp *q, const char *command, const char *arguments_json, unsigned deadline_ms,
              void (*done)(void *user, const struct json_ref *ret, const struct err *err),
              void *user)
{
    if (q->closing)
        return;
    struct call *c = qmp_call_new(q, command, deadline_ms != 0 ? deadline_ms : QMP_CALL_MS);
    c->done = done;
    c->user = user;
    list_append(qmp_call_fill(q, c, command, arguments_json) == 0 ? &q->calls : &q->refused,
                &c->node);
    settle(q);
}

int qmp_open_fd(uv_loop_t *loop, int fd, const struct qmp_events *ev, void *user, struct qmp **ret,
                struct err *err)
{
    struct qmp *q = xnew(struct qmp);
    int r = uv_poll_init(loop, &q->poll, fd);
    if (r < 0) {
        free(q);
        return err_sys(err, r, "watch QEMU's monitor");
    }
    (void)uv_timer_init(loop, &q->timer); /* only links the handle into the loop */
    q->poll.data = q->timer.data = q;
    q->handles = 2;
    q->loop = loop;
    q->fd = fd;
    q->cb = *ev;
    q->user = user;
    q->next_id = 1;
    list_init(&q->calls);
    list_init(&q->refused);
    buf_init(&q->in, QMP_LINE_MAX_BYTES + 1);
    q->window_ms = qmp_now_ms(q);
    q->ready_by_ms = q->window_ms + QMP_GREETING_MS;
    settle(q);
    *ret = q;
    return 0;
}

int qmp_open(uv_loop_t *loop, const char *unix_socket_path, const struct qmp_events *ev, void *user,
             struct qmp **ret, struct err *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (slice_copy(slice_str(unix_socket_path), addr.sun_path, sizeof(addr.sun_path)) < 0)
        return err_set(err, -ENAMETOOLONG, ERR_INVALID, "the path of QEMU's monitor is too long");
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_sys(err, -errno, "make a socket");
    if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0) /* at once, or never */
        return err_sys(err, -errno, "connect to QEMU's monitor");
    int r = qmp_open_fd(loop, fd, ev, user, ret, err);
    if (r == 0)
        (void)take_fd(&fd);
    return r;
}
