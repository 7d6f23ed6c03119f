/* What happened to sandboxes: the pages of the server's list, one event after the other. */
#include "base/clock.h"
#include "http/url.h"
#include "sdk/sdk_internal.h"

enum {
    EVENTS_DEFAULT = 100,
    EVENTS_PAGE = 100, /* protocol: the most of one answer */
    EVENTS_LISTED_MAX = 100000,
};

typedef int (*each_fn)(void *user, const silica_sandbox_event *event);

struct listing {
    each_fn each;
    void *user;
    uint32_t left;
    uint32_t on_page; /* events of the last page */
    bool stop;
};

static int fill(silica_sandbox_event *ev, const struct json_ref *obj, struct err *e)
{
    const char *time = "";
    int64_t ns = 0;
    *ev = (silica_sandbox_event){.id = "", .template_id = "", .data = ""};
    if (json_get_str(obj, "id", JSON_OPTIONAL, &ev->id, e) < 0 ||
        json_get_str(obj, "type", JSON_REQUIRED, &ev->type, e) < 0 ||
        json_get_str(obj, "sandboxId", JSON_REQUIRED, &ev->sandbox_id, e) < 0 ||
        json_get_str(obj, "sandboxTemplateId", JSON_OPTIONAL, &ev->template_id, e) < 0 ||
        json_get_str(obj, "timestamp", JSON_REQUIRED, &time, e) < 0)
        return -EBADMSG;
    if (rfc3339_parse(slice_str(time), &ns) != 0)
        return err_set(e, -EBADMSG, ERR_INVALID, "timestamp is not a time");
    ev->time_ms = ns / (int64_t)NS_PER_MS;
    return 0;
}

static silica_rc visit(struct listing *l, json_t *v, silica_error *err)
{
    silica_sandbox_event ev;
    struct err e = {0};
    struct json_ref obj = json_root(v);
    if (fill(&ev, &obj, &e) < 0)
        return sdk_fail_base(err, &e, SILICA_E_PROTOCOL);
    json_t *data = json_object_get(v, "eventData");
    char *text = json_is_object(data) ? json_dumps(data, JSON_COMPACT) : NULL;
    if (json_is_object(data) && text == NULL)
        return sdk_fail_nomem(err);
    if (text != NULL)
        ev.data = text;
    l->stop = l->each(l->user, &ev) != 0;
    l->left--;
    free(text);
    return SILICA_OK;
}

static silica_rc visit_page(struct listing *l, struct slice text, silica_error *err)
{
    _cleanup_json_ json_t *root = NULL;
    struct err e = {0};
    if (json_parse(text, &root, &e) != 0)
        return sdk_fail_base(err, &e, SILICA_E_PROTOCOL);
    if (!json_is_array(root))
        return sdk_fail(err, SILICA_E_PROTOCOL, "the list of events is not an array");
    silica_rc rc = SILICA_OK;
    l->on_page = (uint32_t)json_array_size(root);
    for (uint32_t i = 0; rc == SILICA_OK && i < l->on_page && !l->stop && l->left > 0; i++)
        rc = visit(l, json_array_get(root, i), err);
    return rc;
}

static silica_rc get_page(silica_client *client, const silica_event_opts *o, uint32_t offset,
                          struct listing *l, silica_error *err)
{
    _cleanup_response_ struct sdk_response resp = {0};
    _cleanup_buf_ struct buf path = BUF_INIT(1024);
    buf_put_str(&path, "/events/sandboxes");
    if (o->sandbox_id != NULL)
        (void)buf_printf(&path, "/%s", o->sandbox_id);
    (void)buf_printf(&path, "?limit=%d&offset=%u&orderAsc=%s", EVENTS_PAGE, offset,
                     o->oldest_first ? "true" : "false");
    if (path.error != 0)
        return sdk_fail_nomem(err);
    silica_rc rc = sdk_api(client, "GET", buf_str(&path), (struct slice){0}, &resp, err);
    if (rc != SILICA_OK)
        return rc;
    if (resp.status != 200)
        return sdk_fail_status(err, &resp,
                               o->sandbox_id != NULL ? SDK_SCOPE_SANDBOX : SDK_SCOPE_API);
    return visit_page(l, buf_slice(&resp.body), err);
}

/* What happens meanwhile moves the pages of the newest: an event may then be shown twice. */
silica_rc silica_list_events(silica_client *client, const silica_event_opts *opts, each_fn each,
                             void *user, silica_error *err)
{
    silica_event_opts o;
    silica_rc rc = sdk_opts_copy(&o, sizeof(o), opts, "silica_event_opts", err);
    if (rc != SILICA_OK)
        return rc;
    if (o.sandbox_id != NULL && !sdk_id_ok(o.sandbox_id))
        return sdk_fail(err, SILICA_E_INVALID, "sandbox_id is no sandbox id");
    struct listing l = {.each = each, .user = user, .left = o.max != 0 ? o.max : EVENTS_DEFAULT};
    uint32_t offset = 0;
    do {
        rc = get_page(client, &o, offset, &l, err);
        offset += l.on_page;
    } while (rc == SILICA_OK && !l.stop && l.left > 0 && l.on_page >= EVENTS_PAGE &&
             offset < EVENTS_LISTED_MAX);
    return rc;
}
