/* The control plane's REST API: parse, call the manager, render. No sandbox state of its own. */
#pragma once

#include "http/server.h"
#include "sandbox/manager.h"
#include "store/store.h"

struct api;

struct api_opts {
    struct store *store;             /* borrowed */
    struct sandbox_manager *manager; /* borrowed */
    const char *domain;            /* what clients get as "domain", e.g. "localhost:3000"; copied */
    const char *const *host_names; /* names the API answers to besides IPs and localhost; copied */
    size_t n_host_names;
    int64_t max_timeout_s;
    bool strict_fields; /* unknown request fields are 400 instead of a header */

    const char *driver;        /* told by GET /capabilities; NULL: "container"; copied */
    const char *driver_reason; /* why this one; told there too; NULL or "": not told; copied */
    const char *accelerator;   /* of virtual machines: "kvm" or "tcg"; likewise */
    const char *templates_dir; /* what GET /templates reads; NULL: it is 501; copied */
};

int api_new(const struct api_opts *opts, struct api **ret, struct err *err);
/* Only after the server that calls api_handle() and the manager are gone. NULL is fine. */
void api_free(struct api *api);
/* An http_handler's body: answers every request, at once or later. Loop thread. */
void api_handle(struct http_exchange *x, struct api *api);
