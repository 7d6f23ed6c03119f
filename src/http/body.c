#include "http/body.h"

#include "http/head_internal.h"
#include "http/server.h"

#include <errno.h>

void http_body_in_init(struct http_body_in *b, enum http_framing framing, uint64_t length)
{
    *b = (struct http_body_in){.framing = framing};
    chunk_decoder_init(&b->chunks);
    if (framing == HTTP_BODY_LENGTH)
        b->left = length;
    b->done = framing == HTTP_BODY_NONE || (framing == HTTP_BODY_LENGTH && length == 0);
}

void http_body_in_done(struct http_body_in *b)
{
    chunk_decoder_done(&b->chunks);
}

/* Decode buffered input (not empty). */
static int next_buffered(struct http_body_in *b, struct http_conn *c, struct slice *ret_data,
                         size_t *ret_used)
{
    struct slice in = http_conn_input(c);
    if (b->framing == HTTP_BODY_CHUNKED) {
        size_t used;
        int r = chunk_decode(&b->chunks, in, &used, ret_data);
        if (r < 0)
            return r;
        if (r > 0) {
            *ret_used = used;
            return HTTP_BODY_DATA;
        }
        http_conn_consume(c, used);
        b->done = b->chunks.state == CHUNK_DONE;
        return b->done ? HTTP_BODY_END : HTTP_BODY_WAIT;
    }
    size_t n = in.n;
    if (b->framing == HTTP_BODY_LENGTH) {
        n = n < b->left ? n : (size_t)b->left;
        b->left -= n;
        b->done = b->left == 0;
    }
    *ret_data = slice_sub(in, 0, n);
    *ret_used = n;
    return HTTP_BODY_DATA;
}

int http_body_in_next(struct http_body_in *b, struct http_conn *c, struct slice *ret_data,
                      size_t *ret_used)
{
    if (b->done)
        return HTTP_BODY_END;
    if (http_conn_input(c).n == 0)
        (void)http_conn_fill(c);
    if (http_conn_input(c).n > 0) {
        int r = next_buffered(b, c, ret_data, ret_used);
        if (r != HTTP_BODY_WAIT)
            return r;
        (void)http_conn_fill(c); /* only framing came: perhaps there is more already */
        if (http_conn_input(c).n > 0)
            return next_buffered(b, c, ret_data, ret_used);
    }
    if (!c->eof)
        return c->cut && !c->readable ? c->error : HTTP_BODY_WAIT;
    if (c->cut)
        return c->error;
    if (b->framing != HTTP_BODY_UNTIL_CLOSE)
        return -ECONNRESET;
    b->done = true;
    return HTTP_BODY_END;
}

void http_body_out_init(struct http_body_out *b)
{
    *b = (struct http_body_out){.trailers = BUF_INIT(CHUNK_TRAILERS_MAX_BYTES),
                                .high_water = HTTP_OUT_HIGH_WATER};
}

void http_body_out_done(struct http_body_out *b)
{
    buf_done(&b->trailers);
}

static int put_chunk(struct http_conn *c, struct slice data)
{
    char prefix[CHUNK_PREFIX_BYTES];
    size_t n = chunk_prefix(data.n, prefix);
    (void)buf_put(http_conn_out(c), prefix, n);
    int r = http_conn_write(c, data);
    if (r < 0)
        return r;
    (void)buf_put_str(http_conn_out(c), "\r\n");
    return http_conn_wrote(c);
}

int http_body_out_write(struct http_body_out *b, struct http_conn *c, struct slice data)
{
    if (b->mode == HTTP_OUT_NONE || b->ended || c->out_dead)
        return -EPIPE;
    if (b->mode == HTTP_OUT_DISCARD || data.n == 0)
        return 0;
    if (b->mode == HTTP_OUT_LENGTH && data.n > b->left)
        return -EMSGSIZE;
    int r = b->mode == HTTP_OUT_CHUNKED ? put_chunk(c, data) : http_conn_write(c, data);
    if (r < 0)
        return -EPIPE;
    if (b->mode == HTTP_OUT_LENGTH)
        b->left -= data.n;
    if (http_conn_queued(c) < b->high_water)
        return 0;
    b->blocked = true;
    return -EAGAIN;
}

int http_body_out_trailers(struct http_body_out *b, const struct http_header *headers, size_t n)
{
    if (b->mode == HTTP_OUT_NONE || b->ended)
        return -EPIPE;
    if (b->mode != HTTP_OUT_CHUNKED)
        return 0; /* nowhere to put them: RFC 9110 6.5.1 lets a sender drop them */
    size_t before = b->trailers.n;
    int r = 0;
    for (size_t i = 0; i < n && r == 0; i++)
        r = chunk_is_forbidden_trailer(headers[i].name)
                ? -EINVAL
                : http_put_header(&b->trailers, headers[i].name, headers[i].value);
    if (r < 0 && b->trailers.p != NULL) {
        b->trailers.n = before;
        b->trailers.p[before] = '\0';
    }
    return r;
}

int http_body_out_end(struct http_body_out *b, struct http_conn *c)
{
    if (b->mode == HTTP_OUT_NONE || b->ended)
        return 0;
    b->ended = true;
    http_conn_kick(c);
    if (b->mode == HTTP_OUT_LENGTH && b->left > 0)
        return -EPROTO;
    if (b->mode == HTTP_OUT_CHUNKED && !c->out_dead) {
        struct buf *out = http_conn_out(c);
        (void)buf_put_str(out, "0\r\n");
        (void)buf_put_slice(out, buf_slice(&b->trailers));
        (void)buf_put_str(out, "\r\n");
        (void)http_conn_wrote(c); /* a failure has cut the connection */
    }
    return 0;
}

bool http_body_out_unblocked(struct http_body_out *b, const struct http_conn *c)
{
    size_t low = b->high_water / 2 < HTTP_OUT_LOW_WATER ? b->high_water / 2 : HTTP_OUT_LOW_WATER;
    if (!b->blocked || (http_conn_queued(c) > low && !c->out_dead))
        return false;
    b->blocked = false;
    return true;
}
