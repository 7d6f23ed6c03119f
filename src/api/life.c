/* One sandbox: look at it, kill it, move its end. */
#include "api/api_internal.h"
#include "base/cleanup.h"

enum {
    CONNECT_TIMEOUT_S = 300,
    REFRESH_MIN_S = 15,
    REFRESH_MAX_S = 3600,
    /* /timeout beyond the longest life is clamped by the manager; this only bounds the number. */
    TIMEOUT_MAX_S = INT32_MAX,
};

void api_get(struct api_req *req, struct slice body)
{
    (void)body;
    struct sandbox_info info;
    struct err err = {0};
    if (sandbox_get(req->api->manager, req->team, req->id, &info, &err) < 0) {
        api_reply_sandbox_err(req, &err);
        return;
    }
    _cleanup_buf_ struct buf out = BUF_INIT(API_ANSWER_MAX_BYTES);
    struct json_writer w;
    jw_init(&w, &out);
    api_render_detail(req->api, &info, &w);
    api_reply_json(req, 200, &out, NULL, 0);
}

static void on_killed(void *user, const struct err *err)
{
    struct api_req *req = user;
    if (err == NULL)
        api_reply_empty(req);
    else
        api_reply_sandbox_err(req, err);
    api_req_unref(req);
}

void api_kill(struct api_req *req, struct slice body)
{
    (void)body;
    sandbox_kill(req->api->manager, req->team, req->id, on_killed, api_req_ref(req));
}

static void on_moved(void *user, const struct sandbox_info *info, const struct err *err)
{
    struct api_req *req = user;
    if (info != NULL)
        api_reply_empty(req);
    else
        api_reply_sandbox_err(req, err);
    api_req_unref(req);
}

/* Reads the one number of these bodies. 0 or negative with err. */
static int read_seconds(struct api_req *req, struct slice body, const char *key,
                        enum json_need need, int64_t max, int64_t *ret, struct err *err)
{
    _cleanup_json_ json_t *doc = NULL;
    struct api_fields fields = {&req->ignored, req->api->strict_fields};
    int r = api_body_parse(body, need == JSON_OPTIONAL, &doc, err);
    if (r < 0)
        return r;
    struct json_ref root = json_root(doc);
    r = api_fields_check(&fields, &root, &key, 1, err);
    return r < 0 ? r : api_timeout_get(&root, key, need, 0, max, ret, err);
}

void api_timeout(struct api_req *req, struct slice body)
{
    struct err err = {0};
    int64_t timeout_s = 0;
    if (read_seconds(req, body, "timeout", JSON_REQUIRED, TIMEOUT_MAX_S, &timeout_s, &err) < 0)
        api_reply_err(req, &err);
    else
        sandbox_set_timeout(req->api->manager, req->team, req->id, timeout_s, false, on_moved,
                            api_req_ref(req));
}

void api_refresh(struct api_req *req, struct slice body)
{
    struct err err = {0};
    int64_t duration_s = 0;
    if (read_seconds(req, body, "duration", JSON_OPTIONAL, REFRESH_MAX_S, &duration_s, &err) < 0) {
        api_reply_err(req, &err);
        return;
    }
    if (duration_s < REFRESH_MIN_S)
        duration_s = REFRESH_MIN_S;
    sandbox_set_timeout(req->api->manager, req->team, req->id, duration_s, true, on_moved,
                        api_req_ref(req));
}

static void on_connected(void *user, const struct sandbox_info *info, const struct err *err)
{
    struct api_req *req = user;
    if (info != NULL)
        api_reply_sandbox(req, 200, info);
    else
        api_reply_sandbox_err(req, err);
    api_req_unref(req);
}

static int read_connect(struct api_req *req, struct slice body, bool v2, int64_t *ret_timeout_s,
                        struct err *err)
{
    static const char *const known[] = {"timeout", "memory"};
    _cleanup_json_ json_t *doc = NULL;
    struct api_fields fields = {&req->ignored, req->api->strict_fields};
    bool memory = true; /* how to resume; nothing to do for a running sandbox */
    int r = api_body_parse(body, v2, &doc, err);
    if (r < 0)
        return r;
    struct json_ref root = json_root(doc);
    r = api_fields_check(&fields, &root, known, ARRAY_LEN(known), err);
    if (r >= 0)
        r = api_timeout_get(&root, "timeout", v2 ? JSON_OPTIONAL : JSON_REQUIRED, v2 ? 1 : 0,
                            req->api->max_timeout_s, ret_timeout_s, err);
    if (r >= 0)
        r = json_get_bool(&root, "memory", JSON_OPTIONAL, &memory, err);
    return r < 0 ? r : api_sandbox_id(req->params.value[0], req->id, err);
}

static void connect_sandbox(struct api_req *req, struct slice body, bool v2)
{
    struct err err = {0};
    int64_t max = req->api->max_timeout_s;
    int64_t timeout_s = CONNECT_TIMEOUT_S < max ? CONNECT_TIMEOUT_S : max;
    if (read_connect(req, body, v2, &timeout_s, &err) < 0)
        api_reply_err(req, &err);
    else
        sandbox_set_timeout(req->api->manager, req->team, req->id, timeout_s, true, on_connected,
                            api_req_ref(req));
}

void api_connect_v1(struct api_req *req, struct slice body)
{
    connect_sandbox(req, body, false);
}

void api_connect_v2(struct api_req *req, struct slice body)
{
    connect_sandbox(req, body, true);
}
