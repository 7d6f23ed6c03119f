#include "base/fs.h"

#include "base/cleanup.h"
#include "base/random.h"
#include "base/syscalls.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

/* EAGAIN says that a rename raced with the walk (openat2(2)); who renames on does not hold us. */
enum { OPEN_TRIES_MAX = 128 };

int fs_open_in_root(int root_fd, const char *path, int flags, mode_t mode)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
        .mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? mode : 0,
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };
    int fd = -1;
    for (int tries = 0; tries < OPEN_TRIES_MAX; tries++) {
        fd = sys_openat2(root_fd, path, &how, sizeof(how));
        if (fd >= 0 || (errno != EINTR && errno != EAGAIN))
            break;
    }
    return fd < 0 ? -errno : fd;
}

int fs_read_fd(int fd, struct buf *out)
{
    while (out->error == 0) {
        size_t room = out->max - out->n < 65536 ? out->max - out->n : 65536;
        char probe = 0;
        char *at = room != 0 ? buf_reserve(out, room) : &probe;
        if (at == NULL)
            return out->error;
        ssize_t n = read(fd, at, room != 0 ? room : 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return 0;
        if (room == 0)
            return out->error = -ENOBUFS;
        buf_commit(out, (size_t)n);
    }
    return out->error;
}

int fs_read_file(int dir_fd, const char *path, struct buf *out, struct err *err)
{
    _cleanup_close_ int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_sys(err, -errno, "open '%s'", path);
    int r = fs_read_fd(fd, out);
    return r < 0 ? err_sys(err, r, "read '%s'", path) : 0;
}

int fs_write_all(int fd, const void *p, size_t n)
{
    const char *s = p;
    while (n > 0) {
        ssize_t k = write(fd, s, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return -errno;
        s += k;
        n -= (size_t)k;
    }
    return 0;
}

int fs_replace_file(int dir_fd, const char *name, struct slice content, mode_t mode,
                    struct err *err)
{
    char id[9], tmp[NAME_MAX + 1];
    if (name[0] == '\0' || strchr(name, '/') != NULL)
        return err_sys(err, -EINVAL, "write '%s'", name);
    random_id(id, 8);
    if ((size_t)snprintf(tmp, sizeof(tmp), ".%s.%s", name, id) >= sizeof(tmp))
        return err_sys(err, -ENAMETOOLONG, "write '%s'", name);
    _cleanup_close_ int fd = openat(dir_fd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return err_sys(err, -errno, "create '%s'", tmp);
    int r = fs_write_all(fd, content.p, content.n);
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    if (r == 0 && renameat(dir_fd, tmp, dir_fd, name) < 0)
        r = -errno;
    if (r < 0) {
        (void)unlinkat(dir_fd, tmp, 0); /* the failure above is what matters */
        return err_sys(err, r, "write '%s'", name);
    }
    _cleanup_close_ int self = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (self < 0 || fsync(self) < 0)
        return err_sys(err, -errno, "sync the folder of '%s'", name);
    return 0;
}

int fs_put_file(int dir_fd, const char *name, struct slice content, mode_t mode)
{
    if (unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT)
        return -errno;
    _cleanup_close_ int fd =
        openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0)
        return -errno;
    int r = fs_write_all(fd, content.p, content.n);
    return r == 0 && fchmod(fd, mode) < 0 ? -errno : r;
}

int fs_mkdir_all(const char *path, mode_t mode, struct err *err)
{
    char tmp[PATH_MAX];
    int r = slice_copy(slice_str(path), tmp, sizeof(tmp));
    if (r < 0 || path[0] == '\0')
        return err_sys(err, r < 0 ? -ENAMETOOLONG : -ENOENT, "make folder '%s'", path);
    for (char *p = tmp; *p != '\0';) {
        while (*p == '/')
            p++;
        while (*p != '/' && *p != '\0')
            p++;
        char keep = *p;
        *p = '\0';
        struct stat st;
        if (mkdir(tmp, mode) < 0 && (errno != EEXIST || stat(tmp, &st) < 0 || !S_ISDIR(st.st_mode)))
            return err_sys(err, errno == EEXIST ? -ENOTDIR : -errno, "make folder '%s'", tmp);
        *p = keep;
    }
    return 0;
}

/*
 * Trees may be deeper than any stack or descriptor table (a guest made them): a folder met at the
 * maximum depth is moved up into the top folder, which is read again until nothing is left in it.
 * What is gone meanwhile is fine: another process may be removing the same tree.
 */
enum { REMOVE_DEPTH_MAX = 32 };

struct removal {
    int top_fd; /* borrowed; the folder that deep ones are moved to */
};

static int remove_at(struct removal *rm, int dir_fd, const char *name, unsigned depth);

static int remove_entries(struct removal *rm, DIR *dir, unsigned depth, unsigned *ret_seen)
{
    int r = 0;
    unsigned seen = 0;
    struct dirent *e;
    while (r == 0 && (errno = 0, e = readdir(dir)) != NULL)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            seen++;
            r = remove_at(rm, dirfd(dir), e->d_name, depth + 1);
        }
    *ret_seen = seen;
    return r == 0 && errno != 0 ? -errno : r;
}

/* Empties the folder that fd (taken) is open on; reads it again until a pass meets nothing. */
static int remove_content(struct removal *rm, int fd, unsigned depth)
{
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        int saved = errno;
        (void)fd_close(fd);
        return -saved;
    }
    if (depth == 0)
        rm->top_fd = dirfd(dir);
    unsigned seen;
    int r;
    do {
        rewinddir(dir);
        r = remove_entries(rm, dir, depth, &seen);
    } while (r == 0 && seen > 0);
    (void)closedir(dir);
    return r;
}

static int move_up(struct removal *rm, int dir_fd, const char *name)
{
    char to[] = ".removed.0123456789abcdef";
    random_id(to + 9, 16);
    return renameat(dir_fd, name, rm->top_fd, to) < 0 && errno != ENOENT ? -errno : 0;
}

/* Below the top no mount is entered; the top itself is refused when it is a mount point. */
static int open_folder(int dir_fd, const char *name, unsigned depth)
{
    struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
                           .resolve = depth > 0 ? RESOLVE_NO_XDEV : 0};
    int fd = sys_openat2(dir_fd, name, &how, sizeof(how));
    struct statx st;
    if (fd < 0 || depth > 0)
        return fd < 0 ? -errno : fd;
    int r = statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &st) < 0 ? -errno : 0;
    if (r == 0 && (st.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0)
        r = -EBUSY;
    if (r < 0)
        (void)fd_close(fd);
    return r < 0 ? r : fd;
}

static int remove_at(struct removal *rm, int dir_fd, const char *name, unsigned depth)
{
    if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    if (depth > REMOVE_DEPTH_MAX)
        return move_up(rm, dir_fd, name);
    int fd = open_folder(dir_fd, name, depth);
    int r = fd < 0 ? fd : remove_content(rm, fd, depth);
    if (r < 0 && r != -ENOENT)
        return r;
    return unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

int fs_remove_tree(int dir_fd, const char *name, struct err *err)
{
    struct removal rm = {.top_fd = -EBADF};
    int r = remove_at(&rm, dir_fd, name, 0);
    return r < 0 ? err_sys(err, r, "remove '%s'", name) : 0;
}

int fs_join(char *dst, size_t cap, const char *dir, const char *name)
{
    int n = snprintf(dst, cap, "%s/%s", dir, name);
    return n < 0 || (size_t)n >= cap ? -ENAMETOOLONG : 0;
}
