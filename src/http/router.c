/*
 * Matching is on encoded segments: a pattern and a path are walked segment by segment, and only the
 * parameters of the entry that matched are decoded. So "%2F" never makes a segment border.
 */
#include "http/router.h"

#include "base/err.h"

#include <errno.h>

static bool is_parameter(struct slice segment)
{
    return segment.n >= 2 && segment.p[0] == '{' && segment.p[segment.n - 1] == '}';
}

/* True when every segment matches; the parameters' encoded values go to params. */
static bool path_matches(const char *pattern, struct slice path,
                         struct slice params[static ROUTE_PARAMS_MAX], size_t *ret_n)
{
    struct slice want = slice_str(pattern), w, p;
    size_t n = 0;
    for (;;) {
        bool more_w = slice_next(&want, '/', &w), more_p = slice_next(&path, '/', &p);
        if (!more_w || !more_p) {
            *ret_n = n;
            return more_w == more_p;
        }
        if (!is_parameter(w)) {
            if (!slice_eq(w, p))
                return false;
            continue;
        }
        if (p.n == 0 || n == ROUTE_PARAMS_MAX)
            return false;
        params[n++] = p;
    }
}

static int decode_params(const struct slice *params, size_t n, struct route_params *ret)
{
    ret->n = 0;
    for (size_t i = 0; i < n; i++) {
        _cleanup_buf_ struct buf value = BUF_INIT(ROUTE_PARAM_MAX_BYTES - 1);
        if (url_decode(&value, params[i], URL_NO_NUL) < 0 ||
            slice_copy(buf_slice(&value), ret->value[i], ROUTE_PARAM_MAX_BYTES) < 0)
            return -EINVAL;
        ret->n++;
    }
    return 0;
}

/* Add ", METHOD" unless it is there or does not fit. */
static void add_allowed(struct buf *allow, const char *method)
{
    struct slice rest = buf_slice(allow), part;
    while (slice_next(&rest, ',', &part))
        if (slice_eq_str(slice_trim(part), method))
            return;
    size_t before = allow->n;
    if (before > 0)
        (void)buf_put_str(allow, ", ");
    if (buf_put_str(allow, method) < 0 && allow->p != NULL) {
        allow->n = before;
        allow->p[before] = '\0';
    }
}

const struct route *route_find(const struct route *routes, size_t n, struct slice method,
                               struct slice path, struct route_params *ret, char *ret_allow,
                               size_t allow_cap)
{
    _cleanup_buf_ struct buf allow = BUF_INIT(allow_cap > 0 ? allow_cap - 1 : 0);
    if (allow_cap > 0)
        ret_allow[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        struct slice params[ROUTE_PARAMS_MAX];
        size_t n_params;
        if (!path_matches(routes[i].pattern, path, params, &n_params))
            continue;
        if (!slice_eq_str(method, routes[i].method)) {
            add_allowed(&allow, routes[i].method);
            continue;
        }
        if (decode_params(params, n_params, ret) == 0)
            return &routes[i];
        (void)slice_copy(SLICE_LIT("!"), ret_allow, allow_cap);
        return NULL;
    }
    (void)slice_copy(buf_slice(&allow), ret_allow, allow_cap);
    return NULL;
}
