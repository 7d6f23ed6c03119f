/*
 * Empty images: formatted once for each size, with the two folders that an overlay wants, then shared
 * by every disk of that size. Made under another name, synced and renamed: what bears the name is
 * whole. It is mounted by the kernel before it is used, once and never again.
 */
#include "disk/image.h"

#include "base/cleanup.h"
#include "base/num.h"
#include "disk/format.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

enum { EMPTY_IMAGES_MAX = 16, RELEASE_WAIT_MS = 10000 };

static int make_folders(int mnt_fd)
{
    if (mkdirat(mnt_fd, "upper", 0755) < 0 || mkdirat(mnt_fd, "work", 0700) < 0 ||
        fchmodat(mnt_fd, "upper", 0755, 0) < 0) /* the root folder, whatever our umask is */
        return -errno;
    return unlinkat(mnt_fd, "lost+found", AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

static int fill(int file_fd, uint32_t mib, struct err *err)
{
    if (ftruncate(file_fd, (off_t)mib << 20) < 0)
        return err_sys(err, -errno, "size an empty disk");
    int r = format_ext4(file_fd, err);
    if (r < 0)
        return r;
    int mnt = -EBADF;
    r = image_mount(file_fd, &mnt, err);
    if (r < 0)
        return r;
    r = make_folders(mnt);
    (void)fd_close(mnt);
    image_await_release(file_fd, RELEASE_WAIT_MS);
    if (r == 0 && fsync(file_fd) < 0)
        r = -errno;
    return r < 0 ? err_sys(err, r, "prepare an empty disk") : 0;
}

/* The size in the name of an empty image; 0: it is none. */
static uint32_t empty_size(const char *name)
{
    uint32_t mib;
    size_t n = strlen(name);
    if (n < 11 || strncmp(name, "empty-", 6) != 0 || strcmp(name + n - 4, ".img") != 0)
        return 0;
    return parse_u32(slice_of(name + 6, n - 10), UINT32_MAX, &mib) == 0 ? mib : 0;
}

/* Sizes are asked for by the daemon: what they take up has a limit. */
static int make_space(int dir_fd)
{
    char oldest[NAME_MAX + 1] = "";
    int64_t oldest_s = INT64_MAX;
    unsigned count = 0;
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        int r = -errno;
        (void)fd_close(fd);
        return r;
    }
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        struct stat st;
        if (empty_size(e->d_name) == 0 || fstatat(dir_fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        count++;
        if (st.st_mtim.tv_sec < oldest_s) {
            oldest_s = st.st_mtim.tv_sec;
            (void)snprintf(oldest, sizeof(oldest), "%s", e->d_name);
        }
    }
    (void)closedir(dir);
    return count >= EMPTY_IMAGES_MAX && unlinkat(dir_fd, oldest, 0) < 0 ? -errno : 0;
}

static int make_empty(int dir_fd, uint32_t mib, const char *name, int *ret_fd, struct err *err)
{
    static const char fresh[] = IMAGE_NEW_PREFIX "empty";
    int r = make_space(dir_fd);
    if (r < 0 || (unlinkat(dir_fd, fresh, 0) < 0 && errno != ENOENT))
        return err_sys(err, r < 0 ? r : -errno, "make place for an empty disk");
    _cleanup_close_ int fd =
        openat(dir_fd, fresh, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(err, -errno, "make an empty disk");
    r = fill(fd, mib, err);
    if (r == 0 && renameat(dir_fd, fresh, dir_fd, name) < 0)
        r = err_sys(err, -errno, "name an empty disk");
    if (r < 0) {
        (void)unlinkat(dir_fd, fresh, 0); /* the failure above is what matters */
        return r;
    }
    *ret_fd = take_fd(&fd);
    return 0;
}

int empty_image(int dir_fd, uint32_t mib, int *ret_fd, struct err *err)
{
    char name[IMAGE_NAME_BYTES];
    (void)snprintf(name, sizeof(name), "empty-%u.img", mib);
    int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT)
        return err_sys(err, -errno, "open an empty disk");
    if (fd < 0)
        return make_empty(dir_fd, mib, name, ret_fd, err);
    *ret_fd = fd;
    return 0;
}
