/*
 * Knows whether a Connect stream that passes by stands on a frame border, without keeping any of
 * it: five prefix bytes and a count. Flags and lengths are the guest's and are believed, since all
 * that depends on them is whether the guest's own client gets an end frame.
 */
#pragma once

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

/* Zero-initialised: at a border, nothing seen. */
struct border {
    unsigned char prefix[5];
    uint8_t n_prefix;   /* bytes of the prefix so far, 0 to 4 */
    uint32_t remaining; /* payload bytes still to come */
    bool ended;         /* an end-of-stream frame has begun */
};

void border_feed(struct border *b, struct slice data);
/* True when an end frame may be appended: on a border, and none was sent. */
bool border_open(const struct border *b);
