/*
 * POST /files. The loop reads one piece of the body, the pool writes it, then the next one is asked
 * for: memory is one piece, and the disk's speed is the client's. After a failure the rest of the
 * body is read and thrown away up to a limit, so that a client that sends before it listens hears
 * the reason.
 */
#include "base/cleanup.h"
#include "envd/request.h"
#include "envd/upload.h"
#include "json/writer.h"

#include <errno.h>

struct post {
    struct request *r; /* counted */
    struct user user;
    char workdir[SETTINGS_WORKDIR_MAX + 1];
    struct upload upload;
    uv_work_t work;
    bool working, gone, ended, failed;
    struct buf piece; /* what the pool writes */
    uint64_t discarded;
    int result;
    struct err err;
};

static void finish(struct post *p)
{
    struct request *r = p->r;
    r->state = NULL;
    upload_done(&p->upload);
    buf_done(&p->piece);
    free(p);
    request_unref(r);
}

static void reply_failed(struct post *p)
{
    limits_explain_space(&p->r->envd->limits, p->err.num, "/", &p->err);
    request_fail(p->r, p->upload.status != 0 ? p->upload.status : 500, "%s", p->err.msg);
    finish(p);
}

static void reply_written(struct post *p)
{
    _cleanup_buf_ struct buf out = BUF_INIT(FILES_UPLOAD_FILES_MAX * 2 * ENVD_PATH_MAX);
    struct json_writer w;
    jw_init(&w, &out);
    jw_arr(&w);
    for (size_t i = 0; i < p->upload.n_written; i++) {
        jw_obj(&w);
        jw_kstr(&w, "path", p->upload.written[i]);
        jw_key(&w, "name");
        jw_strn(&w, path_base(p->upload.written[i]));
        jw_kstr(&w, "type", "file");
        jw_end(&w);
    }
    jw_end(&w);
    if (out.error != 0)
        request_fail(p->r, 500, "out of memory");
    else
        request_reply(p->r, 200, "application/json", buf_slice(&out));
    finish(p);
}

/* ---- pool ---- */

static void run(uv_work_t *w)
{
    struct post *p = container_of(w, struct post, work);
    p->result = p->ended ? upload_end(&p->upload, &p->err)
                         : upload_feed(&p->upload, buf_slice(&p->piece), &p->err);
}

/* ---- loop ---- */

static void after(uv_work_t *w, int status)
{
    struct post *p = container_of(w, struct post, work);
    (void)status;
    p->working = false;
    p->failed |= p->result < 0;
    if (p->gone)
        finish(p);
    else if (p->failed && p->ended)
        reply_failed(p);
    else if (p->ended)
        reply_written(p);
    else
        http_x_read(p->r->x);
}

static void start_work(struct post *p)
{
    p->working = true;
    (void)uv_queue_work(p->r->envd->loop, &p->work, run, after);
}

static void discard(struct post *p, struct slice data)
{
    p->discarded += data.n;
    if (data.n == 0 || p->discarded > FILES_DISCARD_MAX_BYTES)
        reply_failed(p);
    else
        http_x_read(p->r->x);
}

static void on_body(struct request *r, struct slice data)
{
    struct post *p = r->state;
    if (p == NULL)
        return;
    if (p->failed) {
        discard(p, data);
        return;
    }
    buf_clear(&p->piece);
    if (buf_put_slice(&p->piece, data) < 0) {
        p->failed = true;
        (void)err_set(&p->err, -ENOMEM, ERR_INTERNAL, "out of memory");
        discard(p, data);
        return;
    }
    p->ended = data.n == 0;
    start_work(p);
}

static void on_gone(struct request *r, int reason)
{
    struct post *p = r->state;
    (void)reason;
    if (p == NULL)
        return;
    p->gone = true;
    if (!p->working)
        finish(p);
}

/* 0, or the status to refuse with and the reason. */
static unsigned prepare(struct post *p, bool has_path, const char *given)
{
    struct request *r = p->r;
    struct slice type = request_header(r, "Content-Type");
    struct slice media = slice_trim(slice_sub(type, 0, slice_find(type, ';')));
    if (has_path && path_resolve(given, p->user.home, p->workdir, p->upload.target, &p->err) < 0)
        return 400;
    if (slice_ieq_str(media, "application/octet-stream")) {
        if (has_path)
            return 0;
        (void)err_set(&p->err, -EINVAL, ERR_INVALID,
                      "path query parameter is required for raw body upload");
        return 400;
    }
    if (!slice_ieq(slice_sub(media, 0, 10), SLICE_LIT("multipart/"))) {
        (void)err_set(&p->err, -EINVAL, ERR_INVALID, "unsupported content type: %.*s",
                      media.n < 128 ? (int)media.n : 128, media.p != NULL ? media.p : "");
        return 400;
    }
    p->upload.multipart = true;
    int n = multipart_init(&p->upload.parser, type, &upload_multipart_ops, &p->upload, &p->err);
    return n < 0 ? 500 : 0;
}

static bool check_headers(struct request *r)
{
    struct slice coding = request_header(r, "Content-Encoding");
    if (coding.n != 0 && !slice_ieq_str(coding, "identity")) {
        request_fail(r, 400, "unsupported Content-Encoding: %.*s",
                     coding.n < 64 ? (int)coding.n : 64, coding.p);
        return false;
    }
    const struct http_head *h = http_x_head(r->x);
    for (size_t i = 0; i < h->n_headers; i++)
        if (slice_ieq(slice_sub(h->headers[i].name, 0, 11), SLICE_LIT("X-Metadata-"))) {
            request_fail(r, 400, "invalid metadata: file metadata is not supported");
            return false;
        }
    return true;
}

void files_post(struct request *r)
{
    char given[ENVD_PATH_MAX + 1];
    struct user user;
    int has_path;
    if (!files_check(r, &user) || !check_headers(r) ||
        (has_path = files_query(r, "path", given, sizeof(given))) < 0)
        return;
    struct post *p = xnew(struct post);
    p->r = r;
    p->user = user;
    p->piece = BUF_INIT(1 << 20);
    memcpy(p->workdir, r->envd->settings.default_workdir, sizeof(p->workdir));
    upload_init(&p->upload, &p->user, p->workdir, r->envd->config.own_memory_fd);
    request_ref(r);
    r->state = p;
    r->on_body = on_body;
    r->on_gone = on_gone;
    p->upload.status = prepare(p, has_path > 0, given);
    if (p->upload.status != 0)
        reply_failed(p);
    else
        http_x_read(r->x);
}
