/*
 * A call copies what it needs, runs one function of fs_ops in the pool, and answers on the loop. It
 * is not cancelled when its client goes away.
 */
#include "envd/fs_rpc.h"

#include "base/cleanup.h"
#include "base/num.h"
#include "envd/fs_ops.h"
#include "envd/paths.h"
#include "envd/request.h"

#include <errno.h>

typedef int (*fs_op)(const struct fs_args *a, struct buf *out, struct err *err);

struct fs_call {
    uv_work_t work;
    struct unary *u;
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
    if (c->result < 0)
        unary_fail(c->u, &c->err);
    else
        unary_reply(c->u, buf_slice(&c->out));
    buf_done(&c->out);
    free(c);
}

static int read_path(struct fs_call *c, const struct json_ref *body, const char *key, char *ret)
{
    const char *given = "";
    int r = json_get_str(body, key, JSON_OPTIONAL, &given, &c->err);
    if (r >= 0)
        r = path_resolve(given, c->user.home, unary_request(c->u)->envd->settings.default_workdir,
                         ret, &c->err);
    if (r < 0)
        (void)err_code(&c->err, RPC_INVALID_ARGUMENT);
    return r;
}

/* uint32 as a number or a decimal string. */
static int read_depth(struct fs_call *c, const struct json_ref *body)
{
    struct json_ref ref;
    int64_t v = 0;
    int r = json_get_any(body, "depth", JSON_OPTIONAL, &ref, &c->err);
    if (r <= 0)
        return r;
    if (json_is_string(ref.v))
        r = parse_u32(slice_str(json_string_value(ref.v)), UINT32_MAX, &c->args.depth) < 0
                ? json_refuse(&ref, &c->err, "must be a whole number")
                : 0;
    else if ((r = json_get_i64(body, "depth", JSON_OPTIONAL, 0, UINT32_MAX, &v, &c->err)) > 0)
        c->args.depth = (uint32_t)v;
    if (r < 0)
        (void)err_code(&c->err, RPC_INVALID_ARGUMENT);
    return r;
}

static void start(struct unary *u, const struct json_ref *body, fs_op op, const char *path_key,
                  const char *destination_key)
{
    struct fs_call *c = xnew(struct fs_call);
    c->u = u;
    c->op = op;
    c->out = BUF_INIT(RPC_REPLY_MAX_BYTES);
    c->args = (struct fs_args){.path = c->path, .destination = c->destination, .user = &c->user};
    int r = request_user(unary_request(u), &c->user, &c->err);
    if (r >= 0)
        r = read_path(c, body, path_key, c->path);
    if (r >= 0 && destination_key != NULL)
        r = read_path(c, body, destination_key, c->destination);
    if (r >= 0)
        r = read_depth(c, body);
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
