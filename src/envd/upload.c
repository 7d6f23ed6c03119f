/*
 * Files are written in place, as the protocol has it: a broken upload leaves a partial file, files
 * written earlier in the same request stay.
 */
#include "envd/upload.h"

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/keyed.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

static int fail(struct upload *u, int r, unsigned status)
{
    u->status = r == -ENOSPC || r == -EDQUOT ? 507 : status;
    return r;
}

static int fail_sys(struct upload *u, int r, unsigned status, const char *what, const char *path,
                    struct err *err)
{
    if (r == -ENOSPC || r == -EDQUOT)
        (void)err_set(err, r, ERR_LIMIT, "not enough disk space available");
    else
        (void)err_set(err, r, ERR_INTERNAL, "%s '%.160s': %s", what, path, strerrordesc_np(-r));
    return fail(u, r, status);
}

void upload_init(struct upload *u, const struct user *user, const char *workdir, int own_memory_fd)
{
    memset(u, 0, sizeof(*u));
    u->user = user;
    u->workdir = workdir;
    u->own_memory_fd = own_memory_fd;
    u->fd = -EBADF;
}

void upload_done(struct upload *u)
{
    u->fd = fd_close(u->fd);
    for (size_t i = 0; i < u->n_written; i++)
        free(u->written[i]);
    cleanup_freep(&u->written);
    u->n_written = 0;
    if (u->multipart)
        multipart_done(&u->parser);
}

static int fail_parents(struct upload *u, int r, const char *path, struct err *err)
{
    if (r == -ENOSPC || r == -EDQUOT)
        return fail_sys(u, r, 507, "", path, err);
    return fail(u, r, 500);
}

static int remember(struct upload *u, const char *path, struct err *err)
{
    if (u->n_written == FILES_UPLOAD_FILES_MAX) {
        (void)err_set(err, -E2BIG, ERR_LIMIT, "more than %d files in one request",
                      FILES_UPLOAD_FILES_MAX);
        return fail(u, -E2BIG, 400);
    }
    char **v = reallocarray(u->written, u->n_written + 1, sizeof(*v));
    char *copy = strdup(path);
    if (v != NULL)
        u->written = v;
    if (v == NULL || copy == NULL) {
        free(copy);
        (void)err_set(err, -ENOMEM, ERR_INTERNAL, "out of memory");
        return fail(u, -ENOMEM, 500);
    }
    u->written[u->n_written++] = copy;
    return 0;
}

/* The opened file must be regular; it is emptied and given to the user. */
static int take_file(struct upload *u, int fd, const char *path, struct err *err)
{
    struct stat st;
    struct statfs fs;
    if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
        return fail_sys(u, -errno, 500, "error looking at", path, err);
    if (!S_ISREG(st.st_mode)) {
        (void)err_set(err, -EINVAL, ERR_INVALID, "path is not a regular file: %.180s", path);
        return fail(u, -EINVAL, 400);
    }
    if (ftruncate(fd, 0) < 0)
        return fail_sys(u, -errno, 500, "error emptying", path, err);
    if (fchown(fd, u->user->uid, u->user->gid) < 0)
        return fail_sys(u, -errno, 500, "error changing the owner of", path, err);
    u->in_memory = fs.f_type == TMPFS_MAGIC;
    return 0;
}

static int open_file(struct upload *u, const char *path, struct err *err)
{
    for (size_t i = 0; i < u->n_written; i++)
        if (strcmp(u->written[i], path) == 0) {
            (void)err_set(err, -EINVAL, ERR_INVALID,
                          "you cannot upload multiple files to the same path '%.140s'", path);
            return fail(u, -EINVAL, 400);
        }
    int r = path_make_parents(path, u->user->uid, u->user->gid, err);
    if (r < 0)
        return fail_parents(u, r, path, err);
    _cleanup_close_ int fd = path_open(path, O_WRONLY | O_CREAT, 0666);
    if (fd == -EISDIR || (fd == -EINVAL && path[strlen(path) - 1] == '/')) {
        (void)err_set(err, fd, ERR_INVALID, "path is a directory: %.200s", path);
        return fail(u, fd, 400);
    }
    if (fd < 0)
        return fail_sys(u, fd, 500, "error opening file", path, err);
    if ((r = take_file(u, fd, path, err)) < 0 || (r = remember(u, path, err)) < 0)
        return r;
    u->fd = take_fd(&fd);
    return 0;
}

static int check_memory(struct upload *u, size_t more, struct err *err)
{
    uint64_t used;
    if (!u->in_memory || keyed_read_u64(u->own_memory_fd, "shmem", &used) < 0 ||
        used + more <= UPLOAD_IN_MEMORY_MAX_BYTES)
        return 0;
    (void)err_set(err, -ENOSPC, ERR_LIMIT,
                  "uploads to a file system in memory may hold %d MiB: upload to the disk and copy",
                  UPLOAD_IN_MEMORY_MAX_BYTES >> 20);
    return fail(u, -ENOSPC, 507);
}

static int write_data(struct upload *u, struct slice data, struct err *err)
{
    int r = check_memory(u, data.n, err);
    if (r < 0)
        return r;
    r = fs_write_all(u->fd, data.p, data.n);
    return r < 0 ? fail_sys(u, r, 500, "error writing file", u->written[u->n_written - 1], err) : 0;
}

static int close_file(struct upload *u, struct err *err)
{
    int fd = take_fd(&u->fd);
    if (fd >= 0 && close(fd) < 0 && errno != EINTR) /* delayed write errors of some file systems */
        return fail_sys(u, -errno, 500, "error writing file", u->written[u->n_written - 1], err);
    return 0;
}

/* ---- multipart ---- */

static int on_part(void *user, const struct multipart_part *part, struct err *err)
{
    struct upload *u = user;
    char path[ENVD_PATH_MAX + 1];
    u->skipping = strcmp(part->name, "file") != 0;
    if (u->skipping)
        return 0;
    if (u->target[0] != '\0')
        return open_file(u, u->target, err);
    if (part->filename == NULL || part->filename[0] == '\0') {
        (void)err_set(err, -EINVAL, ERR_INVALID,
                      "filename not provided in the form and no path query parameter given");
        return fail(u, -EINVAL, 400);
    }
    int r = path_resolve(part->filename, u->user->home, u->workdir, path, err);
    return r < 0 ? fail(u, r, 400) : open_file(u, path, err);
}

static int on_data(void *user, struct slice data, struct err *err)
{
    struct upload *u = user;
    return u->skipping ? 0 : write_data(u, data, err);
}

static int on_part_end(void *user, struct err *err)
{
    return close_file(user, err);
}

const struct multipart_ops upload_multipart_ops = {on_part, on_data, on_part_end};

/* ---- either kind ---- */

static int open_raw(struct upload *u, struct err *err)
{
    return !u->multipart && u->fd < 0 ? open_file(u, u->target, err) : 0;
}

int upload_feed(struct upload *u, struct slice data, struct err *err)
{
    int r = open_raw(u, err);
    if (r < 0)
        return r;
    r = u->multipart ? multipart_feed(&u->parser, data, err) : write_data(u, data, err);
    if (r < 0 && u->status == 0)
        u->status = 500; /* protocol: a broken form */
    return r;
}

int upload_end(struct upload *u, struct err *err)
{
    int r = open_raw(u, err); /* an empty body is an empty file */
    if (r < 0)
        return r;
    if (!u->multipart)
        return close_file(u, err);
    r = multipart_end(&u->parser, err);
    return r < 0 ? fail(u, r, 500) : 0;
}
