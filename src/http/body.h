/*
 * Bodies on a connection: reading one piece by its framing, and writing by ours. Shared by server
 * and client, and used for tunnels too (HTTP_BODY_UNTIL_CLOSE, raw bytes).
 */
#pragma once

#include "http/chunk.h"
#include "http/conn.h"

/* Reading. */
struct http_body_in {
    enum http_framing framing;
    uint64_t left; /* HTTP_BODY_LENGTH */
    struct chunk_decoder chunks;
    bool done; /* the end was seen */
};

enum http_body_result { HTTP_BODY_WAIT, HTTP_BODY_DATA, HTTP_BODY_END };

void http_body_in_init(struct http_body_in *b, enum http_framing framing, uint64_t length);
void http_body_in_done(struct http_body_in *b); /* twice is fine */

/*
 * The next piece, reading from the connection once if nothing is buffered. Returns
 * HTTP_BODY_WAIT; HTTP_BODY_DATA with *ret_data, to be given back by http_conn_consume() of
 * *ret_used after use; HTTP_BODY_END (and for ever after); -EBADMSG or -EMSGSIZE for a malformed
 * body; -ECONNRESET (or the socket's error) when it was cut.
 */
int http_body_in_next(struct http_body_in *b, struct http_conn *c, struct slice *ret_data,
                      size_t *ret_used);

/* Writing. */
enum http_out_mode {
    HTTP_OUT_NONE,    /* nothing started, or over */
    HTTP_OUT_DISCARD, /* a response without a body (HEAD, 204, 304): swallowed */
    HTTP_OUT_LENGTH,
    HTTP_OUT_CHUNKED,
    HTTP_OUT_RAW, /* until close, and tunnels */
    HTTP_OUT_MODE_MAX_
};

struct http_body_out {
    enum http_out_mode mode;
    uint64_t left;       /* HTTP_OUT_LENGTH */
    struct buf trailers; /* complete lines, HTTP_OUT_CHUNKED */
    size_t high_water;   /* may be lowered by its owner between writes */
    bool ended;
    bool blocked; /* -EAGAIN was returned, on_writable is owed */
};

void http_body_out_init(struct http_body_out *b);
void http_body_out_done(struct http_body_out *b);
/*
 * Write body bytes. Returns 0; -EAGAIN taken, above the high-water mark; -EPIPE not started, ended
 * or the peer takes no more; -EMSGSIZE more than announced (nothing is taken).
 */
int http_body_out_write(struct http_body_out *b, struct http_conn *c, struct slice data);
/* Add trailer fields. Returns 0, -EINVAL for a bad or forbidden one, -EPIPE, -ENOBUFS, -ENOMEM. */
int http_body_out_trailers(struct http_body_out *b, const struct http_header *headers, size_t n);
/* End it. Returns 0, or -EPROTO when fewer bytes were written than announced. */
int http_body_out_end(struct http_body_out *b, struct http_conn *c);
/* True, once, when on_writable is due. */
bool http_body_out_unblocked(struct http_body_out *b, const struct http_conn *c);
