/*
 * The error table of the API.
 *
 * A row with a code is more specific than the row of its kind and comes before it; the first row
 * that matches decides. Every kind has a row without a code, which a test checks, so that every
 * failure has a status. `code` in the body repeats the status because the JavaScript SDK decides
 * by the body alone. Internal failures keep their message out of the answer: it may name paths of
 * the host, and goes to the log.
 */
#include "api/error.h"

#include "base/cleanup.h"
#include "http/head.h"
#include "json/writer.h"

static const struct row {
    enum err_kind kind;
    const char *code; /* "" for any */
    unsigned status;
    const char *when;
} table[] = {
    {ERR_INVALID, API_CODE_NO_ROUTE, 404, "No endpoint has this path"},
    {ERR_INVALID, API_CODE_METHOD, 405, "The path exists, not with this method; see `Allow`"},
    {ERR_INVALID, API_CODE_TOO_LARGE, 413, "The request body is larger than 16 MiB"},
    {ERR_INVALID, API_CODE_NOT_SUPPORTED, 400,
     "A documented option that this server does not support; the message names it"},
    {ERR_INVALID, API_CODE_UNKNOWN_FIELD, 400, "An unknown field, with `strict_fields = on`"},
    {ERR_INVALID, "", 400,
     "Malformed JSON, a wrong type, a value out of range, a bad id; the message names the field"},
    {ERR_DENIED, API_CODE_UNAUTHORIZED, 401, "`X-API-Key` is missing, unknown or revoked"},
    {ERR_DENIED, API_CODE_HOST_NOT_ALLOWED, 403,
     "The `Host` is neither an address, nor localhost, nor a configured name (DNS rebinding)"},
    {ERR_DENIED, "", 403, "The key is valid but may not do this"},
    {ERR_NOT_FOUND, "", 404,
     "No such sandbox or template, or it belongs to another team. For a sandbox that ended in the "
     "last "
     "days the message tells when and why"},
    {ERR_CONFLICT, "", 409, "The sandbox's present state forbids it"},
    {ERR_LIMIT, "", 429, "A named limit was reached, e.g. concurrent sandboxes of a team"},
    {ERR_UNAVAILABLE, API_CODE_NOT_IMPLEMENTED, 501,
     "An endpoint of the protocol that this server does not serve; the message names the feature"},
    {ERR_UNAVAILABLE, "", 503, "Nothing happened; the same request may be sent again"},
    {ERR_TIMEOUT, API_CODE_BODY_TIMEOUT, 408, "The request body did not arrive in time"},
    {ERR_TIMEOUT, "", 504, "A deadline passed inside the server"},
    {ERR_INTERNAL, API_CODE_CREATE_FAILED, 500, "The sandbox could not be started"},
    {ERR_INTERNAL, "", 500, "A defect or a refusal of the system; details are in the server's log"},
};

static const struct row *row_of(const struct err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        bool code_fits =
            table[i].code[0] == '\0' || slice_eq(slice_str(table[i].code), slice_str(err->code));
        if (table[i].kind == err->kind && code_fits)
            return &table[i];
    }
    return &table[ARRAY_LEN(table) - 1];
}

unsigned api_error_status(const struct err *err)
{
    return row_of(err)->status;
}

int api_error_render(const struct err *err, struct buf *out)
{
    const struct row *row = row_of(err);
    const char *msg = err->msg;
    if (row->status == 500)
        msg = row->code[0] != '\0' ? row->when : "Internal server error";
    struct json_writer w;
    jw_init(&w, out);
    jw_obj(&w);
    jw_ku64(&w, "code", row->status);
    jw_kstr(&w, "message", msg);
    if (err->code[0] != '\0')
        jw_kstr(&w, "error_code", err->code);
    jw_end(&w);
    return out->error;
}

int api_error_doc(struct buf *out)
{
    buf_put_str(out,
                "# Errors of the API\n\n"
                "<!-- Written by `errors-doc --write docs/errors.md` from the table in "
                "src/api/error.c. -->\n\n"
                "Every answer of the API that is not a success is `application/json`:\n\n"
                "```json\n"
                "{\"code\": 400, \"message\": \"timeout must be greater than 0\"}\n"
                "```\n\n"
                "`code` repeats the HTTP status. `error_code` is there when the failure has a "
                "stable code of its own.\n"
                "Sandbox traffic has errors of its own: see [compat.md](compat.md#the-edge).\n\n"
                "| status | kind | `error_code` | when |\n| --- | --- | --- | --- |\n");
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        const struct row *row = &table[i];
        const char *quote = row->code[0] != '\0' ? "`" : "";
        (void)buf_printf(out, "| %u %s | %s | %s%s%s | %s |\n", row->status,
                         http_status_text(row->status), err_kind_name(row->kind), quote, row->code,
                         quote, row->when);
    }
    return out->error;
}
