/*
 * A call copies what it needs, runs one function of fs_ops in the pool, and answers on the loop. It
 * is not cancelled when its client goes away.
 */
#include "envd/fs_rpc.h"

#include "base/cleanup.h"
#include "envd/fs_ops.h"
#include "envd/paths.h"
#include "envd/request.h"

#include <errno.h>

typedef int (*fs_op)(const struct fs_args *a, struct buf *out, struct err *err);

struct fs_call {
    uv_work_t work;
    struct unary *u;
    const struct limits *limits; /* borrowed; lives as long as the process */
    fs_op op;
    struct fs_args args;
    struct user user;
    char path[ENVD_PATH_MAX + 1], destination[ENVD_PATH_MAX + 1];
    struct buf out;
    struct err err;
    int result;
};

static void run(uv_work_t *w)
{
    struct fs_call *c = container_of(w, struct fs_call, work);
    c->result = c->op(&c->args, &c->out, &c->err);
    if (c->result >= 0 && c->out.error != 0)
        c->result = rpc_fail(&c->err, RPC_RESOURCE_EXHAUSTED, "the answer is larger than %d bytes",
                             RPC_REPLY_MAX_BYTES);
}

static void after(uv_work_t *w, int status)
{
    struct fs_call *c = container_of(w, struct fs_call, work);
    (void)status;
    limits_explain_space(c->limits, c->result, "/", &c->err);
    if (c->result < 0)
        unary_fail(c->u, &c->err);
    else
        unary_reply(c->u, buf_slice(&c->out));
    buf_done(&c->out);
    free(c);
}

static void start(struct unary *u, const struct json_ref *body, fs_op op, const char *path_key,
                  const char *destination_key)
{
    struct fs_call *c = xnew(struct fs_call);
    c->u = u;
    c->limits = &unary_request(u)->envd->limits;
    c->op = op;
    c->out = BUF_INIT(RPC_REPLY_MAX_BYTES);
    c->args = (struct fs_args){.path = c->path, .destination = c->destination, .user = &c->user};
    int r = request_user(unary_request(u), &c->user, &c->err);
    const char *workdir = unary_request(u)->envd->settings.default_workdir;
    if (r >= 0)
        r = fs_read_path(body, path_key, c->user.home, workdir, c->path, &c->err);
    if (r >= 0 && destination_key != NULL)
        r = fs_read_path(body, destination_key, c->user.home, workdir, c->destination, &c->err);
    if (r >= 0)
        r = fs_read_depth(body, &c->args.depth, &c->err);
    if (r < 0) {
        unary_fail(u, &c->err);
        free(c);
        return;
    }
    (void)uv_queue_work(unary_request(u)->envd->loop, &c->work, run, after);
}

void fs_rpc_stat(struct unary *u, const struct json_ref *body)
{
    start(u, body, fs_stat, "path", NULL);
}

void fs_rpc_make_dir(struct unary *u, const struct json_ref *body)
{
    start(u, body, fs_make_dir, "path", NULL);
}

void fs_rpc_move(struct unary *u, const struct json_ref *body)
{
    start(u, body, fs_move, "source", "destination");
}

void fs_rpc_list_dir(struct unary *u, const struct json_ref *body)
{
    start(u, body, fs_list_dir, "path", NULL);
}

void fs_rpc_remove(struct unary *u, const struct json_ref *body)
{
    start(u, body, fs_remove, "path", NULL);
}
