/*
 * Routes by method and encoded path. A pattern is "/v2/sandboxes/{id}/timeout"; a {parameter}
 * matches one whole segment, which is decoded only after matching ("a%2Fb" is one segment).
 */
#pragma once

#include "http/server.h"
#include "http/url.h"

enum { ROUTE_PARAMS_MAX = 4, ROUTE_PARAM_MAX_BYTES = 512 };

struct route_params {
    size_t n;
    char value[ROUTE_PARAMS_MAX][ROUTE_PARAM_MAX_BYTES]; /* decoded, no NUL inside */
};

typedef void (*route_handler)(struct http_exchange *x, const struct route_params *params,
                              void *user);

struct route {
    const char *method, *pattern;
    route_handler handler;
    unsigned flags; /* the owner's */
};

/*
 * Find the route. Returns the route and fills *ret; NULL with *ret_allow == "" when no pattern
 * matches (404), NULL with the allowed methods listed ("GET, POST") in ret_allow (405), NULL with
 * ret_allow[0] == '!' when a parameter does not decode (400). The first matching entry wins.
 */
const struct route *route_find(const struct route *routes, size_t n, struct slice method,
                               struct slice path, struct route_params *ret, char *ret_allow,
                               size_t allow_cap);
