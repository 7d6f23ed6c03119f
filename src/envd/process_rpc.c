/* Unary methods of process.Process. None of them looks at the user: the token is enough. */
#include "envd/process_rpc.h"

#include "base/cleanup.h"
#include "envd/request.h"
#include "json/writer.h"

#include <errno.h>
#include <signal.h>

static struct process_table *table_of(struct unary *u)
{
    return &unary_request(u)->envd->processes;
}

static void reply_empty(struct unary *u)
{
    unary_reply(u, SLICE_LIT("{}"));
}

/* The running process that the request names, or NULL when answered. */
static struct process *selected(struct unary *u, const struct json_ref *body)
{
    struct selector s;
    struct err err;
    int r = process_read_selector(body, &s, &err);
    struct process *p = r == 0 ? process_find(table_of(u), &s) : NULL;
    if (r == 0 && p == NULL)
        (void)process_not_found(&s, &err);
    if (p == NULL)
        unary_fail(u, &err);
    return p;
}

static void write_process(struct json_writer *w, const struct process *p)
{
    char *config = json_dumps(process_config(p), JSON_COMPACT);
    jw_obj(w);
    jw_key(w, "config");
    jw_raw(w, config != NULL ? slice_str(config) : SLICE_LIT("{}"));
    jw_ku64(w, "pid", (uint64_t)process_pid(p));
    if (process_tag(p) != NULL)
        jw_kstr(w, "tag", process_tag(p));
    jw_end(w);
    free(config);
}

void process_rpc_list(struct unary *u, const struct json_ref *body)
{
    _cleanup_buf_ struct buf out = BUF_INIT(RPC_REPLY_MAX_BYTES);
    struct process_table *t = table_of(u);
    struct json_writer w;
    struct err err;
    (void)body;
    jw_init(&w, &out);
    jw_obj(&w);
    if (!list_empty(&t->live)) {
        jw_key(&w, "processes");
        jw_arr(&w);
        list_for_each_safe(it, next, &t->live) write_process(&w, process_of_link(it));
        jw_end(&w);
    }
    jw_end(&w);
    if (out.error == 0) {
        unary_reply(u, buf_slice(&out));
        return;
    }
    (void)rpc_fail(&err, RPC_RESOURCE_EXHAUSTED, "the list is larger than %d bytes",
                   RPC_REPLY_MAX_BYTES);
    unary_fail(u, &err);
}

static void on_written(void *user, int result)
{
    struct unary *u = user;
    struct err err;
    if (result == 0) {
        reply_empty(u);
        return;
    }
    (void)rpc_fail(&err, RPC_INTERNAL, "error writing to stdin: %s", strerrordesc_np(-result));
    unary_fail(u, &err);
}

void process_rpc_send_input(struct unary *u, const struct json_ref *body)
{
    _cleanup_buf_ struct buf data = BUF_INIT(RPC_REQUEST_MAX_BYTES);
    struct err err;
    struct process *p = selected(u, body);
    if (p == NULL)
        return;
    int r = process_read_input(body, &data, &err);
    if (r < 0) {
        unary_fail(u, &err);
        return;
    }
    r = process_write(p, buf_slice(&data), on_written, u);
    if (r == -EPIPE)
        (void)rpc_fail(&err, RPC_INTERNAL, "error writing to stdin: stdin not enabled or closed");
    else if (r == -ENOBUFS)
        (void)rpc_fail(&err, RPC_RESOURCE_EXHAUSTED,
                       "more than %d bytes wait for processes to read their stdin",
                       PROCESS_STDIN_QUEUE_MAX_BYTES);
    else if (r < 0)
        (void)rpc_fail(&err, RPC_INTERNAL, "out of memory");
    if (r < 0)
        unary_fail(u, &err);
}

void process_rpc_close_stdin(struct unary *u, const struct json_ref *body)
{
    struct process *p = selected(u, body);
    if (p == NULL)
        return;
    process_close_stdin(p);
    reply_empty(u);
}

void process_rpc_send_signal(struct unary *u, const struct json_ref *body)
{
    struct err err;
    int sig = 0;
    struct process *p = selected(u, body);
    if (p == NULL)
        return;
    int r = process_read_signal(body, &sig, &err);
    if (r == 0 && (r = process_signal(p, sig)) < 0)
        r = rpc_fail(&err, RPC_INTERNAL, "error sending signal: %s",
                     r == -ESRCH ? "process already finished" : strerrordesc_np(-r));
    if (r < 0)
        unary_fail(u, &err);
    else
        reply_empty(u);
}
