/* Which header fields pass the edge, in both directions. */
#pragma once

#include "http/head.h"

enum { EDGE_HEADERS_MAX = HTTP_HEADERS_MAX + 4 };

struct edge_headers {
    struct http_header h[EDGE_HEADERS_MAX];
    size_t n;
};

/*
 * The request's fields for the guest. `host` is what the guest sees as Host; `forwarded_host` (empty
 * for none) is added as X-Forwarded-Host. Slices point into the arguments.
 */
void edge_headers_request(const struct http_head *head, struct slice host,
                          struct slice forwarded_host, struct edge_headers *ret);
/* The response's fields for the client; with `upgrade` the Upgrade field is kept. */
void edge_headers_response(const struct http_head *head, bool upgrade, struct edge_headers *ret);

/*
 * The exact body length that an answer announces, or HTTP_LENGTH_UNKNOWN. Answers to HEAD announce
 * one without having a body.
 */
int64_t edge_response_length(const struct http_head *head);
