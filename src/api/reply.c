/*
 * Answers. Each carries the CORS headers of the API (any origin: the key is the protection, and it
 * is a header that no browser adds by itself) and, where a request had fields that nobody knows,
 * Silica-Ignored-Fields.
 */
#include "api/api_internal.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"

enum { REPLY_HEADERS_MAX = 12 };

static void reply(struct api_req *req, unsigned status, const char *type, struct slice body,
                  const struct http_header *extra, size_t n_extra)
{
    if (req->x == NULL)
        return;
    struct http_header h[REPLY_HEADERS_MAX];
    size_t n = 0;
    if (type != NULL)
        h[n++] = (struct http_header){SLICE_LIT("Content-Type"), slice_str(type)};
    h[n++] = (struct http_header){SLICE_LIT("Access-Control-Allow-Origin"), SLICE_LIT("*")};
    h[n++] = (struct http_header){SLICE_LIT("Access-Control-Expose-Headers"),
                                  SLICE_LIT("X-Next-Token, X-Total-Running, RateLimit-Limit, "
                                            "RateLimit-Remaining, RateLimit-Reset, Retry-After, "
                                            "Silica-Ignored-Fields")};
    h[n++] = (struct http_header){SLICE_LIT("X-Content-Type-Options"), SLICE_LIT("nosniff")};
    if (req->ignored.n > 0)
        h[n++] = (struct http_header){SLICE_LIT("Silica-Ignored-Fields"), buf_slice(&req->ignored)};
    for (size_t i = 0; i < n_extra && n < REPLY_HEADERS_MAX; i++)
        h[n++] = extra[i];
    http_x_reply_with(req->x, status, h, n, body);
}

void api_reply_json(struct api_req *req, unsigned status, const struct buf *body,
                    const struct http_header *extra, size_t n_extra)
{
    static struct log_rate rate;
    if (body->error == 0) {
        reply(req, status, "application/json", buf_slice(body), extra, n_extra);
        return;
    }
    if (log_allow(&rate, 5))
        log_error("an answer did not fit into %zu bytes", body->max);
    reply(req, 500, "application/json",
          SLICE_LIT("{\"code\":500,\"message\":\"Internal server error\"}"), NULL, 0);
}

void api_reply_text(struct api_req *req, unsigned status, const char *text)
{
    reply(req, status, "text/plain; charset=utf-8", slice_str(text), NULL, 0);
}

void api_reply_empty(struct api_req *req)
{
    reply(req, 204, NULL, (struct slice){0}, NULL, 0);
}

void api_reply_err(struct api_req *req, const struct err *err)
{
    static struct log_rate rate;
    unsigned status = api_error_status(err);
    if (status >= 500 && status != 501 && log_allow(&rate, 20))
        log_error("answered %u: %s", status, err->msg);
    _cleanup_buf_ struct buf body = BUF_INIT(8192);
    (void)api_error_render(err, &body);
    api_reply_json(req, status, &body, NULL, 0);
}

void api_reply_sandbox_err(struct api_req *req, const struct err *err)
{
    struct err own = *err;
    struct sandbox_ended ended;
    char time[RFC3339_BYTES];
    if (own.kind == ERR_NOT_FOUND)
        err_set(&own, -ENOENT, ERR_NOT_FOUND,
                "Sandbox \"%s\" doesn't exist or you don't have access to it", req->id);
    if (own.kind == ERR_NOT_FOUND &&
        sandbox_ended(req->api->manager, req->team, req->id, &ended) > 0) {
        rfc3339_format(ended.wall_ns, time);
        (void)err_set(&own, -ENOENT, ERR_NOT_FOUND,
                      "Sandbox \"%s\" doesn't exist or you don't have access to it: it ended at "
                      "%s: %s",
                      req->id, time, ended.text);
    }
    api_reply_err(req, &own);
}

void api_reply_sandbox(struct api_req *req, unsigned status, const struct sandbox_info *info)
{
    _cleanup_buf_ struct buf body = BUF_INIT(API_ANSWER_MAX_BYTES);
    struct json_writer w;
    jw_init(&w, &body);
    api_render_sandbox(req->api, info, &w);
    api_reply_json(req, status, &body, NULL, 0);
}
