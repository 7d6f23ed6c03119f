/*
 * The public calls on a followed process, and the request that starts one.
 */
#include "base/clock.h"
#include "sdk/proc_internal.h"
#include "sdk/start.h"
#include "json/writer.h"

enum { ARGS_MAX = 4096 };

static silica_rc put_text(struct json_writer *w, const char *s, const char *what, silica_error *err)
{
    if (!slice_is_utf8(slice_str(s)))
        return sdk_fail(err, SILICA_E_INVALID, "%s is not UTF-8", what);
    jw_str(w, s);
    return SILICA_OK;
}

static silica_rc put_process(struct json_writer *w, const silica_sandbox *sbx,
                             const char *const *argv, const silica_exec_opts *o, silica_error *err)
{
    silica_rc rc = SILICA_OK;
    jw_obj(w);
    jw_key(w, "cmd");
    rc = put_text(w, argv[0], "the command", err);
    jw_key(w, "args");
    jw_arr(w);
    for (size_t i = 1; rc == SILICA_OK && argv[i] != NULL; i++) {
        if (i >= ARGS_MAX)
            return sdk_fail(err, SILICA_E_INVALID, "more than %d arguments", ARGS_MAX);
        rc = put_text(w, argv[i], "an argument", err);
    }
    if (rc != SILICA_OK)
        return rc;
    jw_end(w);
    if (o->n_env > 0) {
        jw_key(w, "envs");
        rc = sdk_put_kv(w, o->env, o->n_env, "env", err);
    }
    _cleanup_buf_ struct buf cwd = BUF_INIT(SDK_PATH_MAX);
    if (rc == SILICA_OK && o->cwd != NULL)
        rc = sdk_resolve(sbx, o->cwd, &cwd, err);
    else if (rc == SILICA_OK)
        buf_put_str(&cwd, sbx->work_dir);
    if (rc != SILICA_OK)
        return rc;
    if (cwd.n > 0)
        jw_kstr(w, "cwd", buf_str(&cwd));
    jw_end(w);
    return cwd.error == 0 ? SILICA_OK : sdk_fail_nomem(err);
}

silica_rc sdk_start(silica_sandbox *sbx, const char *const *argv, const silica_exec_opts *o,
                    bool with_stdin, int64_t timeout_ms, silica_proc **ret, silica_error *err)
{
    _cleanup_buf_ struct buf body = BUF_INIT(SDK_REQUEST_MAX);
    struct json_writer w;
    if (argv == NULL || argv[0] == NULL || argv[0][0] == '\0')
        return sdk_fail(err, SILICA_E_INVALID, "there is no command");
    jw_init(&w, &body);
    jw_obj(&w);
    jw_key(&w, "process");
    silica_rc rc = put_process(&w, sbx, argv, o, err);
    if (rc != SILICA_OK)
        return rc;
    jw_kbool(&w, "stdin", with_stdin);
    jw_end(&w);
    rc = sdk_body_check(&body, err);
    if (rc != SILICA_OK)
        return rc;
    return proc_open(sbx, "process.Process/Start", o->user, buf_slice(&body), timeout_ms, ret, err);
}

silica_rc silica_spawnv(silica_sandbox *sbx, const char *const *argv, const silica_exec_opts *opts,
                        silica_proc **ret, silica_error *err)
{
    silica_exec_opts o;
    int64_t timeout_ms;
    silica_rc rc = sdk_opts_copy(&o, sizeof(o), opts, "silica_exec_opts", err);
    if (rc != SILICA_OK)
        return rc;
    if (o.on_output != NULL || o.collect != SILICA_DEFAULT || o.cancel != NULL ||
        o.stdin_data != NULL || o.max_output != 0 || o.stdin_mode == SILICA_STDIN_FD)
        return sdk_fail(err, SILICA_E_INVALID,
                        "silica_spawn takes no output, cancel or stdin data options");
    if ((unsigned)o.stdin_mode > SILICA_STDIN_PIPE)
        return sdk_fail(err, SILICA_E_INVALID, "stdin_mode is unknown");
    rc = sdk_duration(o.timeout_ms, -1, true, "timeout_ms", &timeout_ms, err);
    if (rc != SILICA_OK)
        return rc;
    return sdk_start(sbx, argv, &o, o.stdin_mode == SILICA_STDIN_PIPE, timeout_ms, ret, err);
}

silica_rc silica_spawn(silica_sandbox *sbx, const char *command, const silica_exec_opts *opts,
                       silica_proc **ret, silica_error *err)
{
    if (command == NULL)
        return sdk_fail(err, SILICA_E_INVALID, "there is no command");
    const char *const argv[] = {"/bin/bash", "-l", "-c", command, NULL};
    return silica_spawnv(sbx, argv, opts, ret, err);
}

static void put_selector(struct buf *body, uint32_t pid, struct json_writer *w)
{
    jw_init(w, body);
    jw_obj(w);
    jw_key(w, "process");
    jw_obj(w);
    jw_ku64(w, "pid", pid);
    jw_end(w);
}

silica_rc silica_proc_attach(silica_sandbox *sbx, uint32_t pid, silica_proc **ret,
                             silica_error *err)
{
    _cleanup_buf_ struct buf body = BUF_INIT(SDK_REQUEST_MAX);
    struct json_writer w;
    if (pid == 0)
        return sdk_fail(err, SILICA_E_INVALID, "the pid is 0");
    put_selector(&body, pid, &w);
    jw_end(&w);
    silica_rc rc = sdk_body_check(&body, err);
    if (rc != SILICA_OK)
        return rc;
    return proc_open(sbx, "process.Process/Connect", NULL, buf_slice(&body), -1, ret, err);
}

uint32_t silica_proc_pid(const silica_proc *proc)
{
    return proc->pid;
}

silica_rc silica_proc_read(silica_proc *proc, int64_t wait_ms, silica_event *ret, silica_error *err)
{
    uint64_t begin = clock_monotonic_ns();
    if (wait_ms < -1)
        return sdk_fail(err, SILICA_E_INVALID, "wait_ms is out of range");
    proc->last_byte_ns = begin; /* silence counts only while somebody listens */
    for (bool turned = false;; turned = true) {
        silica_rc rc = proc_next(proc, ret, err);
        if (rc != SILICA_OK || ret->kind != SILICA_EVENT_NONE)
            return rc;
        uint64_t now = clock_monotonic_ns(), waited = (now - begin) / NS_PER_MS;
        if (turned && wait_ms >= 0 && waited >= (uint64_t)wait_ms)
            return SILICA_OK;
        if (now > proc->last_byte_ns &&
            (now - proc->last_byte_ns) / NS_PER_MS > PROC_SILENCE_MAX_MS)
            return sdk_fail(err, SILICA_E_NETWORK, "the process stream is silent: no keep-alive");
        int64_t left = wait_ms < 0 ? 1000 : wait_ms - (int64_t)waited;
        rc = proc_turn(proc, left > 0 ? left : 0, NULL, 0, err);
        if (rc != SILICA_OK)
            return rc;
    }
}

/* Wait for the input call that was begun. */
static silica_rc finish_input(silica_proc *proc, silica_error *err)
{
    int64_t limit = proc->sbx->client->request_timeout_ms;
    uint64_t begin = clock_monotonic_ns();
    silica_rc result;
    while (!proc_input_idle(proc, &result, err)) {
        if (limit > 0 && (clock_monotonic_ns() - begin) / NS_PER_MS > (uint64_t)limit)
            return sdk_fail(err, SILICA_E_TIMEOUT, "the process does not take its input");
        silica_rc rc = proc_turn(proc, 1000, NULL, 0, err);
        if (rc != SILICA_OK)
            return rc;
    }
    return result;
}

silica_rc silica_proc_write(silica_proc *proc, const void *data, size_t n, silica_error *err)
{
    struct slice rest = slice_of(data, n);
    while (rest.n > 0) {
        struct slice piece = slice_sub(rest, 0, PROC_INPUT_PIECE);
        silica_rc rc = proc_input_begin(proc, piece, err);
        if (rc == SILICA_OK)
            rc = finish_input(proc, err);
        if (rc != SILICA_OK)
            return rc;
        rest = slice_from(rest, piece.n);
    }
    return SILICA_OK;
}

silica_rc silica_proc_close_stdin(silica_proc *proc, silica_error *err)
{
    silica_rc rc = proc_input_begin(proc, (struct slice){0}, err);
    return rc == SILICA_OK ? finish_input(proc, err) : rc;
}

silica_rc sdk_signal(silica_sandbox *sbx, uint32_t pid, int signal, silica_error *err)
{
    _cleanup_buf_ struct buf body = BUF_INIT(SDK_REQUEST_MAX);
    struct json_writer w;
    if (signal != 9 && signal != 15)
        return sdk_fail(err, SILICA_E_UNSUPPORTED, "only SIGTERM and SIGKILL can be sent");
    put_selector(&body, pid, &w);
    jw_kstr(&w, "signal", signal == 9 ? "SIGNAL_SIGKILL" : "SIGNAL_SIGTERM");
    jw_end(&w);
    silica_rc rc = sdk_body_check(&body, err);
    if (rc != SILICA_OK)
        return rc;
    return sdk_rpc(sbx, "process.Process/SendSignal", NULL, buf_slice(&body), NULL, err);
}

silica_rc silica_proc_signal(silica_proc *proc, int signal, silica_error *err)
{
    return sdk_signal(proc->sbx, proc->pid, signal, err);
}

silica_rc silica_proc_wait(silica_proc *proc, silica_exit *ret, silica_error *err)
{
    silica_event ev;
    silica_rc rc;
    do {
        rc = silica_proc_read(proc, -1, &ev, err);
    } while (rc == SILICA_OK && ev.kind != SILICA_EVENT_EXIT);
    if (rc == SILICA_OK)
        *ret = ev.exit;
    return rc;
}

void silica_proc_detach(silica_proc *proc)
{
    proc_free(proc);
}

static int visit(const struct json_ref *item, int (*each)(void *, const silica_proc_info *),
                 void *user, struct err *e)
{
    struct json_ref config, args;
    int64_t pid = 0;
    silica_proc_info info = {.cmd = "", .tag = ""};
    const char *texts[ARGS_MAX + 1] = {NULL};
    if (json_as_obj(item, e) < 0 ||
        json_get_i64(item, "pid", JSON_REQUIRED, 0, UINT32_MAX, &pid, e) < 0 ||
        json_get_str(item, "tag", JSON_OPTIONAL, &info.tag, e) < 0)
        return -EBADMSG;
    int r = json_get_obj(item, "config", JSON_OPTIONAL, &config, e);
    if (r == 1 && json_get_str(&config, "cmd", JSON_OPTIONAL, &info.cmd, e) < 0)
        return -EBADMSG;
    if (r == 1)
        r = json_get_arr(&config, "args", JSON_OPTIONAL, &args, e);
    for (size_t i = 0; r == 1 && i < json_arr_len(&args) && i < ARGS_MAX; i++) {
        struct json_ref arg = json_arr_at(&args, i);
        if (json_as_str(&arg, &texts[i], e) < 0)
            return -EBADMSG;
    }
    if (r < 0)
        return r;
    info.pid = (uint32_t)pid;
    info.args = texts;
    return each(user, &info) != 0;
}

silica_rc silica_proc_list(silica_sandbox *sbx, int (*each)(void *, const silica_proc_info *),
                           void *user, silica_error *err)
{
    _cleanup_json_ json_t *root = NULL;
    struct err e = {0};
    struct json_ref list;
    silica_rc rc = sdk_rpc(sbx, "process.Process/List", NULL, SLICE_LIT("{}"), &root, err);
    if (rc != SILICA_OK)
        return rc;
    struct json_ref obj = json_root(root);
    int r = json_get_arr(&obj, "processes", JSON_OPTIONAL, &list, &e);
    size_t n = r == 1 ? json_arr_len(&list) : 0;
    for (size_t i = 0; r >= 0 && i < n; i++) {
        struct json_ref item = json_arr_at(&list, i);
        r = visit(&item, each, user, &e);
        if (r > 0)
            break;
    }
    return r < 0 ? sdk_fail_base(err, &e, SILICA_E_PROTOCOL) : SILICA_OK;
}
