/*
 * /init is called by the control plane after every start and resume, before anybody else can talk
 * to the sandbox. Inside a sandbox the control secret is needed and enough. Outside (standalone)
 * the rule is the protocol's: the installed access token, or none installed yet.
 *
 * In a machine that was cloned, /init is also where the daemon learns who it is now: before the secret
 * is compared, and before anything of the body counts (envd/machine.h).
 */
#include "envd/init.h"

#include "base/codec.h"
#include "base/log.h"
#include "base/version.h"
#include "envd/auth.h"
#include "envd/machine.h"
#include "envd/request.h"

#include <errno.h>

enum { INIT_MAX_BYTES = 4 << 20, FAILURES_LOGGED_PER_S = 2 };

static void reply(struct request *r, unsigned status, struct slice text)
{
    struct http_header h[] = {
        {SLICE_LIT("Cache-Control"), SLICE_LIT("no-store")},
        {SLICE_LIT("X-Envd-Version"), SLICE_LIT(SILICA_ENVD_VERSION)},
        {SLICE_LIT("Content-Type"), SLICE_LIT("text/plain; charset=utf-8")},
    };
    request_reply_with(r, status, h, status == 204 ? 2 : 3, text);
}

/* NULL when allowed, else the reason. */
static const char *refuse(const struct request *r, const struct json_ref *root)
{
    const char *installed = r->envd->settings.token, *given = NULL;
    if (!auth_control_ok(r))
        return "control secret missing or wrong";
    if (!r->envd->config.standalone || installed[0] == '\0')
        return NULL;
    if (json_get_str(root, "accessToken", JSON_OPTIONAL, &given, NULL) <= 0)
        return "access token reset not authorized";
    return slice_equal_ct(slice_str(given), slice_str(installed))
               ? NULL
               : "access token validation failed";
}

/* The control plane tries again after a 503. */
static void not_ready(struct request *r, const struct err *err)
{
    static struct log_rate rate;
    if (log_allow(&rate, FAILURES_LOGGED_PER_S))
        log_error("/init: %s", err->msg);
    reply(r, 503, SLICE_LIT("the machine cannot become its sandbox"));
}

static void on_read(struct http_exchange *x, int result, struct slice body, void *user)
{
    struct request *r = user;
    _cleanup_json_ json_t *doc = NULL;
    struct err err;
    (void)x;
    int n = result < 0 ? result : json_parse(body.n != 0 ? body : SLICE_LIT("{}"), &doc, &err);
    if (n < 0 || !json_is_object(doc)) {
        reply(r, result == -EMSGSIZE ? 413 : result == -ENOBUFS ? 503 : 400, slice_of(NULL, 0));
        return;
    }
    struct json_ref root = json_root(doc);
    const char *why = refuse(r, &root);
    if (why != NULL)
        reply(r, 401, slice_str(why));
    else if (machine_become(r->envd, &root, &err) < 0)
        not_ready(r, &err);
    else if (settings_apply(&r->envd->settings, &root, &err) < 0)
        reply(r, 400, slice_str(err.msg));
    else
        reply(r, 204, slice_of(NULL, 0));
}

void init_post(struct request *r)
{
    struct err err;
    if (machine_look(r->envd, &err) < 0)
        not_ready(r, &err);
    else if (!auth_control_ok(r)) /* before a byte of the body */
        reply(r, 401, SLICE_LIT("control secret missing or wrong"));
    else
        http_x_read_all(r->x, INIT_MAX_BYTES, on_read, r);
}

void envs_get(struct request *r)
{
    static const struct http_header h[] = {
        {{"Cache-Control", 13}, {"no-store", 8}},
        {{"Content-Type", 12}, {"application/json", 16}},
    };
    _cleanup_json_ json_t *vars = settings_globals(&r->envd->settings);
    char *text = vars != NULL ? json_dumps(vars, JSON_COMPACT) : NULL;
    if (text == NULL)
        request_fail(r, 500, "out of memory");
    else
        request_reply_with(r, 200, h, ARRAY_LEN(h), slice_str(text));
    free(text);
}
