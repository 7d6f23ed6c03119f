/* POST /sandboxes and POST /v2/sandboxes: one handler, two default timeouts. */
#include "api/create_parse.h"

enum { CREATE_V1_TIMEOUT_S = 15, CREATE_V2_TIMEOUT_S = 300 };

static void on_created(void *user, const struct sandbox_info *info, const struct err *err)
{
    struct api_req *req = user;
    if (info != NULL) {
        api_reply_sandbox(req, 201, info);
    } else {
        struct err own = *err;
        if (own.kind == ERR_INTERNAL && own.code[0] == '\0')
            err_code(&own, API_CODE_CREATE_FAILED);
        api_reply_err(req, &own);
    }
    api_req_unref(req);
}

static void create(struct api_req *req, struct slice body, int64_t default_timeout_s)
{
    struct err err = {0};
    _cleanup_create_request_ struct create_request create = {0};
    int64_t max = req->api->max_timeout_s;
    struct create_limits limits = {default_timeout_s < max ? default_timeout_s : max, max};
    struct api_fields fields = {&req->ignored, req->api->strict_fields};
    if (create_request_parse(body, &limits, &fields, &create, &err) < 0) {
        api_reply_err(req, &err);
        return;
    }
    create.spec.team = req->team;
    sandbox_create(req->api->manager, &create.spec, on_created, api_req_ref(req));
}

void api_create_v1(struct api_req *req, struct slice body)
{
    create(req, body, CREATE_V1_TIMEOUT_S);
}

void api_create_v2(struct api_req *req, struct slice body)
{
    create(req, body, CREATE_V2_TIMEOUT_S);
}
