/* What a server says about itself. */
#include "sdk/sdk_internal.h"

silica_rc silica_get_driver(silica_client *client, char ret[SILICA_DRIVER_BYTES], silica_error *err)
{
    _cleanup_response_ struct sdk_response resp = {0};
    _cleanup_json_ json_t *root = NULL;
    const char *driver = "";
    struct err e = {0};
    silica_rc rc = sdk_api(client, "GET", "/capabilities", (struct slice){0}, &resp, err);
    if (rc != SILICA_OK)
        return rc;
    if (resp.status == 404 || resp.status == 501)
        return sdk_fail(err, SILICA_E_UNSUPPORTED,
                        "the server does not tell how it isolates sandboxes");
    if (resp.status != 200)
        return sdk_fail_status(err, &resp, SDK_SCOPE_API);
    if (json_parse(buf_slice(&resp.body), &root, &e) != 0)
        return sdk_fail_base(err, &e, SILICA_E_PROTOCOL);
    struct json_ref obj = json_root(root);
    if (json_get_str(&obj, "driver", JSON_REQUIRED, &driver, &e) < 0 ||
        slice_copy(slice_str(driver), ret, SILICA_DRIVER_BYTES) != 0)
        return sdk_fail(err, SILICA_E_PROTOCOL, "the server names no driver");
    return SILICA_OK;
}
