/*
 * The daemon is root in the sandbox and applies no permission check of its own; the kernel resolves
 * every path inside the sandbox's root, which is our root. Symbolic links are followed as the
 * protocol wants. Magic links are not: /proc/self/fd/N would open descriptors that were passed to
 * the daemon from outside of the sandbox.
 */
#include "envd/paths.h"

#include "base/cleanup.h"
#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* Drops the last component of what was appended after `floor`. */
static void pop_component(struct buf *out, size_t floor)
{
    while (out->n > floor && out->p[out->n - 1] != '/')
        out->n--;
    if (out->n > floor)
        out->n--;
}

static bool ends_with_dotdot(const struct buf *out, size_t floor)
{
    size_t n = out->n - floor;
    const char *end = out->p + out->n;
    return n >= 2 && end[-1] == '.' && end[-2] == '.' && (n == 2 || end[-3] == '/');
}

int path_clean(struct buf *out, const char *path)
{
    bool rooted = path[0] == '/';
    size_t start = out->n;
    if (rooted)
        buf_put_char(out, '/');
    size_t floor = out->n;
    struct slice rest = slice_str(path), part;
    while (slice_next(&rest, '/', &part) && out->error == 0) {
        if (part.n == 0 || slice_eq_str(part, "."))
            continue;
        if (slice_eq_str(part, "..")) {
            if (out->n > floor && !ends_with_dotdot(out, floor)) {
                pop_component(out, floor);
                continue;
            }
            if (rooted)
                continue; /* above the root is the root */
        }
        if (out->n > floor)
            buf_put_char(out, '/');
        buf_put_slice(out, part);
    }
    if (out->error == 0 && out->n == start)
        buf_put_char(out, '.');
    if (out->error == 0)
        out->p[out->n] = '\0';
    return out->error;
}

static int join_clean(const char *home, const char *rel, char *ret, struct err *err)
{
    _cleanup_buf_ struct buf joined = BUF_INIT(2 * ENVD_PATH_MAX + 2);
    _cleanup_buf_ struct buf clean = BUF_INIT(2 * ENVD_PATH_MAX + 2);
    buf_printf(&joined, "%s/%s", home, rel);
    if (joined.error == 0)
        path_clean(&clean, buf_str(&joined));
    if (joined.error != 0 || clean.error != 0 ||
        slice_copy(buf_slice(&clean), ret, ENVD_PATH_MAX + 1) < 0)
        return err_set(err, -ENAMETOOLONG, ERR_INVALID, "path is longer than %d bytes",
                       ENVD_PATH_MAX);
    return 0;
}

int path_resolve(const char *given, const char *home, const char *workdir, char *ret,
                 struct err *err)
{
    if (given[0] == '\0')
        given = workdir[0] != '\0' ? workdir : "~";
    if (strlen(given) > ENVD_PATH_MAX)
        return err_set(err, -ENAMETOOLONG, ERR_INVALID, "path is longer than %d bytes",
                       ENVD_PATH_MAX);
    if (given[0] == '/')
        return slice_copy(slice_str(given), ret, ENVD_PATH_MAX + 1);
    if (given[0] == '~' && given[1] != '\0' && given[1] != '/')
        return err_set(err, -EINVAL, ERR_INVALID,
                       "failed to expand path '%.80s': cannot expand user-specific home dir",
                       given);
    if (given[0] == '~')
        given += given[1] == '/' ? 2 : 1;
    return join_clean(home, given, ret, err);
}

struct slice path_base(const char *path)
{
    struct slice s = slice_str(path);
    while (s.n > 1 && s.p[s.n - 1] == '/')
        s.n--;
    for (size_t i = s.n; i > 0; i--)
        if (s.p[i - 1] == '/' && s.n > 1)
            return slice_from(s, i);
    return s;
}

static int open_root(void)
{
    int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int path_open(const char *path, int flags, uint32_t mode)
{
    _cleanup_close_ int root = open_root();
    if (root < 0)
        return root;
    int extra = (flags & O_PATH) != 0 ? 0 : O_NONBLOCK | O_NOCTTY;
    return fs_open_in_root(root, path, flags | extra, mode);
}

/* Make `prefix`, whose parent is open; its last component starts at `at`. */
static int make_one(int parent, const char *prefix, size_t at, uint32_t uid, uint32_t gid,
                    bool *ret_made, struct err *err)
{
    if (mkdirat(parent, prefix + at, 0755) == 0) {
        *ret_made = true;
        if (fchownat(parent, prefix + at, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
            return err_sys(err, -errno, "error changing the owner of '%s'", prefix);
        return 0;
    }
    if (errno == EEXIST) /* made by another meanwhile, or a dangling link: opening it tells */
        return 0;
    return err_sys(err, -errno, "error creating directory '%s'", prefix);
}

/* Open the folder `prefix`, making it first if it is missing. */
static int enter_or_make(int root, int parent, const char *prefix, size_t at, uint32_t uid,
                         uint32_t gid, bool *ret_made, struct err *err)
{
    enum { FLAGS = O_PATH | O_DIRECTORY };
    *ret_made = false;
    int fd = fs_open_in_root(root, prefix, FLAGS, 0);
    if (fd == -ENOENT) {
        int r = make_one(parent, prefix, at, uid, gid, ret_made, err);
        if (r < 0)
            return r;
        fd = fs_open_in_root(root, prefix, FLAGS, 0);
    }
    if (fd == -ENOTDIR)
        return err_set(err, fd, ERR_INVALID, "path is a file: %s", prefix);
    return fd < 0 ? err_sys(err, fd, "error opening directory '%s'", prefix) : fd;
}

int path_make_all(const char *path, uint32_t uid, uint32_t gid, bool *ret_made, struct err *err)
{
    char prefix[ENVD_PATH_MAX + 1];
    size_t n = strlen(path), i = 0;
    bool made = false;
    _cleanup_close_ int root = open_root();
    _cleanup_close_ int at = open_root();
    if (root < 0 || at < 0)
        return err_sys(err, root < 0 ? root : at, "error opening '/'");
    if (n > ENVD_PATH_MAX)
        return err_set(err, -ENAMETOOLONG, ERR_INVALID, "path is too long");
    for (;;) {
        while (path[i] == '/')
            i++;
        size_t start = i;
        while (path[i] != '\0' && path[i] != '/')
            i++;
        if (start == i)
            break;
        memcpy(prefix, path, i);
        prefix[i] = '\0';
        int fd = enter_or_make(root, at, prefix, start, uid, gid, &made, err);
        if (fd < 0)
            return fd;
        (void)fd_close(at);
        at = fd;
    }
    *ret_made = made;
    return 0;
}

int path_make_parents(const char *path, uint32_t uid, uint32_t gid, struct err *err)
{
    char parent[ENVD_PATH_MAX + 1];
    struct slice base = path_base(path);
    size_t n = (size_t)(base.p - path);
    bool made;
    if (slice_copy(slice_of(path, n), parent, sizeof(parent)) < 0)
        return err_set(err, -ENAMETOOLONG, ERR_INVALID, "path is too long");
    int fd = path_open(n != 0 ? parent : "/", O_PATH | O_DIRECTORY, 0);
    if (fd >= 0) {
        (void)fd_close(fd);
        return 0;
    }
    return path_make_all(parent, uid, gid, &made, err);
}
