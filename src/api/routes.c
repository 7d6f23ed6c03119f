/*
 * Every endpoint of the protocol's catalogue that can reach this server: those that are served, and
 * those that are known and answered 501 with the feature's name, so that a client learns more than
 * from a bare 404. The first match wins: fixed paths stand before patterns.
 */
#include "api/api_internal.h"
#include "base/cleanup.h"

#define LATER(method, pattern, feature)                                                            \
    {                                                                                              \
        method, pattern, api_not_implemented, 0, feature                                           \
    }

const struct api_route_info api_routes[] = {
    {"GET", "/health", api_health, API_NO_KEY, NULL},
    {"GET", "/capabilities", api_capabilities, 0, NULL},

    {"POST", "/sandboxes", api_create_v1, 0, NULL},
    {"POST", "/v2/sandboxes", api_create_v2, 0, NULL},
    {"GET", "/sandboxes", api_list_v1, 0, NULL},
    {"GET", "/v2/sandboxes", api_list_v2, 0, NULL},
    LATER("GET", "/sandboxes/metrics", "metrics of sandboxes"),
    {"GET", "/sandboxes/{id}", api_get, API_SANDBOX_ID, NULL},
    {"DELETE", "/sandboxes/{id}", api_kill, API_SANDBOX_ID, NULL},
    {"POST", "/sandboxes/{id}/timeout", api_timeout, API_SANDBOX_ID, NULL},
    {"POST", "/sandboxes/{id}/refreshes", api_refresh, API_SANDBOX_ID, NULL},
    {"POST", "/sandboxes/{id}/connect", api_connect_v1, 0, NULL},
    {"POST", "/v2/sandboxes/{id}/connect", api_connect_v2, 0, NULL},
    {"GET", "/templates", api_templates_list, 0, "listing templates"},

    LATER("POST", "/sandboxes/{id}/pause", "pausing a sandbox"),
    LATER("POST", "/sandboxes/{id}/resume", "resuming a sandbox"),
    LATER("POST", "/sandboxes/{id}/fork", "forking a sandbox"),
    LATER("POST", "/sandboxes/{id}/snapshots", "snapshots"),
    LATER("GET", "/snapshots", "snapshots"),
    LATER("PUT", "/sandboxes/{id}/network", "changing the network rules of a sandbox"),
    LATER("GET", "/sandboxes/{id}/metrics", "metrics of sandboxes"),
    LATER("GET", "/sandboxes/{id}/logs", "logs of sandboxes"),
    LATER("GET", "/v2/sandboxes/{id}/logs", "logs of sandboxes"),

    LATER("POST", "/v3/templates", "building templates through the API"),
    LATER("GET", "/v2/templates", "the paged list of templates"),
    LATER("POST", "/templates/tags", "template tags"),
    LATER("DELETE", "/templates/tags", "template tags"),
    LATER("GET", "/templates/aliases/{alias}", "looking up template aliases"),
    LATER("GET", "/templates/{id}", "template details"),
    LATER("DELETE", "/templates/{id}", "deleting templates and snapshots"),
    LATER("PATCH", "/templates/{id}", "publishing templates"),
    LATER("PATCH", "/v2/templates/{id}", "publishing templates"),
    LATER("GET", "/templates/{id}/tags", "template tags"),
    LATER("GET", "/templates/{id}/files/{hash}", "building templates through the API"),
    LATER("POST", "/v2/templates/{id}/builds/{build}", "building templates through the API"),
    LATER("GET", "/templates/{id}/builds/{build}/status", "building templates through the API"),
    LATER("GET", "/templates/{id}/builds/{build}/logs", "building templates through the API"),

    LATER("GET", "/teams", "accounts and teams"),
    LATER("GET", "/api-keys", "managing API keys over HTTP"),
    LATER("POST", "/api-keys", "managing API keys over HTTP"),
    LATER("GET", "/volumes", "volumes"),
    LATER("POST", "/volumes", "volumes"),
    LATER("GET", "/volumes/{id}", "volumes"),
    LATER("DELETE", "/volumes/{id}", "volumes"),
    LATER("GET", "/secrets", "secrets"),
    LATER("POST", "/secrets", "secrets"),
    LATER("GET", "/secrets/{id}", "secrets"),
    LATER("POST", "/secrets/{id}", "secrets"),
    LATER("DELETE", "/secrets/{id}", "secrets"),
    {"GET", "/events/sandboxes", api_events, 0, NULL},
    {"GET", "/events/sandboxes/{id}", api_events_of, API_SANDBOX_ID, NULL},
    LATER("GET", "/events/webhooks", "webhooks"),
    LATER("POST", "/events/webhooks", "webhooks"),
};
const size_t api_n_routes = ARRAY_LEN(api_routes);

void api_not_implemented(struct api_req *req, struct slice body)
{
    (void)body;
    struct err err = {0};
    err_set(&err, -ENOSYS, ERR_UNAVAILABLE, "%s is not implemented by this server",
            api_req_info(req)->feature);
    err_code(&err, API_CODE_NOT_IMPLEMENTED);
    api_reply_err(req, &err);
}
