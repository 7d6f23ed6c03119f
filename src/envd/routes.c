/*
 * The table is the whole surface of the daemon. What the protocol has and this daemon does not
 * (terminals, watches, freezing, composing) has its row too and answers "unimplemented".
 *
 * The token is checked before the route is known to exist, except on the four exempt routes: an
 * unknown path without a token is 401, as the protocol's middleware order has it.
 */
#include "envd/routes.h"

#include "base/cleanup.h"
#include "envd/auth.h"
#include "envd/cors.h"
#include "envd/files.h"
#include "envd/fs_rpc.h"
#include "envd/init.h"
#include "envd/process_rpc.h"
#include "envd/request.h"

#include <errno.h>

enum kind { KIND_REST, KIND_UNARY, KIND_STREAM, KIND_CONTROL };

struct row {
    const char *method, *path;
    enum kind kind;
    enum auth_rule auth;
    void (*rest)(struct request *r); /* KIND_REST; NULL: 501 */
    unary_handler unary;             /* KIND_UNARY; NULL: unimplemented */
    const struct stream_ops *stream; /* KIND_STREAM; NULL: unimplemented */
};

static void health_get(struct request *r)
{
    static const struct http_header h = {{"Cache-Control", 13}, {"no-store", 8}};
    request_reply_with(r, 204, &h, 1, slice_of(NULL, 0));
}

#define REST(m, p, a, f)                                                                           \
    {                                                                                              \
        .method = m, .path = p, .kind = KIND_REST, .auth = a, .rest = f                            \
    }
#define CONTROL(p)                                                                                 \
    {                                                                                              \
        .method = "POST", .path = p, .kind = KIND_CONTROL                                          \
    }
#define PROCESS(name, k, ...)                                                                      \
    {                                                                                              \
        .method = "POST", .path = "/process.Process/" name, .kind = k, __VA_ARGS__                 \
    }
#define FILESYSTEM(name, k, ...)                                                                   \
    {                                                                                              \
        .method = "POST", .path = "/filesystem.Filesystem/" name, .kind = k, __VA_ARGS__           \
    }

static const struct row rows[] = {
    REST("GET", "/health", AUTH_OWN, health_get),
    REST("GET", "/metrics", AUTH_TOKEN, metrics_get),
    REST("GET", "/envs", AUTH_TOKEN, envs_get),
    REST("GET", "/files", AUTH_OWN, files_get),
    REST("POST", "/files", AUTH_OWN, files_post),
    REST("POST", "/files/compose", AUTH_TOKEN, NULL),
    REST("POST", "/init", AUTH_OWN, init_post),
    CONTROL("/freeze"),
    CONTROL("/unfreeze"),
    CONTROL("/collapse"),
    CONTROL("/fsfreeze"),
    CONTROL("/fsthaw"),
    CONTROL("/upgrade"),
    PROCESS("Start", KIND_STREAM, .stream = &process_start_ops),
    PROCESS("Connect", KIND_STREAM, .stream = &process_connect_ops),
    PROCESS("List", KIND_UNARY, .unary = process_rpc_list),
    PROCESS("SendInput", KIND_UNARY, .unary = process_rpc_send_input),
    PROCESS("CloseStdin", KIND_UNARY, .unary = process_rpc_close_stdin),
    PROCESS("SendSignal", KIND_UNARY, .unary = process_rpc_send_signal),
    PROCESS("Update", KIND_UNARY, ),
    PROCESS("StreamInput", KIND_STREAM, ),
    FILESYSTEM("Stat", KIND_UNARY, .unary = fs_rpc_stat),
    FILESYSTEM("MakeDir", KIND_UNARY, .unary = fs_rpc_make_dir),
    FILESYSTEM("Move", KIND_UNARY, .unary = fs_rpc_move),
    FILESYSTEM("ListDir", KIND_UNARY, .unary = fs_rpc_list_dir),
    FILESYSTEM("Remove", KIND_UNARY, .unary = fs_rpc_remove),
    FILESYSTEM("WatchDir", KIND_STREAM, ),
    FILESYSTEM("CreateWatcher", KIND_UNARY, ),
    FILESYSTEM("GetWatcherEvents", KIND_UNARY, ),
    FILESYSTEM("RemoveWatcher", KIND_UNARY, ),
};

/* The row of that method and path; *ret_allow lists the methods of the path when there is none. */
static const struct row *find_row(struct slice method, struct slice path, struct buf *ret_allow)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!slice_eq_str(path, rows[i].path))
            continue;
        if (slice_eq_str(method, rows[i].method))
            return &rows[i];
        buf_put_str(ret_allow, ret_allow->n != 0 ? ", " : "");
        buf_put_str(ret_allow, rows[i].method);
    }
    return NULL;
}

static void refuse_route(struct request *r, struct slice allow)
{
    struct http_header h[] = {
        {SLICE_LIT("Content-Type"), SLICE_LIT("text/plain; charset=utf-8")},
        {SLICE_LIT("X-Content-Type-Options"), SLICE_LIT("nosniff")},
    };
    struct http_header allowed = {SLICE_LIT("Allow"), allow};
    if (allow.n == 0)
        request_reply_with(r, 404, h, ARRAY_LEN(h), SLICE_LIT("404 page not found\n"));
    else
        request_reply_with(r, 405, &allowed, 1, slice_of(NULL, 0));
}

static void unimplemented(struct request *r, const struct row *row)
{
    struct err err;
    (void)rpc_fail(&err, RPC_UNIMPLEMENTED, "%s is not supported", row->path + 1);
    rpc_fail_request(r, &err);
}

static void call_row(struct request *r, const struct row *row)
{
    switch (row->kind) {
    case KIND_REST:
        if (row->rest != NULL)
            row->rest(r);
        else
            request_fail(r, 501, "%s is not supported", row->path);
        break;
    case KIND_UNARY:
        if (row->unary != NULL)
            unary_start(r, row->unary);
        else
            unimplemented(r, row);
        break;
    case KIND_STREAM:
        if (row->stream != NULL)
            stream_start(r, row->stream);
        else
            unimplemented(r, row);
        break;
    case KIND_CONTROL:
        if (auth_control_ok(r))
            request_fail(r, 501, "%s is not supported", row->path);
        else
            request_fail(r, 401, "control secret missing or wrong");
        break;
    }
}

void routes_handle(struct http_exchange *x, void *user)
{
    struct request *r = request_new(user, x);
    const struct http_head *head = http_x_head(x);
    _cleanup_buf_ struct buf allow = BUF_INIT(64);
    if (url_parse_target(head->target, &r->target) < 0) {
        request_fail(r, 400, "malformed request target");
        return;
    }
    if (cors_preflight(r))
        return;
    const struct row *row = find_row(head->method, r->target.path, &allow);
    if (!auth_check_token(r, row != NULL ? row->auth : AUTH_TOKEN) || !auth_pick_user(r))
        return;
    if (row != NULL)
        call_row(r, row);
    else
        refuse_route(r, buf_slice(&allow));
}
