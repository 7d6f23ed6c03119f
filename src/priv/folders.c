/*
 * The data folder, its parts, the templates and the socket's folder are named by whoever starts
 * silica-priv; what it then does there, it does as root. So nobody else may be able to put something
 * in their places. On the way from the root folder
 *   - no name is a symbolic link, so that what was said is what is used
 *   - no folder may be written by its group or by all, but for those with the sticky bit (/tmp),
 *     where others can make files and cannot exchange ours
 *   - the last one belongs to root and is written by root alone
 * A folder above that belongs to a user is let pass, because a checkout in a home folder is like
 * that: its owner is trusted not to exchange it.
 *
 * Names are walked by descriptor: what was looked at is what is opened.
 */
#include "priv/folders.h"

#include "base/cleanup.h"
#include "base/slice.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

static int refuse_entry(int dir, const char *name, const char *path, int num, struct err *err)
{
    struct stat st;
    bool link = fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode);
    if (link)
        return err_set(err, -ENOTDIR, ERR_INVALID,
                       "'%s' is a symbolic link on the way to '%s': name the folder itself", name,
                       path);
    return err_sys(err, num, "open '%s' on the way to '%s'", name, path);
}

static int step(int dir, const char *name, const char *path, bool make, mode_t mode, int *ret_fd,
                struct err *err)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(dir, name, flags);
    if (fd < 0 && errno == ENOENT && make && (mkdirat(dir, name, mode) == 0 || errno == EEXIST))
        fd = openat(dir, name, flags);
    if (fd < 0)
        return refuse_entry(dir, name, path, -errno, err);
    *ret_fd = fd;
    return 0;
}

/* Of a group that nobody is in but root, writing is root's affair. */
static bool others_write(const struct stat *st)
{
    return (st->st_mode & S_IWOTH) != 0 || ((st->st_mode & S_IWGRP) != 0 && st->st_gid != 0);
}

static int look_at(int fd, const char *name, const char *path, bool last, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_sys(err, -errno, "look at '%s'", path);
    if (others_write(&st) && (last || (st.st_mode & S_ISVTX) == 0))
        return err_set(err, -EPERM, ERR_DENIED,
                       "others than root may write to '%s' of '%s' (mode %04o): chmod go-w it, or "
                       "choose another folder",
                       name, path, (unsigned)st.st_mode & 07777u);
    if (last && st.st_uid != 0)
        return err_set(err, -EPERM, ERR_DENIED,
                       "'%s' belongs to user %u: chown it to root, or choose another folder", path,
                       (unsigned)st.st_uid);
    return 0;
}

/* Cuts the next name off *rest; false at the end. Empty names are passed over. */
static bool next_name(char **rest, char **ret)
{
    while (**rest == '/')
        (*rest)++;
    if (**rest == '\0')
        return false;
    *ret = *rest;
    *rest = strchrnul(*rest, '/');
    if (**rest == '/')
        *(*rest)++ = '\0';
    while (**rest == '/')
        (*rest)++;
    return true;
}

int folder_open(const char *path, bool make, mode_t mode, int *ret_fd, struct err *err)
{
    char names[PATH_MAX], *rest = names, *name;
    if (path[0] != '/' || slice_copy(slice_str(path), names, sizeof(names)) < 0)
        return err_set(err, -EINVAL, ERR_INVALID, "'%.100s' is no absolute path of a folder", path);
    _cleanup_close_ int dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return err_sys(err, -errno, "open '/'");
    while (next_name(&rest, &name)) {
        bool last = *rest == '\0';
        int fd = -EBADF;
        if (strcmp(name, "..") == 0)
            return err_set(err, -EINVAL, ERR_INVALID, "'%s' must be without '..'", path);
        int r = step(dir, name, path, make, last ? mode : 0755, &fd, err);
        if (r < 0)
            return r;
        (void)fd_close(dir);
        dir = fd;
        if ((r = look_at(dir, name, path, last, err)) < 0)
            return r;
    }
    *ret_fd = take_fd(&dir);
    return 0;
}

int folder_check_of(const char *path, struct err *err)
{
    char folder[PATH_MAX];
    int r = slice_copy(slice_str(path), folder, sizeof(folder));
    char *slash = r < 0 ? NULL : strrchr(folder, '/');
    if (slash == NULL)
        return err_set(err, -EINVAL, ERR_INVALID, "'%.100s' is no absolute path", path);
    slash[slash == folder ? 1 : 0] = '\0';
    _cleanup_close_ int fd = -EBADF;
    return folder_open(folder, false, 0, &fd, err);
}
