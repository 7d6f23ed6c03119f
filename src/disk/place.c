/*
 * Where the images lie: in DATA/disks if files there can share blocks, else in the pool.
 *
 * A lock on the data folder keeps two programs from making or mounting a pool at the same time: one
 * that was started before its predecessor has ended.
 */
#include "disk/disk.h"

#include "base/cleanup.h"
#include "disk/image.h"
#include "disk/pool.h"
#include "disk/room.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>

enum { LOCK_TRIES = 100, LOCK_POLL_MS = 100 };

static int lock(int fd)
{
    const struct timespec pause = {.tv_nsec = LOCK_POLL_MS * 1000000L};
    for (unsigned i = 0; i < LOCK_TRIES; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return 0;
        if (errno != EWOULDBLOCK && errno != EINTR)
            return -errno;
        (void)nanosleep(&pause, NULL);
    }
    return -EWOULDBLOCK;
}

/*
 * Btrfs writes nothing in place unless told so for the folder; a guest's random writes would leave an
 * image in crumbs, and a guest that changes what is just being written would break its checksum.
 */
static void write_in_place(int dir_fd)
{
    struct statfs fs;
    int flags = 0;
    if (fstatfs(dir_fd, &fs) < 0 || (unsigned long)fs.f_type != BTRFS_SUPER_MAGIC ||
        ioctl(dir_fd, FS_IOC_GETFLAGS, &flags) < 0)
        return;
    flags |= FS_NOCOW_FL;
    (void)ioctl(dir_fd, FS_IOC_SETFLAGS, &flags); /* slower without, not wrong */
}

/* DATA/disks, or -EOPNOTSUPP. */
static int open_plain(int data_fd, int *ret_fd)
{
    if (!disk_can_reflink(data_fd))
        return -EOPNOTSUPP;
    if (mkdirat(data_fd, "disks", 0700) < 0 && errno != EEXIST)
        return -errno;
    struct stat st;
    _cleanup_close_ int fd =
        openat(data_fd, "disks", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (st.st_uid != 0 || fchmod(fd, 0700) < 0)
        return -EPERM;
    write_in_place(fd);
    *ret_fd = take_fd(&fd);
    return 0;
}

static int remove_half_made(int dir_fd)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        int r = -errno;
        (void)fd_close(fd);
        return r;
    }
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        if (strncmp(e->d_name, IMAGE_NEW_PREFIX, strlen(IMAGE_NEW_PREFIX)) == 0)
            (void)unlinkat(dir_fd, e->d_name, 0); /* the next start tries again */
    (void)closedir(dir);
    return 0;
}

static int open_images(struct disks *d, struct err *err)
{
    int r = open_plain(d->data_fd, &d->dir_fd);
    if (r == -EOPNOTSUPP) {
        d->pooled = true;
        r = pool_open(d->data_fd, &d->dir_fd, err);
    } else if (r < 0) {
        r = err_sys(err, r, "open the folder of disks (DATA/disks)");
    }
    if (r < 0)
        return r;
    r = remove_half_made(d->dir_fd);
    return r < 0 ? err_sys(err, r, "clean up the folder of disks") : 0;
}

int disks_open(const char *data_dir, struct disks *ret, struct err *err)
{
    struct disks d = {.dir_fd = -EBADF, .data_fd = -EBADF};
    d.data_fd = open(data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d.data_fd < 0)
        return err_sys(err, -errno, "open %s", data_dir);
    int r = lock(d.data_fd);
    if (r < 0)
        r = err_sys(err, r, "lock %s (does another silica-priv start there?)", data_dir);
    if (r == 0)
        r = open_images(&d, err);
    if (r < 0) {
        disks_close(&d);
        return r;
    }
    (void)flock(d.data_fd, LOCK_UN); /* cannot fail on a descriptor of ours */
    *ret = d;
    return 0;
}

void disks_close(struct disks *d)
{
    d->dir_fd = fd_close(d->dir_fd);
    d->data_fd = fd_close(d->data_fd);
}
