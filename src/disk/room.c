#include "disk/room.h"

#include "base/cleanup.h"
#include "disk/disk.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>

enum { PROBE_BYTES = 4096 };

uint64_t disk_room_kept(uint64_t total_bytes)
{
    uint64_t kept = total_bytes / 100 * DISK_LOW_PERCENT;
    kept = kept > DISK_LOW_MIN_BYTES ? kept : DISK_LOW_MIN_BYTES;
    return kept < DISK_LOW_MAX_BYTES ? kept : DISK_LOW_MAX_BYTES;
}

int disk_room_get(int fd, struct disk_room *ret)
{
    struct statvfs v;
    if (fstatvfs(fd, &v) < 0)
        return -errno;
    uint64_t total = (uint64_t)v.f_blocks * v.f_frsize;
    *ret = (struct disk_room){total, (uint64_t)v.f_bavail * v.f_frsize, disk_room_kept(total)};
    return 0;
}

bool disk_can_reflink(int dir_fd)
{
    static const char block[PROBE_BYTES];
    _cleanup_close_ int from = openat(dir_fd, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    _cleanup_close_ int to = openat(dir_fd, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    return from >= 0 && to >= 0 && pwrite(from, block, sizeof(block), 0) == sizeof(block) &&
           ioctl(to, FICLONE, from) == 0;
}

static int check_room(int fd, const char *what, const char *remedy, struct err *err)
{
    struct disk_room room = {0};
    int r = disk_room_get(fd, &room);
    if (r < 0)
        return err_sys(err, r, "look at %s", what);
    if (disk_room_is_low(&room))
        return err_set(
            err, -ENOSPC, ERR_UNAVAILABLE,
            "%s is low: %llu MiB of %llu MiB free, no sandbox is made below %llu MiB; %s", what,
            (unsigned long long)room.free >> 20, (unsigned long long)room.total >> 20,
            (unsigned long long)room.kept >> 20, remedy);
    return 0;
}

int disks_room(const struct disks *d, struct err *err)
{
    int r = check_room(d->data_fd, "the disk of the data folder",
                       "free some space there, or end sandboxes", err);
    return r == 0 && d->pooled ? check_room(d->dir_fd, "the pool of sandbox disks (DATA/pool.img)",
                                            "end sandboxes", err)
                               : r;
}
