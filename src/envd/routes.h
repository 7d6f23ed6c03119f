/*
 * From an arriving request to its handler, in the protocol's order: CORS, route, access token,
 * account, handler.
 */
#pragma once

#include "http/server.h"

/* The http_handler of the daemon; user is the struct envd. */
void routes_handle(struct http_exchange *x, void *user);
