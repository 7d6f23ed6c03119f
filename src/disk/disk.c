#include "disk/disk.h"

#include "base/cleanup.h"
#include "base/ids.h"
#include "base/slice.h"
#include "disk/image.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>

static const char suffix[] = ".img";

static const char kept_prefix[] = "kept-";

static void kept_name(const char *id, char dst[static IMAGE_NAME_BYTES])
{
    (void)snprintf(dst, IMAGE_NAME_BYTES, "%s%s%s", kept_prefix, id, suffix);
}

static void image_name(const char *id, char dst[static IMAGE_NAME_BYTES])
{
    (void)snprintf(dst, IMAGE_NAME_BYTES, "%s%s", id, suffix);
}

/* A new disk that shares the blocks of from_fd. */
static int share_blocks(struct disks *d, const char *id, int from_fd, int *ret_fd, struct err *err)
{
    char name[IMAGE_NAME_BYTES];
    image_name(id, name);
    _cleanup_close_ int fd =
        openat(d->dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(err, -errno, "make the disk of a sandbox");
    if (ioctl(fd, FICLONE, from_fd) < 0) {
        int r = -errno;
        (void)unlinkat(d->dir_fd, name, 0);
        return err_sys(err, r, "share the blocks of a disk");
    }
    *ret_fd = take_fd(&fd);
    return 0;
}

int disk_create_image(struct disks *d, const char *id, uint64_t bytes, int *ret_fd, struct err *err)
{
    uint64_t mib = bytes >> 20;
    if (mib < DISK_MIN_MIB || mib > DISK_MAX_MIB)
        return err_set(err, -EINVAL, ERR_INVALID, "the disk must be 16 MiB to 16 TiB");
    _cleanup_close_ int empty = -EBADF;
    int r = empty_image(d->dir_fd, (uint32_t)mib, &empty, err);
    return r < 0 ? r : share_blocks(d, id, empty, ret_fd, err);
}

int disk_create(struct disks *d, const char *id, uint64_t bytes, int *ret_fd, struct err *err)
{
    _cleanup_close_ int file = -EBADF;
    int r = disk_create_image(d, id, bytes, &file, err);
    if (r < 0)
        return r;
    r = image_mount(file, ret_fd, err);
    if (r < 0) {
        char name[IMAGE_NAME_BYTES];
        image_name(id, name);
        (void)unlinkat(d->dir_fd, name, 0); /* the failure above is what matters */
    }
    return r;
}

int disk_copy_image(struct disks *d, const char *id, const char *kept, int *ret_fd, struct err *err)
{
    char name[IMAGE_NAME_BYTES];
    kept_name(kept, name);
    _cleanup_close_ int from = openat(d->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    return from < 0 ? err_sys(err, -errno, "open the disk of a snapshot")
                    : share_blocks(d, id, from, ret_fd, err);
}

int disk_keep(int dir_fd, const char *id, struct err *err)
{
    char from[IMAGE_NAME_BYTES], to[IMAGE_NAME_BYTES];
    image_name(id, from);
    kept_name(id, to);
    _cleanup_close_ int fd = openat(dir_fd, from, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0 || renameat(dir_fd, from, dir_fd, to) < 0 || fsync(dir_fd) < 0)
        return err_sys(err, -errno, "keep the disk of a snapshot");
    return 0;
}

int disk_kept_remove(int dir_fd, const char *kept)
{
    char name[IMAGE_NAME_BYTES];
    kept_name(kept, name);
    return unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
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

static bool id_of(const char *name, const char *prefix, char id[static SANDBOX_ID_LEN + 1])
{
    struct slice rest = slice_str(name);
    if (!slice_has_prefix(rest, prefix) || !slice_has_suffix(rest, suffix) ||
        rest.n != strlen(prefix) + SANDBOX_ID_LEN + strlen(suffix))
        return false;
    (void)snprintf(id, SANDBOX_ID_LEN + 1, "%.*s", (int)SANDBOX_ID_LEN, name + strlen(prefix));
    return id_is_sandbox(id);
}

static int each_named(const struct disks *d, const char *prefix,
                      void (*each)(void *user, const char *id), void *user)
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
        if (id_of(e->d_name, prefix, id))
            each(user, id);
    (void)closedir(dir);
    return 0;
}

int disks_each(const struct disks *d, void (*each)(void *user, const char *id), void *user)
{
    return each_named(d, "", each, user);
}

int disks_each_kept(const struct disks *d, void (*each)(void *user, const char *kept), void *user)
{
    return each_named(d, kept_prefix, each, user);
}
