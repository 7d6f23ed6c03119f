/* Fuzzes targets, escapes, queries, paths, hosts, and the router above them. */
// deps: http base
#include "http/router.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_MAX_BYTES = 65536 };

static void check_escapes(struct slice in)
{
    _cleanup_buf_ struct buf encoded = BUF_INIT(3 * TEXT_MAX_BYTES);
    _cleanup_buf_ struct buf back = BUF_INIT(TEXT_MAX_BYTES), decoded = BUF_INIT(TEXT_MAX_BYTES);
    assert(url_encode(&encoded, in) == 0);
    assert(url_decode(&back, buf_slice(&encoded), URL_PLUS_IS_SPACE) == 0);
    assert(slice_eq(buf_slice(&back), in));
    int r = url_decode(&decoded, in, URL_NO_NUL);
    assert(r == 0 || r == -EINVAL);
    assert(r < 0 || (decoded.n <= in.n && slice_find(buf_slice(&decoded), '\0') == decoded.n));
}

static void check_path(struct slice in)
{
    _cleanup_buf_ struct buf clean = BUF_INIT(TEXT_MAX_BYTES);
    if (url_clean_path(&clean, in) < 0)
        return;
    struct slice rest = buf_slice(&clean), part;
    assert(rest.n > 0 && rest.p[0] == '/' && (rest.n == 1 || rest.p[rest.n - 1] != '/'));
    if (rest.n == 1)
        return;
    rest = slice_from(rest, 1);
    while (slice_next(&rest, '/', &part))
        assert(part.n > 0 && !slice_eq_str(part, ".") && !slice_eq_str(part, ".."));
}

static void check_target(struct slice in)
{
    struct url_target t;
    if (url_parse_target(in, &t) < 0)
        return;
    assert(t.path.n > 0 && t.path.p[0] == '/' && slice_find(t.path, '?') == t.path.n);
    _cleanup_buf_ struct buf value = BUF_INIT(TEXT_MAX_BYTES);
    int r = url_query_get(t.query, "a", &value);
    assert(r == 0 || r == 1 || r == -EINVAL);
    check_path(t.path);
}

static void check_host(struct slice in)
{
    struct slice host;
    uint16_t port;
    if (url_split_host(in, &host, &port) < 0)
        return;
    assert(host.n > 0 && host.n <= URL_HOST_MAX_BYTES && host.p >= in.p);
    for (size_t i = 0; i < host.n; i++)
        assert(host.p[i] > ' ' && host.p[i] < 0x7f && host.p[i] != '/' && host.p[i] != '@');
}

static void check_route(struct slice in)
{
    static const struct route routes[] = {{"GET", "/a/{id}", NULL, 0},
                                          {"PUT", "/{x}/{y}", NULL, 1}};
    static struct route_params params;
    char allow[32];
    const struct route *r =
        route_find(routes, 2, SLICE_LIT("GET"), in, &params, allow, sizeof(allow));
    if (r != NULL)
        assert(params.n == 1 && strlen(params.value[0]) < ROUTE_PARAM_MAX_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > TEXT_MAX_BYTES)
        return 0;
    struct slice in = slice_of((const char *)data, size);
    check_escapes(in);
    check_path(in);
    check_target(in);
    check_host(in);
    check_route(in);
    return 0;
}
