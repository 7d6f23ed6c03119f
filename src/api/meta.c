/* What the server says about itself: health, capabilities, templates. */
#include "api/api_internal.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/version.h"
#include "image/template.h"

#include <limits.h>
#include <sys/stat.h>

void api_health(struct api_req *req, struct slice body)
{
    (void)body;
    api_reply_text(req, 200, "ok\n");
}

void api_capabilities(struct api_req *req, struct slice body)
{
    /* Each stands for an endpoint or option that is served; routes.c lists what is not. */
    static const char *const features[] = {"create",
                                           "connect",
                                           "list",
                                           "kill",
                                           "timeout",
                                           "refresh",
                                           "internet_access",
                                           "traffic_token",
                                           "mask_request_host",
                                           "events",
                                           "limit_totals"};
    (void)body;
    _cleanup_buf_ struct buf out = BUF_INIT(4096);
    struct json_writer w;
    jw_init(&w, &out);
    jw_obj(&w);
    jw_kstr(&w, "version", SILICA_VERSION);
    jw_kstr(&w, "envdVersion", SILICA_ENVD_VERSION);
    jw_kstr(&w, "driver", req->api->driver);
    if (req->api->driver_reason[0] != '\0')
        jw_kstr(&w, "driverReason", req->api->driver_reason);
    if (req->api->accelerator[0] != '\0')
        jw_kstr(&w, "accelerator", req->api->accelerator);
    jw_kstr(&w, "domain", req->api->domain);
    jw_ki64(&w, "maxTimeout", req->api->max_timeout_s);
    jw_kbool(&w, "strictFields", req->api->strict_fields);
    jw_key(&w, "features");
    jw_arr(&w);
    for (size_t i = 0; i < ARRAY_LEN(features); i++)
        jw_str(&w, features[i]);
    jw_end(&w);
    jw_end(&w);
    api_reply_json(req, 200, &out, NULL, 0);
}

/* Templates never change after they appeared, so the time of the file is that of the build. */
static void put_built(const struct api *api, const struct template_info *t, struct json_writer *w)
{
    char path[PATH_MAX], text[RFC3339_BYTES];
    struct stat st;
    int n = snprintf(path, sizeof(path), "%s/%s/template.json", api->templates_dir, t->id);
    if (n < 0 || (size_t)n >= sizeof(path) || stat(path, &st) < 0)
        return;
    rfc3339_format((int64_t)st.st_mtim.tv_sec * (int64_t)NS_PER_S + st.st_mtim.tv_nsec, text);
    jw_kstr(w, "createdAt", text);
    jw_kstr(w, "updatedAt", text);
}

static void put_aliases(const struct template_info *t, const char *key, struct json_writer *w)
{
    jw_key(w, key);
    jw_arr(w);
    if (t->alias[0] != '\0')
        jw_str(w, t->alias);
    jw_end(w);
}

struct template_lister {
    const struct api *api;
    struct json_writer w;
};

/* spawnCount is left out: nobody counts. */
static int put_template(const struct template_info *t, void *user)
{
    struct template_lister *l = user;
    struct json_writer *w = &l->w;
    jw_obj(w);
    jw_kstr(w, "templateID", t->id);
    jw_kstr(w, "buildID", t->build_id);
    jw_ku64(w, "cpuCount", t->cpu_count);
    jw_ku64(w, "memoryMB", t->memory_mb);
    jw_ku64(w, "diskSizeMB", t->disk_mb);
    jw_kbool(w, "public", false);
    put_aliases(t, "aliases", w);
    put_aliases(t, "names", w);
    put_built(l->api, t, w);
    jw_key(w, "createdBy");
    jw_null(w);
    jw_key(w, "lastSpawnedAt");
    jw_null(w);
    jw_kstr(w, "envdVersion", SILICA_ENVD_VERSION);
    jw_kstr(w, "buildStatus", "ready");
    jw_end(w);
    return w->out->error;
}

void api_templates_list(struct api_req *req, struct slice body)
{
    if (req->api->templates_dir == NULL) {
        api_not_implemented(req, body);
        return;
    }
    struct err err = {0};
    _cleanup_buf_ struct buf out = BUF_INIT(API_ANSWER_MAX_BYTES);
    struct template_lister lister = {.api = req->api};
    jw_init(&lister.w, &out);
    jw_arr(&lister.w);
    if (template_each(req->api->templates_dir, put_template, &lister, &err) < 0) {
        api_reply_err(req, &err);
        return;
    }
    jw_end(&lister.w);
    api_reply_json(req, 200, &out, NULL, 0);
}
