/*
 * Fuzzes the multipart parser: the first byte says how the rest is cut into pieces. Whatever the
 * pieces, the same bytes must give the same parts, data and result.
 */
// deps: envd
#include "envd/multipart.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OUT_MAX_BYTES = 16 << 20 };

static int on_part(void *user, const struct multipart_part *part, struct err *err)
{
    (void)err;
    return buf_printf(user, "[%s|%s]", part->name, part->filename != NULL ? part->filename : "-");
}

static int on_data(void *user, struct slice data, struct err *err)
{
    (void)err;
    assert(data.n > 0);
    return buf_put_slice(user, data);
}

static int on_part_end(void *user, struct err *err)
{
    (void)err;
    return buf_put_char(user, '.');
}

static const struct multipart_ops ops = {on_part, on_data, on_part_end};

static int parse(struct slice body, size_t piece, struct buf *out)
{
    struct multipart m;
    struct err err;
    int r = multipart_init(&m, SLICE_LIT("multipart/form-data; boundary=XX"), &ops, out, &err);
    assert(r == 0);
    for (size_t i = 0; i < body.n && r == 0; i += piece)
        r = multipart_feed(&m, slice_sub(body, i, piece), &err);
    if (r == 0)
        r = multipart_end(&m, &err);
    multipart_done(&m);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_buf_ struct buf whole = BUF_INIT(OUT_MAX_BYTES), pieces = BUF_INIT(OUT_MAX_BYTES);
    if (size < 1)
        return 0;
    struct slice body = slice_of((const char *)data + 1, size - 1);
    int a = parse(body, body.n + 1, &whole);
    int b = parse(body, (size_t)data[0] % 16 + 1, &pieces);
    assert(a == b);
    assert(slice_eq(buf_slice(&whole), buf_slice(&pieces)));
    return 0;
}
