/*
 * A part's header fields. Quoted strings: a backslash takes the next character literally only if
 * that is one of RFC 2045's special characters, because some senders put Windows paths there
 * without escaping.
 */
#include "envd/multipart_internal.h"

#include "http/url.h"

#include <errno.h>

void multipart_disposition_done(struct multipart_disposition *d)
{
    buf_done(&d->name);
    buf_done(&d->filename);
}

static bool is_special(char c)
{
    return c != '\0' && strchr("()<>@,;:\\\"/[]?=", c) != NULL;
}

/* A quoted string at the start of *in, which moves behind it. */
static int take_quoted(struct slice *in, struct buf *out)
{
    size_t i = 1;
    for (; i < in->n && in->p[i] != '"'; i++) {
        if (in->p[i] == '\\' && i + 1 < in->n && is_special(in->p[i + 1]))
            i++;
        buf_put_char(out, in->p[i]);
    }
    if (i >= in->n)
        return -EINVAL;
    *in = slice_from(*in, i + 1);
    return 0;
}

static int take_value(struct slice *in, struct buf *out)
{
    if (in->n > 0 && in->p[0] == '"')
        return take_quoted(in, out);
    size_t n = slice_find(*in, ';');
    buf_put_slice(out, slice_trim(slice_sub(*in, 0, n)));
    *in = slice_from(*in, n);
    return 0;
}

/* The next "; key=value" of *in: 1, 0 at the end, -EINVAL. out is cleared first. */
static int next_param(struct slice *in, struct slice *ret_key, struct buf *out)
{
    buf_clear(out);
    *in = slice_trim(*in);
    if (in->n == 0)
        return 0;
    if (in->p[0] != ';')
        return -EINVAL;
    *in = slice_trim(slice_from(*in, 1));
    if (in->n == 0)
        return 0; /* a semicolon at the end */
    size_t eq = slice_find(*in, '=');
    if (eq == in->n)
        return -EINVAL;
    *ret_key = slice_trim(slice_sub(*in, 0, eq));
    *in = slice_trim(slice_from(*in, eq + 1));
    if (take_value(in, out) < 0 || out->error != 0 || slice_find(buf_slice(out), '\0') != out->n)
        return -EINVAL;
    return 1;
}

/* RFC 5987: charset'language'percent-encoded, UTF-8 only. */
static int decode_extended(struct slice value, struct buf *out)
{
    size_t a = slice_find(value, '\'');
    struct slice rest = slice_from(value, a + 1);
    size_t b = slice_find(rest, '\'');
    if (a == value.n || b == rest.n || !slice_ieq_str(slice_sub(value, 0, a), "utf-8"))
        return -EINVAL;
    buf_clear(out);
    return url_decode(out, slice_from(rest, b + 1), URL_NO_NUL) < 0 ? -EINVAL : 1;
}

int multipart_param(struct slice value, const char *name, struct buf *out)
{
    _cleanup_buf_ struct buf v = BUF_INIT(MULTIPART_FIELD_MAX_BYTES);
    struct slice in = slice_from(value, slice_find(value, ';')), key;
    size_t n = strlen(name);
    int found = 0, r;
    while ((r = next_param(&in, &key, &v)) > 0) {
        if (slice_ieq_str(key, name) && found < 1) {
            buf_clear(out);
            if (buf_put_slice(out, buf_slice(&v)) < 0)
                return -EINVAL;
            found = 1;
        } else if (key.n == n + 1 && key.p[n] == '*' &&
                   slice_ieq(slice_sub(key, 0, n), slice_str(name))) {
            if (decode_extended(buf_slice(&v), out) < 0)
                return -EINVAL;
            found = 2; /* wins over the plain form */
        }
    }
    return r < 0 ? r : found > 0;
}

int multipart_head_parse(struct slice head, struct multipart_disposition *ret)
{
    struct slice line;
    *ret = (struct multipart_disposition){.name = BUF_INIT(MULTIPART_FIELD_MAX_BYTES),
                                          .filename = BUF_INIT(MULTIPART_FIELD_MAX_BYTES)};
    while (slice_next(&head, '\n', &line)) {
        if (line.n == 0 || slice_eq_str(line, "\r"))
            continue; /* the empty line, and what follows the last one */
        size_t colon = slice_find(line, ':');
        if (line.p[line.n - 1] != '\r' || colon == line.n)
            return -EINVAL;
        struct slice value = slice_trim(slice_sub(line, colon + 1, line.n - colon - 2));
        if (!slice_ieq_str(slice_sub(line, 0, colon), "Content-Disposition"))
            continue;
        int n = multipart_param(value, "name", &ret->name);
        int f = multipart_param(value, "filename", &ret->filename);
        if (n < 0 || f < 0)
            return -EINVAL;
        ret->has_filename = f > 0;
    }
    return 0;
}
