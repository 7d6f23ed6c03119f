/* Fuzzes base64: what we encode decodes to the same bytes; what decodes, encodes to a normal form. */
// deps: base
#include "base/codec.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OUT_MAX_BYTES = 8 << 20 };

static void check_encode(struct slice in)
{
    _cleanup_buf_ struct buf text = BUF_INIT(OUT_MAX_BYTES);
    _cleanup_buf_ struct buf back = BUF_INIT(OUT_MAX_BYTES);
    if (base64_put(&text, in) < 0)
        return;
    assert(text.n == (in.n + 2) / 3 * 4);
    int r = base64_get(&back, buf_slice(&text));
    assert(r == 0 && slice_eq(buf_slice(&back), in));
}

static void check_decode(struct slice in)
{
    _cleanup_buf_ struct buf bytes = BUF_INIT(OUT_MAX_BYTES);
    int r = buf_put_str(&bytes, "kept");
    assert(r == 0);
    r = base64_get(&bytes, in);
    assert(r == 0 || r == -EINVAL || r == -ENOBUFS);
    assert(slice_has_prefix(buf_slice(&bytes), "kept"));
    if (r < 0)
        assert(bytes.n == 4 && strcmp(buf_str(&bytes), "kept") == 0);
    else
        check_encode(slice_from(buf_slice(&bytes), 4));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of((const char *)data, size);
    check_encode(in);
    check_decode(in);
    return 0;
}
