/*
 * Request targets and hosts: splitting, percent-decoding, comparing. Everything is strict and works
 * on bytes; no Unicode rules, no defaults guessed.
 */
#include "http/url.h"

#include "base/cleanup.h"
#include "base/codec.h"
#include "base/num.h"

#include <errno.h>

int url_parse_target(struct slice target, struct url_target *ret)
{
    struct url_target t = {0};
    struct slice rest = target;
    if (slice_has_prefix(target, "http://") || slice_has_prefix(target, "https://")) {
        rest = slice_from(target, slice_find(target, ':') + 3);
        size_t end = 0;
        while (end < rest.n && rest.p[end] != '/' && rest.p[end] != '?')
            end++;
        t.authority = slice_sub(rest, 0, end);
        rest = slice_from(rest, end);
        struct slice host;
        uint16_t port;
        if (url_split_host(t.authority, &host, &port) < 0)
            return -EINVAL;
    } else if (target.n == 0 || target.p[0] != '/') {
        return -EINVAL;
    }
    size_t mark = slice_find(rest, '?');
    t.path = slice_sub(rest, 0, mark);
    t.query = slice_from(rest, mark + 1);
    if (t.path.n == 0)
        t.path = SLICE_LIT("/"); /* RFC 9110 4.2.3: an empty path is "/" */
    *ret = t;
    return 0;
}

/* One character at in[*i], which moves behind it. Returns the byte or -EINVAL. */
static int decode_one(struct slice in, size_t *i, unsigned flags)
{
    char c = in.p[(*i)++];
    if (c == '+' && (flags & URL_PLUS_IS_SPACE) != 0)
        return ' ';
    if (c == '%') {
        if (in.n - *i < 2)
            return -EINVAL;
        int hi = hex_digit(in.p[*i]), lo = hex_digit(in.p[*i + 1]);
        if (hi < 0 || lo < 0)
            return -EINVAL;
        *i += 2;
        c = (char)(hi << 4 | lo);
    }
    if (c == '\0' && (flags & URL_NO_NUL) != 0)
        return -EINVAL;
    return (unsigned char)c;
}

int url_decode(struct buf *out, struct slice in, unsigned flags)
{
    for (size_t i = 0; i < in.n;) {
        int c = decode_one(in, &i, flags);
        if (c < 0)
            return c;
        int r = buf_put_char(out, (char)c);
        if (r < 0)
            return r;
    }
    return out->error;
}

static bool is_unreserved(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

int url_encode(struct buf *out, struct slice in)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < in.n; i++) {
        unsigned char c = (unsigned char)in.p[i];
        const char escaped[3] = {'%', digits[c >> 4], digits[c & 15]};
        int r = is_unreserved(in.p[i]) ? buf_put_char(out, in.p[i]) : buf_put(out, escaped, 3);
        if (r < 0)
            return r;
    }
    return out->error;
}

/* True when the encoded name decodes to `name`; -EINVAL for a bad escape. */
static int name_matches(struct slice encoded, const char *name)
{
    size_t n = strlen(name), at = 0;
    bool same = true;
    for (size_t i = 0; i < encoded.n; at++) {
        int c = decode_one(encoded, &i, URL_PLUS_IS_SPACE);
        if (c < 0)
            return c;
        same = same && at < n && c == (unsigned char)name[at];
    }
    return same && at == n;
}

int url_query_get(struct slice query, const char *name, struct buf *out)
{
    bool found = false;
    struct slice value = {0}, part;
    while (slice_next(&query, '&', &part)) {
        size_t eq = slice_find(part, '=');
        int r = name_matches(slice_sub(part, 0, eq), name);
        if (r < 0 || (r > 0 && found))
            return -EINVAL;
        if (r == 0)
            continue;
        found = true;
        value = slice_from(part, eq + 1);
    }
    buf_clear(out);
    if (!found)
        return 0;
    int r = url_decode(out, value, URL_PLUS_IS_SPACE | URL_NO_NUL);
    return r < 0 ? r : 1;
}

/* Drop the last "/segment" behind the byte `from`. */
static void pop_segment(struct buf *out, size_t from)
{
    while (out->n > from && out->p[out->n - 1] != '/')
        out->n--;
    if (out->n > from)
        out->n--;
    if (out->p != NULL)
        out->p[out->n] = '\0';
}

int url_clean_path(struct buf *out, struct slice path)
{
    if (path.n == 0 || path.p[0] != '/')
        return -EINVAL;
    _cleanup_buf_ struct buf decoded = BUF_INIT(path.n);
    int r = url_decode(&decoded, path, URL_NO_NUL);
    if (r < 0)
        return r;
    size_t from = out->n;
    struct slice rest = buf_slice(&decoded), segment;
    while (slice_next(&rest, '/', &segment)) {
        if (segment.n == 0 || slice_eq_str(segment, "."))
            continue;
        if (slice_eq_str(segment, "..")) {
            pop_segment(out, from);
            continue;
        }
        (void)buf_put_char(out, '/');
        (void)buf_put_slice(out, segment);
    }
    if (out->n == from)
        (void)buf_put_char(out, '/');
    return out->error;
}

static bool is_host_char(char c)
{
    return is_unreserved(c) || c == '%';
}

/* "[v6]": hexadecimal digits, colons, dots and a zone. Returns the length with brackets, or 0. */
static size_t bracketed_length(struct slice s)
{
    size_t end = slice_find(s, ']');
    if (end == s.n || end < 3)
        return 0;
    for (size_t i = 1; i < end; i++)
        if (!is_host_char(s.p[i]) && s.p[i] != ':')
            return 0;
    return end + 1;
}

int url_split_host(struct slice authority, struct slice *ret_host, uint16_t *ret_port)
{
    size_t n = 0;
    if (authority.n > 0 && authority.p[0] == '[')
        n = bracketed_length(authority);
    else
        while (n < authority.n && is_host_char(authority.p[n]))
            n++;
    if (n == 0 || n > URL_HOST_MAX_BYTES)
        return -EINVAL;
    uint32_t port = 0;
    if (n < authority.n) {
        struct slice digits = slice_from(authority, n + 1);
        if (authority.p[n] != ':' || digits.n > 5 || parse_u32(digits, 65535, &port) < 0 ||
            port == 0)
            return -EINVAL;
    }
    *ret_host = authority.p[0] == '[' ? slice_sub(authority, 1, n - 2) : slice_sub(authority, 0, n);
    *ret_port = (uint16_t)port;
    return 0;
}
