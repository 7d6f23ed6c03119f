/*
 * Our HTTP parser beside llhttp: two answers to the same bytes is how request smuggling starts.
 *
 * Every input is one message with what follows it. Both parsers say whether they refuse it, want
 * more, or where the message ends and what method, target, fields and body it has. Where both
 * accept, all of that must be the same. Where only one refuses, the difference must be in one of
 * the two lists below, each line with its reason.
 *
 * Inputs: the seeds here and the files named on the command line (the fuzz corpus of heads), each as
 * it is and with every byte of it replaced, doubled and removed.
 *
 * Built by tests/integration/http_differential.sh against the sources of Debian's node-llhttp.
 */
#include "base/cleanup.h"
#include "base/fs.h"
#include "http/chunk.h"
#include "http/head_internal.h"

#include <fcntl.h>
#include <llhttp.h>
#include <stdarg.h>

enum { SUM_MAX_BYTES = 1 << 20 };

enum verdict { REFUSED, WANTS_MORE, ACCEPTED };
static const char *const verdict_names[] = {"refused", "wants more", "accepted"};

/* What a parser makes of an input. */
struct reading {
    enum verdict verdict;
    char why[ERR_MSG_BYTES]; /* REFUSED */
    size_t end;              /* ACCEPTED: bytes of the message */
    struct buf sum;          /* ACCEPTED: method, target or status, fields, body, as text */
};

/* We refuse what llhttp takes. */
static const struct {
    const char *why, *reason;
} stricter[] = {
    {"a line does not end in CR LF", "llhttp takes a bare LF, and CR in odd places"},
    {"a header name that is not a token", "llhttp takes a space inside names"},
    {"a folded header line", "llhttp unfolds; RFC 9112 5.2 lets a server refuse"},
    {"malformed request target", "llhttp does not tie the form of a target to the method"},
    {"a request needs exactly one Host header", "llhttp does not look at Host"},
    {"malformed Host header", "llhttp does not look at Host"},
    {"Host and request target name different hosts", "llhttp does not look at Host"},
    {"malformed Content-Length", "llhttp takes more than INT64_MAX, and spaces"},
    {"a tab in a framing header", "llhttp reads a response with one until close"},
    {"unknown transfer coding", "llhttp reads a response with one until close"},
    {"Transfer-Encoding is not a single chunked", "llhttp takes other codings before chunked"},
    {"repeated Transfer-Encoding", "llhttp joins them"},
    {"Transfer-Encoding in an HTTP/1.0 message", "RFC 9112 6.1 calls it faulty framing"},
    {"only HTTP/1.1 and HTTP/1.0 are spoken here", "llhttp takes 0.9 and 2.0"},
    {"malformed method", "llhttp skips empty lines before a request"},
    {"malformed status line", "llhttp skips empty lines before a response"},
    {"malformed HTTP version", "llhttp also reads ICE and RTSP"},
    {"a body where the status forbids it", "llhttp ignores the field"},
    {"too many header fields", "llhttp leaves the number of fields to its user"},
    {"malformed chunk", "llhttp takes bare LF and more in sizes and extensions"},
};

/* We take what llhttp refuses, if the input holds `needle`. */
static const struct {
    llhttp_errno_t error;
    const char *needle, *reason;
} laxer[] = {
    {HPE_INVALID_METHOD, "", "llhttp has a closed list of methods; RFC 9110 9.1 has not"},
    {HPE_INVALID_CHUNK_SIZE, "\"", "RFC 9112 7.1.1: an extension's value may be quoted"},
};

static void reading_done(struct reading *r)
{
    buf_done(&r->sum);
}

static void refuse(struct reading *r, const char *why)
{
    r->verdict = REFUSED;
    (void)snprintf(r->why, sizeof(r->why), "%s", why);
}

/* Ours. */

static void sum_head(struct buf *sum, const struct http_head *h)
{
    if (h->status != 0)
        buf_printf(sum, "%u\n", h->status);
    else
        buf_printf(sum, "%.*s %.*s\n", (int)h->method.n, h->method.p, (int)h->target.n,
                   h->target.p);
    for (size_t i = 0; i < h->n_headers; i++) {
        buf_put_slice(sum, h->headers[i].name);
        buf_put_str(sum, ": ");
        buf_put_slice(sum, h->headers[i].value);
        buf_put_str(sum, "\n");
    }
}

static void read_chunked(struct slice in, size_t at, struct reading *r)
{
    struct chunk_decoder d;
    struct slice data;
    size_t used;
    int n = 0;
    chunk_decoder_init(&d);
    while ((n = chunk_decode(&d, slice_from(in, at), &used, &data)) >= 0) {
        buf_put_slice(&r->sum, data);
        at += used;
        if (n == 0)
            break;
    }
    if (n < 0)
        refuse(r, "malformed chunk");
    else
        r->verdict = d.state == CHUNK_DONE ? ACCEPTED : WANTS_MORE;
    r->end = at;
    chunk_decoder_done(&d);
}

static void read_ours(struct slice in, bool request, struct reading *r)
{
    static struct http_head h;
    struct err err;
    size_t used;
    int n = request ? http_head_parse_request(in, &h, &used, &err)
                    : http_head_parse_response(in, SLICE_LIT("GET"), &h, &used, &err);
    r->verdict = WANTS_MORE;
    if (n == -EAGAIN)
        return;
    if (n < 0) {
        refuse(r, err.msg);
        return;
    }
    sum_head(&r->sum, &h);
    size_t left = in.n - used;
    if (h.framing == HTTP_BODY_CHUNKED) {
        read_chunked(in, used, r);
        return;
    }
    if (h.framing == HTTP_BODY_LENGTH && h.content_length > left)
        return;
    left = h.framing == HTTP_BODY_NONE     ? 0
           : h.framing == HTTP_BODY_LENGTH ? (size_t)h.content_length
                                           : left;
    buf_put_slice(&r->sum, slice_sub(in, used, left));
    r->verdict = ACCEPTED;
    r->end = used + left;
}

/* llhttp's. */

struct llhttp_reading {
    llhttp_t parser; /* first: the callbacks cast back */
    struct buf start, name, value, fields, body;
    bool done, in_trailers;
};

static int add(struct buf *b, const char *p, size_t n)
{
    return buf_put(b, p, n) == 0 ? 0 : HPE_USER;
}

#define PART(fn, member)                                                                           \
    static int fn(llhttp_t *p, const char *at, size_t n)                                           \
    {                                                                                              \
        return add(&((struct llhttp_reading *)(void *)p)->member, at, n);                          \
    }
PART(on_start, start)
PART(on_name, name)
PART(on_value, value)
PART(on_body, body)

/* Trailers come as fields too; ours are not part of the head, so they are left out. */
static int on_value_end(llhttp_t *p)
{
    struct llhttp_reading *l = (struct llhttp_reading *)(void *)p;
    struct slice value = slice_trim(buf_slice(&l->value));
    if (!l->in_trailers) {
        buf_put_slice(&l->fields, buf_slice(&l->name));
        buf_put_str(&l->fields, ": ");
        buf_put_slice(&l->fields, value);
        buf_put_str(&l->fields, "\n");
    }
    buf_clear(&l->name);
    buf_clear(&l->value);
    return 0;
}

/* Which statuses have no body is the user's to say: 1 means none. */
static int on_head_end(llhttp_t *p)
{
    ((struct llhttp_reading *)(void *)p)->in_trailers = true;
    return p->status_code == 304;
}

static int on_end(llhttp_t *p)
{
    ((struct llhttp_reading *)(void *)p)->done = true;
    return HPE_PAUSED;
}

static void sum_llhttp(struct llhttp_reading *l, bool request, struct reading *r)
{
    if (request)
        buf_printf(&r->sum, "%s %s\n", llhttp_method_name((llhttp_method_t)l->parser.method),
                   buf_str(&l->start));
    else
        buf_printf(&r->sum, "%u\n", (unsigned)l->parser.status_code);
    buf_put_slice(&r->sum, buf_slice(&l->fields));
    buf_put_slice(&r->sum, buf_slice(&l->body));
}

static llhttp_errno_t read_llhttp(struct slice in, bool request, struct reading *r)
{
    struct llhttp_reading l = {.start = BUF_INIT(SUM_MAX_BYTES),
                               .name = BUF_INIT(SUM_MAX_BYTES),
                               .value = BUF_INIT(SUM_MAX_BYTES),
                               .fields = BUF_INIT(SUM_MAX_BYTES),
                               .body = BUF_INIT(SUM_MAX_BYTES)};
    llhttp_settings_t s;
    llhttp_settings_init(&s);
    s.on_url = on_start;
    s.on_header_field = on_name;
    s.on_header_value = on_value;
    s.on_header_value_complete = on_value_end;
    s.on_headers_complete = on_head_end;
    s.on_body = on_body;
    s.on_message_complete = on_end;
    llhttp_init(&l.parser, request ? HTTP_REQUEST : HTTP_RESPONSE, &s);
    llhttp_errno_t e = llhttp_execute(&l.parser, in.p, in.n);
    const char *end = llhttp_get_error_pos(&l.parser);
    if (e == HPE_OK && llhttp_message_needs_eof(&l.parser) && l.in_trailers) {
        (void)llhttp_finish(&l.parser);
        end = in.p + in.n;
    }
    r->verdict = WANTS_MORE;
    if (l.done) {
        r->verdict = ACCEPTED;
        r->end = (size_t)(end - in.p);
        sum_llhttp(&l, request, r);
    } else if (e != HPE_OK && e != HPE_PAUSED_UPGRADE) {
        refuse(r, llhttp_errno_name(e));
    }
    buf_done(&l.start);
    buf_done(&l.name);
    buf_done(&l.value);
    buf_done(&l.fields);
    buf_done(&l.body);
    return e;
}

/* Comparing. */

static struct counts {
    size_t inputs, same, stricter, laxer, bad;
    size_t used_stricter[ARRAY_LEN(stricter)];
} counts;

static void print_input(struct slice in)
{
    printf("# ");
    for (size_t i = 0; i < in.n; i++)
        if (in.p[i] >= ' ' && in.p[i] < 0x7f && in.p[i] != '\\')
            printf("%c", in.p[i]);
        else
            printf("\\x%02x", (unsigned char)in.p[i]);
    printf("\n");
}

enum { COMPLAINTS_MAX = 20 };

static void complain(struct slice in, const char *what, const struct reading *ours,
                     const struct reading *theirs)
{
    if (counts.bad++ >= COMPLAINTS_MAX)
        return;
    printf("# %s: we %s %s (end %zu), llhttp %s %s (end %zu)\n", what, verdict_names[ours->verdict],
           ours->why, ours->end, verdict_names[theirs->verdict], theirs->why, theirs->end);
    print_input(in);
}

static bool is_listed_stricter(const char *why)
{
    for (size_t i = 0; i < ARRAY_LEN(stricter); i++)
        if (strcmp(why, stricter[i].why) == 0) {
            counts.used_stricter[i]++;
            return true;
        }
    return false;
}

static bool is_listed_laxer(llhttp_errno_t e, struct slice in)
{
    for (size_t i = 0; i < ARRAY_LEN(laxer); i++) {
        size_t n = strlen(laxer[i].needle);
        if (e == laxer[i].error && (n == 0 || memmem(in.p, in.n, laxer[i].needle, n) != NULL))
            return true;
    }
    return false;
}

static void compare(struct slice in, bool request)
{
    _cleanup_(reading_done)
    struct reading ours = {.sum = BUF_INIT(SUM_MAX_BYTES)};
    _cleanup_(reading_done)
    struct reading theirs = {.sum = BUF_INIT(SUM_MAX_BYTES)};
    read_ours(in, request, &ours);
    llhttp_errno_t e = read_llhttp(in, request, &theirs);
    counts.inputs++;
    if (ours.verdict == REFUSED && theirs.verdict != REFUSED) {
        counts.stricter++;
        if (!is_listed_stricter(ours.why))
            complain(in, "stricter, not listed", &ours, &theirs);
    } else if (theirs.verdict == REFUSED && ours.verdict == WANTS_MORE && ours.sum.n == 0) {
        counts.same++; /* a head that is not complete is judged once it is */
    } else if (theirs.verdict == REFUSED && ours.verdict != REFUSED) {
        counts.laxer++;
        if (!is_listed_laxer(e, in))
            complain(in, "laxer, not listed", &ours, &theirs);
    } else if (ours.verdict != theirs.verdict) {
        complain(in, "different verdicts", &ours, &theirs);
    } else if (ours.verdict == ACCEPTED &&
               (ours.end != theirs.end ||
                !slice_eq(buf_slice(&ours.sum), buf_slice(&theirs.sum)))) {
        complain(in, "different readings", &ours, &theirs);
    } else {
        counts.same++;
    }
}

static const char changes[] = "\r\n\t\v ,;:0a9x\"\x7f\x80";

/* The input itself, and all its one-byte neighbours. */
static void compare_neighbours(struct slice in)
{
    bool request = !slice_has_prefix(in, "HTTP/");
    _cleanup_free_ char *copy = calloc(1, in.n + 2);
    if (copy == NULL)
        abort();
    compare(in, request);
    for (size_t i = 0; i < in.n; i++) {
        for (size_t c = 0; c < sizeof(changes); c++) { /* with the terminator: NUL */
            memcpy(copy, in.p, in.n);
            copy[i] = changes[c];
            compare(slice_of(copy, in.n), request);
            memcpy(copy + i + 1, in.p + i, in.n - i);
            compare(slice_of(copy, in.n + 1), request);
        }
        memcpy(copy, in.p, i);
        memcpy(copy + i, in.p + i + 1, in.n - i - 1);
        compare(slice_of(copy, in.n - 1), request);
    }
}

#define N         "\r\n"
#define REQ(rest) "POST /a HTTP/1.1" N "Host: h" N rest
#define CHUNKED   REQ("Transfer-Encoding: chunked" N N)
#define NEXT      "GET /next HTTP/1.1" N "Host: h" N N

static const char *const seeds[] = {
    REQ(N) NEXT,
    REQ("Content-Length: 3" N N "abc") NEXT,
    REQ("Content-Length: 003" N N "abc") NEXT,
    REQ("Content-Length:3\t" N N "abc") NEXT,
    REQ("Content-Length: 3" N "Content-Length: 3" N N "abc") NEXT,
    REQ("Content-Length: 3" N "Transfer-Encoding: chunked" N N "0" N N) NEXT,
    REQ("Transfer-Encoding: chunked" N "Content-Length: 3" N N "0" N N) NEXT,
    REQ("Transfer-Encoding: chunked" N "Transfer-Encoding: identity" N N "0" N N) NEXT,
    REQ("Transfer-Encoding: identity" N N "abc") NEXT,
    REQ("Transfer-Encoding: xchunked" N N "0" N N) NEXT,
    REQ("Transfer-Encoding: chunked, identity" N N "0" N N) NEXT,
    REQ("A:" N "B: \t c \t" N "D: e:f" N N) NEXT,
    CHUNKED "3" N "abc" N "0" N N NEXT,
    CHUNKED "A" N "0123456789" N "00" N N NEXT,
    CHUNKED "3;a=b;c=\"d\"" N "abc" N "0;e" N N NEXT,
    CHUNKED "1" N "a" N "2" N "bc" N "0" N "T: 1" N "U: 2" N N NEXT,
    CHUNKED "0" N "Content-Length: 3" N N NEXT,
    CHUNKED "7fffffffffffffff" N "abc",
    CHUNKED "fffffffffffffffff" N "abc",
    CHUNKED "ffffffffffffffff" N "abc",
    "HTTP/1.1 200 OK" N "Content-Length: 3" N N "abcrest",
    "HTTP/1.1 200 OK" N "Transfer-Encoding: chunked" N N "3" N "abc" N "0" N N "rest",
    "HTTP/1.1 200 OK" N N "until close",
    "HTTP/1.0 200 OK" N "Connection: keep-alive" N N "until close",
    "HTTP/1.1 204 No Content" N "A: b" N N "rest",
    "HTTP/1.1 304 Not Modified" N "Content-Length: 3" N N "rest",
};

static void compare_file(const char *path)
{
    _cleanup_buf_ struct buf in = BUF_INIT(SUM_MAX_BYTES);
    struct err err;
    if (fs_read_file(AT_FDCWD, path, &in, &err) < 0) {
        printf("Bail out! %s\n", err.msg);
        exit(1);
    }
    if (in.n > 0)
        compare_neighbours(buf_slice(&in));
}

int main(int argc, char **argv)
{
    for (size_t i = 0; i < ARRAY_LEN(seeds); i++)
        compare_neighbours(slice_str(seeds[i]));
    for (int i = 1; i < argc; i++)
        compare_file(argv[i]);
    printf("# %zu inputs: %zu read alike, %zu refused by us alone, %zu by llhttp alone\n",
           counts.inputs, counts.same, counts.stricter, counts.laxer);
    bool unused = false;
    for (size_t i = 0; i < ARRAY_LEN(stricter); i++)
        if (counts.used_stricter[i] == 0) {
            unused = true;
            printf("# listed but never seen: %s\n", stricter[i].why);
        }
    printf("%s 1 - both parsers read the same messages, but for the listed differences\n",
           counts.bad > 0 ? "not ok" : "ok");
    printf("%s 2 - each listed difference occurs\n1..2\n", unused ? "not ok" : "ok");
    return counts.bad > 0 || unused;
}
