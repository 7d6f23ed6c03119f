/*
 * Streaming parser of multipart/form-data (RFC 2046, RFC 7578): bytes go in in any pieces, parts
 * come out by callbacks, in order, without a copy of their bodies. Memory is bounded by the
 * boundary and MULTIPART_HEAD_MAX_BYTES.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>

enum {
    MULTIPART_BOUNDARY_MAX = 70, /* RFC 2046 section 5.1.1 */
    MULTIPART_HEAD_MAX_BYTES = 16384,
    MULTIPART_FIELD_MAX_BYTES = 4096,
};

/* From the part's Content-Disposition; borrowed during the call. */
struct multipart_part {
    const char *name;     /* "" when there is none */
    const char *filename; /* NULL when there is none */
};

/* A negative return stops the parser and is what multipart_feed() returns. */
struct multipart_ops {
    int (*on_part)(void *user, const struct multipart_part *part, struct err *err);
    int (*on_data)(void *user, struct slice data, struct err *err);
    int (*on_part_end)(void *user, struct err *err);
};

enum multipart_state {
    MULTIPART_PREAMBLE,  /* before the first delimiter; thrown away */
    MULTIPART_DELIMITER, /* behind one: "--" or the end of its line */
    MULTIPART_HEAD,      /* header fields of a part */
    MULTIPART_BODY,
    MULTIPART_EPILOGUE, /* behind the closing delimiter; thrown away */
    MULTIPART_STATE_MAX_
};

struct multipart {
    const struct multipart_ops *ops;
    void *user;
    enum multipart_state state;
    char delimiter[4 + MULTIPART_BOUNDARY_MAX + 1]; /* CR LF - - boundary */
    size_t delimiter_n;
    size_t matched; /* bytes of the delimiter seen at the end of the input so far */
    size_t ghost;   /* of those, how many were not in the input at this place */
    struct buf head;
};

/*
 * Take the boundary from the value of a Content-Type header. -EINVAL when it is not a multipart
 * type, or has no usable boundary. multipart_done() is fine in any case.
 */
int multipart_init(struct multipart *m, struct slice content_type, const struct multipart_ops *ops,
                   void *user, struct err *err);
void multipart_done(struct multipart *m);

/* Returns 0; -EBADMSG when malformed; -EMSGSIZE (part head too large); a callback's result. */
int multipart_feed(struct multipart *m, struct slice data, struct err *err);
/* The input has ended: 0, or -EBADMSG when the closing delimiter did not come. */
int multipart_end(struct multipart *m, struct err *err);

/*
 * One parameter of a header value such as `form-data; name="file"`, unquoted, into out (cleared
 * first); for "filename" also the RFC 5987 form "filename*". 1 found, 0 not there, -EINVAL
 * malformed or too long.
 */
int multipart_param(struct slice value, const char *name, struct buf *out);
