/*
 * GET /files. States: OPENING (pool) → READING (pool) ⇄ WAITING for the client → done. One piece of
 * FILES_PIECE_BYTES is in memory at a time, besides the exchange's own queue.
 *
 * A file is opened twice: as a path only, to see that it is a regular file (opening a FIFO or a
 * device could block or do something), then for reading, and looked at again. The length told is
 * that at opening; a file that shrinks meanwhile cuts the connection. Files of procfs and sysfs say
 * size 0 and have content: they are sent without a length.
 */
#include "envd/files.h"

#include "base/cleanup.h"
#include "envd/request.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

struct download {
    struct request *r; /* counted */
    uv_work_t work;
    char path[ENVD_PATH_MAX + 1];
    int fd; /* owned */
    struct stat st;
    bool virtual_file; /* size 0 is not believed */
    bool opened, blocked, gone;
    uint64_t sent;
    size_t piece_bytes; /* how much to read at a time */
    int result;         /* of opening: 0 or -errno */
    ssize_t n_read;     /* of reading: bytes or -errno */
    char piece[FILES_PIECE_BYTES];
};

static void finish(struct download *d)
{
    struct request *r = d->r;
    r->state = NULL;
    (void)fd_close(d->fd);
    free(d);
    request_unref(r);
}

/* ---- pool ---- */

static int open_regular(struct download *d)
{
    _cleanup_close_ int probe = path_open(d->path, O_PATH, 0);
    if (probe < 0)
        return probe;
    if (fstat(probe, &d->st) < 0)
        return -errno;
    if (!S_ISREG(d->st.st_mode))
        return 0;
    d->fd = path_open(d->path, O_RDONLY, 0);
    if (d->fd < 0)
        return d->fd;
    return fstat(d->fd, &d->st) < 0 ? -errno : 0;
}

static ssize_t read_piece(struct download *d)
{
    size_t n = 0;
    while (n < d->piece_bytes) {
        ssize_t k = read(d->fd, d->piece + n, d->piece_bytes - n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return -errno;
        if (k == 0)
            break;
        n += (size_t)k;
    }
    return (ssize_t)n;
}

static void run(uv_work_t *w)
{
    struct download *d = container_of(w, struct download, work);
    if (!d->opened)
        d->result = open_regular(d);
    d->n_read = d->fd >= 0 ? read_piece(d) : 0;
}

/* ---- loop ---- */

static void put_disposition(struct buf *out, struct slice name)
{
    bool token = name.n != 0, ascii = true;
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i];
        ascii &= c >= 0x20 && c < 0x7f;
        token &= c > 0x20 && c < 0x7f && strchr("()<>@,;:\\\"/[]?=", c) == NULL;
    }
    buf_put_str(out, ascii ? "inline; filename=" : "inline; filename*=utf-8''");
    if (!ascii) {
        url_encode(out, name);
        return;
    }
    if (!token)
        buf_put_char(out, '"');
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] == '"' || name.p[i] == '\\')
            buf_put_char(out, '\\');
        buf_put_char(out, name.p[i]);
    }
    if (!token)
        buf_put_char(out, '"');
}

static int send_head(struct download *d)
{
    _cleanup_buf_ struct buf disposition = BUF_INIT(4096);
    struct slice name = path_base(d->path);
    const char *type = media_type_by_name(name);
    char modified[40];
    struct tm tm;
    size_t n = (size_t)d->n_read < 512 ? (size_t)d->n_read : 512;
    put_disposition(&disposition, name);
    if (gmtime_r(&d->st.st_mtime, &tm) == NULL ||
        strftime(modified, sizeof(modified), "%a, %d %b %Y %H:%M:%S GMT", &tm) == 0)
        modified[0] = '\0';
    if (type == NULL)
        type = media_type_by_content(slice_of(d->piece, n));
    struct http_header h[] = {
        {SLICE_LIT("Vary"), SLICE_LIT("Accept-Encoding")},
        {SLICE_LIT("Content-Type"), slice_str(type)},
        {SLICE_LIT("Content-Disposition"), buf_slice(&disposition)},
        {SLICE_LIT("Last-Modified"), slice_str(modified)},
    };
    size_t n_headers = modified[0] != '\0' && !d->virtual_file ? 4 : 3;
    return request_respond(d->r, 200, h, n_headers,
                           d->virtual_file ? HTTP_LENGTH_UNKNOWN : (int64_t)d->st.st_size);
}

/* True when the file can be sent; else answered. */
static bool check_opened(struct download *d)
{
    if (d->result == -ENOENT || d->result == -ENOTDIR)
        request_fail(d->r, 404, "path '%s' does not exist", d->path);
    else if (d->result < 0)
        request_fail(d->r, 500, "error opening file '%s': %s", d->path,
                     strerrordesc_np(-d->result));
    else if (S_ISDIR(d->st.st_mode))
        request_fail(d->r, 400, "path '%s' is a directory", d->path);
    else if (!S_ISREG(d->st.st_mode))
        request_fail(d->r, 400, "path '%s' is not a regular file", d->path);
    else if (d->n_read < 0)
        request_fail(d->r, 500, "error reading file '%s': %s", d->path,
                     strerrordesc_np((int)-d->n_read));
    else
        return true;
    return false;
}

static void next_piece(struct download *d);

/* The piece in memory goes out. */
static void send_piece(struct download *d)
{
    uint64_t left = (uint64_t)d->st.st_size - d->sent;
    size_t n = d->n_read > 0 ? (size_t)d->n_read : 0;
    if (!d->virtual_file && n > left)
        n = (size_t)left; /* grown meanwhile */
    d->sent += n;
    int r = n != 0 ? http_x_write(d->r->x, slice_of(d->piece, n)) : 0;
    bool whole = d->virtual_file ? n == 0 : d->sent == (uint64_t)d->st.st_size;
    if (d->n_read < 0 || (n == 0 && !whole) || r == -EPIPE) {
        http_x_abort(d->r->x); /* the client must see that the file is not whole */
        finish(d);
    } else if (whole) {
        http_x_end(d->r->x);
        finish(d);
    } else if (r == -EAGAIN) {
        d->blocked = true;
    } else {
        next_piece(d);
    }
}

static void after(uv_work_t *w, int status)
{
    struct download *d = container_of(w, struct download, work);
    (void)status;
    d->work.data = NULL;
    if (d->gone) {
        finish(d);
        return;
    }
    if (!d->opened) {
        if (!check_opened(d)) {
            finish(d);
            return;
        }
        d->opened = true;
        d->virtual_file = d->st.st_size == 0 && d->n_read > 0;
        if (send_head(d) < 0) {
            http_x_abort(d->r->x);
            finish(d);
            return;
        }
    }
    send_piece(d);
}

static void next_piece(struct download *d)
{
    size_t room = http_x_high_water(d->r->x); /* less when there are many clients */
    d->piece_bytes = room < sizeof(d->piece) ? room : sizeof(d->piece);
    d->work.data = d; /* not NULL: the pool has it */
    (void)uv_queue_work(d->r->envd->loop, &d->work, run, after);
}

static void on_writable(struct request *r)
{
    struct download *d = r->state;
    if (d == NULL || !d->blocked)
        return;
    d->blocked = false;
    next_piece(d);
}

static void on_gone(struct request *r, int reason)
{
    struct download *d = r->state;
    (void)reason;
    if (d == NULL)
        return;
    d->gone = true;
    if (d->work.data == NULL)
        finish(d);
}

void files_get(struct request *r)
{
    char given[ENVD_PATH_MAX + 1];
    struct user user;
    struct err err;
    if (!files_check(r, &user) || files_query(r, "path", given, sizeof(given)) < 0)
        return;
    struct download *d = calloc(1, sizeof(*d));
    if (d == NULL) {
        request_fail(r, 500, "out of memory");
        return;
    }
    d->fd = -EBADF;
    if (path_resolve(given, user.home, r->envd->settings.default_workdir, d->path, &err) < 0) {
        free(d);
        request_fail(r, 400, "%s", err.msg);
        return;
    }
    d->r = r;
    request_ref(r);
    r->state = d;
    r->on_writable = on_writable;
    r->on_gone = on_gone;
    next_piece(d);
}
