/*
 * What the server knows of sandboxes: one, or all of them page by page. An info's strings live in
 * its priv block, which holds the parsed answer and the array of metadata.
 */
#include "base/clock.h"
#include "http/url.h"
#include "sdk/sdk_internal.h"

#include <stdio.h>

enum { LIST_PAGES_MAX = 10000 }; /* a server that pages for ever must not hold us for ever */

struct info_block {
    json_t *doc;
    silica_kv *metadata;
};

void silica_sandbox_info_free(silica_sandbox_info *info)
{
    if (info == NULL)
        return;
    struct info_block *b = info->priv;
    if (b != NULL) {
        json_decref(b->doc);
        free(b->metadata);
        free(b);
    }
    *info = (silica_sandbox_info){0};
}

static int get_time(const struct json_ref *obj, const char *key, int64_t *ret_ms, struct err *e)
{
    const char *text = NULL;
    int64_t ns;
    int r = json_get_str(obj, key, JSON_OPTIONAL, &text, e);
    if (r <= 0)
        return r;
    if (rfc3339_parse(slice_str(text), &ns) != 0)
        return err_set(e, -EBADMSG, ERR_INVALID, "%s is not a time", key);
    *ret_ms = ns / (int64_t)NS_PER_MS;
    return 1;
}

static int get_count(const struct json_ref *obj, const char *key, uint32_t *ret, struct err *e)
{
    int64_t v = 0;
    int r = json_get_i64(obj, key, JSON_OPTIONAL, 0, UINT32_MAX, &v, e);
    if (r == 1)
        *ret = (uint32_t)v;
    return r;
}

struct kv_fill {
    silica_kv *kv;
    size_t n;
};

static int take_kv(const char *key, const char *value, void *user, struct err *e)
{
    struct kv_fill *f = user;
    (void)e;
    f->kv[f->n++] = (silica_kv){key, value};
    return 0;
}

static int get_metadata(const struct json_ref *obj, silica_sandbox_info *info, struct err *e)
{
    struct info_block *b = info->priv;
    struct json_ref map;
    int r = json_get_obj(obj, "metadata", JSON_OPTIONAL, &map, e);
    if (r <= 0)
        return r;
    struct kv_fill f = {.kv = calloc(json_object_size(map.v) + 1, sizeof(silica_kv))};
    if (f.kv == NULL)
        return err_set(e, -ENOMEM, ERR_INTERNAL, "out of memory");
    b->metadata = f.kv;
    r = json_each_str(&map, take_kv, &f, e);
    info->metadata = f.kv;
    info->n_metadata = f.n;
    return r;
}

/* Our servers' own member. */
static int get_totals(const struct json_ref *obj, silica_sandbox_info *i, struct err *e)
{
    struct json_ref own;
    int r = json_get_obj(obj, "silica", JSON_OPTIONAL, &own, e);
    if (r <= 0)
        return r;
    if (get_count(&own, "outOfMemory", &i->out_of_memory, e) < 0 ||
        get_count(&own, "processLimit", &i->process_limit, e) < 0 ||
        get_count(&own, "diskFull", &i->disk_full, e) < 0 ||
        get_count(&own, "inodesFull", &i->inodes_full, e) < 0)
        return -EBADMSG;
    return 0;
}

static int fill(silica_sandbox_info *i, const struct json_ref *obj, struct err *e)
{
    const char *state = "";
    i->sandbox_id = i->template_id = i->alias = i->envd_version = "";
    if (json_get_str(obj, "sandboxID", JSON_REQUIRED, &i->sandbox_id, e) < 0 ||
        json_get_str(obj, "templateID", JSON_OPTIONAL, &i->template_id, e) < 0 ||
        json_get_str(obj, "alias", JSON_OPTIONAL, &i->alias, e) < 0 ||
        json_get_str(obj, "envdVersion", JSON_OPTIONAL, &i->envd_version, e) < 0 ||
        json_get_str(obj, "state", JSON_OPTIONAL, &state, e) < 0 ||
        get_time(obj, "startedAt", &i->started_at_ms, e) < 0 ||
        get_time(obj, "endAt", &i->end_at_ms, e) < 0 ||
        get_count(obj, "cpuCount", &i->cpu_count, e) < 0 ||
        get_count(obj, "memoryMB", &i->memory_mb, e) < 0 ||
        get_count(obj, "diskSizeMB", &i->disk_mb, e) < 0 || get_totals(obj, i, e) < 0)
        return -EBADMSG;
    if (strcmp(state, "running") == 0)
        i->state = SILICA_STATE_RUNNING;
    else if (strcmp(state, "paused") == 0)
        i->state = SILICA_STATE_PAUSED;
    return get_metadata(obj, i, e);
}

/* `v` is referenced, not taken. */
static silica_rc make_info(json_t *v, silica_sandbox_info *ret, silica_error *err)
{
    silica_sandbox_info info = {0};
    struct err e = {0};
    struct info_block *b = calloc(1, sizeof(*b));
    if (b == NULL)
        return sdk_fail_nomem(err);
    b->doc = json_incref(v);
    info.priv = b;
    struct json_ref obj = json_root(v);
    if (fill(&info, &obj, &e) < 0) {
        silica_sandbox_info_free(&info);
        return sdk_fail_base(err, &e, e.num == -ENOMEM ? SILICA_E_NO_MEMORY : SILICA_E_PROTOCOL);
    }
    *ret = info;
    return SILICA_OK;
}

silica_rc silica_client_info(silica_client *client, const char *sandbox_id,
                             silica_sandbox_info *ret, silica_error *err)
{
    _cleanup_response_ struct sdk_response resp = {0};
    _cleanup_json_ json_t *root = NULL;
    struct err e = {0};
    silica_rc rc = sdk_api_sandbox(client, "GET", sandbox_id, "", (struct slice){0}, &resp, err);
    if (rc != SILICA_OK)
        return rc;
    if (resp.status != 200)
        return sdk_fail_status(err, &resp, SDK_SCOPE_SANDBOX);
    if (json_parse(buf_slice(&resp.body), &root, &e) != 0)
        return sdk_fail_base(err, &e, SILICA_E_PROTOCOL);
    return make_info(root, ret, err);
}

silica_rc silica_info(silica_sandbox *sbx, silica_sandbox_info *ret, silica_error *err)
{
    return silica_client_info(sbx->client, sbx->id, ret, err);
}

/*
 * Three layers, as the protocol has it: each key and value escaped, joined as a form (which escapes
 * again), and that text escaped once more as one query value.
 */
static void put_metadata_filter(struct buf *path, const silica_list_opts *o)
{
    _cleanup_buf_ struct buf form = BUF_INIT(SDK_URL_MAX);
    for (size_t i = 0; i < o->n_metadata; i++) {
        const char *both[] = {o->metadata[i].key, o->metadata[i].value};
        for (int k = 0; k < 2; k++) {
            _cleanup_buf_ struct buf once = BUF_INIT(SDK_URL_MAX);
            url_encode(&once, slice_str(both[k]));
            if (k == 1)
                buf_put_char(&form, '=');
            else if (i > 0)
                buf_put_char(&form, '&');
            url_encode(&form, buf_slice(&once));
            if (once.error != 0)
                path->error = once.error;
        }
    }
    buf_put_str(path, "&metadata=");
    url_encode(path, buf_slice(&form));
    if (form.error != 0)
        path->error = form.error;
}

static silica_rc list_path(struct buf *path, const silica_list_opts *o, const char *token,
                           silica_error *err)
{
    static const char *const states[] = {
        [SILICA_STATE_UNKNOWN] = "running,paused",
        [SILICA_STATE_RUNNING] = "running",
        [SILICA_STATE_PAUSED] = "paused",
    };
    if ((unsigned)o->state > SILICA_STATE_PAUSED)
        return sdk_fail(err, SILICA_E_INVALID, "state is unknown");
    for (size_t i = 0; i < o->n_metadata; i++) {
        if (o->metadata[i].key == NULL || o->metadata[i].value == NULL)
            return sdk_fail(err, SILICA_E_INVALID, "metadata[%zu] has no key or no value", i);
    }
    buf_printf(path, "/v2/sandboxes?state=%s", states[o->state]);
    if (o->n_metadata > 0)
        put_metadata_filter(path, o);
    if (token[0] != '\0') {
        buf_put_str(path, "&nextToken=");
        url_encode(path, slice_str(token));
    }
    if (path->error == -ENOBUFS)
        return sdk_fail(err, SILICA_E_INVALID, "the metadata filter is too long");
    return path->error == 0 ? SILICA_OK : sdk_fail_nomem(err);
}

typedef int (*each_fn)(void *user, const silica_sandbox_info *info);

static silica_rc visit_page(struct slice text, each_fn each, void *user, bool *ret_stop,
                            silica_error *err)
{
    _cleanup_json_ json_t *root = NULL;
    struct err e = {0};
    if (json_parse(text, &root, &e) != 0)
        return sdk_fail_base(err, &e, SILICA_E_PROTOCOL);
    if (!json_is_array(root))
        return sdk_fail(err, SILICA_E_PROTOCOL, "the list of sandboxes is not an array");
    for (size_t i = 0; i < json_array_size(root) && !*ret_stop; i++) {
        silica_sandbox_info info;
        silica_rc rc = make_info(json_array_get(root, i), &info, err);
        if (rc != SILICA_OK)
            return rc;
        *ret_stop = each(user, &info) != 0;
        silica_sandbox_info_free(&info);
    }
    return SILICA_OK;
}

silica_rc silica_list_sandboxes(silica_client *client, const silica_list_opts *opts, each_fn each,
                                void *user, silica_error *err)
{
    silica_list_opts o;
    silica_rc rc = sdk_opts_copy(&o, sizeof(o), opts, "silica_list_opts", err);
    char token[1024] = "";
    bool stop = false;
    for (int page = 0; rc == SILICA_OK && !stop && page < LIST_PAGES_MAX; page++) {
        _cleanup_response_ struct sdk_response resp = {0};
        _cleanup_buf_ struct buf path = BUF_INIT(SDK_URL_MAX / 2);
        rc = list_path(&path, &o, token, err);
        if (rc == SILICA_OK)
            rc = sdk_api(client, "GET", buf_str(&path), (struct slice){0}, &resp, err);
        if (rc == SILICA_OK && resp.status != 200)
            rc = sdk_fail_status(err, &resp, SDK_SCOPE_API);
        if (rc == SILICA_OK)
            rc = visit_page(buf_slice(&resp.body), each, user, &stop, err);
        if (resp.next_token[0] == '\0')
            break;
        memcpy(token, resp.next_token, sizeof(token));
    }
    return rc;
}
