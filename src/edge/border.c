/* See border.h. A frame is: flags, 32-bit big-endian length, payload. */
#include "edge/border.h"

#include "base/num.h"
#include "http/connect.h"

void border_feed(struct border *b, struct slice data)
{
    while (data.n > 0) {
        if (b->remaining > 0) {
            size_t skip = data.n < b->remaining ? data.n : b->remaining;
            b->remaining -= (uint32_t)skip;
            data = slice_from(data, skip);
            continue;
        }
        b->prefix[b->n_prefix++] = (unsigned char)data.p[0];
        data = slice_from(data, 1);
        if (b->n_prefix < sizeof(b->prefix))
            continue;
        b->n_prefix = 0;
        b->remaining = load_be32(b->prefix + 1);
        b->ended |= (b->prefix[0] & CONNECT_FLAG_END) != 0;
    }
}

bool border_open(const struct border *b)
{
    return b->n_prefix == 0 && b->remaining == 0 && !b->ended;
}
