/*
 * What a failure looks like to an API client: one table from (kind, stable code) to HTTP status.
 *
 * docs/errors.md is written from the same table by `errors-doc`, so the two cannot disagree.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

/* The HTTP status of a failure. Codes that the table does not know take the row of their kind. */
unsigned api_error_status(const struct err *err);

/* Append {"code":<status>,"message":"…"[,"error_code":"…"]}. Returns 0 or out's error. */
int api_error_render(const struct err *err, struct buf *out);

/* Append docs/errors.md. Returns 0 or out's error. */
int api_error_doc(struct buf *out);

/*
 * Stable codes that change the status or that clients may rely on. Set with err_code(); failures
 * without one are told by status and message alone.
 */
#define API_CODE_UNAUTHORIZED     "unauthorized"
#define API_CODE_HOST_NOT_ALLOWED "host_not_allowed"
#define API_CODE_NO_ROUTE         "route_not_found"
#define API_CODE_METHOD           "method_not_allowed"
#define API_CODE_TOO_LARGE        "body_too_large"
#define API_CODE_BODY_TIMEOUT     "body_timeout"
#define API_CODE_NOT_SUPPORTED    "option_not_supported"
#define API_CODE_UNKNOWN_FIELD    "unknown_field"
#define API_CODE_NOT_IMPLEMENTED  "not_implemented"
#define API_CODE_CREATE_FAILED    "sandbox_create_failed"
