#include "envd/rpc_head.h"

#include "base/num.h"
#include "envd/request.h"
#include "envd/rpc.h"

#include <errno.h>

enum { TIMEOUT_DIGITS_MAX = 10, KEEPALIVE_MAX_S = 86400 * 365 };

bool rpc_check_type(struct request *r, const char *media)
{
    struct slice type = request_header(r, "Content-Type");
    struct slice name = slice_trim(slice_sub(type, 0, slice_find(type, ';')));
    struct slice param = slice_trim(slice_from(type, slice_find(type, ';') + 1));
    if (slice_ieq_str(name, media) && (param.n == 0 || slice_ieq_str(param, "charset=utf-8") ||
                                       slice_ieq_str(param, "charset=\"utf-8\"")))
        return true;
    struct http_header accept = {SLICE_LIT("Accept-Post"), slice_str(media)};
    request_reply_with(r, 415, &accept, 1, slice_of(NULL, 0));
    return false;
}

static int read_timeout(const struct request *r, uint64_t *ret, struct err *err)
{
    struct slice text = request_header(r, "Connect-Timeout-Ms");
    if (text.p == NULL)
        return 0;
    if (text.n > TIMEOUT_DIGITS_MAX || parse_u64(text, UINT64_MAX, ret) < 0)
        return rpc_fail(err, RPC_INVALID_ARGUMENT,
                        "protocol error: Connect-Timeout-Ms is not a number of at most %d digits",
                        TIMEOUT_DIGITS_MAX);
    return 0;
}

int rpc_head_read(const struct request *r, const char *encoding_header, struct rpc_head *ret,
                  struct err *err)
{
    struct slice version = request_header(r, "Connect-Protocol-Version");
    struct slice encoding = request_header(r, encoding_header);
    uint64_t keepalive = 0;
    *ret = (struct rpc_head){.keepalive_s = RPC_KEEPALIVE_DEFAULT_S};
    if (version.p != NULL && !slice_eq_str(version, "1"))
        return rpc_fail(err, RPC_INVALID_ARGUMENT, "connect-protocol-version must be \"1\"");
    if (encoding.n != 0 && !slice_ieq_str(encoding, "identity"))
        return rpc_fail(err, RPC_UNIMPLEMENTED,
                        "unknown compression \"%.*s\": supported encodings are identity",
                        encoding.n < 64 ? (int)encoding.n : 64, encoding.p);
    if (parse_u64(request_header(r, "Keepalive-Ping-Interval"), KEEPALIVE_MAX_S, &keepalive) == 0 &&
        keepalive > 0)
        ret->keepalive_s = keepalive;
    return read_timeout(r, &ret->timeout_ms, err);
}

int rpc_parse(struct slice text, json_t **ret, struct err *err)
{
    int r = json_parse(text, ret, err);
    if (r == 0 && !json_is_object(*ret)) {
        json_freep(ret);
        r = err_set(err, -EINVAL, ERR_INVALID, "the message must be an object");
    }
    if (r < 0) {
        (void)err_wrap(err, "unmarshal message");
        (void)err_code(err, RPC_INVALID_ARGUMENT);
    }
    return r;
}
