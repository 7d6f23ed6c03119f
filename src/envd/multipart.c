/*
 * The delimiter is CR LF "--" boundary, and a boundary cannot hold CR. So a delimiter can start
 * only at a CR, and when a match breaks off, what was held back is the beginning of the delimiter
 * itself: nothing has to be stored, and no byte is looked at twice.
 *
 * The first delimiter may stand at the very start of the input, without its CR LF: the parser
 * starts as if those two had been seen.
 */
#include "envd/multipart.h"

#include "envd/multipart_internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static int malformed(struct err *err, const char *what)
{
    return err_set(err, -EBADMSG, ERR_INVALID, "malformed multipart body: %s", what);
}

static bool boundary_valid(struct slice b)
{
    if (b.n == 0 || b.n > MULTIPART_BOUNDARY_MAX || b.p[b.n - 1] == ' ')
        return false;
    for (size_t i = 0; i < b.n; i++)
        if (b.p[i] < 0x20 || b.p[i] > 0x7e)
            return false;
    return true;
}

int multipart_init(struct multipart *m, struct slice content_type, const struct multipart_ops *ops,
                   void *user, struct err *err)
{
    _cleanup_buf_ struct buf boundary = BUF_INIT(MULTIPART_FIELD_MAX_BYTES);
    memset(m, 0, sizeof(*m));
    m->ops = ops;
    m->user = user;
    m->head = BUF_INIT(MULTIPART_HEAD_MAX_BYTES);
    if (!slice_ieq(slice_sub(content_type, 0, 10), SLICE_LIT("multipart/")))
        return err_set(err, -EINVAL, ERR_INVALID, "the content type is not multipart");
    if (multipart_param(content_type, "boundary", &boundary) != 1 ||
        !boundary_valid(buf_slice(&boundary)))
        return err_set(err, -EINVAL, ERR_INVALID, "no multipart boundary param in Content-Type");
    memcpy(m->delimiter, "\r\n--", 4);
    memcpy(m->delimiter + 4, boundary.p, boundary.n);
    m->delimiter_n = 4 + boundary.n;
    m->matched = m->ghost = 2;
    m->state = MULTIPART_PREAMBLE;
    return 0;
}

void multipart_done(struct multipart *m)
{
    buf_done(&m->head);
}

static int give(struct multipart *m, struct slice data, struct err *err)
{
    if (m->state != MULTIPART_BODY || data.n == 0)
        return 0;
    return m->ops->on_data(m->user, data, err);
}

static int delimiter_seen(struct multipart *m, struct err *err)
{
    bool part = m->state == MULTIPART_BODY;
    m->matched = m->ghost = 0;
    m->state = MULTIPART_DELIMITER;
    buf_clear(&m->head);
    return part ? m->ops->on_part_end(m->user, err) : 0;
}

/* Preamble or body: looks for the delimiter. Sets *used. */
static int scan(struct multipart *m, struct slice in, size_t *used, struct err *err)
{
    size_t i = 0;
    while (m->matched > 0 && i < in.n) { /* go on with what the input so far ended with */
        if (in.p[i] == m->delimiter[m->matched]) {
            i++;
            if (++m->matched == m->delimiter_n) {
                *used = i;
                return delimiter_seen(m, err);
            }
            continue;
        }
        struct slice held = slice_of(m->delimiter + m->ghost, m->matched - m->ghost);
        m->matched = m->ghost = 0;
        int r = give(m, held, err);
        if (r < 0)
            return r;
    }
    const char *cr = i < in.n ? memchr(in.p + i, '\r', in.n - i) : NULL;
    size_t end = cr != NULL ? (size_t)(cr - in.p) : in.n;
    int r = give(m, slice_of(in.p + i, end - i), err);
    if (r < 0)
        return r;
    if (cr != NULL) {
        m->matched = 1;
        end++;
    }
    *used = end;
    return 0;
}

/* Behind a delimiter: "--" closes; else blanks and CR LF, then a part's head. */
static int after_delimiter(struct multipart *m, struct slice in, size_t *used, struct err *err)
{
    buf_put_char(&m->head, in.p[0]);
    *used = 1;
    struct slice line = buf_slice(&m->head);
    if (m->head.error != 0)
        return malformed(err, "a delimiter's line does not end");
    if (line.n < 2)
        return 0;
    if (line.p[0] == '-') {
        if (line.p[1] != '-')
            return malformed(err, "text behind a delimiter");
        m->state = MULTIPART_EPILOGUE;
        return 0;
    }
    if (slice_has_suffix(line, "\r\n")) {
        if (slice_trim(slice_sub(line, 0, line.n - 2)).n != 0)
            return malformed(err, "text behind a delimiter");
        buf_clear(&m->head);
        m->state = MULTIPART_HEAD;
    }
    return 0;
}

/* Collects a part's header fields up to the empty line. */
static int collect_head(struct multipart *m, struct slice in, size_t *used, struct err *err)
{
    struct multipart_disposition d;
    const char *lf = memchr(in.p, '\n', in.n);
    size_t n = lf != NULL ? (size_t)(lf - in.p) + 1 : in.n;
    *used = n;
    if (buf_put(&m->head, in.p, n) < 0)
        return err_set(err, -EMSGSIZE, ERR_INVALID, "a part's head is larger than %d bytes",
                       MULTIPART_HEAD_MAX_BYTES);
    struct slice head = buf_slice(&m->head);
    if (!slice_eq_str(head, "\r\n") && !slice_has_suffix(head, "\r\n\r\n"))
        return 0;
    int r = multipart_head_parse(head, &d);
    if (r == 0) {
        struct multipart_part part = {.name = buf_str(&d.name),
                                      .filename = d.has_filename ? buf_str(&d.filename) : NULL};
        m->state = MULTIPART_BODY;
        /* An empty body is a delimiter right behind the head: its CR LF is the empty line's. */
        m->matched = m->ghost = 2;
        r = m->ops->on_part(m->user, &part, err);
    } else {
        r = malformed(err, "a part's head cannot be read");
    }
    multipart_disposition_done(&d);
    return r;
}

int multipart_feed(struct multipart *m, struct slice data, struct err *err)
{
    for (struct slice in = data; in.n > 0;) {
        size_t used = 0;
        int r = 0;
        switch (m->state) {
        case MULTIPART_PREAMBLE:
        case MULTIPART_BODY:
            r = scan(m, in, &used, err);
            break;
        case MULTIPART_DELIMITER:
            r = after_delimiter(m, in, &used, err);
            break;
        case MULTIPART_HEAD:
            r = collect_head(m, in, &used, err);
            break;
        case MULTIPART_EPILOGUE:
        case MULTIPART_STATE_MAX_:
            return 0;
        }
        if (r < 0)
            return r;
        assert(used > 0);
        in = slice_from(in, used);
    }
    return 0;
}

int multipart_end(struct multipart *m, struct err *err)
{
    return m->state == MULTIPART_EPILOGUE ? 0 : malformed(err, "it ends early");
}
