/*
 * Calls into a sandbox: the headers that route and authorise them, unary Connect calls in JSON,
 * and the paths that a handle's work_dir completes.
 */
#include "base/codec.h"
#include "sdk/sdk_internal.h"

#include <stdio.h>

enum { USER_MAX = 255 };

static bool add_user(struct curl_slist **list, const char *user)
{
    _cleanup_buf_ struct buf plain = BUF_INIT(USER_MAX + 2), value = BUF_INIT(1024);
    buf_printf(&plain, "%s:", user);
    buf_put_str(&value, "Basic ");
    return base64_put(&value, buf_slice(&plain)) == 0 && plain.error == 0 &&
           sdk_header(list, "Authorization", buf_str(&value));
}

struct curl_slist *sdk_data_headers(const silica_sandbox *sbx, const char *user)
{
    _cleanup_slist_ struct curl_slist *list = NULL;
    char port[16];
    (void)snprintf(port, sizeof(port), "%d", (int)SDK_ENVD_PORT);
    if (user == NULL && sbx->names_user)
        user = "user";
    bool ok = sdk_header(&list, "E2b-Sandbox-Id", sbx->id) &&
              sdk_header(&list, "E2b-Sandbox-Port", port) && sdk_header(&list, "Expect", "");
    if (ok && sbx->access_token != NULL)
        ok = sdk_header(&list, "X-Access-Token", sbx->access_token);
    if (ok && user != NULL)
        ok = add_user(&list, user);
    return ok ? take_ptr(&list) : NULL;
}

silica_rc sdk_rpc(silica_sandbox *sbx, const char *method, const char *user, struct slice body,
                  json_t **ret_root, silica_error *err)
{
    _cleanup_response_ struct sdk_response resp = {0};
    _cleanup_buf_ struct buf url = BUF_INIT(SDK_URL_MAX);
    _cleanup_slist_ struct curl_slist *headers = sdk_data_headers(sbx, user);
    buf_printf(&url, "%s/%s", sbx->envd_url, method);
    if (headers == NULL || url.error != 0 ||
        !sdk_header(&headers, "Content-Type", "application/json") ||
        !sdk_header(&headers, "Connect-Protocol-Version", "1"))
        return sdk_fail_nomem(err);
    struct sdk_request req = {
        .method = "POST",
        .url = buf_str(&url),
        .headers = headers,
        .body = body,
        .has_body = true,
    };
    silica_rc rc = sdk_request_run(sbx->client, &req, &resp, err);
    if (rc != SILICA_OK)
        return rc;
    if (resp.status != 200)
        return sdk_fail_status(err, &resp, SDK_SCOPE_DATA);
    if (ret_root == NULL)
        return SILICA_OK;
    struct err e = {0};
    json_t *root = NULL;
    if (json_parse_answer(buf_slice(&resp.body), &root, &e) != 0)
        return sdk_fail_base(err, &e, SILICA_E_PROTOCOL);
    *ret_root = root;
    return SILICA_OK;
}

silica_rc sdk_resolve(const silica_sandbox *sbx, const char *path, struct buf *out,
                      silica_error *err)
{
    if (path == NULL || path[0] == '\0')
        return sdk_fail(err, SILICA_E_INVALID, "the path is empty");
    if (!slice_is_utf8(slice_str(path)))
        return sdk_fail(err, SILICA_E_INVALID, "the path is not UTF-8");
    bool relative = path[0] != '/' && path[0] != '~';
    if (relative && sbx->work_dir[0] != '\0') {
        buf_put_str(out, sbx->work_dir);
        if (!slice_has_suffix(slice_str(sbx->work_dir), "/"))
            buf_put_char(out, '/');
    }
    buf_put_str(out, path);
    if (out->error == -ENOBUFS)
        return sdk_fail(err, SILICA_E_INVALID, "the path is too long");
    return out->error == 0 ? SILICA_OK : sdk_fail_nomem(err);
}
