/*
 * Calls to the control plane: one function, and the texts that go into its paths and bodies.
 */
#include "sdk/sdk_internal.h"
#include "json/writer.h"

silica_rc sdk_api(silica_client *client, const char *method, const char *path, struct slice body,
                  struct sdk_response *ret, silica_error *err)
{
    _cleanup_slist_ struct curl_slist *headers = NULL;
    _cleanup_buf_ struct buf url = BUF_INIT(SDK_URL_MAX);
    buf_printf(&url, "%s%s", client->api_url, path);
    if (url.error == -ENOBUFS)
        return sdk_fail(err, SILICA_E_INVALID, "the request's address is too long");
    bool ok = url.error == 0 && sdk_header(&headers, "X-API-KEY", client->api_key) &&
              sdk_header(&headers, "Accept", "application/json") &&
              sdk_header(&headers, "Expect", "");
    if (ok && body.p != NULL)
        ok = sdk_header(&headers, "Content-Type", "application/json");
    if (!ok)
        return sdk_fail_nomem(err);
    struct sdk_request req = {
        .method = method,
        .url = buf_str(&url),
        .headers = headers,
        .body = body,
        .has_body = body.p != NULL,
        .quota = strcmp(method, "POST") == 0 &&
                 (strcmp(path, "/sandboxes") == 0 || slice_has_suffix(slice_str(path), "/connect")),
    };
    return sdk_request_run(client, &req, ret, err);
}

silica_rc sdk_api_sandbox(silica_client *client, const char *method, const char *id,
                          const char *tail, struct slice body, struct sdk_response *ret,
                          silica_error *err)
{
    if (id == NULL || !sdk_id_ok(id))
        return sdk_fail(err, SILICA_E_INVALID, "the sandbox id is malformed");
    _cleanup_buf_ struct buf path = BUF_INIT(512);
    if (buf_printf(&path, "/sandboxes/%s%s", id, tail) != 0)
        return sdk_fail_nomem(err);
    return sdk_api(client, method, buf_str(&path), body, ret, err);
}

silica_rc sdk_put_kv(struct json_writer *w, const silica_kv *kv, size_t n, const char *what,
                     silica_error *err)
{
    jw_obj(w);
    for (size_t i = 0; i < n; i++) {
        const char *key = kv[i].key, *value = kv[i].value;
        if (key == NULL || key[0] == '\0' || value == NULL)
            return sdk_fail(err, SILICA_E_INVALID, "%s[%zu] has no key or no value", what, i);
        if (!slice_is_utf8(slice_str(key)) || !slice_is_utf8(slice_str(value)))
            return sdk_fail(err, SILICA_E_INVALID, "%s[%zu] is not UTF-8", what, i);
        for (size_t k = 0; k < i; k++) {
            if (strcmp(kv[k].key, key) == 0)
                return sdk_fail(err, SILICA_E_INVALID, "%s names '%s' twice", what, key);
        }
        jw_kstr(w, key, value);
    }
    jw_end(w);
    return SILICA_OK;
}

silica_rc sdk_body_check(const struct buf *body, silica_error *err)
{
    if (body->error == -ENOBUFS)
        return sdk_fail(err, SILICA_E_INVALID, "the request is larger than %d bytes",
                        SDK_REQUEST_MAX);
    return body->error == 0 ? SILICA_OK : sdk_fail_nomem(err);
}
