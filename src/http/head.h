/*
 * HTTP/1.1 message heads: strict, bounded parsing into borrowed slices, and writing.
 *
 * The parser takes what RFC 9112 says a sender must produce and nothing else: CRLF line ends, no
 * folding, no space before the colon, exactly one Host in a request, one framing (a message with
 * both Content-Length and Transfer-Encoding, a repeated or unlike Content-Length, or a coding other
 * than a single final "chunked" is refused). Two readers of the same bytes must never disagree on
 * where a message ends: that is request smuggling.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    HTTP_HEAD_MAX_BYTES = 65536, /* request or status line and all header fields */
    HTTP_TARGET_MAX_BYTES = 16384,
    HTTP_HEADERS_MAX = 128,
};

struct http_header {
    struct slice name, value; /* value without the spaces around it */
};

enum http_framing {
    HTTP_BODY_NONE,   /* no body */
    HTTP_BODY_LENGTH, /* exactly content_length bytes */
    HTTP_BODY_CHUNKED,
    HTTP_BODY_UNTIL_CLOSE, /* responses only */
};

/* A parsed head. All slices point into the caller's bytes. */
struct http_head {
    struct slice method, target; /* requests; target as on the wire */
    unsigned status;             /* responses; 0 in a request */
    unsigned minor;              /* HTTP/1.minor, 0 or 1 */
    struct http_header headers[HTTP_HEADERS_MAX];
    size_t n_headers;
    enum http_framing framing;
    uint64_t content_length;
    bool keep_alive;      /* the peer allows another message on this connection */
    bool expect_continue; /* Expect: 100-continue */
    bool upgrade;         /* Connection: upgrade with an Upgrade header */
};

/*
 * Parse one head at the start of `in`. Returns 0 and sets *ret and *ret_used (bytes of the head,
 * the empty line included); -EAGAIN when more bytes are needed; -EBADMSG when malformed (answer
 * 400); -EMSGSIZE when larger than a limit (431, or 414 for the target); -EOPNOTSUPP for an unknown
 * HTTP version (505) or transfer coding (501). err->code then holds the status as text.
 */
int http_head_parse_request(struct slice in, struct http_head *ret, size_t *ret_used,
                            struct err *err);
/* The same for responses; `method` is that of the request (HEAD and CONNECT change framing). */
int http_head_parse_response(struct slice in, struct slice method, struct http_head *ret,
                             size_t *ret_used, struct err *err);

/* First header of that name (any case), or NULL. */
const struct http_header *http_head_find(const struct http_head *h, const char *name);
/* Its value, or an empty slice with p == NULL. */
struct slice http_head_get(const struct http_head *h, const char *name);
/* True when the comma-separated list(s) of that name hold the token (any case). */
bool http_head_has_token(const struct http_head *h, const char *name, const char *token);

/* True for a valid field name (token) and a valid field value (no CR, LF, NUL, other controls). */
bool http_header_valid(struct slice name, struct slice value);

/* "Not Found"; "Unknown" for what the registry lacks. */
const char *http_status_text(unsigned status);
