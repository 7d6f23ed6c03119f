/*
 * Start and Connect: a stream that subscribes to a process. Start's deadline also kills the
 * process; a client that goes away never does.
 */
#include "envd/process_rpc.h"

#include "base/cleanup.h"
#include "envd/child_env.h"
#include "envd/paths.h"
#include "envd/request.h"
#include "json/writer.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>

struct watcher {
    struct subscriber sub;
    struct stream *s;
};

/* {"event":{<name>: ... left open: the caller writes the value and calls event_send(). */
static void event_open(struct json_writer *w, struct buf *out, const char *name)
{
    jw_init(w, out);
    jw_obj(w);
    jw_key(w, "event");
    jw_obj(w);
    jw_key(w, name);
    jw_obj(w);
}

static int event_send(struct stream *s, struct json_writer *w)
{
    jw_end(w);
    jw_end(w);
    jw_end(w);
    return stream_send(s, buf_slice(w->out));
}

static void send_start(struct stream *s, int pid)
{
    _cleanup_buf_ struct buf out = BUF_INIT(256);
    struct json_writer w;
    event_open(&w, &out, "start");
    jw_ku64(&w, "pid", (uint64_t)pid);
    (void)event_send(s, &w); /* the first frame cannot fill the queue */
}

static void send_end(struct stream *s, const struct exit_status *status)
{
    _cleanup_buf_ struct buf out = BUF_INIT(1024);
    struct json_writer w;
    event_open(&w, &out, "end");
    if (status->code != 0)
        jw_ki64(&w, "exitCode", status->code);
    if (status->exited)
        jw_kbool(&w, "exited", true);
    jw_kstr(&w, "status", status->text);
    if (status->code != 0) {
        char error[EXIT_STATUS_TEXT_BYTES + EXIT_REASON_BYTES + 2];
        const char *mid = status->reason[0] != '\0' ? ": " : "";
        (void)snprintf(error, sizeof(error), "%s%s%s", status->text, mid, status->reason);
        jw_kstr(&w, "error", error);
    }
    (void)event_send(s, &w); /* the last one: nothing follows that could wait */
    stream_end(s, NULL);
}

static int on_data(struct subscriber *sub, struct slice event)
{
    return stream_send(container_of(sub, struct watcher, sub)->s, event);
}

static void on_end(struct subscriber *sub, const struct exit_status *status)
{
    send_end(container_of(sub, struct watcher, sub)->s, status);
}

/* Subscribe the stream and tell the pid. */
static int watch(struct stream *s, struct process *p, struct err *err)
{
    struct watcher *w = xnew(struct watcher);
    w->s = s;
    w->sub.on_data = on_data;
    w->sub.on_end = on_end;
    list_init(&w->sub.link);
    if (process_subscribe(p, &w->sub) < 0) {
        free(w);
        return rpc_fail(err, RPC_RESOURCE_EXHAUSTED, "the process has %d subscribers already",
                        PROCESS_SUBSCRIBERS_MAX);
    }
    stream_set_user(s, w);
    send_start(s, process_pid(p));
    return 0;
}

static void on_writable(struct stream *s)
{
    struct watcher *w = stream_user(s);
    if (w != NULL)
        process_unblock(&w->sub);
}

static void on_silence(struct stream *s)
{
    _cleanup_buf_ struct buf out = BUF_INIT(256);
    struct json_writer w;
    event_open(&w, &out, "keepalive");
    (void)event_send(s, &w); /* a full queue is not silent */
}

static void on_gone(struct stream *s)
{
    struct watcher *w = stream_user(s);
    if (w == NULL)
        return;
    stream_set_user(s, NULL);
    process_unsubscribe(&w->sub);
    free(w);
}

/* Connect's deadline ends only the stream; no more events for it. */
static void on_connect_deadline(struct stream *s)
{
    struct watcher *w = stream_user(s);
    if (w != NULL)
        process_unsubscribe(&w->sub);
}

static void on_start_deadline(struct stream *s)
{
    struct watcher *w = stream_user(s);
    if (w == NULL || w->sub.p == NULL)
        return;
    (void)process_signal(w->sub.p, SIGKILL); /* -ESRCH: it ended by itself */
    process_unsubscribe(&w->sub);
}

/* ---- Start ---- */

static int check_cwd(const char *cwd, struct err *err)
{
    struct stat st;
    if (stat(cwd, &st) == 0)
        return 0;
    return rpc_fail(err, RPC_INVALID_ARGUMENT, "cwd '%.200s' does not exist", cwd);
}

/* The protocol's words and code for a start that failed. */
static void wrap_start_error(const struct start_request *q, int num, const char *reason,
                             struct err *err)
{
    bool limit =
        num == -EAGAIN || num == -ENOMEM || num == -EMFILE || num == -ENFILE || num == -ENOSPC;
    const struct err own = *err;
    if (limit && reason[0] != '\0')
        (void)err_set(err, num, ERR_LIMIT, "%.80s: %s", own.msg, reason);
    const char *first = q->args != NULL ? json_string_value(json_array_get(q->args, 0)) : NULL;
    (void)err_wrap(err, "error starting process '%.64s%s%.64s'", q->cmd, first != NULL ? " " : "",
                   first != NULL ? first : "");
    (void)err_code(err, limit ? RPC_RESOURCE_EXHAUSTED : RPC_INVALID_ARGUMENT);
}

static int run(struct stream *s, const struct start_request *q, const struct user *user,
               const char *cwd, struct process **ret, struct err *err)
{
    struct envd *e = stream_request(s)->envd;
    struct user_groups groups;
    struct child_env env = {0};
    int r = users_groups(user, &groups);
    if (r < 0)
        return rpc_fail(err, RPC_INTERNAL, "error reading the groups of user '%s'", user->name);
    r = child_env_make(&e->settings, e->path, user, q, &env);
    if (r < 0) {
        child_env_done(&env);
        return rpc_fail(err, RPC_INTERNAL, "out of memory");
    }
    struct spawn_opts opts = {
        .argv = env.argv,
        .envp = env.envp,
        .cwd = cwd,
        .user = user,
        .groups = &groups,
        .cgroup_fds = e->config.cgroup_fds,
        .n_cgroup_fds = e->config.n_cgroup_fds,
    };
    struct limit_counts before;
    char reason[LIMITS_TEXT_BYTES] = "";
    limits_count(&e->limits, &before);
    r = process_start(&e->processes, &opts, q->with_stdin, q->config, q->tag, stream_timeout_ms(s),
                      ret, err);
    child_env_done(&env);
    if (r < 0) {
        limits_explain(&e->limits, &before, cwd, reason);
        wrap_start_error(q, r, reason, err);
    }
    return r;
}

static int start(struct stream *s, const struct start_request *q, struct err *err)
{
    struct request *req = stream_request(s);
    char cwd[ENVD_PATH_MAX + 1];
    struct process *p = NULL;
    struct user user;
    int r = request_user(req, &user, err);
    if (r < 0)
        return r;
    r = path_resolve(q->cwd, user.home, req->envd->settings.default_workdir, cwd, err);
    if (r < 0) {
        (void)err_code(err, RPC_INVALID_ARGUMENT);
        return r;
    }
    if ((r = check_cwd(cwd, err)) < 0 || (r = run(s, q, &user, cwd, &p, err)) < 0)
        return r;
    return watch(s, p, err);
}

static void on_start_message(struct stream *s, const struct json_ref *body)
{
    struct start_request q;
    struct err err;
    int r = process_parse_start(body, &q, &err);
    if (r == 0) {
        r = start(s, &q, &err);
        json_decref(q.config);
    }
    if (r < 0)
        stream_end(s, &err);
}

/* ---- Connect ---- */

static void on_connect_message(struct stream *s, const struct json_ref *body)
{
    struct process_table *t = &stream_request(s)->envd->processes;
    struct selector sel;
    struct err err;
    int r = process_read_selector(body, &sel, &err);
    struct process *p = r == 0 ? process_find(t, &sel) : NULL;
    const struct exit_record *e = r == 0 && p == NULL ? process_find_exit(t, &sel) : NULL;
    if (p != NULL) {
        r = watch(s, p, &err);
    } else if (e != NULL) {
        send_start(s, e->pid);
        send_end(s, &e->status);
    } else if (r == 0) {
        r = process_not_found(&sel, &err);
    }
    if (r < 0)
        stream_end(s, &err);
}

const struct stream_ops process_start_ops = {
    .on_message = on_start_message,
    .on_writable = on_writable,
    .on_silence = on_silence,
    .on_deadline = on_start_deadline,
    .on_gone = on_gone,
};

const struct stream_ops process_connect_ops = {
    .on_message = on_connect_message,
    .on_writable = on_writable,
    .on_silence = on_silence,
    .on_deadline = on_connect_deadline,
    .on_gone = on_gone,
};
