/*
 * Fuzzes the Connect frame reader. The first byte chooses how the rest is cut into pieces; frames
 * must not depend on it, and put together again they are the bytes that were read.
 */
// deps: http base
#include "http/connect.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PAYLOAD_MAX_BYTES = 512, WIRE_MAX_BYTES = 1 << 20 };

/* Returns 0 or the first error; frames that came before it are in out. */
static int read_all(struct slice in, size_t step, struct buf *out, bool *ret_at_border)
{
    struct connect_reader r;
    int result = 0;
    connect_reader_init(&r, PAYLOAD_MAX_BYTES);
    for (size_t at = 0; at < in.n && result == 0; at += step) {
        unsigned flags;
        struct slice payload;
        result = connect_reader_feed(&r, slice_sub(in, at, step));
        assert(result == 0 || result == -EBADMSG || result == -EMSGSIZE);
        int n;
        while ((n = connect_reader_next(&r, &flags, &payload)) > 0) {
            assert(payload.n <= PAYLOAD_MAX_BYTES);
            assert(connect_put_frame(out, flags, payload) == 0);
        }
        assert(n == result);
    }
    *ret_at_border = connect_reader_at_border(&r);
    connect_reader_done(&r);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > WIRE_MAX_BYTES)
        return 0;
    size_t step = (size_t)data[0] + 1;
    struct slice in = slice_of((const char *)data + 1, size - 1);
    _cleanup_buf_ struct buf whole = BUF_INIT(WIRE_MAX_BYTES), cut = BUF_INIT(WIRE_MAX_BYTES);
    bool border_a, border_b;
    int a = read_all(in, in.n, &whole, &border_a), b = read_all(in, step, &cut, &border_b);
    assert(a == b && slice_eq(buf_slice(&whole), buf_slice(&cut)));
    assert(slice_eq(slice_sub(in, 0, whole.n), buf_slice(&whole)));
    assert(a < 0 || (border_a == border_b && border_a == (whole.n == in.n)));
    return 0;
}
