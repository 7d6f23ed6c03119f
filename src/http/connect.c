/*
 * Connect envelopes. The reader keeps what has come and not been taken yet; `taken` counts the
 * bytes at its front that next() has given out, which go at the next feed. Prefixes are judged as
 * they come in, so a frame above the maximum is refused before its payload is stored.
 */
#include "http/connect.h"

#include "base/num.h"

#include <errno.h>

int connect_put_frame(struct buf *out, unsigned flags, struct slice payload)
{
    if (payload.n > UINT32_MAX || (flags & ~CONNECT_FLAGS_KNOWN) != 0)
        return -EINVAL;
    unsigned char prefix[CONNECT_PREFIX_BYTES] = {(unsigned char)flags};
    store_be32(prefix + 1, (uint32_t)payload.n);
    /* One reservation, so that a full buffer is left as it was. */
    if (buf_reserve(out, sizeof(prefix) + payload.n) == NULL)
        return out->error;
    (void)buf_put(out, prefix, sizeof(prefix));
    return buf_put_slice(out, payload);
}

void connect_reader_init(struct connect_reader *r, size_t max_payload)
{
    *r = (struct connect_reader){.max_payload = max_payload};
}

void connect_reader_done(struct connect_reader *r)
{
    if (r == NULL)
        return;
    buf_done(&r->pending);
    r->taken = 0;
}

/*
 * The frame at the front of `in`. Returns 1 with flags and payload, 0 when it is not complete,
 * -EBADMSG or -EMSGSIZE when its prefix is not acceptable.
 */
static int first_frame(const struct connect_reader *r, struct slice in, unsigned *ret_flags,
                       struct slice *ret_payload)
{
    if (in.n > 0 && ((unsigned char)in.p[0] & ~(unsigned)CONNECT_FLAGS_KNOWN) != 0)
        return -EBADMSG;
    if (in.n < CONNECT_PREFIX_BYTES)
        return 0;
    unsigned char prefix[CONNECT_PREFIX_BYTES];
    memcpy(prefix, in.p, sizeof(prefix));
    uint32_t n = load_be32(prefix + 1);
    if (n > r->max_payload)
        return -EMSGSIZE;
    if (in.n - CONNECT_PREFIX_BYTES < n)
        return 0;
    *ret_flags = prefix[0];
    *ret_payload = slice_sub(in, CONNECT_PREFIX_BYTES, n);
    return 1;
}

int connect_reader_feed(struct connect_reader *r, struct slice data)
{
    buf_consume(&r->pending, r->taken);
    r->taken = 0;
    if (__builtin_add_overflow(r->pending.n, data.n, &r->pending.max))
        return -EMSGSIZE;
    int result = buf_put_slice(&r->pending, data);
    struct slice rest = buf_slice(&r->pending);
    while (result == 0) {
        unsigned flags;
        struct slice payload;
        result = first_frame(r, rest, &flags, &payload);
        if (result <= 0)
            return result;
        rest = slice_from(rest, CONNECT_PREFIX_BYTES + payload.n);
        result = 0;
    }
    return result;
}

int connect_reader_next(struct connect_reader *r, unsigned *ret_flags, struct slice *ret_payload)
{
    int n = first_frame(r, slice_from(buf_slice(&r->pending), r->taken), ret_flags, ret_payload);
    if (n > 0)
        r->taken += CONNECT_PREFIX_BYTES + ret_payload->n;
    return n;
}

bool connect_reader_at_border(const struct connect_reader *r)
{
    return r->taken == r->pending.n;
}
