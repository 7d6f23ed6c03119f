#include "envd/request.h"

#include "envd/cors.h"
#include "json/writer.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>

static void on_body(struct http_exchange *x, struct slice data, void *user)
{
    struct request *r = user;
    (void)x;
    if (r->on_body != NULL)
        r->on_body(r, data);
}

static void on_writable(struct http_exchange *x, void *user)
{
    struct request *r = user;
    (void)x;
    if (r->on_writable != NULL)
        r->on_writable(r);
}

static void on_closed(struct http_exchange *x, int reason, void *user)
{
    struct request *r = user;
    (void)x;
    r->x = NULL;
    if (r->on_gone != NULL)
        r->on_gone(r, reason);
    request_unref(r);
}

struct request *request_new(struct envd *e, struct http_exchange *x)
{
    static const struct http_x_callbacks callbacks = {
        .on_body = on_body,
        .on_writable = on_writable,
        .on_closed = on_closed,
    };
    struct request *r = xnew(struct request);
    r->envd = e;
    r->x = x;
    r->refs = 1; /* the exchange's */
    http_x_set_callbacks(x, &callbacks, r);
    return r;
}

void request_ref(struct request *r)
{
    r->refs++;
}

void request_unref(struct request *r)
{
    assert(r->refs > 0);
    if (--r->refs == 0)
        free(r);
}

struct slice request_header(const struct request *r, const char *name)
{
    return r->x != NULL ? http_head_get(http_x_head(r->x), name) : slice_of(NULL, 0);
}

static size_t with_cors(struct request *r, const struct http_header *h, size_t n,
                        struct http_header *all)
{
    assert(n + CORS_HEADERS_MAX <= REQUEST_HEADERS_MAX);
    size_t k = cors_headers(http_x_head(r->x), all);
    for (size_t i = 0; i < n; i++)
        all[k++] = h[i];
    return k;
}

int request_respond(struct request *r, unsigned status, const struct http_header *h, size_t n,
                    int64_t length)
{
    struct http_header all[REQUEST_HEADERS_MAX];
    if (r->x == NULL)
        return -EPIPE;
    r->responded = true;
    return http_x_respond(r->x, status, all, with_cors(r, h, n, all), length);
}

void request_reply_with(struct request *r, unsigned status, const struct http_header *h, size_t n,
                        struct slice body)
{
    struct http_header all[REQUEST_HEADERS_MAX];
    if (r->x == NULL)
        return;
    r->responded = true;
    http_x_reply_with(r->x, status, all, with_cors(r, h, n, all), body);
}

void request_reply(struct request *r, unsigned status, const char *content_type, struct slice body)
{
    struct http_header h = {SLICE_LIT("Content-Type"), slice_str(content_type)};
    request_reply_with(r, status, &h, content_type != NULL ? 1 : 0, body);
}

void request_fail(struct request *r, unsigned status, const char *fmt, ...)
{
    static const struct http_header headers[] = {
        {{"Content-Type", 12}, {"application/json; charset=utf-8", 31}},
        {{"X-Content-Type-Options", 22}, {"nosniff", 7}},
    };
    enum { TEXT_MAX = 8192 };
    _cleanup_buf_ struct buf body = BUF_INIT(8 * TEXT_MAX);
    char line[TEXT_MAX];
    struct json_writer w;
    va_list ap;
    va_start(ap, fmt);
    if (vsnprintf(line, sizeof(line), fmt, ap) < 0) /* cut when too long */
        line[0] = '\0';
    va_end(ap);
    jw_init(&w, &body);
    jw_obj(&w);
    jw_ku64(&w, "code", status);
    jw_kstr(&w, "message", line);
    jw_end(&w);
    buf_put_char(&body, '\n');
    request_reply_with(r, status, headers, ARRAY_LEN(headers), buf_slice(&body));
}

int request_user(struct request *r, struct user *ret, struct err *err)
{
    const char *name = r->envd->settings.default_user;
    if (r->has_user) {
        *ret = r->user;
        return 0;
    }
    if (name[0] == '\0')
        return err_set(err, -EACCES, ERR_DENIED, "no user specified");
    if (users_find(name, ret) < 0)
        return err_set(err, -EACCES, ERR_DENIED, "invalid default user: '%.128s'", name);
    return 0;
}
