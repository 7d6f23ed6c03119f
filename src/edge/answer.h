/*
 * What the edge itself answers: JSON for programs, a page for people with a browser, and for CORS
 * preflights a 204, so that page scripts get to see the error of the request proper.
 */
#pragma once

#include "edge/target.h"
#include "http/server.h"

enum edge_failure {
    EDGE_NOT_FOUND,
    EDGE_PORT_CLOSED,
    EDGE_RESERVED,
    EDGE_TOKEN_MISSING,
    EDGE_TOKEN_WRONG,
    EDGE_TOO_MANY,
    EDGE_FAILURE_MAX_
};

/* Answer with the failure; `limit` is for EDGE_TOO_MANY. */
void edge_answer(struct http_exchange *x, enum edge_failure f, const struct edge_target *target,
                 uint32_t limit);
/* 400 with one line of text. */
void edge_answer_target_error(struct http_exchange *x, enum edge_target_error e);

/* The rules that choose between JSON and a page. */
bool edge_wants_page(const struct http_head *head);
