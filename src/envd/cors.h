/* Cross-origin rules: everything is allowed, because the token is what protects a sandbox. */
#pragma once

#include "http/head.h"

enum { CORS_HEADERS_MAX = 3 };

/* The headers that any answer to this request carries, into ret[CORS_HEADERS_MAX]; their number. */
size_t cors_headers(const struct http_head *head, struct http_header *ret);

struct request;
/* Answers a preflight and returns true; false for every other request. */
bool cors_preflight(struct request *r);
