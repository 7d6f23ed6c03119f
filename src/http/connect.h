/*
 * Connect protocol envelopes: one flag byte, a 32-bit big-endian length, the payload.
 * Flag 0x01: compressed; 0x02: end of stream. Codec-independent, no I/O.
 */
#pragma once

#include "base/buf.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    CONNECT_PREFIX_BYTES = 5,
    CONNECT_FLAG_COMPRESSED = 1,
    CONNECT_FLAG_END = 2,
    CONNECT_FLAGS_KNOWN = CONNECT_FLAG_COMPRESSED | CONNECT_FLAG_END,
};

/* Append prefix and payload. Returns 0, -EINVAL (unknown flags, above 4 GiB) or out's error. */
int connect_put_frame(struct buf *out, unsigned flags, struct slice payload);

/*
 * Reads frames out of a byte stream that comes in pieces. Take all frames after each feed: memory
 * is then bounded by max_payload, the prefix and the largest piece fed.
 */
struct connect_reader {
    struct buf pending;
    size_t taken; /* bytes at the front of pending that were given out */
    size_t max_payload;
};
void connect_reader_init(struct connect_reader *r, size_t max_payload);
void connect_reader_done(struct connect_reader *r); /* NULL and twice are fine */
/*
 * Add bytes. Returns 0, -EMSGSIZE (a frame above the maximum), -EBADMSG (unknown flags), -ENOMEM;
 * after a failure the stream cannot be read on. Frames before the faulty one can still be taken.
 */
int connect_reader_feed(struct connect_reader *r, struct slice data);
/* Take the next complete frame; payload borrowed until the next feed. Returns 1, 0 (none), <0. */
int connect_reader_next(struct connect_reader *r, unsigned *ret_flags, struct slice *ret_payload);
/* True when nothing is pending: the bytes so far ended on a frame border. */
bool connect_reader_at_border(const struct connect_reader *r);
