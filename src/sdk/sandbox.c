/*
 * Sandboxes: create, attach, life time, end. A handle is made only from a complete answer of the
 * control plane, and does not change afterwards; its texts are checked before they become part of
 * a URL or header, because the server is not trusted to be well-behaved.
 */
#include "base/num.h"
#include "sdk/sdk_internal.h"
#include "json/writer.h"

#include <stdio.h>

enum { LIFE_DEFAULT_MS = 300000, EXEC_DEFAULT_MS = 120000 };

static const char WORK_DIR_DEFAULT[] = "/home/user";

/* What open and attach have in common. */
struct handle_opts {
    const char *work_dir;
    silica_switch create_work_dir;
    int64_t exec_timeout_ms;
    silica_on_close on_close;
};

static bool parse_triple(const char *text, unsigned v[3])
{
    struct slice rest = slice_str(text), part;
    if (slice_has_prefix(rest, "v"))
        rest = slice_from(rest, 1);
    for (int i = 0; i < 3; i++) {
        if (!slice_next(&rest, '.', &part))
            return false;
        uint32_t n;
        if (parse_u32(part, 1000000, &n) != 0)
            return false;
        v[i] = n;
    }
    return true;
}

/* Versions that do not parse count as current. */
static bool version_below(const char *text, unsigned major, unsigned minor, unsigned patch)
{
    unsigned v[3];
    if (!parse_triple(text, v))
        return false;
    if (v[0] != major)
        return v[0] < major;
    return v[1] != minor ? v[1] < minor : v[2] < patch;
}

/* Hosted domains have one stable name and route by headers; all others one name a sandbox. */
static bool routes_by_header(const char *domain)
{
    static const char *const known[] = {"e2b.app", "e2b.dev", "e2b.pro", "e2b-staging.dev"};
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (strcmp(domain, known[i]) == 0)
            return true;
    }
    return false;
}

const char *sdk_scheme(const silica_client *client)
{
    return strncmp(client->api_url, "http://", 7) == 0 ? "http" : "https";
}

static silica_rc make_envd_url(silica_sandbox *s, silica_error *err)
{
    _cleanup_buf_ struct buf url = BUF_INIT(SDK_URL_MAX);
    if (s->client->sandbox_url != NULL)
        buf_put_str(&url, s->client->sandbox_url);
    else if (routes_by_header(s->domain))
        buf_printf(&url, "https://sandbox.%s", s->domain);
    else
        buf_printf(&url, "%s://%d-%s.%s", sdk_scheme(s->client), (int)SDK_ENVD_PORT, s->id,
                   s->domain);
    s->envd_url = buf_take(&url, NULL);
    return s->envd_url != NULL ? SILICA_OK : sdk_fail_nomem(err);
}

static silica_rc set_token(char **slot, const char *token, silica_error *err)
{
    if (token == NULL || token[0] == '\0')
        return SILICA_OK;
    if (!sdk_header_value_ok(token))
        return sdk_fail(err, SILICA_E_PROTOCOL, "the server gave a malformed token");
    *slot = strdup(token);
    return *slot != NULL ? SILICA_OK : sdk_fail_nomem(err);
}

/* The "Sandbox" object of create and connect. */
static silica_rc read_answer(silica_sandbox *s, struct slice text, silica_error *err)
{
    _cleanup_json_ json_t *root = NULL;
    struct err e = {0};
    const char *id = "", *template_id = "", *version = "", *domain = NULL;
    const char *access = NULL, *traffic = NULL;
    if (json_parse(text, &root, &e) != 0)
        return sdk_fail_base(err, &e, SILICA_E_PROTOCOL);
    struct json_ref obj = json_root(root);
    if (json_get_str(&obj, "sandboxID", JSON_REQUIRED, &id, &e) < 0 ||
        json_get_str(&obj, "templateID", JSON_OPTIONAL, &template_id, &e) < 0 ||
        json_get_str(&obj, "envdVersion", JSON_OPTIONAL, &version, &e) < 0 ||
        json_get_str(&obj, "domain", JSON_OPTIONAL, &domain, &e) < 0 ||
        json_get_str(&obj, "envdAccessToken", JSON_OPTIONAL, &access, &e) < 0 ||
        json_get_str(&obj, "trafficAccessToken", JSON_OPTIONAL, &traffic, &e) < 0)
        return sdk_fail_base(err, &e, SILICA_E_PROTOCOL);
    if (domain == NULL || domain[0] == '\0')
        domain = s->client->domain;
    if (!sdk_id_ok(id) || !sdk_domain_ok(domain))
        return sdk_fail(err, SILICA_E_PROTOCOL, "the server gave a malformed id or domain");
    s->id = strdup(id);
    s->template_id = strdup(template_id);
    s->envd_version = strdup(version);
    s->domain = strdup(domain);
    if (s->id == NULL || s->template_id == NULL || s->envd_version == NULL || s->domain == NULL)
        return sdk_fail_nomem(err);
    s->names_user = version_below(version, 0, 4, 0);
    s->octet_stream = !version_below(version, 0, 5, 7);
    silica_rc rc = set_token(&s->access_token, access, err);
    if (rc == SILICA_OK)
        rc = set_token(&s->traffic_token, traffic, err);
    return rc == SILICA_OK ? make_envd_url(s, err) : rc;
}

static silica_rc check_handle_opts(const struct handle_opts *o, silica_error *err)
{
    const char *dir = o->work_dir;
    if (dir != NULL && dir[0] != '\0' && (dir[0] != '/' || strlen(dir) >= SDK_PATH_MAX))
        return sdk_fail(err, SILICA_E_INVALID, "work_dir is not an absolute path");
    if (dir != NULL && !slice_is_utf8(slice_str(dir)))
        return sdk_fail(err, SILICA_E_INVALID, "work_dir is not UTF-8");
    if ((unsigned)o->create_work_dir > SILICA_OFF)
        return sdk_fail(err, SILICA_E_INVALID, "create_work_dir is not a switch");
    if (o->create_work_dir == SILICA_ON && dir != NULL && dir[0] == '\0')
        return sdk_fail(err, SILICA_E_INVALID, "create_work_dir needs a work_dir");
    if (o->on_close != SILICA_LEAVE && o->on_close != SILICA_KILL)
        return sdk_fail(err, SILICA_E_INVALID, "on_close is unknown");
    int64_t ignored;
    return sdk_duration(o->exec_timeout_ms, EXEC_DEFAULT_MS, true, "exec_timeout_ms", &ignored,
                        err);
}

static void sandbox_free(silica_sandbox *s)
{
    if (s->access_token != NULL)
        explicit_bzero(s->access_token, strlen(s->access_token));
    if (s->traffic_token != NULL)
        explicit_bzero(s->traffic_token, strlen(s->traffic_token));
    free(s->id);
    free(s->template_id);
    free(s->domain);
    free(s->envd_version);
    free(s->access_token);
    free(s->traffic_token);
    free(s->work_dir);
    free(s->envd_url);
    silica_client_free(s->client);
    free(s);
}

/* A handle from the answer; the options were checked before the request was made. */
static silica_rc make_handle(silica_client *client, struct slice answer,
                             const struct handle_opts *o, silica_sandbox **ret, silica_error *err)
{
    silica_sandbox *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return sdk_fail_nomem(err);
    s->client = sdk_client_ref(client);
    s->work_dir = strdup(o->work_dir != NULL ? o->work_dir : WORK_DIR_DEFAULT);
    s->on_close = o->on_close;
    silica_rc rc = s->work_dir == NULL ? sdk_fail_nomem(err) : read_answer(s, answer, err);
    if (rc == SILICA_OK)
        rc = sdk_duration(o->exec_timeout_ms, EXEC_DEFAULT_MS, true, "exec_timeout_ms",
                          &s->exec_timeout_ms, err);
    if (rc == SILICA_OK && o->create_work_dir == SILICA_ON)
        rc = silica_mkdir(s, s->work_dir, NULL, NULL, err);
    if (rc != SILICA_OK) {
        sandbox_free(s);
        return rc;
    }
    *ret = s;
    return SILICA_OK;
}

/* Whole seconds, rounded up. */
static silica_rc life_seconds(int64_t ms, int64_t *ret, silica_error *err)
{
    int64_t life;
    silica_rc rc = sdk_duration(ms, LIFE_DEFAULT_MS, false, "timeout_ms", &life, err);
    if (rc == SILICA_OK)
        *ret = (life + 999) / 1000;
    return rc;
}

static silica_rc write_create(struct buf *body, const silica_open_opts *o, silica_error *err)
{
    struct json_writer w;
    int64_t seconds;
    silica_rc rc = life_seconds(o->timeout_ms, &seconds, err);
    if (rc != SILICA_OK)
        return rc;
    if ((unsigned)o->internet > SILICA_OFF || (unsigned)o->public_traffic > SILICA_OFF)
        return sdk_fail(err, SILICA_E_INVALID, "internet or public_traffic is not a switch");
    jw_init(&w, body);
    jw_obj(&w);
    jw_kstr(&w, "templateID", o->template_id != NULL ? o->template_id : "base");
    jw_ki64(&w, "timeout", seconds);
    jw_kbool(&w, "secure", true); /* servers that have a choice give no token without it */
    if (o->internet != SILICA_DEFAULT)
        jw_kbool(&w, "allow_internet_access", o->internet == SILICA_ON);
    if (o->public_traffic != SILICA_DEFAULT) {
        jw_key(&w, "network");
        jw_obj(&w);
        jw_kbool(&w, "allowPublicTraffic", o->public_traffic == SILICA_ON);
        jw_end(&w);
    }
    if (o->n_env > 0) {
        jw_key(&w, "envVars");
        rc = sdk_put_kv(&w, o->env, o->n_env, "env", err);
    }
    if (rc == SILICA_OK && o->n_metadata > 0) {
        jw_key(&w, "metadata");
        rc = sdk_put_kv(&w, o->metadata, o->n_metadata, "metadata", err);
    }
    if (rc != SILICA_OK)
        return rc;
    jw_end(&w);
    return sdk_body_check(body, err);
}

/* What create made but we could not take over must not live on unseen. */
static void undo_create(silica_client *client, struct slice answer)
{
    _cleanup_json_ json_t *root = NULL;
    const char *id = NULL;
    if (json_parse(answer, &root, NULL) != 0)
        return;
    struct json_ref obj = json_root(root);
    if (json_get_str(&obj, "sandboxID", JSON_REQUIRED, &id, NULL) == 1)
        (void)silica_client_kill(client, id, NULL, NULL); /* the first error is what is told */
}

silica_rc silica_open(silica_client *client, const silica_open_opts *opts, silica_sandbox **ret,
                      silica_error *err)
{
    _cleanup_response_ struct sdk_response resp = {0};
    _cleanup_buf_ struct buf body = BUF_INIT(SDK_REQUEST_MAX);
    silica_open_opts o;
    silica_rc rc = sdk_opts_copy(&o, sizeof(o), opts, "silica_open_opts", err);
    if (rc != SILICA_OK)
        return rc;
    struct handle_opts h = {o.work_dir, o.create_work_dir, o.exec_timeout_ms, o.on_close};
    rc = check_handle_opts(&h, err);
    if (rc == SILICA_OK)
        rc = write_create(&body, &o, err);
    if (rc == SILICA_OK)
        rc = sdk_api(client, "POST", "/sandboxes", buf_slice(&body), &resp, err);
    if (rc != SILICA_OK)
        return rc;
    if (resp.status != 201)
        return sdk_fail_status(err, &resp, SDK_SCOPE_CREATE);
    rc = make_handle(client, buf_slice(&resp.body), &h, ret, err);
    if (rc != SILICA_OK)
        undo_create(client, buf_slice(&resp.body));
    return rc;
}

silica_rc silica_attach(silica_client *client, const char *sandbox_id,
                        const silica_attach_opts *opts, silica_sandbox **ret, silica_error *err)
{
    _cleanup_response_ struct sdk_response resp = {0};
    silica_attach_opts o;
    int64_t seconds;
    silica_rc rc = sdk_opts_copy(&o, sizeof(o), opts, "silica_attach_opts", err);
    if (rc != SILICA_OK)
        return rc;
    struct handle_opts h = {o.work_dir, o.create_work_dir, o.exec_timeout_ms, o.on_close};
    rc = check_handle_opts(&h, err);
    if (rc == SILICA_OK)
        rc = life_seconds(o.timeout_ms, &seconds, err);
    if (rc != SILICA_OK)
        return rc;
    char body[48];
    (void)snprintf(body, sizeof(body), "{\"timeout\":%lld}", (long long)seconds);
    rc = sdk_api_sandbox(client, "POST", sandbox_id, "/connect", slice_str(body), &resp, err);
    if (rc != SILICA_OK)
        return rc;
    if (resp.status == 429) /* resuming needs room: an account limit, as for create */
        return sdk_fail_status(err, &resp, SDK_SCOPE_CREATE);
    if (resp.status != 200 && resp.status != 201)
        return sdk_fail_status(err, &resp, SDK_SCOPE_SANDBOX);
    return make_handle(client, buf_slice(&resp.body), &h, ret, err);
}

const char *silica_id(const silica_sandbox *sbx)
{
    return sbx->id;
}

const char *silica_template_id(const silica_sandbox *sbx)
{
    return sbx->template_id;
}

const char *silica_envd_version(const silica_sandbox *sbx)
{
    return sbx->envd_version;
}

const char *silica_traffic_token(const silica_sandbox *sbx)
{
    return sbx->traffic_token;
}

silica_rc silica_set_timeout(silica_sandbox *sbx, int64_t timeout_ms, silica_error *err)
{
    _cleanup_response_ struct sdk_response resp = {0};
    int64_t seconds = 0;
    silica_rc rc = timeout_ms == 0 ? SILICA_OK : life_seconds(timeout_ms, &seconds, err);
    if (rc != SILICA_OK)
        return rc;
    char body[48];
    (void)snprintf(body, sizeof(body), "{\"timeout\":%lld}", (long long)seconds);
    rc = sdk_api_sandbox(sbx->client, "POST", sbx->id, "/timeout", slice_str(body), &resp, err);
    if (rc != SILICA_OK)
        return rc;
    return resp.status == 204 ? SILICA_OK : sdk_fail_status(err, &resp, SDK_SCOPE_SANDBOX);
}

silica_rc silica_client_kill(silica_client *client, const char *sandbox_id, int *ret_existed,
                             silica_error *err)
{
    _cleanup_response_ struct sdk_response resp = {0};
    silica_rc rc = sdk_api_sandbox(client, "DELETE", sandbox_id, "", (struct slice){0}, &resp, err);
    if (rc != SILICA_OK)
        return rc;
    if (resp.status != 204 && resp.status != 404)
        return sdk_fail_status(err, &resp, SDK_SCOPE_SANDBOX);
    if (ret_existed != NULL)
        *ret_existed = resp.status == 204;
    return SILICA_OK;
}

silica_rc silica_kill(silica_sandbox *sbx, silica_error *err)
{
    return silica_client_kill(sbx->client, sbx->id, NULL, err);
}

void silica_close(silica_sandbox *sbx)
{
    if (sbx == NULL)
        return;
    if (sbx->on_close == SILICA_KILL)
        (void)silica_kill(sbx, NULL); /* as documented: who needs to know calls silica_kill */
    sandbox_free(sbx);
}

silica_rc silica_is_running(silica_sandbox *sbx, int *ret, silica_error *err)
{
    _cleanup_response_ struct sdk_response resp = {0};
    _cleanup_slist_ struct curl_slist *headers = sdk_data_headers(sbx, NULL);
    _cleanup_buf_ struct buf url = BUF_INIT(SDK_URL_MAX);
    if (headers == NULL || buf_printf(&url, "%s/health", sbx->envd_url) != 0)
        return sdk_fail_nomem(err);
    struct sdk_request req = {.method = "GET", .url = buf_str(&url), .headers = headers};
    silica_rc rc = sdk_request_run(sbx->client, &req, &resp, err);
    if (rc != SILICA_OK)
        return rc;
    if (resp.status >= 200 && resp.status < 300) {
        *ret = 1;
        return SILICA_OK;
    }
    rc = sdk_fail_status(err, &resp, SDK_SCOPE_DATA);
    if (rc != SILICA_E_GONE)
        return rc;
    *ret = 0;
    if (err != NULL)
        *err = (silica_error){0};
    return SILICA_OK;
}
