/*
 * Connect protocol envelopes: one flag byte, a 32-bit big-endian length, the payload.
 * Flag 0x01: compressed; 0x02: end of stream. Codec-independent, no I/O.
 */
#pragma once

#include "base/buf.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

enum { CONNECT_PREFIX_BYTES = 5, CONNECT_FLAG_COMPRESSED = 1, CONNECT_FLAG_END = 2 };

/* Append prefix and payload. Returns 0 or out's error. */
int connect_put_frame(struct buf *out, unsigned flags, struct slice payload);

/*
 * Reads frames out of a byte stream that comes in pieces. Memory is bounded by max_payload.
 */
struct connect_reader {
    struct buf pending;
    size_t max_payload;
};
void connect_reader_init(struct connect_reader *r, size_t max_payload);
void connect_reader_done(struct connect_reader *r);
/* Add bytes. Returns 0, -EMSGSIZE (a frame above the maximum), -EBADMSG (unknown flags), -ENOMEM. */
int connect_reader_feed(struct connect_reader *r, struct slice data);
/* Take the next complete frame; payload borrowed until the next call. Returns 1, 0 (none), <0. */
int connect_reader_next(struct connect_reader *r, unsigned *ret_flags, struct slice *ret_payload);
/* True when nothing is pending: the bytes so far ended on a frame border. */
bool connect_reader_at_border(const struct connect_reader *r);
