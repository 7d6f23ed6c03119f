/*
 * Acts on single paths of a root file system that is being built. Its packages are trusted, yet every
 * path is resolved by the kernel below root_fd: an absolute link inside must not reach the host.
 */
#include "image/build_internal.h"

#include "base/cleanup.h"
#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

/* The folder that holds `path`; *ret_name points to the last part of `path`. */
static int open_parent(int root_fd, const char *path, const char **ret_name, struct err *err)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (slash == NULL || slash[1] == '\0')
        return err_set(err, -EINVAL, ERR_INTERNAL, "'%s' is no absolute path", path);
    struct slice parent = slice_of(path, (size_t)(slash - path) + 1);
    if (slice_copy(parent, dir, sizeof(dir)) < 0)
        return err_sys(err, -ENAMETOOLONG, "open the folder of '%s'", path);
    int fd = fs_open_in_root(root_fd, dir, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return err_sys(err, fd, "open the folder of '%s'", path);
    *ret_name = slash + 1;
    return fd;
}

int root_write(int root_fd, const char *path, const char *content, mode_t mode, struct err *err)
{
    const char *name;
    _cleanup_close_ int dir = open_parent(root_fd, path, &name, err);
    if (dir < 0)
        return dir;
    if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
        return err_sys(err, -errno, "replace '%s'", path);
    _cleanup_close_ int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(err, -errno, "create '%s'", path);
    int r = fs_write_all(fd, content, strlen(content));
    if (r == 0 && fchmod(fd, mode) < 0)
        r = -errno;
    return r < 0 ? err_sys(err, r, "write '%s'", path) : 0;
}

int root_append(int root_fd, const char *path, const char *content, struct err *err)
{
    _cleanup_close_ int fd = fs_open_in_root(root_fd, path, O_WRONLY | O_APPEND, 0);
    int r = fd < 0 ? fd : fs_write_all(fd, content, strlen(content));
    return r < 0 ? err_sys(err, r, "append to '%s'", path) : 0;
}

int root_make_dir(int root_fd, const char *path, mode_t mode, struct err *err)
{
    const char *name;
    _cleanup_close_ int dir = open_parent(root_fd, path, &name, err);
    if (dir < 0)
        return dir;
    if (mkdirat(dir, name, 0700) < 0 || fchmodat(dir, name, mode, 0) < 0)
        return err_sys(err, -errno, "make folder '%s'", path);
    return 0;
}

int root_remove(int root_fd, const char *path, bool keep_dir, struct err *err)
{
    const char *name;
    _cleanup_close_ int dir = open_parent(root_fd, path, &name, err);
    struct stat st;
    if (dir == -ENOENT)
        return 0;
    if (dir < 0)
        return dir;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : err_sys(err, -errno, "look at '%s'", path);
    int r = fs_remove_tree(dir, name, err);
    if (r < 0 || !keep_dir)
        return r;
    if (mkdirat(dir, name, 0700) < 0 || fchmodat(dir, name, st.st_mode & 07777, 0) < 0)
        return err_sys(err, -errno, "make folder '%s'", path);
    return 0;
}
