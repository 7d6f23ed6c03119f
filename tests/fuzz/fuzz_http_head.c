/*
 * Fuzzes the head parser, as request and as response: what is accepted obeys the promises of
 * head.h, and a head that is cut anywhere before its end is never accepted.
 */
// deps: http base
#include "http/head_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool inside(struct slice part, struct slice whole)
{
    return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

static void check_accepted(const struct http_head *h, struct slice in, size_t used, bool request)
{
    assert(used <= in.n && used <= HTTP_HEAD_MAX_BYTES && used >= 4);
    assert(memcmp(in.p + used - 4, "\r\n\r\n", 4) == 0);
    assert(h->n_headers <= HTTP_HEADERS_MAX && h->minor <= 1);
    size_t lengths = 0, codings = 0, hosts = 0;
    for (size_t i = 0; i < h->n_headers; i++) {
        assert(http_header_valid(h->headers[i].name, h->headers[i].value));
        assert(inside(h->headers[i].name, slice_sub(in, 0, used)));
        assert(inside(h->headers[i].value, slice_sub(in, 0, used)));
        lengths += slice_ieq_str(h->headers[i].name, "content-length");
        codings += slice_ieq_str(h->headers[i].name, "transfer-encoding");
        hosts += slice_ieq_str(h->headers[i].name, "host");
    }
    assert(lengths + codings <= 1);
    assert(h->content_length <= INT64_MAX);
    if (request) {
        assert(http_is_token(h->method) && h->target.n > 0 && h->status == 0);
        assert(hosts <= 1 && (hosts == 1 || h->minor == 0));
        assert(h->framing != HTTP_BODY_UNTIL_CLOSE);
        assert((codings == 1) == (h->framing == HTTP_BODY_CHUNKED));
    } else {
        assert(h->status >= 100 && h->status <= 999);
    }
}

static int parse(struct slice in, bool request, struct http_head *h, size_t *used, struct err *err)
{
    return request ? http_head_parse_request(in, h, used, err)
                   : http_head_parse_response(in, SLICE_LIT("GET"), h, used, err);
}

static void check(struct slice in, bool request)
{
    static struct http_head h;
    struct err err = {0};
    size_t used = 0, again;
    int r = parse(in, request, &h, &used, &err);
    assert(r == 0 || r == -EAGAIN || r == -EBADMSG || r == -EMSGSIZE || r == -EOPNOTSUPP);
    if (r == 0) {
        check_accepted(&h, in, used, request);
        for (size_t n = used - 1; n + 8 > used && n > 0; n--)
            assert(parse(slice_sub(in, 0, n), request, &h, &again, NULL) == -EAGAIN);
        /* What follows a head does not change it. */
        assert(parse(slice_sub(in, 0, used), request, &h, &again, NULL) == 0 && again == used);
    } else if (r != -EAGAIN) {
        assert(err.num == r && strlen(err.code) == 3);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of((const char *)data, size);
    check(in, true);
    check(in, false);
    return 0;
}
