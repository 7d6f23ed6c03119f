/*
 * What the files of libsilica share: handles, error helpers, and one HTTP request.
 *
 * A client is immutable after silica_client_new() but for its pool of engines (each a curl multi
 * handle with its connections), which a mutex guards: that is what makes it thread-safe. Sandboxes
 * and processes hold a counted reference to it. A request checks an engine out and gives it back;
 * a followed process keeps its engine for as long as it lives.
 */
#pragma once

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/slice.h"
#include "json/json.h"

#include <curl/curl.h>
#include <pthread.h>
#include <silica/silica.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    SDK_DOMAIN_MAX = 200,       /* bytes of a domain with its port */
    SDK_ID_MAX = 80,            /* bytes of a sandbox id */
    SDK_TOKEN_MAX = 1024,       /* bytes of a key or token */
    SDK_URL_MAX = 32768,        /* bytes of a URL, escaped path included */
    SDK_PATH_MAX = 4096,        /* bytes of a path in the sandbox */
    SDK_ERROR_BODY_MAX = 65536, /* bytes of an error answer that are looked at */
    SDK_JSON_MAX = 16777216,    /* bytes of a JSON answer */
    SDK_FRAME_MAX = 16777216,   /* bytes of one message of a stream */
    SDK_REQUEST_MAX = 16777216, /* bytes of a JSON request */
    SDK_ENGINES_IDLE_MAX = 8,   /* idle engines that a client keeps, each with its connections */
    SDK_ENVD_PORT = 49983,
};

struct sdk_engine {
    CURLM *multi;
    struct sdk_engine *next; /* in the client's pool */
};

struct silica_client {
    unsigned refs; /* atomic */
    char *api_key, *domain, *api_url, *sandbox_url, *ca_file, *user_agent;
    int64_t request_timeout_ms; /* > 0, or -1 */
    unsigned max_attempts;
    int64_t retry_base_ms, retry_cap_ms;
    pthread_mutex_t lock; /* guards idle, n_idle */
    struct sdk_engine *idle;
    unsigned n_idle;
};

struct silica_sandbox {
    silica_client *client; /* counted */
    char *id, *template_id, *domain, *envd_version;
    char *access_token, *traffic_token; /* or NULL */
    char *work_dir;                     /* "" when the sandbox decides */
    char *envd_url;                     /* base, without a slash at the end */
    int64_t exec_timeout_ms;            /* > 0, or -1 */
    silica_on_close on_close;
    bool names_user;   /* envd below 0.4.0 knows no default user */
    bool octet_stream; /* envd takes raw uploads (0.5.7) */
};

struct silica_cancel {
    int fd; /* eventfd */
};

/* ---- errors (error.c) */

silica_rc sdk_fail(silica_error *err, silica_rc rc, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* From the idiom of src/base; `rc` overrides what its kind maps to unless SILICA_OK. */
silica_rc sdk_fail_base(silica_error *err, const struct err *from, silica_rc rc);
silica_rc sdk_fail_nomem(silica_error *err);
silica_rc sdk_fail_curl(silica_error *err, CURLcode code, const char *detail);

/* Who was asked decides what a status means. */
enum sdk_scope {
    SDK_SCOPE_CREATE,  /* 404: no such template; 429 without Retry-After: quota */
    SDK_SCOPE_SANDBOX, /* control plane, one sandbox: 404 means it is gone */
    SDK_SCOPE_API,     /* control plane, anything else */
    SDK_SCOPE_DATA,    /* inside a sandbox: 404 is a file or process, 502 means it is gone */
};

/* Copy an options struct: NULL is all zero, smaller is padded, larger only with zero bytes. */
silica_rc sdk_opts_copy(void *dst, size_t size, const void *src, const char *what,
                        silica_error *err);
/* A duration option: 0 gives def, -1 is allowed if `none`, else 1 to 9999999999. */
silica_rc sdk_duration(int64_t given, int64_t def, bool none, const char *what, int64_t *ret,
                       silica_error *err);

/* ---- requests (http.c) */

struct sdk_response {
    int status;
    int64_t retry_after_ms; /* -1 when not given */
    struct buf body;        /* what the sink did not take: small answers and all errors */
    char next_token[1024];  /* X-Next-Token, "" when none */
};
void sdk_response_done(struct sdk_response *r);
#define _cleanup_response_ _cleanup_(sdk_response_done)

struct sdk_request {
    const char *method;
    const char *url;
    struct curl_slist *headers; /* borrowed */
    struct slice body;          /* used when has_body and no source */
    bool has_body;
    /* Upload from a descriptor: body_fd >= 0, length or -1. */
    bool from_fd;
    int body_fd;
    int64_t body_length;
    const char *form_filename; /* not NULL: the body goes as multipart part "file" of that name */
    /* Successful bodies go here instead of response.body; returns 0, or an errno to stop. */
    int (*sink)(void *user, const char *p, size_t n);
    void *sink_user;
    size_t max_body; /* of response.body on success; 0: SDK_JSON_MAX */
    bool transfer;   /* the timeout limits silence instead of the whole request */
    bool no_retry;
    bool quota;         /* 429 without Retry-After is an account limit: waiting does not help */
    int64_t timeout_ms; /* 0: the client's */
};

/* One finished exchange, retries included. Any HTTP status is SILICA_OK. */
silica_rc sdk_request_run(silica_client *client, const struct sdk_request *req,
                          struct sdk_response *ret, silica_error *err);
/* Fill err from an answer that is not 2xx. */
silica_rc sdk_fail_status(silica_error *err, const struct sdk_response *r, enum sdk_scope scope);
/* Wait before attempt number `tried` + 1; SILICA_OK, or false when there is none to be made. */
bool sdk_retry_wait(const silica_client *client, unsigned tried, int status,
                    int64_t retry_after_ms);

struct sdk_engine *sdk_engine_get(silica_client *client);
void sdk_engine_put(silica_client *client, struct sdk_engine *engine);
void sdk_engine_free(struct sdk_engine *engine);
/* Options that every transfer has: protocols, TLS, agent, proxy rule, close-on-exec. */
CURLcode sdk_easy_setup(const silica_client *client, CURL *easy, const char *url);
/* Append "name: value" to a header list; false when memory is gone. */
bool sdk_header(struct curl_slist **list, const char *name, const char *value);

static inline void sdk_slist_freep(struct curl_slist **l)
{
    curl_slist_free_all(*l);
    *l = NULL;
}
#define _cleanup_slist_ _cleanup_(sdk_slist_freep)

/* ---- client (client.c) */

silica_client *sdk_client_ref(silica_client *client);
bool sdk_domain_ok(const char *domain);
bool sdk_id_ok(const char *id);
bool sdk_header_value_ok(const char *value);

/* ---- control plane (api.c) */

struct json_writer;

/* `path` begins with a slash and is escaped; body.p NULL sends none. */
silica_rc sdk_api(silica_client *client, const char *method, const char *path, struct slice body,
                  struct sdk_response *ret, silica_error *err);
/* The same on "/sandboxes/<id><tail>"; checks the id. */
silica_rc sdk_api_sandbox(silica_client *client, const char *method, const char *id,
                          const char *tail, struct slice body, struct sdk_response *ret,
                          silica_error *err);
/* Write a map of strings as one JSON object; `what` names it in errors. */
silica_rc sdk_put_kv(struct json_writer *w, const silica_kv *kv, size_t n, const char *what,
                     silica_error *err);
/* A written body's sticky error as a failure. */
silica_rc sdk_body_check(const struct buf *body, silica_error *err);

/* "http" or "https": what the API is reached by (sandbox.c). */
const char *sdk_scheme(const silica_client *client);

/* ---- calls into a sandbox (rpc.c) */

/* Routing and token headers; `user` may be NULL. NULL when memory is gone. */
struct curl_slist *sdk_data_headers(const silica_sandbox *sbx, const char *user);
/* Unary Connect call: JSON in, JSON out (*ret_root is the caller's; may be NULL). */
silica_rc sdk_rpc(silica_sandbox *sbx, const char *method, const char *user, struct slice body,
                  json_t **ret_root, silica_error *err);
/* Map a Connect code string. */
silica_rc sdk_connect_rc(const char *code);
/* err from the {"code","message"} object of a Connect error. */
silica_rc sdk_fail_connect(silica_error *err, const struct json_ref *error);
/* `path` below the handle's work_dir unless absolute or starting with "~". */
silica_rc sdk_resolve(const silica_sandbox *sbx, const char *path, struct buf *out,
                      silica_error *err);

/* Move a buf's memory into a public one. */
silica_rc sdk_buf_take(struct buf *from, silica_buf *to, silica_error *err);
