/* Which sandbox and which port a request is for. Pure: looks at the head only. */
#pragma once

#include "http/head.h"

#include <stdbool.h>
#include <stdint.h>

enum { EDGE_ID_MAX_BYTES = 64 }; /* a DNS label and its terminator */

enum edge_target_error {
    EDGE_TARGET_OK,
    EDGE_TARGET_BAD_HOST,
    EDGE_TARGET_BAD_PORT,
    EDGE_TARGET_BAD_ID,
    EDGE_TARGET_MISSING_HEADER,
    EDGE_TARGET_BAD_REQUEST, /* the request target is neither a path nor an absolute URL */
    EDGE_TARGET_MAX_
};

/* Slices point into the head. */
struct edge_target {
    char id[EDGE_ID_MAX_BYTES]; /* [a-z0-9]+, not yet known to exist */
    uint32_t port;              /* as given; 0 or above 65535 is a port that is never open */
    struct slice host;          /* authority of an absolute target, else the Host header */
    struct slice path;          /* still encoded, never empty */
    struct slice query;         /* still encoded, with its '?'; empty when there is none */
};

/* True when the request is for a sandbox (well-formed or not) and not for the API. */
bool edge_target_wanted(const struct http_head *head, const char *domain);

/* Fills *ret on EDGE_TARGET_OK. */
enum edge_target_error edge_target_parse(const struct http_head *head, const char *domain,
                                         struct edge_target *ret);

/* "Invalid sandbox port" and so on; the text of the 400 answer. */
const char *edge_target_error_text(enum edge_target_error e);

/*
 * True when the cleaned path is one that only the control plane may call (/init and so on), or does
 * not decode at all: what cannot be compared is not let through to envd.
 */
bool edge_path_reserved(struct slice path);
