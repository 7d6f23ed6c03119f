#include "http/chunk.h"

#include "base/cleanup.h"
#include "base/num.h"
#include "http/head_internal.h"

#include <errno.h>

void chunk_decoder_init(struct chunk_decoder *d)
{
    *d = (struct chunk_decoder){.line = BUF_INIT(CHUNK_LINE_MAX_BYTES),
                                .trailers = BUF_INIT(CHUNK_TRAILERS_MAX_BYTES)};
}

void chunk_decoder_done(struct chunk_decoder *d)
{
    if (d == NULL)
        return;
    buf_done(&d->line);
    buf_done(&d->trailers);
    free(d->fields);
    d->fields = NULL;
    d->n_fields = 0;
}

static int broken(struct chunk_decoder *d, int error)
{
    d->state = CHUNK_BROKEN;
    d->error = error;
    return error;
}

bool chunk_is_forbidden_trailer(struct slice name)
{
    static const char *const names[] = {
        "connection",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "proxy-connection",
        "authorization",
        "cookie",
        "set-cookie",
        "te",
        "trailer",
        "upgrade",
        "transfer-encoding",
        "proxy-authenticate",
        "proxy-authorization",
        "max-forwards",
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (slice_ieq_str(name, names[i]))
            return true;
    return false;
}

static size_t token_length(struct slice s)
{
    size_t n = 0;
    while (n < s.n && http_is_token_char((unsigned char)s.p[n]))
        n++;
    return n;
}

/* A quoted string at the front of s: its length with both quotes, or 0. */
static size_t quoted_length(struct slice s)
{
    for (size_t i = 1; i < s.n; i++) {
        if (s.p[i] == '"')
            return i + 1;
        if (s.p[i] == '\\')
            i++;
        if (i >= s.n || !http_is_field_byte((unsigned char)s.p[i]))
            return 0;
    }
    return 0;
}

/* *( ";" token [ "=" ( token / quoted-string ) ] ), without the spaces nobody may send. */
static bool extensions_valid(struct slice s)
{
    while (s.n > 0) {
        if (s.p[0] != ';')
            return false;
        s = slice_from(s, 1);
        size_t n = token_length(s);
        if (n == 0)
            return false;
        s = slice_from(s, n);
        if (s.n == 0 || s.p[0] != '=')
            continue;
        s = slice_from(s, 1);
        n = s.n > 0 && s.p[0] == '"' ? quoted_length(s) : token_length(s);
        if (n == 0)
            return false;
        s = slice_from(s, n);
    }
    return true;
}

/* The size line without CRLF is in d->line. */
static int end_size_line(struct chunk_decoder *d)
{
    struct slice line = buf_slice(&d->line);
    size_t digits = slice_find(line, ';');
    uint64_t size;
    /* 16 digits at most: a longer run of zeros has no use but to confuse. */
    if (digits > 16 || parse_hex_u64(slice_sub(line, 0, digits), INT64_MAX, &size) < 0)
        return broken(d, -EBADMSG);
    struct slice ext = slice_from(line, digits);
    d->ext_bytes += ext.n;
    if (!extensions_valid(ext))
        return broken(d, -EBADMSG);
    if (d->ext_bytes > CHUNK_EXT_MAX_BYTES)
        return broken(d, -EMSGSIZE);
    d->left = size;
    d->state = size > 0 ? CHUNK_DATA : CHUNK_TRAILER;
    d->line.max = size > 0 ? CHUNK_LINE_MAX_BYTES : CHUNK_TRAILERS_MAX_BYTES;
    return 0;
}

/* All trailer lines are there, each with its CRLF: make fields of them. */
static int end_trailers(struct chunk_decoder *d)
{
    struct slice rest = buf_slice(&d->trailers), line;
    if (d->n_fields > 0) {
        d->fields = calloc(d->n_fields, sizeof(*d->fields));
        if (d->fields == NULL)
            return broken(d, -ENOMEM);
    }
    for (size_t i = 0; i < d->n_fields; i++) {
        (void)slice_next(&rest, '\n', &line);
        (void)http_parse_field_line(slice_sub(line, 0, line.n - 1), &d->fields[i], NULL);
    }
    d->state = CHUNK_DONE;
    return 0;
}

/* A trailer line without CRLF is in d->line; the empty one ends the body. */
static int end_trailer_line(struct chunk_decoder *d)
{
    struct slice line = buf_slice(&d->line);
    if (line.n == 0)
        return end_trailers(d);
    struct http_header field;
    if (http_parse_field_line(line, &field, NULL) < 0 || chunk_is_forbidden_trailer(field.name))
        return broken(d, -EBADMSG);
    if (d->n_fields == CHUNK_TRAILERS_MAX)
        return broken(d, -EMSGSIZE);
    (void)buf_put_slice(&d->trailers, line);
    if (buf_put_str(&d->trailers, "\r\n") < 0)
        return broken(d, d->trailers.error == -ENOBUFS ? -EMSGSIZE : -ENOMEM);
    d->n_fields++;
    return 0;
}

static int end_line(struct chunk_decoder *d)
{
    /* The line feed was not stored; the carriage return before it was, and must be the only one. */
    if (d->line.n == 0 || slice_find(buf_slice(&d->line), '\r') != d->line.n - 1)
        return broken(d, -EBADMSG);
    d->line.n--;
    int r = 0;
    if (d->state == CHUNK_SIZE)
        r = end_size_line(d);
    else if (d->state == CHUNK_TRAILER)
        r = end_trailer_line(d);
    else if (d->line.n > 0)
        r = broken(d, -EBADMSG);
    else
        d->state = CHUNK_SIZE;
    buf_clear(&d->line);
    return r;
}

/* Refuse what cannot become a size line or the CRLF behind data before the line is complete. */
static bool partial_line_valid(const struct chunk_decoder *d)
{
    struct slice line = buf_slice(&d->line);
    size_t cr = slice_find(line, '\r');
    if (cr + 1 < line.n)
        return false;
    if (d->state == CHUNK_DATA_END)
        return cr == 0 || line.n == 0;
    if (d->state != CHUNK_SIZE)
        return true;
    uint64_t size;
    size_t digits = slice_find(slice_sub(line, 0, cr), ';');
    return line.n == 0 ||
           (digits <= 16 && parse_hex_u64(slice_sub(line, 0, digits), INT64_MAX, &size) == 0);
}

/* Add bytes of the current line up to its end. Returns the bytes consumed or a negative error. */
static int64_t collect_line(struct chunk_decoder *d, struct slice in)
{
    size_t lf = slice_find(in, '\n');
    if (buf_put_slice(&d->line, slice_sub(in, 0, lf)) < 0)
        return broken(d, d->line.error == -ENOBUFS ? -EMSGSIZE : -ENOMEM);
    if (lf == in.n)
        return partial_line_valid(d) ? (int64_t)in.n : broken(d, -EBADMSG);
    int r = end_line(d);
    return r < 0 ? r : (int64_t)lf + 1;
}

int chunk_decode(struct chunk_decoder *d, struct slice in, size_t *ret_used, struct slice *ret_data)
{
    size_t used = 0;
    if (d->state == CHUNK_BROKEN)
        return d->error;
    while (used < in.n && d->state != CHUNK_DONE) {
        struct slice rest = slice_from(in, used);
        if (d->state == CHUNK_DATA) {
            size_t n = rest.n < d->left ? rest.n : (size_t)d->left;
            d->left -= n;
            if (d->left == 0)
                d->state = CHUNK_DATA_END;
            *ret_data = slice_sub(rest, 0, n);
            *ret_used = used + n;
            return 1;
        }
        int64_t n = collect_line(d, rest);
        if (n < 0)
            return (int)n;
        used += (size_t)n;
    }
    *ret_data = slice_of(in.p, 0);
    *ret_used = used;
    return 0;
}

size_t chunk_prefix(uint64_t n, char dst[static CHUNK_PREFIX_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    unsigned shift = 60;
    size_t at = 0;
    while (shift > 0 && n >> shift == 0)
        shift -= 4;
    for (;; shift -= 4) {
        dst[at++] = digits[n >> shift & 15];
        if (shift == 0)
            break;
    }
    dst[at++] = '\r';
    dst[at++] = '\n';
    dst[at] = '\0';
    return at;
}
