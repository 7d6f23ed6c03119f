/*
 * Errors of libsilica: names, and the tables that turn statuses, Connect codes, curl's codes and
 * the tree's own errors into silica_rc. A message never holds a key or token: requests are named
 * by what they do, not by their headers.
 */
#include "sdk/sdk_internal.h"

#include <stdio.h>

static const char *const rc_names[] = {
    "ok",          "invalid",     "auth",      "not_found", "gone",      "conflict", "rate_limit",
    "quota",       "timeout",     "network",   "tls",       "protocol",  "no_space", "cancelled",
    "unsupported", "unavailable", "too_large", "io",        "no_memory", "internal",
};
_Static_assert(ARRAY_LEN(rc_names) == -SILICA_E_INTERNAL + 1, "one name for each silica_rc");

const char *silica_rc_name(silica_rc rc)
{
    int i = -(int)rc;
    return i >= 0 && (size_t)i < ARRAY_LEN(rc_names) ? rc_names[i] : "unknown";
}

static bool rc_retryable(silica_rc rc)
{
    return rc == SILICA_E_RATE_LIMIT || rc == SILICA_E_UNAVAILABLE || rc == SILICA_E_TIMEOUT ||
           rc == SILICA_E_NETWORK;
}

silica_rc sdk_fail(silica_error *err, silica_rc rc, const char *fmt, ...)
{
    if (err == NULL)
        return rc;
    *err = (silica_error){.rc = rc, .retryable = rc_retryable(rc)};
    /* The tree's formatter cuts on a character border and keeps newlines out. */
    struct err e = {0};
    va_list ap;
    va_start(ap, fmt);
    err_vset(&e, -EIO, ERR_INTERNAL, fmt, ap);
    va_end(ap);
    _Static_assert(sizeof(e.msg) <= sizeof(err->message), "messages fit");
    memcpy(err->message, e.msg, sizeof(e.msg));
    return rc;
}

static silica_rc rc_of_kind(enum err_kind kind)
{
    switch (kind) {
    case ERR_INVALID:
        return SILICA_E_INVALID;
    case ERR_NOT_FOUND:
        return SILICA_E_NOT_FOUND;
    case ERR_CONFLICT:
        return SILICA_E_CONFLICT;
    case ERR_LIMIT:
        return SILICA_E_QUOTA;
    case ERR_DENIED:
        return SILICA_E_AUTH;
    case ERR_UNAVAILABLE:
        return SILICA_E_UNAVAILABLE;
    case ERR_TIMEOUT:
        return SILICA_E_TIMEOUT;
    case ERR_INTERNAL:
    case ERR_KIND_MAX_:
        break;
    }
    return SILICA_E_INTERNAL;
}

silica_rc sdk_fail_base(silica_error *err, const struct err *from, silica_rc rc)
{
    if (rc == SILICA_OK)
        rc = from->num == -ENOMEM ? SILICA_E_NO_MEMORY : rc_of_kind(from->kind);
    return sdk_fail(err, rc, "%s", from->msg);
}

silica_rc sdk_fail_nomem(silica_error *err)
{
    return sdk_fail(err, SILICA_E_NO_MEMORY, "out of memory");
}

silica_rc sdk_fail_curl(silica_error *err, CURLcode code, const char *detail)
{
    static const struct {
        CURLcode code;
        silica_rc rc;
    } table[] = {
        {CURLE_OPERATION_TIMEDOUT, SILICA_E_TIMEOUT},
        {CURLE_OUT_OF_MEMORY, SILICA_E_NO_MEMORY},
        {CURLE_URL_MALFORMAT, SILICA_E_INVALID},
        {CURLE_UNSUPPORTED_PROTOCOL, SILICA_E_INVALID},
        {CURLE_WEIRD_SERVER_REPLY, SILICA_E_PROTOCOL},
        {CURLE_HTTP2, SILICA_E_PROTOCOL},
        {CURLE_SSL_CONNECT_ERROR, SILICA_E_TLS},
        {CURLE_PEER_FAILED_VERIFICATION, SILICA_E_TLS},
        {CURLE_SSL_CERTPROBLEM, SILICA_E_TLS},
        {CURLE_SSL_CIPHER, SILICA_E_TLS},
        {CURLE_SSL_CACERT_BADFILE, SILICA_E_TLS},
        {CURLE_SSL_ISSUER_ERROR, SILICA_E_TLS},
        {CURLE_USE_SSL_FAILED, SILICA_E_TLS},
    };
    silica_rc rc = SILICA_E_NETWORK;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (table[i].code == code)
            rc = table[i].rc;
    }
    const char *text = curl_easy_strerror(code);
    if (detail != NULL && detail[0] != '\0')
        text = detail;
    return sdk_fail(err, rc, "%s", text);
}

silica_rc sdk_connect_rc(const char *code)
{
    static const struct {
        const char *code;
        silica_rc rc;
    } table[] = {
        {"canceled", SILICA_E_CANCELLED},
        {"unknown", SILICA_E_INTERNAL},
        {"invalid_argument", SILICA_E_INVALID},
        {"deadline_exceeded", SILICA_E_TIMEOUT},
        {"not_found", SILICA_E_NOT_FOUND},
        {"already_exists", SILICA_E_CONFLICT},
        {"permission_denied", SILICA_E_AUTH},
        {"resource_exhausted", SILICA_E_RATE_LIMIT},
        {"failed_precondition", SILICA_E_CONFLICT},
        {"aborted", SILICA_E_CONFLICT},
        {"out_of_range", SILICA_E_INVALID},
        {"unimplemented", SILICA_E_UNSUPPORTED},
        {"internal", SILICA_E_INTERNAL},
        {"unavailable", SILICA_E_GONE},
        {"data_loss", SILICA_E_INTERNAL},
        {"unauthenticated", SILICA_E_AUTH},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (strcmp(table[i].code, code) == 0)
            return table[i].rc;
    }
    return SILICA_E_INTERNAL;
}

static void put_code(silica_error *err, const char *code)
{
    if (err != NULL && code != NULL)
        (void)snprintf(err->code, sizeof(err->code), "%s", code); /* a cut code is still a hint */
}

silica_rc sdk_fail_connect(silica_error *err, const struct json_ref *error)
{
    const char *code = "unknown", *message = "";
    (void)json_get_str(error, "code", JSON_OPTIONAL, &code, NULL);
    (void)json_get_str(error, "message", JSON_OPTIONAL, &message, NULL);
    silica_rc rc = sdk_fail(err, sdk_connect_rc(code), "%s", message[0] != '\0' ? message : code);
    put_code(err, code);
    return rc;
}

static silica_rc rc_of_status(int status, enum sdk_scope scope, bool names_port)
{
    switch (status) {
    case 400:
    case 413:
    case 414:
    case 431:
        return SILICA_E_INVALID;
    case 401:
    case 403:
        return SILICA_E_AUTH;
    case 404:
        return scope == SDK_SCOPE_SANDBOX ? SILICA_E_GONE : SILICA_E_NOT_FOUND;
    case 405:
    case 415:
    case 501:
        return SILICA_E_UNSUPPORTED;
    case 408:
    case 504:
        return SILICA_E_TIMEOUT;
    case 409:
        return SILICA_E_CONFLICT;
    case 429:
        return SILICA_E_RATE_LIMIT;
    case 499:
        return SILICA_E_CANCELLED;
    case 502: /* the edge's word for "no such sandbox"; with a port it is alive but not answering */
        return scope == SDK_SCOPE_DATA && !names_port ? SILICA_E_GONE : SILICA_E_NETWORK;
    case 503:
        return SILICA_E_UNAVAILABLE;
    case 507:
        return SILICA_E_NO_SPACE;
    default:
        return status >= 500 ? SILICA_E_INTERNAL : SILICA_E_PROTOCOL;
    }
}

silica_rc sdk_fail_status(silica_error *err, const struct sdk_response *r, enum sdk_scope scope)
{
    _cleanup_json_ json_t *root = NULL;
    const char *message = NULL, *code = NULL;
    silica_rc rc = SILICA_OK;
    bool names_port = false;
    if (json_parse(buf_slice(&r->body), &root, NULL) == 0 && json_is_object(root)) {
        struct json_ref obj = json_root(root);
        (void)json_get_str(&obj, "message", JSON_OPTIONAL, &message, NULL);
        /* Connect errors carry a word, the control plane and the edge the status as a number. */
        if (json_get_str(&obj, "code", JSON_OPTIONAL, &code, NULL) == 1)
            rc = sdk_connect_rc(code);
        else
            (void)json_get_str(&obj, "error_code", JSON_OPTIONAL, &code, NULL);
        names_port = json_object_get(root, "port") != NULL;
    }
    if (rc == SILICA_OK)
        rc = rc_of_status(r->status, scope, names_port);
    if (r->status == 429 && scope == SDK_SCOPE_CREATE && r->retry_after_ms < 0)
        rc = SILICA_E_QUOTA; /* a rate limiter says when to come back, an account limit cannot */
    if (message != NULL && message[0] != '\0')
        (void)sdk_fail(err, rc, "%s", message);
    else
        (void)sdk_fail(err, rc, "the server answered with HTTP status %d", r->status);
    if (err != NULL) {
        err->http_status = r->status;
        err->retry_after_ms = r->retry_after_ms > 0 ? r->retry_after_ms : 0;
        put_code(err, code);
    }
    return rc;
}
