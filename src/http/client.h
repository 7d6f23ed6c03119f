/*
 * HTTP/1.1 client on a libuv loop: one call is one connection and one exchange (no reuse, as the
 * edge towards guests wants it). The mirror image of http/server.h: the response body is pulled,
 * the request body is pushed up to a high-water mark. The peer may be hostile: its bytes pass the
 * same strict parser and the same limits.
 *
 * All calls and callbacks run on the loop's thread; no callback from inside a call; on_closed last.
 *
 * The end of a response is pulled like its pieces, also when it has no body: until http_call_read()
 * was answered by on_body with n == 0, on_closed(0) does not come. A server may answer and close
 * before it has read the request: then http_call_write() returns -EPIPE while the response can still
 * be read, and the response is what counts.
 *
 * Memory for one call: as for one connection of the server.
 */
#pragma once

#include "http/head.h"
#include "http/server.h"

struct http_call;

struct http_call_opts {
    const struct sockaddr *addr; /* TCP or unix; copied */
    socklen_t addr_len;
    struct slice method, target;
    const struct http_header *headers; /* Host included by the caller; framing headers are ours */
    size_t n_headers;
    int64_t body_length;         /* 0: none; HTTP_LENGTH_UNKNOWN: chunked; else exact */
    bool upgrade;                /* send Connection: upgrade (the Upgrade header is the caller's) */
    bool close_notify;           /* reserved, false */
    unsigned connect_timeout_ms; /* 0: 10000 */
    unsigned head_timeout_ms;    /* from the end of connecting to the response head; 0: none */
    unsigned idle_timeout_ms;    /* no byte while we wait for the peer; 0: none */
};

struct http_call_callbacks {
    /* Interim responses (1xx except 101); may be NULL. */
    void (*on_interim)(struct http_call *c, const struct http_head *h, void *user);
    /* The response head; valid until on_closed. With status 101 the call is now a tunnel. */
    void (*on_head)(struct http_call *c, const struct http_head *h, void *user);
    void (*on_body)(struct http_call *c, struct slice data, void *user); /* n == 0: end */
    void (*on_writable)(struct http_call *c, void *user);
    /*
     * Exactly once, last. 0: the response came to its end (or both tunnel directions did).
     * -ECONNREFUSED, -ETIMEDOUT, -EHOSTUNREACH: not connected; -ECONNRESET: cut; -EBADMSG:
     * malformed; -ECANCELED: http_call_abort().
     */
    void (*on_closed)(struct http_call *c, int reason, void *user);
};

/* Start; errors of starting are returned, all others come by on_closed. Options are copied. */
int http_call_start(uv_loop_t *loop, const struct http_call_opts *opts,
                    const struct http_call_callbacks *cb, void *user, struct http_call **ret,
                    struct err *err);
int http_call_write(struct http_call *c, struct slice data); /* results as http_x_write() */
void http_call_end(struct http_call *c);  /* end of the request body, or of our tunnel direction */
void http_call_read(struct http_call *c); /* next piece of the response body */
void http_call_abort(struct http_call *c);

/* Trailer fields of a chunked response; n is 0 before its end. Valid until on_closed. */
const struct http_header *http_call_trailers(const struct http_call *c, size_t *ret_n);

/*
 * Convenience for small requests inside the daemon: send `body`, collect at most `max` bytes of
 * the answer, call done once with the status and body (borrowed), or status 0 and err. What is
 * returned is valid until then; aborting it makes done come soon, with -ECANCELED. NULL is fine there.
 */
struct http_fetch;
void http_fetch_abort(struct http_fetch *f);
struct http_fetch *http_fetch(uv_loop_t *loop, const struct http_call_opts *opts, struct slice body,
                              size_t max, unsigned total_timeout_ms,
                              void (*done)(unsigned status, struct slice body,
                                           const struct err *err, void *user),
                              void *user);
