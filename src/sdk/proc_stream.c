/*
 * Transport of a followed process; see proc_internal.h for the states.
 */
#include "base/clock.h"
#include "base/num.h"
#include "sdk/proc_internal.h"
#include "json/writer.h"

#include <poll.h>
#include <stdio.h>

static void call_done(silica_proc *p, struct proc_call *c)
{
    if (c->active)
        (void)curl_multi_remove_handle(p->engine->multi, c->easy);
    curl_easy_cleanup(c->easy);
    curl_slist_free_all(c->headers);
    buf_done(&c->body);
    buf_done(&c->answer);
    *c = (struct proc_call){0};
}

void proc_free(silica_proc *p)
{
    if (p == NULL)
        return;
    if (p->engine != NULL) {
        call_done(p, &p->stream);
        call_done(p, &p->input);
        sdk_engine_put(p->sbx->client, p->engine);
    }
    connect_reader_done(&p->frames);
    buf_done(&p->data);
    free(p);
}

static bool has_frame(const silica_proc *p)
{
    struct connect_reader probe = p->frames; /* next() moves `taken` only, here that of the copy */
    unsigned flags;
    struct slice payload;
    return connect_reader_next(&probe, &flags, &payload) != 0;
}

static long status_of(CURL *easy)
{
    long status = 0;
    (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

/* The beginning of an answer that is an error or small; the rest is not kept. */
static size_t keep_answer(struct proc_call *c, const char *bytes, size_t n)
{
    if (c->answer.n + n <= SDK_ERROR_BODY_MAX && buf_put(&c->answer, bytes, n) == -ENOMEM)
        return 0;
    return n;
}

static size_t on_stream(char *bytes, size_t size, size_t n, void *user)
{
    silica_proc *p = user;
    n *= size;
    p->last_byte_ns = clock_monotonic_ns();
    if (status_of(p->stream.easy) != 200)
        return keep_answer(&p->stream, bytes, n);
    if (p->frames.pending.n - p->frames.taken > PROC_PENDING_MAX && has_frame(p)) {
        p->paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    p->feed_error = connect_reader_feed(&p->frames, slice_of(bytes, n));
    return p->feed_error == 0 ? n : 0;
}

static size_t on_input_answer(char *bytes, size_t size, size_t n, void *user)
{
    return keep_answer(user, bytes, n * size);
}

static size_t on_header(char *bytes, size_t size, size_t n, void *user)
{
    struct proc_call *c = user;
    struct slice line = slice_of(bytes, n * size);
    size_t colon = slice_find(line, ':');
    uint64_t seconds;
    if (colon == line.n || !slice_ieq_str(slice_sub(line, 0, colon), "retry-after"))
        return n * size;
    struct slice value = slice_from(line, colon + 1);
    while (value.n > 0 && (value.p[value.n - 1] == '\r' || value.p[value.n - 1] == '\n'))
        value.n--;
    if (parse_u64(slice_trim(value), 86400, &seconds) == 0)
        c->retry_after_ms = (int64_t)seconds * 1000;
    return n * size;
}

/* Headers and body of `c` are set; add it to the engine. */
static silica_rc call_begin(silica_proc *p, struct proc_call *c, const char *method,
                            curl_write_callback write, void *user, silica_error *err)
{
    _cleanup_buf_ struct buf url = BUF_INIT(SDK_URL_MAX);
    buf_printf(&url, "%s/%s", p->sbx->envd_url, method);
    c->easy = curl_easy_init();
    c->answer = BUF_INIT(SDK_ERROR_BODY_MAX);
    c->retry_after_ms = -1;
    c->done = false;
    if (url.error != 0 || c->easy == NULL ||
        sdk_easy_setup(p->sbx->client, c->easy, buf_str(&url)) != CURLE_OK)
        return sdk_fail_nomem(err);
    (void)curl_easy_setopt(c->easy, CURLOPT_POST, 1L);
    (void)curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->body.n);
    (void)curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, buf_str(&c->body));
    (void)curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, c->headers);
    (void)curl_easy_setopt(c->easy, CURLOPT_ERRORBUFFER, c->detail);
    (void)curl_easy_setopt(c->easy, CURLOPT_WRITEFUNCTION, write);
    (void)curl_easy_setopt(c->easy, CURLOPT_WRITEDATA, user);
    (void)curl_easy_setopt(c->easy, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(c->easy, CURLOPT_HEADERDATA, c);
    if (curl_multi_add_handle(p->engine->multi, c->easy) != CURLM_OK)
        return sdk_fail_nomem(err);
    c->active = true;
    return SILICA_OK;
}

static void collect_done(silica_proc *p)
{
    int queued = 0;
    for (CURLMsg *m; (m = curl_multi_info_read(p->engine->multi, &queued)) != NULL;) {
        struct proc_call *c = m->easy_handle == p->stream.easy ? &p->stream : &p->input;
        if (m->msg != CURLMSG_DONE || m->easy_handle != c->easy)
            continue;
        c->result = m->data.result;
        c->status = (int)status_of(c->easy);
        (void)curl_multi_remove_handle(p->engine->multi, c->easy);
        c->active = false;
        c->done = true;
    }
}

silica_rc proc_turn(silica_proc *p, int64_t wait_ms, const int *fds, size_t n_fds,
                    silica_error *err)
{
    struct curl_waitfd extra[4];
    unsigned n = 0;
    int running = 0;
    for (size_t i = 0; i < n_fds && n < ARRAY_LEN(extra); i++) {
        if (fds[i] >= 0)
            extra[n++] = (struct curl_waitfd){.fd = fds[i], .events = CURL_WAIT_POLLIN};
    }
    if (p->paused && !has_frame(p)) {
        p->paused = false;
        (void)curl_easy_pause(p->stream.easy, CURLPAUSE_CONT); /* may call on_stream() */
    }
    int wait = wait_ms > 1000 ? 1000 : (int)wait_ms;
    CURLMcode m = curl_multi_poll(p->engine->multi, extra, n, wait, NULL);
    if (m == CURLM_OK)
        m = curl_multi_perform(p->engine->multi, &running);
    collect_done(p);
    return m == CURLM_OK ? SILICA_OK
                         : sdk_fail(err, SILICA_E_INTERNAL, "libcurl: %s", curl_multi_strerror(m));
}

/* Is the sandbox gone, or was only the connection lost? */
static bool probe_gone(silica_sandbox *sbx)
{
    _cleanup_response_ struct sdk_response resp = {0};
    _cleanup_slist_ struct curl_slist *headers = sdk_data_headers(sbx, NULL);
    _cleanup_buf_ struct buf url = BUF_INIT(SDK_URL_MAX);
    if (headers == NULL || buf_printf(&url, "%s/health", sbx->envd_url) != 0)
        return false;
    struct sdk_request req = {
        .method = "GET",
        .url = buf_str(&url),
        .headers = headers,
        .no_retry = true,
        .timeout_ms = PROC_PROBE_MS,
    };
    return sdk_request_run(sbx->client, &req, &resp, NULL) == SILICA_OK &&
           sdk_fail_status(NULL, &resp, SDK_SCOPE_DATA) == SILICA_E_GONE && resp.status == 502;
}

static silica_rc stick(silica_proc *p, silica_error *err)
{
    p->failed = true;
    if (err != NULL)
        *err = p->failure;
    return p->failure.rc;
}

static void answer_of(struct proc_call *c, struct sdk_response *ret)
{
    *ret = (struct sdk_response){
        .status = c->status, .retry_after_ms = c->retry_after_ms, .body = c->answer};
}

/* The transfer is over and no frame said so properly. */
static silica_rc stream_lost(silica_proc *p, silica_error *err)
{
    struct proc_call *c = &p->stream;
    struct sdk_response resp;
    answer_of(c, &resp);
    if (p->exit.kind != SILICA_EXIT_UNKNOWN) {
        p->ended = true; /* the exit is known; only the polite end is missing */
        return SILICA_OK;
    }
    if (p->feed_error != 0)
        (void)sdk_fail(&p->failure, SILICA_E_PROTOCOL, "the process stream is malformed");
    else if (c->status != 0 && c->status != 200)
        (void)sdk_fail_status(&p->failure, &resp, SDK_SCOPE_DATA);
    else if (p->pid != 0 && probe_gone(p->sbx))
        (void)sdk_fail(&p->failure, SILICA_E_GONE, "the sandbox was killed or reached its timeout");
    else if (c->result != CURLE_OK)
        (void)sdk_fail_curl(&p->failure, c->result, c->detail);
    else
        (void)sdk_fail(&p->failure, SILICA_E_NETWORK, "the process stream was cut");
    return stick(p, err);
}

/* The last frame: nothing, or why the stream ended. */
static silica_rc end_frame(silica_proc *p, struct slice text, silica_error *err)
{
    _cleanup_json_ json_t *root = NULL;
    struct json_ref obj, error;
    p->ended = true;
    if (json_parse(text, &root, NULL) != 0) {
        (void)sdk_fail(&p->failure, SILICA_E_PROTOCOL, "the end of the stream is malformed");
        return stick(p, err);
    }
    obj = json_root(root);
    if (json_get_obj(&obj, "error", JSON_OPTIONAL, &error, NULL) != 1) {
        if (p->exit.kind != SILICA_EXIT_UNKNOWN)
            return SILICA_OK;
        (void)sdk_fail(&p->failure, SILICA_E_PROTOCOL, "the stream ended without an exit");
        return stick(p, err);
    }
    silica_rc rc = sdk_fail_connect(&p->failure, &error);
    if (rc == SILICA_E_TIMEOUT && p->is_start && p->pid != 0) {
        p->exit = (silica_exit){.kind = SILICA_TIMED_OUT, .code = -1, .signal = 9};
        return SILICA_OK;
    }
    return p->exit.kind != SILICA_EXIT_UNKNOWN ? SILICA_OK : stick(p, err);
}

/* One frame. *ret_more is false when none is complete. */
static silica_rc take_frame(silica_proc *p, silica_event *ret, bool *ret_more, silica_error *err)
{
    unsigned flags = 0;
    struct slice payload;
    int r = connect_reader_next(&p->frames, &flags, &payload);
    *ret_more = r == 1;
    if (r == 0)
        return p->stream.done ? stream_lost(p, err) : SILICA_OK;
    if (r < 0 || (flags & CONNECT_FLAG_COMPRESSED) != 0) {
        (void)sdk_fail(&p->failure, SILICA_E_PROTOCOL, "the process stream is malformed");
        return stick(p, err);
    }
    if ((flags & CONNECT_FLAG_END) != 0)
        return end_frame(p, payload, err);
    if (proc_parse_event(p, payload, ret, &p->failure) != SILICA_OK)
        return stick(p, err);
    return SILICA_OK;
}

silica_rc proc_next(silica_proc *p, silica_event *ret, silica_error *err)
{
    *ret = (silica_event){.kind = SILICA_EVENT_NONE};
    if (p->failed)
        return stick(p, err);
    for (bool more = true; more && !p->ended && ret->kind == SILICA_EVENT_NONE;) {
        silica_rc rc = take_frame(p, ret, &more, err);
        if (rc != SILICA_OK)
            return rc;
    }
    if (ret->kind == SILICA_EVENT_NONE && p->ended)
        *ret = (silica_event){.kind = SILICA_EVENT_EXIT, .exit = p->exit};
    return SILICA_OK;
}

static silica_rc stream_begin(silica_proc *p, const char *method, const char *user,
                              struct slice body, int64_t timeout_ms, silica_error *err)
{
    struct proc_call *c = &p->stream;
    char number[24];
    c->body = BUF_INIT(SDK_REQUEST_MAX + CONNECT_PREFIX_BYTES);
    c->headers = sdk_data_headers(p->sbx, user);
    (void)snprintf(number, sizeof(number), "%d", (int)PROC_KEEPALIVE_S);
    bool ok = c->headers != NULL && connect_put_frame(&c->body, 0, body) == 0 &&
              sdk_header(&c->headers, "Content-Type", "application/connect+json") &&
              sdk_header(&c->headers, "Connect-Protocol-Version", "1") &&
              sdk_header(&c->headers, "Keepalive-Ping-Interval", number);
    if (ok && timeout_ms > 0) {
        (void)snprintf(number, sizeof(number), "%lld", (long long)timeout_ms);
        ok = sdk_header(&c->headers, "Connect-Timeout-Ms", number);
    }
    return ok ? call_begin(p, c, method, on_stream, p, err) : sdk_fail_nomem(err);
}

/* Until the start event, a failure, or the request timeout. */
static silica_rc await_start(silica_proc *p, silica_error *err)
{
    int64_t limit = p->sbx->client->request_timeout_ms;
    uint64_t begin = clock_monotonic_ns();
    while (p->pid == 0 && !p->stream.done) {
        silica_event ev;
        silica_rc rc = proc_turn(p, 1000, NULL, 0, err);
        /* Only the start event may come first, so no output is lost by looking here. */
        if (rc == SILICA_OK && p->pid == 0 && has_frame(p)) {
            bool more;
            rc = take_frame(p, &ev, &more, err);
        }
        if (rc != SILICA_OK)
            return rc;
        if (p->ended)
            return sdk_fail(err, SILICA_E_PROTOCOL, "the stream ended before the process started");
        if (limit > 0 && (clock_monotonic_ns() - begin) / NS_PER_MS > (uint64_t)limit)
            return sdk_fail(err, SILICA_E_TIMEOUT, "the process did not start in time");
    }
    while (p->pid == 0 && !p->ended && has_frame(p)) {
        silica_event ev;
        bool more;
        silica_rc rc = take_frame(p, &ev, &more, err);
        if (rc != SILICA_OK)
            return rc;
    }
    if (p->pid == 0 && p->ended)
        return sdk_fail(err, SILICA_E_PROTOCOL, "the stream ended before the process started");
    return p->pid != 0 ? SILICA_OK : stream_lost(p, err);
}

static silica_proc *proc_new(silica_sandbox *sbx, const char *method)
{
    silica_proc *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return NULL;
    p->sbx = sbx;
    p->is_start = strcmp(method, "process.Process/Start") == 0;
    p->data = BUF_INIT(SDK_FRAME_MAX);
    connect_reader_init(&p->frames, SDK_FRAME_MAX);
    p->engine = sdk_engine_get(sbx->client);
    if (p->engine == NULL) {
        proc_free(p);
        return NULL;
    }
    return p;
}

silica_rc proc_open(silica_sandbox *sbx, const char *method, const char *user, struct slice body,
                    int64_t timeout_ms, silica_proc **ret, silica_error *err)
{
    for (unsigned tried = 1;; tried++) {
        silica_proc *p = proc_new(sbx, method);
        if (p == NULL)
            return sdk_fail_nomem(err);
        silica_rc rc = stream_begin(p, method, user, body, timeout_ms, err);
        if (rc == SILICA_OK)
            rc = await_start(p, err);
        if (rc == SILICA_OK) {
            *ret = p;
            return SILICA_OK;
        }
        bool again = p->stream.done &&
                     sdk_retry_wait(sbx->client, tried, p->stream.status, p->stream.retry_after_ms);
        proc_free(p);
        if (!again)
            return rc;
    }
}

silica_rc proc_input_begin(silica_proc *p, struct slice data, silica_error *err)
{
    struct proc_call *c = &p->input;
    struct json_writer w;
    call_done(p, c);
    c->body = BUF_INIT(SDK_REQUEST_MAX);
    c->headers = sdk_data_headers(p->sbx, NULL);
    jw_init(&w, &c->body);
    jw_obj(&w);
    jw_key(&w, "process");
    jw_obj(&w);
    jw_ku64(&w, "pid", p->pid);
    jw_end(&w);
    if (data.p != NULL) {
        jw_key(&w, "input");
        jw_obj(&w);
        jw_key(&w, "stdin");
        jw_base64(&w, data);
        jw_end(&w);
    }
    jw_end(&w);
    if (c->headers == NULL || c->body.error != 0 ||
        !sdk_header(&c->headers, "Content-Type", "application/json") ||
        !sdk_header(&c->headers, "Connect-Protocol-Version", "1"))
        return sdk_fail_nomem(err);
    p->input_tried = 1;
    return call_begin(p, c,
                      data.p != NULL ? "process.Process/SendInput" : "process.Process/CloseStdin",
                      on_input_answer, c, err);
}

bool proc_input_idle(silica_proc *p, silica_rc *ret_rc, silica_error *err)
{
    struct proc_call *c = &p->input;
    struct sdk_response resp;
    *ret_rc = SILICA_OK;
    if (c->active)
        return false;
    if (!c->done)
        return true;
    if (c->result == CURLE_OK && c->status != 200 &&
        sdk_retry_wait(p->sbx->client, p->input_tried, c->status, c->retry_after_ms)) {
        buf_clear(&c->answer);
        c->done = false;
        c->retry_after_ms = -1;
        p->input_tried++;
        c->active = curl_multi_add_handle(p->engine->multi, c->easy) == CURLM_OK;
        if (c->active)
            return false;
        *ret_rc = sdk_fail_nomem(err);
    } else if (c->result != CURLE_OK) {
        *ret_rc = sdk_fail_curl(err, c->result, c->detail);
    } else if (c->status != 200) {
        answer_of(c, &resp);
        *ret_rc = sdk_fail_status(err, &resp, SDK_SCOPE_DATA);
    }
    call_done(p, c);
    return true;
}
