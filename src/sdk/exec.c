/*
 * A command to its end: output collected with a maximum or handed on, stdin fed meanwhile.
 *
 * One loop, on the caller's thread, moves everything: events out of the stream, one piece of stdin
 * at a time into the sandbox, the descriptor that stdin comes from, and the cancel descriptor.
 * Input that the command does not want (it ended, closed its stdin) is not an error. The server
 * kills the command when its timeout passes; should it fail to, we do, EXEC_GRACE_MS later.
 */
#include "base/clock.h"
#include "sdk/proc_internal.h"
#include "sdk/start.h"

#include <poll.h>

enum { OUTPUT_DEFAULT_BYTES = 10485760, EXEC_GRACE_MS = 10000 };

struct exec {
    silica_proc *proc;
    const silica_exec_opts *o;
    silica_result *res;
    struct buf out, err; /* collected */
    size_t max;
    bool collect;
    bool stdin_open; /* there may be more input to send */
    struct slice stdin_rest;
    char piece[PROC_INPUT_PIECE];
    uint64_t deadline_ns; /* 0: none */
};

static void keep(struct buf *b, const silica_event *ev, size_t max, int *truncated)
{
    size_t room = b->n < max ? max - b->n : 0;
    if (ev->len > room)
        *truncated = 1;
    if (buf_put(b, ev->data, ev->len < room ? ev->len : room) != 0)
        *truncated = 1; /* no memory: what is there is kept, the command runs on */
}

static silica_rc deliver(struct exec *x, const silica_event *ev, silica_error *err)
{
    if (x->collect && ev->stream == SILICA_STDOUT)
        keep(&x->out, ev, x->max, &x->res->out_truncated);
    else if (x->collect)
        keep(&x->err, ev, x->max, &x->res->err_truncated);
    if (x->o->on_output != NULL &&
        x->o->on_output(x->o->user_data, ev->stream, ev->data, ev->len) != 0)
        return sdk_fail(err, SILICA_E_CANCELLED, "cancelled by the output callback");
    return SILICA_OK;
}

static bool ready(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return fd >= 0 && poll(&p, 1, 0) > 0;
}

static void input_begin(struct exec *x, struct slice data)
{
    silica_error ignored;
    if (proc_input_begin(x->proc, data, &ignored) != SILICA_OK)
        x->stdin_open = false;
}

/* Start the next piece of input, or the close that follows the last one. */
static silica_rc feed_stdin(struct exec *x, silica_error *err)
{
    if (x->o->stdin_mode != SILICA_STDIN_FD) {
        struct slice piece = slice_sub(x->stdin_rest, 0, PROC_INPUT_PIECE);
        x->stdin_rest = slice_from(x->stdin_rest, piece.n);
        if (piece.n == 0)
            x->stdin_open = false;
        input_begin(x, piece.n > 0 ? piece : (struct slice){0});
        return SILICA_OK;
    }
    if (!ready(x->o->stdin_fd))
        return SILICA_OK;
    ssize_t n = read(x->o->stdin_fd, x->piece, sizeof(x->piece));
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return SILICA_OK;
    if (n < 0) {
        int saved = errno;
        (void)sdk_fail(err, SILICA_E_IO, "reading stdin: %s", strerror(saved));
        if (err != NULL)
            err->sys_errno = saved;
        return SILICA_E_IO;
    }
    if (n == 0)
        x->stdin_open = false;
    input_begin(x, n > 0 ? slice_of(x->piece, (size_t)n) : (struct slice){0});
    return SILICA_OK;
}

static silica_rc pump_stdin(struct exec *x, bool *ret_waits_for_fd, silica_error *err)
{
    silica_rc result, rc = SILICA_OK;
    *ret_waits_for_fd = false;
    if (!proc_input_idle(x->proc, &result, NULL))
        return SILICA_OK;
    if (result != SILICA_OK)
        x->stdin_open = false; /* the command does not listen (any more) */
    if (x->stdin_open)
        rc = feed_stdin(x, err);
    *ret_waits_for_fd = x->stdin_open && !x->proc->input.active;
    return rc;
}

static silica_rc check_limits(const struct exec *x, silica_error *err)
{
    uint64_t now = clock_monotonic_ns();
    if (x->o->cancel != NULL && ready(x->o->cancel->fd))
        return sdk_fail(err, SILICA_E_CANCELLED, "cancelled");
    if (x->deadline_ns != 0 && now > x->deadline_ns)
        return sdk_fail(err, SILICA_E_TIMEOUT, "the command outlived its timeout");
    if (now > x->proc->last_byte_ns &&
        (now - x->proc->last_byte_ns) / NS_PER_MS > PROC_SILENCE_MAX_MS)
        return sdk_fail(err, SILICA_E_NETWORK, "the process stream is silent: no keep-alive");
    return SILICA_OK;
}

/* Until the exit event, or why not. */
static silica_rc follow(struct exec *x, silica_error *err)
{
    for (;;) {
        silica_event ev;
        bool wait_stdin = false;
        silica_rc rc = proc_next(x->proc, &ev, err);
        if (rc == SILICA_OK && ev.kind == SILICA_EVENT_EXIT) {
            x->res->exit = ev.exit;
            return SILICA_OK;
        }
        if (rc == SILICA_OK && ev.kind == SILICA_EVENT_OUTPUT)
            rc = deliver(x, &ev, err);
        if (rc == SILICA_OK)
            rc = check_limits(x, err);
        if (rc == SILICA_OK)
            rc = pump_stdin(x, &wait_stdin, err);
        if (rc != SILICA_OK)
            return rc;
        const int fds[] = {wait_stdin && x->o->stdin_mode == SILICA_STDIN_FD ? x->o->stdin_fd : -1,
                           x->o->cancel != NULL ? x->o->cancel->fd : -1};
        int64_t wait_ms = ev.kind == SILICA_EVENT_OUTPUT ? 0 : 1000;
        rc = proc_turn(x->proc, wait_ms, fds, ARRAY_LEN(fds), err);
        if (rc != SILICA_OK)
            return rc;
    }
}

static silica_rc exec_started(struct exec *x, int64_t timeout_ms, silica_error *err)
{
    uint64_t now = clock_monotonic_ns();
    x->proc->last_byte_ns = now;
    x->res->pid = x->proc->pid;
    if (timeout_ms > 0)
        x->deadline_ns = now + ((uint64_t)timeout_ms + EXEC_GRACE_MS) * NS_PER_MS;
    silica_error e = {SILICA_OK};
    silica_rc rc = follow(x, &e);
    if (rc == SILICA_E_CANCELLED || rc == SILICA_E_TIMEOUT || rc == SILICA_E_IO)
        (void)sdk_signal(x->proc->sbx, x->proc->pid, 9, NULL); /* it may have ended just now */
    if (rc == SILICA_E_TIMEOUT && x->deadline_ns != 0 && clock_monotonic_ns() > x->deadline_ns) {
        x->res->exit = (silica_exit){.kind = SILICA_TIMED_OUT, .code = -1, .signal = 9};
        return SILICA_OK;
    }
    if (rc != SILICA_OK && err != NULL)
        *err = e;
    return rc;
}

static silica_rc check_opts(const silica_exec_opts *o, silica_error *err)
{
    if (o->stdin_mode != SILICA_STDIN_DEFAULT && o->stdin_mode != SILICA_STDIN_FD)
        return sdk_fail(err, SILICA_E_INVALID, "stdin_mode does not fit silica_exec");
    if (o->stdin_mode == SILICA_STDIN_FD && (o->stdin_data != NULL || o->stdin_fd < 0))
        return sdk_fail(err, SILICA_E_INVALID, "stdin comes from a descriptor or from data");
    if (o->stdin_data == NULL && o->stdin_len > 0)
        return sdk_fail(err, SILICA_E_INVALID, "stdin_len without stdin_data");
    if ((unsigned)o->collect > SILICA_OFF)
        return sdk_fail(err, SILICA_E_INVALID, "collect is not a switch");
    return SILICA_OK;
}

static silica_rc finish(struct exec *x, silica_rc rc, silica_error *err)
{
    if (sdk_buf_take(&x->out, &x->res->out, NULL) != SILICA_OK ||
        sdk_buf_take(&x->err, &x->res->err, NULL) != SILICA_OK)
        rc = rc == SILICA_OK ? sdk_fail_nomem(err) : rc;
    return rc;
}

silica_rc silica_execv(silica_sandbox *sbx, const char *const *argv, const silica_exec_opts *opts,
                       silica_result *ret, silica_error *err)
{
    silica_exec_opts o;
    int64_t timeout_ms;
    *ret = (silica_result){.pid = 0};
    silica_rc rc = sdk_opts_copy(&o, sizeof(o), opts, "silica_exec_opts", err);
    if (rc == SILICA_OK)
        rc = check_opts(&o, err);
    if (rc == SILICA_OK)
        rc = sdk_duration(o.timeout_ms, sbx->exec_timeout_ms, true, "timeout_ms", &timeout_ms, err);
    if (rc != SILICA_OK)
        return rc;
    _cleanup_free_ struct exec *x = calloc(1, sizeof(*x));
    if (x == NULL)
        return sdk_fail_nomem(err);
    x->o = &o;
    x->res = ret;
    x->max = o.max_output != 0 ? o.max_output : OUTPUT_DEFAULT_BYTES;
    x->out = BUF_INIT(x->max);
    x->err = BUF_INIT(x->max);
    x->collect = o.collect == SILICA_ON || (o.collect == SILICA_DEFAULT && o.on_output == NULL);
    x->stdin_open = o.stdin_mode == SILICA_STDIN_FD || o.stdin_data != NULL;
    x->stdin_rest = slice_of(o.stdin_data, o.stdin_len);
    rc = sdk_start(sbx, argv, &o, x->stdin_open, timeout_ms, &x->proc, err);
    if (rc == SILICA_OK)
        rc = exec_started(x, timeout_ms, err);
    proc_free(x->proc);
    return finish(x, rc, err);
}

silica_rc silica_exec(silica_sandbox *sbx, const char *command, const silica_exec_opts *opts,
                      silica_result *ret, silica_error *err)
{
    if (command == NULL) {
        *ret = (silica_result){.pid = 0};
        return sdk_fail(err, SILICA_E_INVALID, "there is no command");
    }
    const char *const argv[] = {"/bin/bash", "-l", "-c", command, NULL};
    return silica_execv(sbx, argv, opts, ret, err);
}

void silica_result_free(silica_result *res)
{
    if (res == NULL)
        return;
    silica_buf_free(&res->out);
    silica_buf_free(&res->err);
    *res = (silica_result){.pid = 0};
}
