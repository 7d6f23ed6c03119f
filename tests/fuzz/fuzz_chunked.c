/*
 * Fuzzes the chunked decoder. The first byte chooses how the rest is cut into pieces; the result
 * must not depend on it. Data that came out is encoded again and must decode to itself.
 */
// deps: http base
#include "http/chunk.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DATA_MAX_BYTES = 1 << 20 };

struct result {
    int result; /* the error, or 0 */
    bool ended;
    size_t used, n_fields;
};

static struct result decode(struct slice in, size_t step, struct buf *out)
{
    struct chunk_decoder d;
    struct result res = {0};
    chunk_decoder_init(&d);
    while (in.n > 0 && d.state != CHUNK_DONE) {
        struct slice piece = slice_sub(in, 0, step), got;
        size_t used;
        int r = chunk_decode(&d, piece, &used, &got);
        if (r < 0) {
            assert(r == -EBADMSG || r == -EMSGSIZE);
            assert(chunk_decode(&d, piece, &used, &got) == r);
            res.result = r;
            break;
        }
        assert(used <= piece.n && (got.n > 0) == (r > 0));
        assert(r > 0 || used == piece.n || d.state == CHUNK_DONE);
        (void)buf_put_slice(out, got);
        res.used += used;
        in = slice_from(in, used);
    }
    res.ended = d.state == CHUNK_DONE;
    res.n_fields = res.ended ? d.n_fields : 0;
    for (size_t i = 0; i < res.n_fields; i++)
        assert(http_header_valid(d.fields[i].name, d.fields[i].value) &&
               !chunk_is_forbidden_trailer(d.fields[i].name));
    chunk_decoder_done(&d);
    return res;
}

static void check_round_trip(struct slice data, size_t step)
{
    _cleanup_buf_ struct buf wire = BUF_INIT(4 * DATA_MAX_BYTES), back = BUF_INIT(DATA_MAX_BYTES);
    for (size_t at = 0; at < data.n; at += step) {
        char prefix[CHUNK_PREFIX_BYTES];
        struct slice piece = slice_sub(data, at, step);
        (void)buf_put(&wire, prefix, chunk_prefix(piece.n, prefix));
        (void)buf_put_slice(&wire, piece);
        (void)buf_put_str(&wire, "\r\n");
    }
    (void)buf_put_str(&wire, "0\r\n\r\n");
    struct result r = decode(buf_slice(&wire), 7, &back);
    assert(r.result == 0 && r.ended && slice_eq(buf_slice(&back), data));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > DATA_MAX_BYTES / 16)
        return 0;
    size_t step = (size_t)data[0] + 1;
    struct slice in = slice_of((const char *)data + 1, size - 1);
    _cleanup_buf_ struct buf whole = BUF_INIT(DATA_MAX_BYTES), cut = BUF_INIT(DATA_MAX_BYTES);
    struct result a = decode(in, in.n, &whole), b = decode(in, step, &cut);
    /* Which of two faults is found first may depend on the cut, that one is found may not. */
    assert((a.result < 0) == (b.result < 0) && a.ended == b.ended && a.n_fields == b.n_fields);
    assert(slice_eq(buf_slice(&whole), buf_slice(&cut)));
    assert(a.result < 0 || a.used == b.used);
    check_round_trip(buf_slice(&whole), step);
    return 0;
}
