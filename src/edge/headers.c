/*
 * Fields that belong to one hop end here (RFC 9110, 7.6.1), with whatever Connection names. Framing
 * is the codec's on both sides. Client-sent Forwarded and X-Forwarded-* are dropped and none are
 * added, so guests see the client's own Host and nothing that could be forged; X-Silica-Control is
 * the control plane's alone. Expect ends here too: the edge answers 100 itself when it reads.
 */
#include "edge/headers.h"

#include "base/cleanup.h"
#include "base/num.h"
#include "http/server.h"

static const char *const hop_by_hop[] = {
    "Connection", "Keep-Alive", "Transfer-Encoding", "Content-Length", "Upgrade", "TE",
};
static const char *const request_only[] = {
    "Host",
    "Trailer",
    "Expect",
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Silica-Control",
};
static const char *const response_only[] = {"Date"}; /* the codec writes its own */

static bool is_one_of(struct slice name, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (slice_ieq_str(name, list[i]))
            return true;
    return false;
}

static bool is_hop_by_hop(const struct http_head *head, struct slice name)
{
    static const struct slice proxy = SLICE_LIT("Proxy-");
    char text[128];
    if (is_one_of(name, hop_by_hop, ARRAY_LEN(hop_by_hop)) ||
        slice_ieq(slice_sub(name, 0, proxy.n), proxy))
        return true;
    /* A longer name than any token we copy cannot be in Connection of a sane client; keep it. */
    return slice_copy(name, text, sizeof(text)) == 0 &&
           http_head_has_token(head, "Connection", text);
}

static void add(struct edge_headers *out, struct slice name, struct slice value)
{
    if (out->n < EDGE_HEADERS_MAX)
        out->h[out->n++] = (struct http_header){name, value};
}

void edge_headers_request(const struct http_head *head, struct slice host,
                          struct slice forwarded_host, struct edge_headers *ret)
{
    ret->n = 0;
    add(ret, SLICE_LIT("Host"), host);
    for (size_t i = 0; i < head->n_headers; i++) {
        const struct http_header *h = &head->headers[i];
        if (!is_hop_by_hop(head, h->name) &&
            !is_one_of(h->name, request_only, ARRAY_LEN(request_only)))
            add(ret, h->name, h->value);
    }
    if (http_head_has_token(head, "TE", "trailers"))
        add(ret, SLICE_LIT("TE"), SLICE_LIT("trailers"));
    if (head->upgrade)
        add(ret, SLICE_LIT("Upgrade"), http_head_get(head, "Upgrade"));
    if (forwarded_host.n > 0)
        add(ret, SLICE_LIT("X-Forwarded-Host"), forwarded_host);
}

void edge_headers_response(const struct http_head *head, bool upgrade, struct edge_headers *ret)
{
    ret->n = 0;
    for (size_t i = 0; i < head->n_headers; i++) {
        const struct http_header *h = &head->headers[i];
        bool keep = upgrade && slice_ieq_str(h->name, "Upgrade");
        if (keep || (!is_hop_by_hop(head, h->name) &&
                     !is_one_of(h->name, response_only, ARRAY_LEN(response_only))))
            add(ret, h->name, h->value);
    }
}

int64_t edge_response_length(const struct http_head *head)
{
    uint64_t n;
    struct slice given = http_head_get(head, "Content-Length");
    if (head->framing == HTTP_BODY_LENGTH)
        return head->content_length <= INT64_MAX ? (int64_t)head->content_length
                                                 : HTTP_LENGTH_UNKNOWN;
    if (head->framing == HTTP_BODY_NONE && given.n > 0 && parse_u64(given, INT64_MAX, &n) == 0)
        return (int64_t)n;
    return HTTP_LENGTH_UNKNOWN;
}
