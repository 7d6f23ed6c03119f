/*
 * File content, byte for byte: GET and POST /files. Whole files in memory with a maximum, or from
 * and to a descriptor in constant memory. Daemons that know it take the raw body, older ones one
 * multipart part. The time limit is for silence, not for the whole transfer.
 */
#include "base/fs.h"
#include "http/url.h"
#include "sdk/sdk_internal.h"

#include <sys/stat.h>

static const uint64_t READ_DEFAULT_BYTES = 64ull << 20;

static silica_rc files_url(const silica_sandbox *sbx, const char *path, const char *user,
                           struct buf *url, silica_error *err)
{
    _cleanup_buf_ struct buf full = BUF_INIT(SDK_PATH_MAX);
    silica_rc rc = sdk_resolve(sbx, path, &full, err);
    if (rc != SILICA_OK)
        return rc;
    buf_printf(url, "%s/files?path=", sbx->envd_url);
    url_encode(url, buf_slice(&full));
    if (user == NULL && sbx->names_user)
        user = "user";
    if (user != NULL) {
        buf_put_str(url, "&username=");
        url_encode(url, slice_str(user));
    }
    if (url->error == -ENOBUFS)
        return sdk_fail(err, SILICA_E_INVALID, "the path is too long");
    return url->error == 0 ? SILICA_OK : sdk_fail_nomem(err);
}

/* GET with the request's sink or maximum already set. */
static silica_rc get_file(silica_sandbox *sbx, const char *path, const silica_file_opts *o,
                          struct sdk_request *req, struct sdk_response *resp, silica_error *err)
{
    _cleanup_buf_ struct buf url = BUF_INIT(SDK_URL_MAX);
    silica_rc rc = files_url(sbx, path, o->user, &url, err);
    if (rc != SILICA_OK)
        return rc;
    _cleanup_slist_ struct curl_slist *headers = sdk_data_headers(sbx, NULL);
    if (headers == NULL)
        return sdk_fail_nomem(err);
    req->method = "GET";
    req->url = buf_str(&url);
    req->headers = headers;
    req->transfer = true;
    rc = sdk_request_run(sbx->client, req, resp, err);
    if (rc == SILICA_OK && resp->status != 200)
        rc = sdk_fail_status(err, resp, SDK_SCOPE_DATA);
    return rc;
}

silica_rc silica_read(silica_sandbox *sbx, const char *path, const silica_file_opts *opts,
                      silica_buf *ret, silica_error *err)
{
    _cleanup_response_ struct sdk_response resp = {0};
    silica_file_opts o;
    silica_rc rc = sdk_opts_copy(&o, sizeof(o), opts, "silica_file_opts", err);
    if (rc != SILICA_OK)
        return rc;
    uint64_t max = o.max_bytes != 0 ? o.max_bytes : READ_DEFAULT_BYTES;
    if (max > SIZE_MAX / 2)
        return sdk_fail(err, SILICA_E_INVALID, "max_bytes is out of range");
    struct sdk_request req = {.max_body = (size_t)max};
    rc = get_file(sbx, path, &o, &req, &resp, err);
    if (rc == SILICA_OK && resp.body.n > max) /* small maxima leave room for an error's text */
        rc = sdk_fail(err, SILICA_E_TOO_LARGE, "the file is larger than max_bytes");
    return rc == SILICA_OK ? sdk_buf_take(&resp.body, ret, err) : rc;
}

struct fd_sink {
    int fd;
    uint64_t n;
};

static int to_fd(void *user, const char *p, size_t n)
{
    struct fd_sink *s = user;
    int r = fs_write_all(s->fd, p, n);
    s->n += n;
    return -r;
}

silica_rc silica_download(silica_sandbox *sbx, const char *path, int fd,
                          const silica_file_opts *opts, uint64_t *ret_bytes, silica_error *err)
{
    _cleanup_response_ struct sdk_response resp = {0};
    silica_file_opts o;
    struct fd_sink sink = {.fd = fd};
    silica_rc rc = sdk_opts_copy(&o, sizeof(o), opts, "silica_file_opts", err);
    if (rc == SILICA_OK && o.max_bytes != 0)
        rc = sdk_fail(err, SILICA_E_INVALID, "max_bytes is for silica_read");
    if (rc != SILICA_OK)
        return rc;
    struct sdk_request req = {.sink = to_fd, .sink_user = &sink};
    rc = get_file(sbx, path, &o, &req, &resp, err);
    if (rc == SILICA_OK && ret_bytes != NULL)
        *ret_bytes = sink.n;
    return rc;
}

/* The body or descriptor of `req` becomes the file. */
static silica_rc post_file(silica_sandbox *sbx, const char *path, const silica_file_opts *opts,
                           struct sdk_request *req, silica_error *err)
{
    _cleanup_response_ struct sdk_response resp = {0};
    _cleanup_buf_ struct buf url = BUF_INIT(SDK_URL_MAX);
    silica_file_opts o;
    silica_rc rc = sdk_opts_copy(&o, sizeof(o), opts, "silica_file_opts", err);
    if (rc == SILICA_OK && o.max_bytes != 0)
        rc = sdk_fail(err, SILICA_E_INVALID, "max_bytes is for silica_read");
    if (rc == SILICA_OK)
        rc = files_url(sbx, path, o.user, &url, err);
    if (rc != SILICA_OK)
        return rc;
    _cleanup_slist_ struct curl_slist *headers = sdk_data_headers(sbx, NULL);
    bool ok = headers != NULL;
    if (ok && sbx->octet_stream)
        ok = sdk_header(&headers, "Content-Type", "application/octet-stream");
    if (!ok)
        return sdk_fail_nomem(err);
    req->method = "POST";
    req->url = buf_str(&url);
    req->headers = headers;
    req->transfer = true;
    if (!sbx->octet_stream)
        req->form_filename = path;
    rc = sdk_request_run(sbx->client, req, &resp, err);
    if (rc == SILICA_OK && resp.status != 200)
        rc = sdk_fail_status(err, &resp, SDK_SCOPE_DATA);
    return rc;
}

silica_rc silica_write(silica_sandbox *sbx, const char *path, const void *data, size_t n,
                       const silica_file_opts *opts, silica_error *err)
{
    struct sdk_request req = {.body = slice_of(data, n), .has_body = true};
    return post_file(sbx, path, opts, &req, err);
}

silica_rc silica_upload(silica_sandbox *sbx, const char *path, int fd, const silica_file_opts *opts,
                        silica_error *err)
{
    struct sdk_request req = {.from_fd = true, .body_fd = fd, .body_length = -1};
    struct stat st;
    off_t at = lseek(fd, 0, SEEK_CUR);
    if (fstat(fd, &st) != 0) {
        int saved = errno;
        (void)sdk_fail(err, SILICA_E_IO, "the descriptor to upload: %s", strerror(saved));
        if (err != NULL)
            err->sys_errno = saved;
        return SILICA_E_IO;
    }
    /* A regular file says its length; it must not grow meanwhile, what is sent is cut there. */
    if (S_ISREG(st.st_mode) && at >= 0)
        req.body_length = st.st_size > at ? (int64_t)(st.st_size - at) : 0;
    return post_file(sbx, path, opts, &req, err);
}
