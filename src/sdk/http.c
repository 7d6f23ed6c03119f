/*
 * One HTTP exchange over libcurl, with retries, and the pool of engines.
 *
 * An engine is a multi handle: it keeps connections alive between requests, and lets the transfers
 * of a process (output stream, input calls) run side by side. Only 429 and 503 are repeated: both
 * say that nothing was done. Answers that are not 2xx never reach a sink, so that a repeated
 * download starts clean; an upload is repeated only if its source can be rewound.
 *
 * Environment proxies are honoured except towards this machine itself.
 */
#include "base/clock.h"
#include "base/num.h"
#include "base/random.h"
#include "sdk/sdk_internal.h"

#include <stdio.h>
#include <time.h>

enum { CONNECT_TIMEOUT_MS = 15000, POLL_MS = 1000, RETRY_AFTER_MAX_S = 86400 };

struct sdk_engine *sdk_engine_get(silica_client *client)
{
    (void)pthread_mutex_lock(&client->lock);
    struct sdk_engine *e = client->idle;
    if (e != NULL) {
        client->idle = e->next;
        client->n_idle--;
    }
    (void)pthread_mutex_unlock(&client->lock);
    if (e != NULL)
        return e;
    e = calloc(1, sizeof(*e));
    if (e == NULL)
        return NULL;
    e->multi = curl_multi_init();
    if (e->multi == NULL) {
        free(e);
        return NULL;
    }
    return e;
}

void sdk_engine_free(struct sdk_engine *engine)
{
    if (engine == NULL)
        return;
    (void)curl_multi_cleanup(engine->multi);
    free(engine);
}

void sdk_engine_put(silica_client *client, struct sdk_engine *engine)
{
    if (engine == NULL)
        return;
    (void)pthread_mutex_lock(&client->lock);
    bool keep = client->n_idle < SDK_ENGINES_IDLE_MAX;
    if (keep) {
        engine->next = client->idle;
        client->idle = engine;
        client->n_idle++;
    }
    (void)pthread_mutex_unlock(&client->lock);
    if (!keep)
        sdk_engine_free(engine);
}

bool sdk_header(struct curl_slist **list, const char *name, const char *value)
{
    _cleanup_buf_ struct buf line = BUF_INIT(SDK_URL_MAX);
    if (buf_printf(&line, "%s: %s", name, value) != 0)
        return false;
    struct curl_slist *grown = curl_slist_append(*list, buf_str(&line));
    if (grown == NULL)
        return false;
    *list = grown;
    return true;
}

static curl_socket_t open_cloexec(void *user, curlsocktype purpose, struct curl_sockaddr *a)
{
    (void)user;
    (void)purpose;
    return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

/* "http://127.0.0.1:3000", "http://8080-x.localhost:3000", "http://[::1]": no proxy for these. */
static bool is_loopback(const char *url)
{
    const char *host = strstr(url, "://");
    if (host == NULL)
        return false;
    host += 3;
    struct slice h = slice_of(host, strcspn(host, "/?#"));
    if (slice_has_prefix(h, "[::1]"))
        return true;
    h = slice_sub(h, 0, slice_find(h, ':'));
    return slice_has_prefix(h, "127.") || slice_eq_str(h, "localhost") ||
           slice_has_suffix(h, ".localhost");
}

CURLcode sdk_easy_setup(const silica_client *client, CURL *easy, const char *url)
{
    CURLcode rc = curl_easy_setopt(easy, CURLOPT_URL, url);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_USERAGENT, client->user_agent);
    if (rc == CURLE_OK && client->ca_file != NULL)
        rc = curl_easy_setopt(easy, CURLOPT_CAINFO, client->ca_file);
    if (rc == CURLE_OK && is_loopback(url))
        rc = curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    if (rc != CURLE_OK)
        return rc;
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    (void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_cloexec);
    (void)curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    return CURLE_OK;
}

void sdk_response_done(struct sdk_response *r)
{
    buf_done(&r->body);
}

/* One attempt: what the callbacks of curl need. */
struct attempt {
    const struct sdk_request *req;
    struct sdk_response *resp;
    CURL *easy;
    size_t body_off;
    int sys_errno;  /* of a local read, or what the sink returned */
    bool too_large; /* the answer passed max_body */
};

static bool is_success(CURL *easy)
{
    long status = 0;
    (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    return status >= 200 && status < 300;
}

static size_t on_body(char *p, size_t size, size_t n, void *user)
{
    struct attempt *a = user;
    n *= size;
    bool ok = is_success(a->easy);
    if (ok && a->req->sink != NULL) {
        a->sys_errno = a->req->sink(a->req->sink_user, p, n);
        return a->sys_errno == 0 ? n : 0;
    }
    if (buf_put(&a->resp->body, p, n) == 0)
        return n;
    if (!ok && a->resp->body.error == -ENOBUFS)
        return n; /* the beginning of an error page is enough */
    a->too_large = a->resp->body.error == -ENOBUFS;
    return 0;
}

static size_t on_source(char *dst, size_t size, size_t n, void *user)
{
    struct attempt *a = user;
    n *= size;
    if (!a->req->from_fd) {
        struct slice rest = slice_sub(a->req->body, a->body_off, n);
        if (rest.n > 0)
            memcpy(dst, rest.p, rest.n);
        a->body_off += rest.n;
        return rest.n;
    }
    /* A file that grows meanwhile must not make the body longer than was announced. */
    if (a->req->body_length >= 0 && n > (uint64_t)a->req->body_length - a->body_off)
        n = (size_t)((uint64_t)a->req->body_length - a->body_off);
    for (;;) {
        ssize_t got = n > 0 ? read(a->req->body_fd, dst, n) : 0;
        if (got >= 0) {
            a->body_off += (size_t)got;
            return (size_t)got;
        }
        if (errno == EINTR)
            continue;
        a->sys_errno = errno;
        return CURL_READFUNC_ABORT;
    }
}

static size_t on_header(char *p, size_t size, size_t n, void *user)
{
    struct sdk_response *r = user;
    n *= size;
    struct slice line = slice_of(p, n);
    if (slice_has_prefix(line, "HTTP/")) { /* a new head: forget what an interim one said */
        r->retry_after_ms = -1;
        r->next_token[0] = '\0';
        return n;
    }
    while (line.n > 0 && (line.p[line.n - 1] == '\r' || line.p[line.n - 1] == '\n'))
        line.n--;
    size_t colon = slice_find(line, ':');
    struct slice name = slice_sub(line, 0, colon);
    struct slice value = slice_trim(slice_from(line, colon < line.n ? colon + 1 : line.n));
    uint64_t seconds;
    if (slice_ieq_str(name, "retry-after") && parse_u64(value, RETRY_AFTER_MAX_S, &seconds) == 0)
        r->retry_after_ms = (int64_t)seconds * 1000;
    if (slice_ieq_str(name, "x-next-token"))
        (void)slice_copy(value, r->next_token, sizeof(r->next_token)); /* too long: last page */
    return n;
}

static CURLcode set_form(struct attempt *a, curl_mime **ret_mime)
{
    curl_mime *mime = curl_mime_init(a->easy);
    if (mime == NULL)
        return CURLE_OUT_OF_MEMORY;
    *ret_mime = mime;
    curl_mimepart *part = curl_mime_addpart(mime);
    if (part == NULL)
        return CURLE_OUT_OF_MEMORY;
    CURLcode rc = curl_mime_name(part, "file");
    if (rc == CURLE_OK)
        rc = curl_mime_filename(part, a->req->form_filename);
    if (rc == CURLE_OK)
        rc = curl_mime_type(part, "application/octet-stream");
    int64_t length = a->req->from_fd ? a->req->body_length : (int64_t)a->req->body.n;
    if (rc == CURLE_OK)
        rc = curl_mime_data_cb(part, length, on_source, NULL, NULL, a);
    return rc == CURLE_OK ? curl_easy_setopt(a->easy, CURLOPT_MIMEPOST, mime) : rc;
}

static void set_body(struct attempt *a)
{
    const struct sdk_request *req = a->req;
    if (strcmp(req->method, "GET") == 0) {
        (void)curl_easy_setopt(a->easy, CURLOPT_HTTPGET, 1L);
        return;
    }
    if (!req->from_fd && !req->has_body) {
        (void)curl_easy_setopt(a->easy, CURLOPT_CUSTOMREQUEST, req->method);
        return;
    }
    curl_off_t length = req->from_fd ? (curl_off_t)req->body_length : (curl_off_t)req->body.n;
    (void)curl_easy_setopt(a->easy, CURLOPT_POST, 1L);
    (void)curl_easy_setopt(a->easy, CURLOPT_POSTFIELDSIZE_LARGE, length);
    (void)curl_easy_setopt(a->easy, CURLOPT_READFUNCTION, on_source);
    (void)curl_easy_setopt(a->easy, CURLOPT_READDATA, a);
}

static void set_timeouts(CURL *easy, const struct sdk_request *req, int64_t timeout_ms)
{
    if (timeout_ms < 0)
        return;
    if (req->transfer) {
        (void)curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
        (void)curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)((timeout_ms + 999) / 1000));
    } else {
        (void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    }
}

/* Drive one transfer to its end on an engine that has no other. */
static CURLcode drive(struct sdk_engine *engine, CURL *easy)
{
    if (curl_multi_add_handle(engine->multi, easy) != CURLM_OK)
        return CURLE_FAILED_INIT;
    CURLcode rc = CURLE_FAILED_INIT;
    for (bool done = false; !done;) {
        int running = 0, queued = 0;
        CURLMcode m = curl_multi_perform(engine->multi, &running);
        for (CURLMsg *msg; (msg = curl_multi_info_read(engine->multi, &queued)) != NULL;) {
            if (msg->msg == CURLMSG_DONE && msg->easy_handle == easy) {
                rc = msg->data.result;
                done = true;
            }
        }
        if (!done && m == CURLM_OK)
            m = curl_multi_poll(engine->multi, NULL, 0, POLL_MS, NULL);
        if (m != CURLM_OK)
            done = true;
    }
    (void)curl_multi_remove_handle(engine->multi, easy);
    return rc;
}

static silica_rc attempt_result(struct attempt *a, CURLcode code, const char *detail,
                                silica_error *err)
{
    long status = 0;
    (void)curl_easy_getinfo(a->easy, CURLINFO_RESPONSE_CODE, &status);
    a->resp->status = (int)status;
    if (a->sys_errno != 0) {
        (void)sdk_fail(err, SILICA_E_IO, "local file: %s", strerror(a->sys_errno));
        if (err != NULL)
            err->sys_errno = a->sys_errno;
        return SILICA_E_IO;
    }
    if (a->too_large)
        return sdk_fail(err, SILICA_E_TOO_LARGE, "the answer is larger than the allowed maximum");
    if (a->resp->body.error == -ENOMEM)
        return sdk_fail_nomem(err);
    /* A server that refuses an upload may answer and close while we still send. */
    bool refused = status >= 400 && (code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR ||
                                     code == CURLE_ABORTED_BY_CALLBACK);
    if (code != CURLE_OK && !refused)
        return sdk_fail_curl(err, code, detail);
    return SILICA_OK;
}

static silica_rc attempt_run(silica_client *client, const struct sdk_request *req,
                             struct sdk_response *resp, silica_error *err)
{
    char detail[CURL_ERROR_SIZE] = "";
    curl_mime *mime = NULL;
    struct attempt a = {.req = req, .resp = resp, .easy = curl_easy_init()};
    struct sdk_engine *engine = sdk_engine_get(client);
    CURLcode code = CURLE_OUT_OF_MEMORY;
    if (a.easy != NULL && engine != NULL)
        code = sdk_easy_setup(client, a.easy, req->url);
    if (code == CURLE_OK && req->form_filename != NULL)
        code = set_form(&a, &mime);
    else if (code == CURLE_OK)
        set_body(&a);
    if (code == CURLE_OK) {
        set_timeouts(a.easy, req,
                     req->timeout_ms != 0 ? req->timeout_ms : client->request_timeout_ms);
        (void)curl_easy_setopt(a.easy, CURLOPT_HTTPHEADER, req->headers);
        (void)curl_easy_setopt(a.easy, CURLOPT_ERRORBUFFER, detail);
        (void)curl_easy_setopt(a.easy, CURLOPT_WRITEFUNCTION, on_body);
        (void)curl_easy_setopt(a.easy, CURLOPT_WRITEDATA, &a);
        (void)curl_easy_setopt(a.easy, CURLOPT_HEADERFUNCTION, on_header);
        (void)curl_easy_setopt(a.easy, CURLOPT_HEADERDATA, resp);
        code = drive(engine, a.easy);
    }
    silica_rc rc = attempt_result(&a, code, detail, err);
    curl_easy_cleanup(a.easy);
    curl_mime_free(mime);
    sdk_engine_put(client, engine);
    return rc;
}

static void sleep_ms(int64_t ms)
{
    struct timespec t = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        ;
}

bool sdk_retry_wait(const silica_client *client, unsigned tried, int status, int64_t retry_after_ms)
{
    if ((status != 429 && status != 503) || tried >= client->max_attempts)
        return false;
    int64_t wait = client->retry_base_ms;
    for (unsigned i = 1; i < tried && wait < client->retry_cap_ms; i++)
        wait *= 2;
    if (wait > client->retry_cap_ms)
        wait = client->retry_cap_ms;
    uint64_t r;
    random_bytes(&r, sizeof(r));
    wait = wait / 2 + (int64_t)(r % (uint64_t)(wait / 2 + 1)); /* half of it is jitter */
    if (retry_after_ms >= 0) {
        if (retry_after_ms > client->retry_cap_ms)
            return false;
        wait = retry_after_ms;
    }
    sleep_ms(wait);
    return true;
}

silica_rc sdk_request_run(silica_client *client, const struct sdk_request *req,
                          struct sdk_response *ret, silica_error *err)
{
    off_t start = req->from_fd ? lseek(req->body_fd, 0, SEEK_CUR) : 0;
    size_t max = req->max_body != 0 ? req->max_body : SDK_JSON_MAX;
    if (max < SDK_ERROR_BODY_MAX)
        max = SDK_ERROR_BODY_MAX;
    for (unsigned tried = 1;; tried++) {
        buf_done(&ret->body);
        *ret = (struct sdk_response){.retry_after_ms = -1, .body = BUF_INIT(max)};
        silica_rc rc = attempt_run(client, req, ret, err);
        if (rc != SILICA_OK)
            return rc;
        if (req->no_retry || (ret->status != 429 && ret->status != 503))
            return SILICA_OK;
        if (req->quota && ret->status == 429 && ret->retry_after_ms < 0)
            return SILICA_OK;
        if (req->from_fd && (start < 0 || lseek(req->body_fd, start, SEEK_SET) < 0))
            return SILICA_OK;
        if (!sdk_retry_wait(client, tried, ret->status, ret->retry_after_ms))
            return SILICA_OK;
    }
}
