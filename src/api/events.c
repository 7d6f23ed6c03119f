/*
 * GET /events/sandboxes and GET /events/sandboxes/{id}: what happened, from the store. The pages are
 * by offset, as the protocol has it. Types that this server never writes match nothing.
 */
#include "store/events.h"
#include "api/api_internal.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/num.h"

#include <string.h>

enum { EVENTS_LIMIT_DEFAULT = 10, TYPE_NAME_MAX_BYTES = 256, NO_TYPE = 1 /* bit of type 0 */ };

static int bad(struct err *err, const char *what)
{
    return err_set(err, -EINVAL, ERR_INVALID, "%s", what);
}

/* 1 present and not empty, 0 absent or empty, negative refused. */
static int get(struct slice query, const char *name, struct buf *out, struct err *err)
{
    int r = url_query_get(query, name, out);
    if (r < 0)
        return err_set(err, -EINVAL, ERR_INVALID,
                       "%s is given twice or is not a well-formed query value", name);
    return r > 0 && out->n > 0;
}

static int read_page(struct slice query, struct event_query *q, struct err *err)
{
    _cleanup_buf_ struct buf tmp = BUF_INIT(API_QUERY_VALUE_MAX_BYTES);
    int r = get(query, "offset", &tmp, err);
    if (r > 0 && parse_u32(buf_slice(&tmp), UINT32_MAX, &q->offset) < 0)
        return bad(err, "offset must be a whole number, at least 0");
    if (r >= 0)
        r = get(query, "limit", &tmp, err);
    if (r > 0 && (parse_u32(buf_slice(&tmp), EVENT_PAGE_MAX, &q->limit) < 0 || q->limit == 0))
        return bad(err, "limit must be between 1 and 100");
    if (r >= 0)
        r = get(query, "orderAsc", &tmp, err);
    if (r <= 0)
        return r;
    q->ascending = slice_eq_str(buf_slice(&tmp), "true");
    if (!q->ascending && !slice_eq_str(buf_slice(&tmp), "false"))
        return bad(err, "orderAsc must be true or false");
    return 0;
}

/* The one parameter that may be repeated. */
static int read_types(struct slice query, struct event_query *q, struct err *err)
{
    struct slice part;
    while (slice_next(&query, '&', &part)) {
        size_t eq = slice_find(part, '=');
        if (!slice_eq_str(slice_sub(part, 0, eq), "types"))
            continue;
        _cleanup_buf_ struct buf name = BUF_INIT(TYPE_NAME_MAX_BYTES);
        if (url_decode(&name, slice_from(part, eq + 1), URL_PLUS_IS_SPACE | URL_NO_NUL) < 0)
            return bad(err, "types must be names of events, each in a parameter of its own");
        if (name.n > 0)
            q->types |= NO_TYPE | 1u << (unsigned)event_type_parse(buf_str(&name));
    }
    return 0;
}

/* A number for each start, in the shape that clients of the protocol expect. */
static void put_execution(struct json_writer *w, uint64_t lifecycle)
{
    char text[EVENT_ID_BYTES];
    (void)snprintf(text, sizeof(text), "00000000-0000-4000-8000-%012llx",
                   (unsigned long long)(lifecycle & 0xffffffffffffu));
    jw_kstr(w, "sandboxExecutionId", text);
}

/* "sandbox.lifecycle.created": the last two parts are also told by themselves, as of old. */
static void put_type(struct json_writer *w, enum event_type type)
{
    const char *name = event_type_name(type);
    const char *label = strrchr(name, '.') + 1, *from = strchr(name, '.') + 1;
    jw_kstr(w, "type", name);
    jw_key(w, "eventCategory");
    jw_strn(w, slice_of(from, (size_t)(label - 1 - from)));
    jw_kstr(w, "eventLabel", label);
}

static int put_event(const struct event *e, void *user)
{
    struct json_writer *w = user;
    char time[RFC3339_BYTES];
    rfc3339_format(e->time_ns, time);
    jw_obj(w);
    jw_kstr(w, "id", e->id);
    jw_kstr(w, "version", "v1");
    put_type(w, e->type);
    jw_kstr(w, "timestamp", time);
    jw_kstr(w, "sandboxId", e->sandbox);
    put_execution(w, e->lifecycle);
    jw_kstr(w, "sandboxTemplateId", e->template_id);
    jw_kstr(w, "sandboxBuildId", e->build_id);
    jw_kstr(w, "sandboxTeamId", e->team);
    jw_key(w, "eventData");
    jw_raw(w, slice_str(e->data));
    jw_end(w);
    return w->out->error;
}

static void answer(struct api_req *req, const struct event_query *q)
{
    _cleanup_buf_ struct buf out = BUF_INIT(API_ANSWER_MAX_BYTES);
    struct json_writer w;
    struct err err = {0};
    jw_init(&w, &out);
    jw_arr(&w);
    if (store_event_each(req->api->store, q, put_event, &w, &err) < 0 && out.error == 0) {
        api_reply_err(req, &err);
        return;
    }
    jw_end(&w);
    api_reply_json(req, 200, &out, NULL, 0);
}

static int query_of(const struct api_req *req, struct event_query *ret, struct err *err)
{
    *ret = (struct event_query){.team = req->team, .limit = EVENTS_LIMIT_DEFAULT};
    int r = read_page(req->query, ret, err);
    return r < 0 ? r : read_types(req->query, ret, err);
}

void api_events(struct api_req *req, struct slice body)
{
    struct event_query q;
    struct err err = {0};
    (void)body;
    if (query_of(req, &q, &err) < 0)
        api_reply_err(req, &err);
    else
        answer(req, &q);
}

static int note_any(const struct event *e, void *user)
{
    (void)e;
    *(bool *)user = true;
    return 0;
}

/* 0 for a sandbox of the team that lives, or of which something is kept. */
static int check_known(const struct api_req *req, struct err *err)
{
    struct sandbox_info info;
    struct event_query one = {.team = req->team, .sandbox = req->id, .limit = 1};
    bool any = false;
    if (sandbox_get(req->api->manager, req->team, req->id, &info, err) == 0)
        return 0;
    int r = store_event_each(req->api->store, &one, note_any, &any, err);
    if (r < 0 || any)
        return r;
    return err_set(err, -ENOENT, ERR_NOT_FOUND, "no such sandbox");
}

void api_events_of(struct api_req *req, struct slice body)
{
    struct event_query q;
    struct err err = {0};
    (void)body;
    int r = query_of(req, &q, &err);
    if (r == 0)
        r = check_known(req, &err);
    if (r < 0) {
        api_reply_sandbox_err(req, &err);
        return;
    }
    q.sandbox = req->id;
    answer(req, &q);
}
