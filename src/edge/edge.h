/* The edge: finds the sandbox of a request by host name or header and streams both ways. */
#pragma once

#include "http/server.h"
#include "sandbox/manager.h"

struct edge;

struct edge_opts {
    struct sandbox_manager *manager; /* borrowed */
    const char *domain;              /* "<port>-<id>.<domain>" names are ours; copied */
    uint32_t max_per_sandbox;        /* concurrent requests to one sandbox; 0: default 1024 */
};

int edge_new(const struct edge_opts *opts, struct edge **ret, struct err *err);
void edge_free(struct edge *edge);
/* True when the request is for a sandbox: E2b-Sandbox-Id given, or a host "<port>-<id>.…". */
bool edge_wants(const struct edge *edge, const struct http_head *head);
void edge_handle(struct http_exchange *x, struct edge *edge);
