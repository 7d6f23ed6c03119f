/*
 * One API request from its head to its answer.
 *
 * Order of decisions: host name (DNS rebinding), CORS preflight, path, method, key, sandbox id,
 * body, handler. Nothing of a body is read before the key was accepted, so strangers cannot make
 * the daemon buffer 16 MiB.
 *
 * Life of a struct api_req: made in api_handle(), one reference held by the exchange (given back in
 * on_closed, which also clears `x`) and one by each manager call. Whatever the manager does for a
 * client that went away is done all the same; only its answer is dropped.
 *
 * Memory for one request: the body (at most API_BODY_MAX_BYTES, held by the HTTP server), its JSON
 * document, and the answer (at most API_ANSWER_MAX_BYTES).
 */
#include "api/api_internal.h"
#include "base/cleanup.h"
#include "base/log.h"

#include <string.h>

void api_free(struct api *api)
{
    if (api == NULL)
        return;
    for (size_t i = 0; i < api->n_hosts; i++)
        free(api->hosts[i]);
    free(api->hosts);
    free(api->routes);
    free(api->domain);
    free(api->driver);
    free(api->driver_reason);
    free(api->accelerator);
    free(api->templates_dir);
    free(api);
}

static void api_freep(struct api **api)
{
    api_free(*api);
    *api = NULL;
}

static int copy_options(struct api *api, const struct api_opts *opts)
{
    api->domain = strdup(opts->domain);
    api->driver = strdup(opts->driver != NULL ? opts->driver : "container");
    api->driver_reason = strdup(opts->driver_reason != NULL ? opts->driver_reason : "");
    api->accelerator = strdup(opts->accelerator != NULL ? opts->accelerator : "");
    if (api->domain == NULL || api->driver == NULL || api->driver_reason == NULL ||
        api->accelerator == NULL)
        return -ENOMEM;
    if (opts->templates_dir != NULL && (api->templates_dir = strdup(opts->templates_dir)) == NULL)
        return -ENOMEM;
    api->hosts = calloc(API_HOST_NAMES_MAX, sizeof(*api->hosts));
    if (api->hosts == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < opts->n_host_names; i++) {
        if ((api->hosts[i] = strdup(opts->host_names[i])) == NULL)
            return -ENOMEM;
        api->n_hosts = i + 1;
    }
    return 0;
}

static int make_routes(struct api *api)
{
    api->routes = calloc(api_n_routes, sizeof(*api->routes));
    if (api->routes == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < api_n_routes; i++)
        api->routes[i] =
            (struct route){.method = api_routes[i].method, .pattern = api_routes[i].pattern};
    return 0;
}

int api_new(const struct api_opts *opts, struct api **ret, struct err *err)
{
    if (opts->n_host_names > API_HOST_NAMES_MAX)
        return err_set(err, -E2BIG, ERR_LIMIT, "more than %d host names", API_HOST_NAMES_MAX);
    _cleanup_(api_freep)
    struct api *api = xnew(struct api);
    api->store = opts->store;
    api->manager = opts->manager;
    api->max_timeout_s = opts->max_timeout_s > 0 ? opts->max_timeout_s : 86400;
    api->strict_fields = opts->strict_fields;
    if (copy_options(api, opts) < 0 || make_routes(api) < 0)
        return err_set(err, -ENOMEM, ERR_INTERNAL, "out of memory");
    *ret = take_ptr(&api);
    return 0;
}

struct api_req *api_req_ref(struct api_req *req)
{
    req->refs++;
    return req;
}

void api_req_unref(struct api_req *req)
{
    if (--req->refs > 0)
        return;
    buf_done(&req->ignored);
    free(req);
}

const struct api_route_info *api_req_info(const struct api_req *req)
{
    return &api_routes[req->route - req->api->routes];
}

static void on_closed(struct http_exchange *x, int reason, void *user)
{
    (void)x, (void)reason;
    struct api_req *req = user;
    req->x = NULL;
    req->query = (struct slice){0};
    api_req_unref(req);
}

static void refuse(struct api_req *req, enum err_kind kind, const char *code, const char *msg)
{
    struct err err = {0};
    err_set(&err, -EINVAL, kind, "%s", msg);
    if (code != NULL)
        err_code(&err, code);
    api_reply_err(req, &err);
}

static void on_body(struct http_exchange *x, int result, struct slice body, void *user)
{
    (void)x;
    struct api_req *req = user;
    if (result == -EMSGSIZE)
        refuse(req, ERR_INVALID, API_CODE_TOO_LARGE, "the request body is larger than 16 MiB");
    else if (result == -EBADMSG)
        refuse(req, ERR_INVALID, NULL, "the request body is not framed as its head says");
    else if (result == -ENOBUFS)
        refuse(req, ERR_UNAVAILABLE, NULL, "too many large requests at once, try again");
    else if (result < 0)
        refuse(req, ERR_TIMEOUT, API_CODE_BODY_TIMEOUT, "the request body did not arrive in time");
    else
        api_req_info(req)->handler(req, body);
}

/* True when the key is good; otherwise the request is answered. */
static bool authenticate(struct api_req *req)
{
    const struct http_header *h = http_head_find(http_x_head(req->x), "X-API-Key");
    if (h == NULL || h->value.n == 0) {
        refuse(req, ERR_DENIED, API_CODE_UNAUTHORIZED, "the X-API-Key header is missing");
        return false;
    }
    struct key_info key;
    struct err err = {0};
    int r = store_key_find(req->api->store, h->value, &key, &err);
    if (r == -ENOENT) {
        refuse(req, ERR_DENIED, API_CODE_UNAUTHORIZED, "the API key is not valid");
        return false;
    }
    if (r < 0) {
        api_reply_err(req, &err);
        return false;
    }
    memcpy(req->team, key.team, sizeof(req->team));
    return true;
}

static void answer_preflight(struct api_req *req)
{
    const struct http_head *head = http_x_head(req->x);
    struct slice headers = http_head_get(head, "Access-Control-Request-Headers");
    struct http_header out[] = {
        {SLICE_LIT("Access-Control-Allow-Origin"), SLICE_LIT("*")},
        {SLICE_LIT("Access-Control-Allow-Methods"),
         SLICE_LIT("GET, HEAD, POST, PUT, PATCH, DELETE")},
        {SLICE_LIT("Access-Control-Max-Age"), SLICE_LIT("7200")},
        {SLICE_LIT("Vary"),
         SLICE_LIT("Origin, Access-Control-Request-Method, Access-Control-Request-Headers")},
        {SLICE_LIT("Access-Control-Allow-Headers"), headers},
    };
    http_x_reply_with(req->x, 204, out, ARRAY_LEN(out) - (headers.n == 0), (struct slice){0});
}

static bool is_preflight(const struct http_head *head)
{
    return slice_eq_str(head->method, "OPTIONS") &&
           http_head_find(head, "Access-Control-Request-Method") != NULL;
}

/* Finds the route; otherwise the request is answered. */
static bool find_route(struct api_req *req, struct slice path)
{
    char allow[128] = "";
    req->route = route_find(req->api->routes, api_n_routes, http_x_head(req->x)->method, path,
                            &req->params, allow, sizeof(allow));
    if (req->route != NULL)
        return true;
    struct err err = {0};
    if (allow[0] == '!') {
        refuse(req, ERR_INVALID, NULL, "the path is not well-formed");
    } else if (allow[0] == '\0') {
        refuse(req, ERR_INVALID, API_CODE_NO_ROUTE, "no such endpoint");
    } else {
        _cleanup_buf_ struct buf body = BUF_INIT(1024);
        err_set(&err, -EINVAL, ERR_INVALID, "this endpoint takes %s", allow);
        err_code(&err, API_CODE_METHOD);
        struct http_header h = {SLICE_LIT("Allow"), slice_str(allow)};
        (void)api_error_render(&err, &body);
        api_reply_json(req, api_error_status(&err), &body, &h, 1);
    }
    return false;
}

/* True when the path has no sandbox id or a good one; otherwise the request is answered. */
static bool check_sandbox_id(struct api_req *req)
{
    struct err err = {0};
    if ((api_req_info(req)->flags & API_SANDBOX_ID) == 0)
        return true;
    if (api_sandbox_id(req->params.value[0], req->id, &err) == 0)
        return true;
    api_reply_err(req, &err);
    return false;
}

static void dispatch(struct api_req *req)
{
    const struct http_head *head = http_x_head(req->x);
    struct url_target target;
    bool any = slice_eq_str(head->target, "*");
    if (any || url_parse_target(head->target, &target) < 0)
        target = (struct url_target){.path = any ? SLICE_LIT("/") : (struct slice){0}};
    struct slice host = target.authority.n > 0 ? target.authority : http_head_get(head, "Host");
    if (!api_host_allowed(req->api, host)) {
        refuse(req, ERR_DENIED, API_CODE_HOST_NOT_ALLOWED,
               "the API does not answer to this host name; see the host_names setting");
        return;
    }
    if (is_preflight(head)) {
        answer_preflight(req);
        return;
    }
    if (target.path.n == 0) {
        refuse(req, ERR_INVALID, NULL, "the request target is not well-formed");
        return;
    }
    req->query = target.query;
    if (!find_route(req, target.path))
        return;
    if ((api_req_info(req)->flags & API_NO_KEY) == 0 && !authenticate(req))
        return;
    if (check_sandbox_id(req))
        http_x_read_all(req->x, API_BODY_MAX_BYTES, on_body, req);
}

void api_handle(struct http_exchange *x, struct api *api)
{
    static const struct http_x_callbacks callbacks = {.on_closed = on_closed};
    struct api_req *req = xnew(struct api_req);
    req->api = api;
    req->x = x;
    req->refs = 1;
    buf_init(&req->ignored, API_IGNORED_MAX_BYTES);
    http_x_set_callbacks(x, &callbacks, req);
    dispatch(req);
}
