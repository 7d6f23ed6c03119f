/* Checks of where sandboxes' disks lie (disk/disk.h): room, loop devices, what makes file systems. */
#include "cli/doctor.h"

#include "base/cleanup.h"
#include "base/fs.h"
#include "disk/room.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>

enum { DISK_NEED_MB = 5120 };

static const char fix_space[] = "free some space, or choose another folder with --data";

/* The folder itself, or the nearest one above that exists. */
static int open_nearest(const char *path)
{
    char p[PATH_MAX];
    int fd;
    if (slice_copy(slice_str(path), p, sizeof(p)) != 0)
        return -ENAMETOOLONG;
    while ((fd = open(p, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) {
        char *slash = strrchr(p, '/');
        if (errno != ENOENT || slash == NULL || p[1] == '\0')
            return -errno;
        slash[slash == p ? 1 : 0] = '\0';
    }
    return fd;
}

bool doctor_disk(struct doctor *d)
{
    struct statfs v;
    struct disk_room room = {0};
    _cleanup_close_ int fd = open_nearest(d->data);
    if (fd < 0 || fstatfs(fd, &v) < 0 || disk_room_get(fd, &room) < 0)
        return doctor_bad(d, "name an absolute folder with --data", "%s cannot be looked at",
                          d->data);
    if ((unsigned long)v.f_type == OVERLAYFS_SUPER_MAGIC)
        return doctor_bad(d, "choose a folder on ext4 or xfs with --data",
                          "%s is on an overlay itself, and none can be made on top", d->data);
    unsigned long long mib = room.free >> 20;
    if (disk_room_is_low(&room))
        return doctor_bad(d, fix_space, "%llu MiB free for %s; below %llu no sandbox is made", mib,
                          d->data, (unsigned long long)room.kept >> 20);
    if (mib < DISK_NEED_MB)
        return doctor_bad(d, fix_space, "%llu MiB free for %s, %d are wanted", mib, d->data,
                          DISK_NEED_MB);
    return doctor_ok(d, "%llu MiB free for %s", mib, d->data);
}

/* In the folders where silica-priv looks for it. */
static bool has_tool(const char *name)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/usr/sbin/%s", name);
    return access(path, X_OK) == 0 || access(path + strlen("/usr"), X_OK) == 0;
}

/* Asking for it loads its module. Without root's rights it cannot be asked, and is taken for there. */
static bool kernel_has_xfs(void)
{
    _cleanup_close_ int fd = fsopen("xfs", FSOPEN_CLOEXEC);
    return fd >= 0 || errno != ENODEV;
}

static bool check_pool(struct doctor *d)
{
    char path[PATH_MAX];
    struct stat st;
    if (!has_tool("mkfs.xfs"))
        return doctor_bad(d, "apt-get install xfsprogs, or put the data folder on XFS or Btrfs",
                          "files of %s cannot share blocks, and mkfs.xfs is missing", d->data);
    if (!kernel_has_xfs())
        return doctor_bad(d, "modprobe xfs, or put the data folder on XFS or Btrfs",
                          "files of %s cannot share blocks, and the kernel has no XFS", d->data);
    if (fs_join(path, sizeof(path), d->data, "pool.img") < 0 || stat(path, &st) < 0)
        return doctor_ok(d, "in a pool, %s/pool.img, which the first start makes", d->data);
    return doctor_ok(d, "in the pool %s: %llu MiB, of which it takes %llu", path,
                     (unsigned long long)st.st_size >> 20, (unsigned long long)st.st_blocks >> 11);
}

bool doctor_pool(struct doctor *d)
{
    _cleanup_close_ int fd = open_nearest(d->data);
    if (fd < 0)
        return doctor_bad(d, "name an absolute folder with --data", "%s cannot be looked at",
                          d->data);
    if (!has_tool("mke2fs"))
        return doctor_bad(d, "apt-get install e2fsprogs",
                          "mke2fs is missing; sandboxes have no disks without it");
    if (disk_can_reflink(fd))
        return doctor_ok(d, "files in %s/disks, which can share blocks", d->data);
    return check_pool(d);
}

bool doctor_loop(struct doctor *d)
{
    _cleanup_close_ int fd = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ENODEV || errno == ENXIO))
        return doctor_bad(d, "modprobe loop", "the kernel has none, and disks need one each");
    if (fd < 0)
        return doctor_bad(d, "run it as root: sudo silica doctor", "they cannot be made: %s",
                          strerror(errno));
    return doctor_ok(d, "can be made");
}
