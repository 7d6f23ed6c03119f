/*
 * HTTP/1.1 server on a libuv loop.
 *
 * One connection carries one exchange (request and response) at a time; pipelined bytes wait. The
 * body is pulled: nothing is read from the socket unless http_x_read() asks for it (or the head of
 * the next request is awaited), so a handler that does not read stops its client. Writes are queued
 * up to a high-water mark; a handler that sees -EAGAIN waits for on_writable before it writes on.
 *
 * All calls and callbacks run on the loop's thread. No callback is ever invoked from inside a call
 * on the exchange, and on_closed is the last one: after it the exchange is gone. Inside on_closed
 * the exchange may still be looked at; calls that change it do nothing.
 *
 * What the server answers by itself, always with a JSON body {"code","message"} and then closing:
 * 400, 414, 431, 501, 505 for heads it refuses, 408 for heads and bodies that do not come in time,
 * 400 for a malformed body that a handler reads by http_x_read() before it answered, and 503 above
 * max_connections when each has a request under way. A request body that the handler does not read
 * is dropped up to 256 KiB to keep the connection; beyond that the connection ends after the
 * response, with our FIN first and what still comes read and dropped for a while, so that no reset
 * overtakes the response.
 *
 * Memory for one connection: a 64 KiB input block while bytes wait in it, a copy of the head, and the
 * output queue: HTTP_OUT_HIGH_WATER plus the largest single write. A handler that ignores -EAGAIN
 * is cut off at 16 MiB.
 */
#pragma once

#include "http/head.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <uv.h>

struct http_server;
struct http_exchange;

enum {
    HTTP_OUT_HIGH_WATER = 262144, /* bytes queued for one connection before -EAGAIN */
    HTTP_OUT_LOW_WATER = 65536,
    HTTP_OUT_HIGH_WATER_MIN = 16384, /* with very many connections */
    HTTP_HELD_FREE_BYTES = 65536,    /* so much of each exchange is not counted as held */
};

/* Every wait has a deadline; 0 takes the default. */
struct http_server_opts {
    unsigned head_timeout_ms;  /* from the first byte of a request to the end of its head; 30000 */
    unsigned idle_timeout_ms;  /* a connection without a request; 620000 */
    unsigned body_timeout_ms;  /* a pulled body that makes no progress; 120000 */
    unsigned write_timeout_ms; /* queued output that makes no progress; 120000 */
    /* Above it the one that waited longest without a request is closed; without one: 503. 4096 */
    unsigned max_connections;
    /*
     * A client's FIN after its whole request counts as gone: on_closed(-ECONNRESET) at once. When
     * false the response is still delivered, and a client that closed without a reset is noticed
     * only when something is written to it. A reset, and a FIN inside a body of known length, are
     * noticed at once in any case.
     */
    bool half_close_is_close;
    /*
     * What all exchanges together may hold besides their connections: bodies that http_x_read_all()
     * collects, replies above the high-water mark, and what handlers tell by http_x_hold(). 512 MiB.
     */
    size_t held_max_bytes;
    /*
     * What the connections share for queued output: with so many that their high-water marks would
     * pass it, each has a lower one, HTTP_OUT_HIGH_WATER_MIN at least. 512 MiB.
     */
    size_t queued_max_bytes;
};

/* A request head has arrived. Must answer (now or later) by http_x_respond() or http_x_abort(). */
typedef void (*http_handler)(struct http_exchange *x, void *user);

struct http_x_callbacks {
    /*
     * Answer to one http_x_read(): some bytes (borrowed until return, at most 64 KiB), or n == 0:
     * end of body.
     */
    void (*on_body)(struct http_exchange *x, struct slice data, void *user);
    /* The queue fell below the low-water mark after a -EAGAIN. */
    void (*on_writable)(struct http_exchange *x, void *user);
    /*
     * Always called exactly once, last. reason 0: the whole response was handed to the kernel;
     * -ECONNRESET: the peer went away; -ETIMEDOUT: a deadline; -EBADMSG: malformed body;
     * -ECANCELED: http_x_abort(), an http_x_end() too early, or server shutdown.
     */
    void (*on_closed)(struct http_exchange *x, int reason, void *user);
};

/*
 * listen_fd (a listening TCP or unix socket) is taken over, on failure too. opts may be NULL: all
 * defaults. Returns 0 or a negative errno.
 */
int http_server_new(uv_loop_t *loop, int listen_fd, const struct http_server_opts *opts,
                    http_handler handler, void *user, struct http_server **ret, struct err *err);
/*
 * Stop accepting; idle connections close, active ones finish unless `now` (then their exchanges end
 * with -ECANCELED). done(user) once, from the loop; the server is gone then. A second call with
 * `now` hurries a first one without; its own done is not called.
 */
void http_server_close(struct http_server *s, bool now, void (*done)(void *user), void *user);

/* The head; valid until on_closed. */
const struct http_head *http_x_head(const struct http_exchange *x);
uv_loop_t *http_x_loop(const struct http_exchange *x);
void http_x_peer(const struct http_exchange *x, struct sockaddr_storage *ret);

/* Install callbacks; all members may be NULL. Must be called from within the handler, or never. */
void http_x_set_callbacks(struct http_exchange *x, const struct http_x_callbacks *cb, void *user);
void *http_x_user(const struct http_exchange *x);

/*
 * Ask for the next piece of the body; one outstanding at a time. Sends 100 Continue if expected. A
 * tunnel has no deadline for reading.
 */
void http_x_read(struct http_exchange *x);

/*
 * Collect the whole body, at most `max` bytes, and call done once with it (borrowed until return)
 * or with a negative error: -EMSGSIZE (too large; answer 413), -ENOBUFS (all exchanges together hold
 * too much; answer 503), -ECONNRESET, -EBADMSG, -ETIMEDOUT.
 * Replaces the use of http_x_read() for this exchange. After -ECONNRESET nothing can be answered and
 * on_closed follows; after the others the handler answers. Not called when the exchange ends by
 * abort, shutdown or a write deadline first. A body announced larger than max is refused unread.
 */
void http_x_read_all(struct http_exchange *x, size_t max,
                     void (*done)(struct http_exchange *x, int result, struct slice body,
                                  void *user),
                     void *user);

/*
 * Tell how many bytes the handler holds for this exchange now; the end of the exchange takes them
 * back. Returns 0, or -ENOBUFS when it is more than before and all exchanges would hold too much.
 */
int http_x_hold(struct http_exchange *x, size_t bytes);

enum { HTTP_LENGTH_UNKNOWN = -1 };

/*
 * Start the response. `length` is the exact number of body bytes, or HTTP_LENGTH_UNKNOWN: chunked
 * (until close for HTTP/1.0). Date, Connection, Content-Length and Transfer-Encoding are ours and
 * refused in `headers` (-EINVAL). 204, 304 and answers to HEAD carry no body. Headers are copied.
 */
int http_x_respond(struct http_exchange *x, unsigned status, const struct http_header *headers,
                   size_t n_headers, int64_t length);
/* Interim 1xx answer other than 101. */
int http_x_respond_interim(struct http_exchange *x, unsigned status,
                           const struct http_header *headers, size_t n_headers);
/*
 * Body bytes (copied); none is no chunk. Returns 0; -EAGAIN: taken, but over the high-water mark, write no more until
 * on_writable; -EPIPE: the exchange is closing, bytes dropped; -EMSGSIZE: more than `length`.
 */
int http_x_write(struct http_exchange *x, struct slice data);
/* The high-water mark now; who writes pieces of that size at most pins little more than it. */
size_t http_x_high_water(const struct http_exchange *x);
/* End of the response; twice is fine. The connection is cut if `length` was not reached. */
void http_x_end(struct http_exchange *x);
/* Trailer fields for a chunked response, before http_x_end(). */
int http_x_trailer(struct http_exchange *x, const struct http_header *headers, size_t n_headers);
/* Cut the connection; on_closed(-ECANCELED) follows. */
void http_x_abort(struct http_exchange *x);

/*
 * respond + write + end in one. content_type may be NULL. A header that is not valid gives an empty
 * 500; if a response was begun already the connection is cut. A body of any size: what does not fit
 * into the queue is copied and counted as held; an empty 503 when that is too much.
 */
void http_x_reply(struct http_exchange *x, unsigned status, const char *content_type,
                  struct slice body);
/* The same with extra headers. */
void http_x_reply_with(struct http_exchange *x, unsigned status, const struct http_header *headers,
                       size_t n_headers, struct slice body);

/*
 * Answer 101 and become a tunnel: from now on http_x_read() and http_x_write() move raw bytes both
 * ways (on_body with n == 0: the peer's end of stream), http_x_end() sends our end of stream, and
 * on_closed(0) follows when both directions ended. Allowed only if head->upgrade.
 */
int http_x_upgrade(struct http_exchange *x, const struct http_header *headers, size_t n_headers);
