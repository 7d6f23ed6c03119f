#include "disk/disk.h"

#include "base/cleanup.h"
#include "base/ids.h"
#include "disk/image.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>

static const char suffix[] = ".img";

static void image_name(const char *id, char dst[static IMAGE_NAME_BYTES])
{
    (void)snprintf(dst, IMAGE_NAME_BYTES, "%s%s", id, suffix);
}

static int clone_empty(struct disks *d, const char *name, uint32_t mib, int *ret_fd,
                       struct err *err)
{
    _cleanup_close_ int empty = -EBADF;
    int r = empty_image(d->dir_fd, mib, &empty, err);
    if (r < 0)
        return r;
    _cleanup_close_ int fd =
        openat(d->dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(err, -errno, "make the disk of a sandbox");
    if (ioctl(fd, FICLONE, empty) < 0) {
        r = -errno;
        (void)unlinkat(d->dir_fd, name, 0);
        return err_sys(err, r, "share the blocks of an empty disk");
    }
    *ret_fd = take_fd(&fd);
    return 0;
}

int disk_create(struct disks *d, const char *id, uint64_t bytes, int *ret_fd, struct err *err)
{
    char name[IMAGE_NAME_BYTES];
    uint64_t mib = bytes >> 20;
    if (mib < DISK_MIN_MIB || mib > DISK_MAX_MIB)
        return err_set(err, -EINVAL, ERR_INVALID, "the disk must be 16 MiB to 16 TiB");
    image_name(id, name);
    _cleanup_close_ int file = -EBADF;
    int r = clone_empty(d, name, (uint32_t)mib, &file, err);
    if (r < 0)
        return r;
    r = image_mount(file, ret_fd, err);
    if (r < 0)
        (void)unlinkat(d->dir_fd, name, 0); /* the failure above is what matters */
    return r;
}

int disk_remove(int dir_fd, const char *id, unsigned wait_ms)
{
    char name[IMAGE_NAME_BYTES];
    image_name(id, name);
    _cleanup_close_ int fd = openat(dir_fd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0)
        image_await_release(fd, wait_ms);
    return unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

static bool id_of(const char *name, char id[static SANDBOX_ID_LEN + 1])
{
    if (strlen(name) != SANDBOX_ID_LEN + strlen(suffix) ||
        strcmp(name + SANDBOX_ID_LEN, suffix) != 0)
        return false;
    (void)snprintf(id, SANDBOX_ID_LEN + 1, "%.*s", (int)SANDBOX_ID_LEN, name);
    return id_is_sandbox(id);
}

int disks_each(const struct disks *d, void (*each)(void *user, const char *id), void *user)
{
    int fd = openat(d->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        int r = -errno;
        (void)fd_close(fd);
        return r;
    }
    char id[SANDBOX_ID_LEN + 1];
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        if (id_of(e->d_name, id))
            each(user, id);
    (void)closedir(dir);
    return 0;
}
