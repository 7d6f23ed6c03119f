/* What unary calls and streams have in common: codes, error bodies. */
#include "envd/rpc.h"

#include "envd/request.h"
#include "http/connect.h"
#include "json/writer.h"

#include <errno.h>
#include <stdarg.h>

static const struct {
    const char *code;
    unsigned status;
    enum err_kind kind;
    int num;
} codes[] = {
    {"canceled", 499, ERR_UNAVAILABLE, -ECANCELED},
    {RPC_UNKNOWN, 500, ERR_INTERNAL, -EIO},
    {RPC_INVALID_ARGUMENT, 400, ERR_INVALID, -EINVAL},
    {RPC_DEADLINE_EXCEEDED, 504, ERR_TIMEOUT, -ETIMEDOUT},
    {RPC_NOT_FOUND, 404, ERR_NOT_FOUND, -ENOENT},
    {RPC_ALREADY_EXISTS, 409, ERR_CONFLICT, -EEXIST},
    {"permission_denied", 403, ERR_DENIED, -EACCES},
    {RPC_RESOURCE_EXHAUSTED, 429, ERR_LIMIT, -ENOBUFS},
    {RPC_FAILED_PRECONDITION, 400, ERR_CONFLICT, -ELOOP},
    {RPC_UNIMPLEMENTED, 501, ERR_INVALID, -EOPNOTSUPP},
    {RPC_INTERNAL, 500, ERR_INTERNAL, -EIO},
    {"unavailable", 503, ERR_UNAVAILABLE, -EAGAIN},
    {RPC_UNAUTHENTICATED, 401, ERR_DENIED, -EACCES},
};

int rpc_fail(struct err *err, const char *code, const char *fmt, ...)
{
    va_list ap;
    size_t i = 0;
    while (i + 1 < ARRAY_LEN(codes) && strcmp(codes[i].code, code) != 0)
        i++;
    va_start(ap, fmt);
    (void)err_vset(err, codes[i].num, codes[i].kind, fmt, ap);
    va_end(ap);
    (void)err_code(err, code);
    return codes[i].num;
}

const char *rpc_code_of(const struct err *err)
{
    if (err->code[0] != '\0')
        return err->code;
    switch (err->kind) {
    case ERR_INVALID:
        return RPC_INVALID_ARGUMENT;
    case ERR_NOT_FOUND:
        return RPC_NOT_FOUND;
    case ERR_DENIED:
        return RPC_UNAUTHENTICATED;
    case ERR_LIMIT:
        return RPC_RESOURCE_EXHAUSTED;
    case ERR_UNAVAILABLE:
        return "unavailable";
    case ERR_TIMEOUT:
        return RPC_DEADLINE_EXCEEDED;
    case ERR_CONFLICT:
    case ERR_INTERNAL:
    case ERR_KIND_MAX_:
        break;
    }
    return RPC_INTERNAL;
}

unsigned rpc_status_of(const char *code)
{
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if (strcmp(codes[i].code, code) == 0)
            return codes[i].status;
    return 500;
}

static void write_error(struct json_writer *w, const struct err *err)
{
    jw_obj(w);
    jw_kstr(w, "code", rpc_code_of(err));
    if (err->msg[0] != '\0')
        jw_kstr(w, "message", err->msg);
    jw_end(w);
}

void rpc_put_error(struct buf *out, const struct err *err)
{
    struct json_writer w;
    jw_init(&w, out);
    write_error(&w, err);
}

void rpc_put_end(struct buf *out, const struct err *err)
{
    struct json_writer w;
    jw_init(&w, out);
    jw_obj(&w);
    if (err != NULL) {
        jw_key(&w, "error");
        write_error(&w, err);
    }
    jw_end(&w);
}

void rpc_fail_request(struct request *r, const struct err *err)
{
    _cleanup_buf_ struct buf payload = BUF_INIT(8192), frame = BUF_INIT(8192);
    if (!slice_has_prefix(request_header(r, "Content-Type"), "application/connect+")) {
        rpc_put_error(&payload, err);
        request_reply(r, rpc_status_of(rpc_code_of(err)), "application/json", buf_slice(&payload));
        return;
    }
    rpc_put_end(&payload, err);
    (void)connect_put_frame(&frame, CONNECT_FLAG_END, buf_slice(&payload));
    request_reply(r, 200, "application/connect+json", buf_slice(&frame));
}
