/*
 * Services inside a sandbox: the host name and URL of a port, and a small HTTP client for it.
 */
#include "base/clock.h"
#include "sdk/sdk_internal.h"

#include <stdio.h>
#include <time.h>

enum { HTTP_GET_MAX_BYTES = 16777216, WAIT_STEP_MS = 50 };

silica_rc silica_host(const silica_sandbox *sbx, uint16_t port, char *buf, size_t cap,
                      silica_error *err)
{
    if (port == 0)
        return sdk_fail(err, SILICA_E_INVALID, "the port is 0");
    int n = snprintf(buf, cap, "%u-%s.%s", (unsigned)port, sbx->id, sbx->domain);
    if (n < 0 || (size_t)n >= cap)
        return sdk_fail(err, SILICA_E_INVALID, "the buffer is too small for the host name");
    return SILICA_OK;
}

silica_rc silica_url(const silica_sandbox *sbx, uint16_t port, const char *scheme, char *buf,
                     size_t cap, silica_error *err)
{
    char host[512];
    silica_rc rc = silica_host(sbx, port, host, sizeof(host), err);
    if (rc != SILICA_OK)
        return rc;
    if (scheme == NULL)
        scheme = sdk_scheme(sbx->client);
    int n = snprintf(buf, cap, "%s://%s", scheme, host);
    if (n < 0 || (size_t)n >= cap)
        return sdk_fail(err, SILICA_E_INVALID, "the buffer is too small for the URL");
    return SILICA_OK;
}

static silica_rc get(silica_sandbox *sbx, uint16_t port, const char *path, int64_t timeout_ms,
                     struct sdk_response *resp, silica_error *err)
{
    char base[600];
    _cleanup_buf_ struct buf url = BUF_INIT(SDK_URL_MAX);
    _cleanup_slist_ struct curl_slist *headers = NULL;
    silica_rc rc = silica_url(sbx, port, NULL, base, sizeof(base), err);
    if (rc != SILICA_OK)
        return rc;
    if (path == NULL || path[0] != '/')
        return sdk_fail(err, SILICA_E_INVALID, "the path does not begin with a slash");
    if (buf_printf(&url, "%s%s", base, path) != 0)
        return sdk_fail(err, SILICA_E_INVALID, "the URL is too long");
    bool ok = sdk_header(&headers, "Accept", "application/json, */*");
    if (ok && sbx->traffic_token != NULL)
        ok = sdk_header(&headers, "e2b-traffic-access-token", sbx->traffic_token);
    if (!ok)
        return sdk_fail_nomem(err);
    struct sdk_request req = {
        .method = "GET",
        .url = buf_str(&url),
        .headers = headers,
        .no_retry = true,
        .max_body = HTTP_GET_MAX_BYTES,
        .timeout_ms = timeout_ms,
    };
    return sdk_request_run(sbx->client, &req, resp, err);
}

silica_rc silica_http_get(silica_sandbox *sbx, uint16_t port, const char *path, int *ret_status,
                          silica_buf *ret_body, silica_error *err)
{
    _cleanup_response_ struct sdk_response resp = {0};
    silica_rc rc = get(sbx, port, path, 0, &resp, err);
    if (rc == SILICA_OK)
        rc = sdk_buf_take(&resp.body, ret_body, err);
    if (rc == SILICA_OK)
        *ret_status = resp.status;
    return rc;
}

/* The edge's own answer for a closed port, as opposed to a 502 that a service gave. */
static bool is_closed_port(const struct sdk_response *r)
{
    _cleanup_json_ json_t *root = NULL;
    return r->status == 502 && json_parse(buf_slice(&r->body), &root, NULL) == 0 &&
           json_object_get(root, "sandboxId") != NULL && json_object_get(root, "port") != NULL;
}

silica_rc silica_wait_port(silica_sandbox *sbx, uint16_t port, int64_t wait_ms, silica_error *err)
{
    int64_t limit;
    silica_rc rc = sdk_duration(wait_ms, 30000, false, "wait_ms", &limit, err);
    if (rc != SILICA_OK)
        return rc;
    for (uint64_t begin = clock_monotonic_ns();;) {
        _cleanup_response_ struct sdk_response resp = {0};
        int64_t left = limit - (int64_t)((clock_monotonic_ns() - begin) / NS_PER_MS);
        if (left <= 0)
            return sdk_fail(err, SILICA_E_TIMEOUT, "nothing answers on port %u", (unsigned)port);
        rc = get(sbx, port, "/", left, &resp, err);
        if (rc == SILICA_E_TIMEOUT)
            return rc;
        if (rc == SILICA_OK && resp.status == 502 && !is_closed_port(&resp))
            return sdk_fail_status(err, &resp, SDK_SCOPE_DATA);
        if (rc == SILICA_OK && resp.status != 502)
            return SILICA_OK;
        if (rc != SILICA_OK && rc != SILICA_E_NETWORK && rc != SILICA_E_PROTOCOL)
            return rc;
        struct timespec step = {.tv_nsec = WAIT_STEP_MS * 1000000L};
        (void)nanosleep(&step, NULL); /* a signal only makes the next look earlier */
    }
}
