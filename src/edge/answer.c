/*
 * The edge's own answers. The SDKs decide by them: 502 says "the sandbox is gone" (404 would be
 * read as "no such file"), and test suites match `port` and the sentences. Only checked ids and
 * numbers are put into pages; the path of a request is not.
 */
#include "edge/answer.h"

#include "base/cleanup.h"
#include "http/url.h"
#include "json/writer.h"

#include <assert.h>

enum { ANSWER_MAX_BYTES = 131072, ANSWER_HEADERS_MAX = 4 };

static const struct failure {
    unsigned status;
    const char *message; /* for EDGE_TOO_MANY the limit follows */
    const char *title, *page;
} failures[] = {
    [EDGE_NOT_FOUND] = {502, "The sandbox was not found", "Sandbox not found",
                        "The sandbox was not found. It may have ended or never existed."},
    [EDGE_PORT_CLOSED] = {502, "The sandbox is running but port is not open", "Closed port error",
                          "The sandbox is running, but no service is listening on port"},
    [EDGE_RESERVED] = {404,
                       "This endpoint is reserved for the E2B control plane and is not reachable "
                       "through the sandbox URL",
                       "Endpoint not available",
                       "This endpoint is reserved for the control plane."},
    [EDGE_TOKEN_MISSING] = {403,
                            "Sandbox is secured with traffic access token. Token header "
                            "'e2b-traffic-access-token' is missing",
                            "Missing traffic access token",
                            "This sandbox answers only requests that carry its traffic token."},
    [EDGE_TOKEN_WRONG] = {403,
                          "Sandbox is secured with traffic access token. Provided token in header "
                          "'e2b-traffic-access-token' is invalid",
                          "Invalid traffic access token",
                          "The traffic token of the request is not that of the sandbox."},
    [EDGE_TOO_MANY] = {429, "The sandbox has too many concurrent incoming connections",
                       "Too many connections",
                       "The sandbox has too many concurrent connections. Try again in a moment."},
};
static_assert(ARRAY_LEN(failures) == EDGE_FAILURE_MAX_, "each failure has an answer");

static bool contains_word(struct slice text, const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; i + n <= text.n; i++)
        if (slice_ieq_str(slice_sub(text, i, n), word))
            return true;
    return false;
}

bool edge_wants_page(const struct http_head *head)
{
    static const char *const browsers[] = {"mozilla", "chrome", "safari", "firefox",
                                           "edge",    "opera",  "msie"};
    static const char *const script_modes[] = {"cors", "no-cors", "same-origin", "websocket"};
    struct slice accept = http_head_get(head, "Accept");
    struct slice mode = http_head_get(head, "Sec-Fetch-Mode");
    struct slice agent = http_head_get(head, "User-Agent");
    if (contains_word(accept, "application/json") && !contains_word(accept, "text/html"))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(script_modes); i++)
        if (slice_eq_str(mode, script_modes[i]))
            return false;
    if (!slice_eq_str(mode, "navigate") && http_head_find(head, "X-Requested-With") != NULL)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(browsers); i++)
        if (contains_word(agent, browsers[i]))
            return true;
    return false;
}

static void put_json(struct buf *out, enum edge_failure f, const struct edge_target *t,
                     uint32_t limit)
{
    struct json_writer w;
    jw_init(&w, out);
    jw_obj(&w);
    if (f != EDGE_RESERVED)
        jw_kstr(&w, "sandboxId", t->id);
    jw_key(&w, "message");
    if (f == EDGE_TOO_MANY) {
        _cleanup_buf_ struct buf text = BUF_INIT(256);
        (void)buf_printf(&text, "%s (limit: %u)", failures[f].message, limit);
        jw_strn(&w, buf_slice(&text));
    } else {
        jw_str(&w, failures[f].message);
    }
    if (f == EDGE_PORT_CLOSED)
        jw_ku64(&w, "port", t->port);
    if (f == EDGE_RESERVED) {
        _cleanup_buf_ struct buf path = BUF_INIT(HTTP_TARGET_MAX_BYTES);
        jw_key(&w, "path");
        jw_strn(&w, url_clean_path(&path, t->path) == 0 ? buf_slice(&path) : t->path);
    }
    jw_ku64(&w, "code", failures[f].status);
    if (f == EDGE_TOO_MANY)
        jw_ku64(&w, "connectionLimit", limit);
    jw_end(&w);
}

static void put_page(struct buf *out, enum edge_failure f, const struct edge_target *t)
{
    const struct failure *row = &failures[f];
    (void)buf_printf(out,
                     "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">"
                     "<title>%s</title></head>\n<body>\n<h1>%s</h1>\n<p>%s",
                     row->title, row->title, row->page);
    if (f == EDGE_PORT_CLOSED)
        (void)buf_printf(out, " %u.", t->port);
    if (f != EDGE_RESERVED)
        (void)buf_printf(out, "</p>\n<p>Sandbox: <code>%s</code>", t->id);
    buf_put_str(out, "</p>\n</body>\n</html>");
}

static bool is_preflight(const struct http_head *head)
{
    return slice_eq_str(head->method, "OPTIONS") &&
           http_head_find(head, "Access-Control-Request-Method") != NULL;
}

static void answer_preflight(struct http_exchange *x)
{
    const struct http_head *head = http_x_head(x);
    struct slice headers = http_head_get(head, "Access-Control-Request-Headers");
    const struct http_header h[] = {
        {SLICE_LIT("Access-Control-Allow-Origin"), SLICE_LIT("*")},
        {SLICE_LIT("Access-Control-Allow-Methods"),
         SLICE_LIT("GET, HEAD, POST, PUT, PATCH, DELETE")},
        {SLICE_LIT("Access-Control-Max-Age"), SLICE_LIT("60")},
        {SLICE_LIT("Vary"),
         SLICE_LIT("Origin, Access-Control-Request-Method, Access-Control-Request-Headers")},
        {SLICE_LIT("Access-Control-Allow-Headers"), headers},
    };
    http_x_reply_with(x, 204, h, ARRAY_LEN(h) - (headers.n == 0), (struct slice){0});
}

static void reply(struct http_exchange *x, unsigned status, struct slice type, struct slice body)
{
    const struct http_header h[ANSWER_HEADERS_MAX] = {
        {SLICE_LIT("Content-Type"), type},
        {SLICE_LIT("X-Content-Type-Options"), SLICE_LIT("nosniff")},
        {SLICE_LIT("Access-Control-Allow-Origin"), SLICE_LIT("*")},
        {SLICE_LIT("Vary"), SLICE_LIT("Origin")},
    };
    http_x_reply_with(x, status, h, ARRAY_LEN(h), body);
}

void edge_answer(struct http_exchange *x, enum edge_failure f, const struct edge_target *target,
                 uint32_t limit)
{
    const struct http_head *head = http_x_head(x);
    if (f != EDGE_PORT_CLOSED && is_preflight(head)) {
        answer_preflight(x);
        return;
    }
    _cleanup_buf_ struct buf body = BUF_INIT(ANSWER_MAX_BYTES);
    bool page = edge_wants_page(head);
    if (page)
        put_page(&body, f, target);
    else
        put_json(&body, f, target, limit);
    reply(x, failures[f].status,
          page ? SLICE_LIT("text/html; charset=utf-8")
               : SLICE_LIT("application/json; charset=utf-8"),
          buf_slice(&body));
}

void edge_answer_target_error(struct http_exchange *x, enum edge_target_error e)
{
    if (is_preflight(http_x_head(x))) {
        answer_preflight(x);
        return;
    }
    _cleanup_buf_ struct buf body = BUF_INIT(256);
    (void)buf_printf(&body, "%s\n", edge_target_error_text(e));
    reply(x, 400, SLICE_LIT("text/plain; charset=utf-8"), buf_slice(&body));
}
