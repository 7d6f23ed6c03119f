#include "envd/auth.h"

#include "base/codec.h"
#include "envd/request.h"
#include "envd/rpc.h"

#include <errno.h>

enum { BASIC_MAX_BYTES = HTTP_HEAD_MAX_BYTES }; /* a name too long to look at is no missing name */

static bool token_matches(const struct request *r, struct slice given)
{
    return given.n != 0 && slice_equal_ct(given, slice_str(r->envd->settings.token));
}

bool auth_check_token(struct request *r, enum auth_rule rule)
{
    if (rule == AUTH_OWN || r->envd->settings.token[0] == '\0' ||
        token_matches(r, request_header(r, "X-Access-Token")))
        return true;
    request_fail(r, 401,
                 "unauthorized access, please provide a valid access token or method signing if "
                 "supported");
    return false;
}

bool auth_check_files(struct request *r)
{
    struct slice given = request_header(r, "X-Access-Token");
    _cleanup_buf_ struct buf signature = BUF_INIT(BASIC_MAX_BYTES);
    if (r->envd->settings.token[0] == '\0' || token_matches(r, given))
        return true;
    if (given.n != 0)
        request_fail(r, 401, "access token present in header but does not match");
    else if (url_query_get(r->target.query, "signature", &signature) == 0)
        request_fail(r, 401, "missing signature query parameter");
    else
        request_fail(r, 401, "signed URLs are not supported, send the access token header");
    return false;
}

/* 1 and the user's name in out, 0 when the header is missing or is no Basic. */
static int basic_name(struct slice header, struct buf *out)
{
    struct slice scheme = slice_sub(header, 0, slice_find(header, ' '));
    if (!slice_ieq_str(scheme, "Basic") || scheme.n == header.n)
        return 0;
    if (base64_get(out, slice_trim(slice_from(header, scheme.n + 1))) < 0)
        return 0;
    size_t colon = slice_find(buf_slice(out), ':');
    if (colon == out->n)
        return 0;
    out->n = colon;
    out->p[colon] = '\0';
    return 1;
}

bool auth_pick_user(struct request *r)
{
    _cleanup_buf_ struct buf name = BUF_INIT(BASIC_MAX_BYTES);
    struct err err;
    if (basic_name(request_header(r, "Authorization"), &name) == 0)
        return true;
    if (slice_find(buf_slice(&name), '\0') == name.n && users_find(buf_str(&name), &r->user) == 0) {
        r->has_user = true;
        return true;
    }
    (void)err_set(&err, -EACCES, ERR_DENIED, "invalid username: '%.128s'", buf_str(&name));
    (void)err_code(&err, RPC_UNAUTHENTICATED);
    rpc_fail_request(r, &err);
    return false;
}

bool auth_control_ok(const struct request *r)
{
    const char *secret = r->envd->config.control_secret;
    if (r->envd->config.standalone)
        return true;
    return slice_equal_ct(request_header(r, "X-Silica-Control"), slice_str(secret)) &&
           secret[0] != '\0';
}
