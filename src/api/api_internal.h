/* What the files of src/api share: the API object, one request, and the small parts between. */
#pragma once

#include "api/api.h"
#include "api/error.h"
#include "base/buf.h"
#include "http/router.h"
#include "http/url.h"
#include "store/keys.h"
#include "json/json.h"
#include "json/writer.h"

enum {
    API_BODY_MAX_BYTES = 16 * 1024 * 1024,
    API_ANSWER_MAX_BYTES = 32 * 1024 * 1024, /* 100 listed sandboxes, all metadata escaped */
    API_IGNORED_MAX_BYTES = 1024,            /* the Silica-Ignored-Fields header */
    API_HOST_NAMES_MAX = 64,
    API_QUERY_VALUE_MAX_BYTES = 8192, /* one decoded query value */
    API_ID_MAX_BYTES = 64,
};

struct api {
    struct store *store;
    struct sandbox_manager *manager;
    char *domain, *driver, *driver_reason, *accelerator,
        *templates_dir; /* owned; templates_dir may be NULL */
    char **hosts;       /* owned */
    size_t n_hosts;
    int64_t max_timeout_s;
    bool strict_fields;
    struct route *routes; /* owned; entry i belongs to api_routes[i] */
};

/*
 * One request. Alive while its exchange is open or a manager call for it is under way: `x` becomes
 * NULL when the client goes away, and the answer of the manager then has nowhere to go.
 */
struct api_req {
    struct api *api;
    struct http_exchange *x; /* NULL once closed */
    unsigned refs;           /* the exchange, and each manager call under way */
    const struct route *route;
    struct route_params params;
    char team[UUID_BYTES];
    struct slice query;        /* still encoded; valid while x is */
    struct buf ignored;        /* unknown request fields, comma separated */
    char id[API_ID_MAX_BYTES]; /* sandbox id of the path, checked; "" when it has none */
};

/* A handler with its body read (empty when the client sent none). Must answer, now or later. */
typedef void (*api_handler)(struct api_req *req, struct slice body);

enum api_route_flags {
    API_NO_KEY = 1,     /* answered without an API key */
    API_SANDBOX_ID = 2, /* the first parameter is a sandbox id */
};

struct api_route_info {
    const char *method, *pattern;
    api_handler handler;
    unsigned flags;
    const char *feature; /* for api_not_implemented() */
};
extern const struct api_route_info api_routes[];
extern const size_t api_n_routes;
/* What the request's entry of api_routes[] says. */
const struct api_route_info *api_req_info(const struct api_req *req);

/* Keep the request alive over a manager call; the callback answers and gives the reference back. */
struct api_req *api_req_ref(struct api_req *req);
void api_req_unref(struct api_req *req);

/* Answers. All are no-ops when the client is gone. */
void api_reply_json(struct api_req *req, unsigned status, const struct buf *body,
                    const struct http_header *extra, size_t n_extra);
void api_reply_text(struct api_req *req, unsigned status, const char *text);
void api_reply_empty(struct api_req *req); /* 204 */
void api_reply_err(struct api_req *req, const struct err *err);
/* The same; "no such sandbox" gets the wording that clients know, and why it is no more if we know. */
void api_reply_sandbox_err(struct api_req *req, const struct err *err);

/* hosts.c: true for addresses, localhost, *.localhost and the configured names (port ignored). */
bool api_host_allowed(const struct api *api, struct slice host);

/*
 * fields.c: note the members of an object that are not in `known`. Returns 0, or -EINVAL naming the
 * first one when `strict`. `ignored` gets "path.name, …", printable ASCII only, cut at its maximum.
 */
struct api_fields {
    struct buf *ignored;
    bool strict;
};
int api_fields_check(const struct api_fields *f, const struct json_ref *obj,
                     const char *const *known, size_t n_known, struct err *err);
/* A body that must be one JSON object; an empty body is {} if `optional`. */
int api_body_parse(struct slice body, bool optional, json_t **ret, struct err *err);
/* A timeout member: whole seconds from min to max. 0 absent, 1 set, negative: refused. */
int api_timeout_get(const struct json_ref *obj, const char *key, enum json_need need, int64_t min,
                    int64_t max, int64_t *ret, struct err *err);

/* A sandbox id as clients send it; "<id>-<client id>" is accepted and cut. */
int api_sandbox_id(const char *given, char dst[static API_ID_MAX_BYTES], struct err *err);

/* render.c */
void api_render_sandbox(const struct api *api, const struct sandbox_info *info,
                        struct json_writer *w);
void api_render_detail(const struct api *api, const struct sandbox_info *info,
                       struct json_writer *w);
void api_render_listed(const struct sandbox_info *info, struct json_writer *w);
/* Answer with one `Sandbox` object. */
void api_reply_sandbox(struct api_req *req, unsigned status, const struct sandbox_info *info);

/* The handlers, one file a resource. */
void api_health(struct api_req *req, struct slice body);
void api_capabilities(struct api_req *req, struct slice body);
void api_templates_list(struct api_req *req, struct slice body);
void api_not_implemented(struct api_req *req, struct slice body);
void api_create_v1(struct api_req *req, struct slice body);
void api_create_v2(struct api_req *req, struct slice body);
void api_connect_v1(struct api_req *req, struct slice body);
void api_connect_v2(struct api_req *req, struct slice body);
void api_timeout(struct api_req *req, struct slice body);
void api_refresh(struct api_req *req, struct slice body);
void api_get(struct api_req *req, struct slice body);
void api_kill(struct api_req *req, struct slice body);
void api_list_v1(struct api_req *req, struct slice body);
void api_list_v2(struct api_req *req, struct slice body);
void api_events(struct api_req *req, struct slice body);
void api_events_of(struct api_req *req, struct slice body);
