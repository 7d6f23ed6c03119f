/* Request targets: path and query, percent-decoding, and hosts with ports. */
#pragma once

#include "base/buf.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

enum { URL_HOST_MAX_BYTES = 255 }; /* RFC 1035: the longest name */

/*
 * Split an origin-form target ("/a%20b?x=1") or absolute-form ("http://host/a"). An empty path comes
 * back as "/". Slices borrow from `target`. Returns 0 or -EINVAL.
 */
struct url_target {
    struct slice authority;   /* absolute-form only, else empty */
    struct slice path, query; /* still encoded; query without '?' */
};
int url_parse_target(struct slice target, struct url_target *ret);

/*
 * Append the percent-decoded form. plus_is_space for query values. -EINVAL on a bad escape or, with
 * no_nul, an encoded NUL; -ENOBUFS when out is full.
 */
enum { URL_PLUS_IS_SPACE = 1, URL_NO_NUL = 2 };
int url_decode(struct buf *out, struct slice in, unsigned flags);
/* Append with everything but unreserved characters escaped. */
int url_encode(struct buf *out, struct slice in);

/*
 * First query parameter of that name, decoded into out (cleared first). Returns 1 found, 0 not
 * there, -EINVAL for a bad escape or when the parameter is given twice.
 */
int url_query_get(struct slice query, const char *name, struct buf *out);

/*
 * Append the path decoded, with "//", "/./" and "/../" resolved and no trailing slash (except "/"):
 * for comparing, never for opening. -EINVAL without a leading '/' or for a bad escape or NUL.
 */
int url_clean_path(struct buf *out, struct slice path);

/*
 * "host:port", "[v6]:port" (ret_host without brackets), "host". *ret_port is 0 when absent; ":0" and
 * an empty port are refused, and so is everything that is not a name or an address (user parts,
 * commas, slashes). Returns 0 or -EINVAL.
 */
int url_split_host(struct slice authority, struct slice *ret_host, uint16_t *ret_port);
