/*
 * The chunked transfer coding (RFC 9112 section 7.1): a decoder that is fed pieces and gives back
 * borrowed data, and the framing of what is written. Strict: CRLF only, hexadecimal sizes without
 * spaces, extensions checked against the grammar and dropped, trailers bounded and without fields
 * that frame or route a message.
 *
 * A broken body stays broken: after an error the decoder gives the same error for ever.
 */
#pragma once

#include "http/head.h"

enum {
    CHUNK_LINE_MAX_BYTES = 256,      /* one size line with its extensions */
    CHUNK_EXT_MAX_BYTES = 16384,     /* all extensions of one body */
    CHUNK_TRAILERS_MAX_BYTES = 8192, /* all trailer lines of one body */
    CHUNK_TRAILERS_MAX = 32,
    CHUNK_PREFIX_BYTES = 20, /* "7fffffffffffffff\r\n" and a terminator */
};

enum chunk_state {
    CHUNK_SIZE,     /* collecting a size line */
    CHUNK_DATA,     /* `left` bytes of data follow */
    CHUNK_DATA_END, /* the CRLF behind the data */
    CHUNK_TRAILER,  /* collecting trailer lines, up to the empty one */
    CHUNK_DONE,
    CHUNK_BROKEN,
    CHUNK_STATE_MAX_
};

struct chunk_decoder {
    enum chunk_state state;
    int error;                  /* CHUNK_BROKEN: what was returned first */
    uint64_t left;              /* CHUNK_DATA: bytes of this chunk still to come */
    size_t ext_bytes;           /* of this body so far */
    struct buf line;            /* the line being collected */
    struct buf trailers;        /* owned; complete trailer lines */
    struct http_header *fields; /* owned; point into trailers, set when done */
    size_t n_fields;
};

void chunk_decoder_init(struct chunk_decoder *d);
void chunk_decoder_done(struct chunk_decoder *d); /* NULL and twice are fine */

/*
 * Decode from `in`: sets *ret_used to the bytes consumed and *ret_data to data among them (borrowed
 * from in, may be empty). Call again with the rest. Consumes everything unless it returns data or
 * comes to the end. Returns 1 with data; 0 when more bytes are needed or (d->state == CHUNK_DONE)
 * the body has ended; -EBADMSG malformed; -EMSGSIZE over a limit; -ENOMEM.
 */
int chunk_decode(struct chunk_decoder *d, struct slice in, size_t *ret_used,
                 struct slice *ret_data);

/* Writes "<hex n>\r\n" to dst (n > 0); returns its length. The data and CRLF are the caller's. */
size_t chunk_prefix(uint64_t n, char dst[static CHUNK_PREFIX_BYTES]);

/* True for a field that must not stand in a trailer: framing, routing, connection management. */
bool chunk_is_forbidden_trailer(struct slice name);
