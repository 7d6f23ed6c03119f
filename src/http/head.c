/*
 * The strict head parser.
 *
 * Theory: a head is a start line and field lines, each ended by CRLF, and an empty line. The parser
 * is a pure function over the bytes there are: it walks line by line and says -EAGAIN as soon as a
 * line is not complete, but refuses what can already be seen to be wrong (so that a TLS greeting on
 * the plain port is answered at once and not after a deadline). Callers need not parse again before
 * a further line feed has come.
 *
 * Where a lenient reader and a strict one could disagree on where a message ends, the message is
 * refused: bare CR or LF, folds, space before a colon, two framings, repeated Content-Length,
 * codings other than one "chunked", framing in HTTP/1.0 that it does not have, a body where the
 * status forbids it. Framing is decided here and nowhere else.
 *
 * It does not decode targets or bodies, and keeps no state.
 */
#include "http/head.h"

#include "base/num.h"
#include "http/head_internal.h"
#include "http/url.h"

#include <errno.h>

int http_bad(struct err *err, int num, const char *status, const char *msg)
{
    err_set(err, num, num == -EMSGSIZE ? ERR_LIMIT : ERR_INVALID, "%s", msg);
    (void)err_code(err, status);
    return num;
}

bool http_is_token_char(unsigned char c)
{
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return true;
    return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

bool http_is_token(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!http_is_token_char((unsigned char)s.p[i]))
            return false;
    return s.n > 0;
}

bool http_is_field_byte(unsigned char c)
{
    return c == '\t' || (c >= ' ' && c != 0x7f);
}

static bool is_field_value(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!http_is_field_byte((unsigned char)s.p[i]))
            return false;
    return true;
}

bool http_header_valid(struct slice name, struct slice value)
{
    return http_is_token(name) && is_field_value(value) && slice_eq(slice_trim(value), value);
}

/*
 * Take one line out of in[*at..]. Returns 0 with the line without CRLF, -EAGAIN when its end is
 * not there yet, -EBADMSG for a CR or LF that does not end it.
 */
static int take_line(struct slice in, size_t *at, struct slice *ret, struct err *err)
{
    struct slice rest = slice_from(in, *at);
    size_t lf = slice_find(rest, '\n');
    size_t cr = slice_find(slice_sub(rest, 0, lf), '\r');
    if (cr + 1 < lf || (cr == lf && lf < rest.n))
        return http_bad(err, -EBADMSG, "400", "a line does not end in CR LF");
    if (lf == rest.n)
        return -EAGAIN;
    *ret = slice_sub(rest, 0, cr);
    *at += lf + 1;
    return 0;
}

int http_parse_field_line(struct slice line, struct http_header *ret, struct err *err)
{
    if (line.n > 0 && (line.p[0] == ' ' || line.p[0] == '\t'))
        return http_bad(err, -EBADMSG, "400", "a folded header line");
    size_t colon = slice_find(line, ':');
    if (colon == line.n)
        return http_bad(err, -EBADMSG, "400", "a header line without a colon");
    struct slice name = slice_sub(line, 0, colon);
    if (!http_is_token(name))
        return http_bad(err, -EBADMSG, "400", "a header name that is not a token");
    struct slice value = slice_trim(slice_from(line, colon + 1));
    if (!is_field_value(value))
        return http_bad(err, -EBADMSG, "400", "a control character in a header value");
    *ret = (struct http_header){.name = name, .value = value};
    return 0;
}

/*
 * A tab beside the value of a framing field is within the grammar, but there are readers (llhttp
 * among them) that take the value for another one then; nobody honest sends it.
 */
static bool is_ambiguous(struct slice line, struct slice name)
{
    return slice_find(line, '\t') < line.n &&
           (slice_ieq_str(name, "content-length") || slice_ieq_str(name, "transfer-encoding"));
}

/* Field lines up to and including the empty one. */
static int parse_fields(struct slice in, size_t *at, struct http_head *h, struct err *err)
{
    for (;;) {
        struct slice line;
        int r = take_line(in, at, &line, err);
        if (r < 0)
            return r;
        if (line.n == 0)
            return 0;
        if (h->n_headers == HTTP_HEADERS_MAX)
            return http_bad(err, -EMSGSIZE, "431", "too many header fields");
        r = http_parse_field_line(line, &h->headers[h->n_headers], err);
        if (r < 0)
            return r;
        if (is_ambiguous(line, h->headers[h->n_headers].name))
            return http_bad(err, -EBADMSG, "400", "a tab in a framing header");
        h->n_headers++;
    }
}

/* "HTTP/1.1" and "HTTP/1.0"; other well-formed versions are told apart from rubbish. */
static int parse_version(struct slice v, unsigned *ret_minor, struct err *err)
{
    if (v.n != 8 || !slice_has_prefix(v, "HTTP/") || v.p[6] != '.' || v.p[5] < '0' ||
        v.p[5] > '9' || v.p[7] < '0' || v.p[7] > '9')
        return http_bad(err, -EBADMSG, "400", "malformed HTTP version");
    if (v.p[5] != '1' || v.p[7] > '1')
        return http_bad(err, -EOPNOTSUPP, "505", "only HTTP/1.1 and HTTP/1.0 are spoken here");
    *ret_minor = (unsigned)(v.p[7] - '0');
    return 0;
}

/* Visible ASCII without '#': a fragment is never sent. */
static bool is_target(struct slice t)
{
    for (size_t i = 0; i < t.n; i++)
        if (t.p[i] <= ' ' || t.p[i] >= 0x7f || t.p[i] == '#')
            return false;
    return t.n > 0;
}

/* RFC 9112 3.2: the four forms, each with the methods it belongs to. */
static bool target_fits_method(struct slice method, struct slice target)
{
    struct slice host;
    uint16_t port;
    if (slice_eq_str(method, "CONNECT"))
        return url_split_host(target, &host, &port) == 0 && port != 0;
    if (slice_eq_str(target, "*"))
        return slice_eq_str(method, "OPTIONS");
    struct url_target t;
    return url_parse_target(target, &t) == 0;
}

static int parse_request_line(struct slice line, struct http_head *h, struct err *err)
{
    size_t sp1 = slice_find(line, ' ');
    h->method = slice_sub(line, 0, sp1);
    struct slice rest = slice_from(line, sp1 + 1);
    size_t sp2 = slice_find(rest, ' ');
    h->target = slice_sub(rest, 0, sp2);
    if (!http_is_token(h->method) || h->method.n > HTTP_METHOD_MAX_BYTES)
        return http_bad(err, -EBADMSG, "400", "malformed method");
    if (h->target.n > HTTP_TARGET_MAX_BYTES)
        return http_bad(err, -EMSGSIZE, "414", "the request target is too long");
    if (!is_target(h->target))
        return http_bad(err, -EBADMSG, "400", "malformed request target");
    int r = parse_version(slice_from(rest, sp2 + 1), &h->minor, err);
    if (r < 0)
        return r;
    if (!target_fits_method(h->method, h->target))
        return http_bad(err, -EBADMSG, "400", "malformed request target");
    return 0;
}

/*
 * "HTTP/1.1 200 OK". The space behind the code is demanded by the grammar even without a reason;
 * its absence is let pass, because real servers forget it and nothing depends on it.
 */
static int parse_status_line(struct slice line, struct http_head *h, struct err *err)
{
    size_t sp = slice_find(line, ' ');
    int r = parse_version(slice_sub(line, 0, sp), &h->minor, err);
    if (r < 0)
        return r;
    struct slice rest = slice_from(line, sp + 1);
    uint32_t status;
    bool code_ok = rest.n >= 3 && parse_u32(slice_sub(rest, 0, 3), 999, &status) == 0 &&
                   status >= 100 && (rest.n == 3 || rest.p[3] == ' ');
    if (!code_ok || !is_field_value(slice_from(rest, 3)))
        return http_bad(err, -EBADMSG, "502", "malformed status line");
    h->status = status;
    return 0;
}

/* Refuse early what cannot become a start line: keeps rubbish from waiting for a deadline. */
static int check_partial_start(struct slice in, bool request, struct err *err)
{
    static const char version[] = "HTTP/1.";
    if (!request) {
        size_t n = in.n < sizeof(version) - 1 ? in.n : sizeof(version) - 1;
        return memcmp(in.p, version, n) == 0
                   ? -EAGAIN
                   : http_bad(err, -EBADMSG, "502", "malformed status line");
    }
    size_t sp = slice_find(in, ' ');
    if (sp > HTTP_METHOD_MAX_BYTES || (sp > 0 && !http_is_token(slice_sub(in, 0, sp))) || sp == 0)
        return http_bad(err, -EBADMSG, "400", "malformed method");
    if (in.n - sp > HTTP_TARGET_MAX_BYTES + sizeof(" HTTP/1.1"))
        return http_bad(err, -EMSGSIZE, "414", "the request target is too long");
    return -EAGAIN;
}

const struct http_header *http_head_find(const struct http_head *h, const char *name)
{
    for (size_t i = 0; i < h->n_headers; i++)
        if (slice_ieq_str(h->headers[i].name, name))
            return &h->headers[i];
    return NULL;
}

struct slice http_head_get(const struct http_head *h, const char *name)
{
    const struct http_header *f = http_head_find(h, name);
    return f != NULL ? f->value : slice_of(NULL, 0);
}

bool http_head_has_token(const struct http_head *h, const char *name, const char *token)
{
    for (size_t i = 0; i < h->n_headers; i++) {
        if (!slice_ieq_str(h->headers[i].name, name))
            continue;
        struct slice rest = h->headers[i].value, part;
        while (slice_next(&rest, ',', &part))
            if (slice_ieq_str(slice_trim(part), token))
                return true;
    }
    return false;
}

static size_t count_fields(const struct http_head *h, const char *name)
{
    size_t n = 0;
    for (size_t i = 0; i < h->n_headers; i++)
        n += slice_ieq_str(h->headers[i].name, name);
    return n;
}

/* Anything but one single "chunked" is refused; which status says why is all that differs. */
static int parse_transfer_encoding(const struct http_head *h, struct err *err)
{
    struct slice value = http_head_get(h, "transfer-encoding");
    if (h->minor == 0)
        return http_bad(err, -EBADMSG, "400", "Transfer-Encoding in an HTTP/1.0 message");
    if (count_fields(h, "transfer-encoding") != 1)
        return http_bad(err, -EBADMSG, "400", "repeated Transfer-Encoding");
    if (count_fields(h, "content-length") != 0)
        return http_bad(err, -EBADMSG, "400", "both Content-Length and Transfer-Encoding");
    if (slice_ieq_str(value, "chunked"))
        return 0;
    if (value.n == 0 || slice_ieq_str(value, "chunked,") ||
        http_head_has_token(h, "transfer-encoding", "chunked"))
        return http_bad(err, -EBADMSG, "400", "Transfer-Encoding is not a single chunked");
    return http_bad(err, -EOPNOTSUPP, "501", "unknown transfer coding");
}

/* Sets framing to chunked or length when the head says so; leaves it otherwise. */
static int parse_body_fields(struct http_head *h, struct err *err)
{
    if (http_head_find(h, "transfer-encoding") != NULL) {
        int r = parse_transfer_encoding(h, err);
        if (r == 0)
            h->framing = HTTP_BODY_CHUNKED;
        return r;
    }
    size_t n = count_fields(h, "content-length");
    if (n == 0)
        return 0;
    if (n > 1)
        return http_bad(err, -EBADMSG, "400", "repeated Content-Length");
    if (parse_u64(http_head_get(h, "content-length"), INT64_MAX, &h->content_length) < 0)
        return http_bad(err, -EBADMSG, "400", "malformed Content-Length");
    h->framing = HTTP_BODY_LENGTH;
    return 0;
}

/* Exactly one Host in HTTP/1.1, at most one in 1.0, and none that contradicts the target. */
static int check_host(const struct http_head *h, struct err *err)
{
    size_t n = count_fields(h, "host");
    if (n > 1 || (n == 0 && h->minor >= 1))
        return http_bad(err, -EBADMSG, "400", "a request needs exactly one Host header");
    if (n == 0)
        return 0;
    struct slice value = http_head_get(h, "host"), host;
    uint16_t port;
    if (url_split_host(value, &host, &port) < 0)
        return http_bad(err, -EBADMSG, "400", "malformed Host header");
    struct url_target t;
    if (h->target.p[0] == '/' || url_parse_target(h->target, &t) < 0 || t.authority.n == 0)
        return 0;
    if (!slice_ieq(t.authority, value))
        return http_bad(err, -EBADMSG, "400", "Host and request target name different hosts");
    return 0;
}

static void set_connection(struct http_head *h)
{
    bool close = http_head_has_token(h, "connection", "close");
    bool keep = http_head_has_token(h, "connection", "keep-alive");
    h->keep_alive = !close && (h->minor >= 1 || keep);
    h->upgrade = h->minor >= 1 && http_head_has_token(h, "connection", "upgrade") &&
                 http_head_get(h, "upgrade").n > 0;
}

static int finish_request(struct http_head *h, struct err *err)
{
    int r = parse_body_fields(h, err);
    if (r < 0)
        return r;
    r = check_host(h, err);
    if (r < 0)
        return r;
    set_connection(h);
    bool body = h->framing == HTTP_BODY_CHUNKED ||
                (h->framing == HTTP_BODY_LENGTH && h->content_length > 0);
    h->expect_continue = body && h->minor >= 1 && http_head_has_token(h, "expect", "100-continue");
    /* An upgrade behind a body would need two protocols in one exchange: answered as plain HTTP. */
    h->upgrade = h->upgrade && !body;
    return 0;
}

/* RFC 9112 6.3: which responses have no body whatever their fields say. */
static int finish_response(struct http_head *h, struct slice method, struct err *err)
{
    h->framing = HTTP_BODY_UNTIL_CLOSE;
    int r = parse_body_fields(h, err);
    if (r < 0)
        return r;
    set_connection(h);
    bool interim = h->status < 200 || h->status == 204;
    if (interim && (h->framing == HTTP_BODY_CHUNKED || h->content_length > 0))
        return http_bad(err, -EBADMSG, "502", "a body where the status forbids it");
    bool connected = slice_eq_str(method, "CONNECT") && h->status >= 200 && h->status < 300;
    if (interim || connected || h->status == 304 || slice_eq_str(method, "HEAD"))
        h->framing = HTTP_BODY_NONE;
    if (h->framing == HTTP_BODY_UNTIL_CLOSE)
        h->keep_alive = false;
    return 0;
}

static int parse_head(struct slice in, bool request, struct http_head *h, size_t *ret_used,
                      struct err *err)
{
    if (in.n == 0)
        return -EAGAIN;
    struct slice head = slice_sub(in, 0, HTTP_HEAD_MAX_BYTES);
    struct slice line;
    size_t at = 0;
    int r = take_line(head, &at, &line, err);
    if (r == -EAGAIN)
        r = check_partial_start(head, request, err);
    else if (r == 0)
        r = request ? parse_request_line(line, h, err) : parse_status_line(line, h, err);
    if (r == 0)
        r = parse_fields(head, &at, h, err);
    if (r == -EAGAIN && in.n >= HTTP_HEAD_MAX_BYTES)
        return http_bad(err, -EMSGSIZE, "431", "the head is too large");
    if (r == 0)
        *ret_used = at;
    return r;
}

/* The lines' slots need no clearing: only those below n_headers are ever read. */
static void head_reset(struct http_head *h)
{
    h->method = h->target = slice_of(NULL, 0);
    h->status = h->minor = 0;
    h->n_headers = 0;
    h->framing = HTTP_BODY_NONE;
    h->content_length = 0;
    h->keep_alive = h->expect_continue = h->upgrade = false;
}

int http_head_parse_request(struct slice in, struct http_head *ret, size_t *ret_used,
                            struct err *err)
{
    size_t used;
    head_reset(ret);
    int r = parse_head(in, true, ret, &used, err);
    if (r == 0)
        r = finish_request(ret, err);
    if (r == 0)
        *ret_used = used;
    return r;
}

int http_head_parse_response(struct slice in, struct slice method, struct http_head *ret,
                             size_t *ret_used, struct err *err)
{
    size_t used;
    head_reset(ret);
    int r = parse_head(in, false, ret, &used, err);
    if (r == 0)
        r = finish_response(ret, method, err);
    if (r == 0)
        *ret_used = used;
    return r;
}

static void rebase(struct slice *s, const char *from, const char *to)
{
    if (s->p != NULL)
        s->p = to + (s->p - from);
}

void http_head_rebase(struct http_head *h, const char *from, const char *to)
{
    rebase(&h->method, from, to);
    rebase(&h->target, from, to);
    for (size_t i = 0; i < h->n_headers; i++) {
        rebase(&h->headers[i].name, from, to);
        rebase(&h->headers[i].value, from, to);
    }
}
