/*
 * Where the data folder's file system cannot share blocks (ext4), the disks lie on XFS inside of the
 * sparse file DATA/pool.img.
 *
 * - It is mounted detached: in no mount table, and known by nobody but silica-priv, whose descriptors
 *   and loop devices hold it. When silica-priv is killed while sandboxes live, their loop devices still
 *   do. The next start finds the loop device that holds pool.img open, by device and inode, and gets
 *   one more mount of the same file system. A second loop device on the same file would be a second
 *   file system on the same blocks; should it ever come to that, XFS refuses the same UUID twice.
 *   With none of them left the kernel unmounts it and frees the device; XFS recovers after a crash.
 * - It is as large as the host could give when it was made, less a share for the host, and grown at
 *   a later start if the host has more by then. So it is full before the host is, unless others fill
 *   the host: then writes of sandboxes fail, which disks_room() tells beforehand.
 * - What is deleted in it is given back to the host (discard), at XFS's own pace.
 * - Made under another name, synced, renamed: a half-made one is made anew.
 */
#include "disk/pool.h"

#include "base/cleanup.h"
#include "base/mounts.h"
#include "disk/format.h"
#include "disk/image.h"
#include "disk/loop.h"
#include "disk/room.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

enum {
    POOL_SHARE_PERCENT = 90, /* of what the host has free */
    POOL_GROW_PERCENT = 10,  /* less is not worth it */
};
#define POOL_MIN_BYTES (UINT64_C(1) << 30)
#define POOL_MAX_BYTES (UINT64_C(15) << 40) /* a file of ext4 ends at 16 TiB */
#define MIB            (UINT64_C(1) << 20)

static const char pool_name[] = "pool.img", pool_new[] = IMAGE_NEW_PREFIX "pool.img";

/* linux/fs/xfs/libxfs/xfs_fs.h is no header of the kernel's for programs: the same in our words. */
struct grow_request {
    uint64_t blocks;
    uint32_t inode_percent;
};
#define XFS_GROW_DATA _IOW('X', 110, struct grow_request)
enum { XFS_BLOCK_BYTES = 4096, XFS_INODE_PERCENT = 25 };

/* What the host could give it now, and has given. */
static int pool_size(int data_fd, int pool_fd, uint64_t *ret)
{
    struct disk_room room = {0};
    struct stat st = {0};
    int r = disk_room_get(data_fd, &room);
    if (r == 0 && pool_fd >= 0 && fstat(pool_fd, &st) < 0)
        r = -errno;
    if (r < 0)
        return r;
    uint64_t size = (room.free + (uint64_t)st.st_blocks * 512) / 100 * POOL_SHARE_PERCENT;
    size = size > POOL_MIN_BYTES ? size : POOL_MIN_BYTES;
    size = size < POOL_MAX_BYTES ? size : POOL_MAX_BYTES;
    *ret = size / MIB * MIB;
    return 0;
}

static int write_pool(int data_fd, int fd, struct err *err)
{
    uint64_t size;
    int r = pool_size(data_fd, -EBADF, &size);
    if (r == 0 && ftruncate(fd, (off_t)size) < 0)
        r = -errno;
    if (r < 0)
        return err_sys(err, r, "size the pool of disks");
    r = format_xfs(fd, err);
    if (r < 0)
        return r;
    if (fsync(fd) < 0 || renameat(data_fd, pool_new, data_fd, pool_name) < 0 || fsync(data_fd) < 0)
        return err_sys(err, -errno, "make the pool of disks");
    return 0;
}

static int make_pool(int data_fd, int *ret_fd, struct err *err)
{
    if (unlinkat(data_fd, pool_new, 0) < 0 && errno != ENOENT)
        return err_sys(err, -errno, "remove a half-made pool of disks");
    _cleanup_close_ int fd =
        openat(data_fd, pool_new, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(err, -errno, "make the pool of disks");
    int r = write_pool(data_fd, fd, err);
    if (r < 0) {
        (void)unlinkat(data_fd, pool_new, 0); /* the failure above is what matters */
        return r;
    }
    *ret_fd = take_fd(&fd);
    return 0;
}

static int open_file(int data_fd, int *ret_fd, struct err *err)
{
    struct stat st;
    _cleanup_close_ int fd = openat(data_fd, pool_name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return make_pool(data_fd, ret_fd, err);
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_sys(err, -errno, "open the pool of disks (DATA/pool.img)");
    if (!S_ISREG(st.st_mode) || st.st_uid != 0 || (st.st_mode & 0077) != 0)
        return err_set(err, -EPERM, ERR_DENIED,
                       "the pool of disks (DATA/pool.img) must be a file of root's with mode 600");
    *ret_fd = take_fd(&fd);
    return 0;
}

static int mount_pool(int file_fd, int *ret_loop_fd, int *ret_fd, struct err *err)
{
    char device[LOOP_NAME_BYTES];
    _cleanup_close_ int loop = -EBADF;
    int r = loop_find(file_fd, &loop, device);
    if (r == -ENOENT)
        r = loop_attach(file_fd, &loop, device, err);
    else if (r < 0)
        r = err_sys(err, r, "look for the loop device of the pool of disks");
    if (r < 0)
        return r;
    const struct fs_option options[] = {{"source", device}, {"discard", NULL}};
    int fd =
        fs_new_mount("xfs", options, ARRAY_LEN(options),
                     MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOATIME);
    if (fd == -ENODEV)
        return err_set(err, fd, ERR_INTERNAL,
                       "the kernel has no XFS, which the pool of disks needs: modprobe xfs, or put "
                       "the data folder on XFS or Btrfs");
    if (fd < 0)
        return err_sys(
            err, fd,
            "mount the pool of disks (DATA/pool.img; xfs_repair may mend it, and with no "
            "sandbox to keep it may be deleted)");
    *ret_fd = fd;
    *ret_loop_fd = take_fd(&loop);
    return 0;
}

/* Larger than the file system only by what the file has more: so a crash in between is made good. */
static int grow_pool(int data_fd, int file_fd, int loop_fd, int dir_fd, struct err *err)
{
    struct disk_room now = {0};
    struct stat st = {0};
    uint64_t want = 0;
    int r = pool_size(data_fd, file_fd, &want);
    if (r == 0)
        r = disk_room_get(dir_fd, &now);
    if (r == 0 && fstat(file_fd, &st) < 0)
        r = -errno;
    if (r < 0)
        return err_sys(err, r, "look at the pool of disks");
    if (want / (100 + POOL_GROW_PERCENT) <= now.total / 100)
        return 0;
    if ((uint64_t)st.st_size > want)
        want = (uint64_t)st.st_size;
    struct grow_request request = {want / XFS_BLOCK_BYTES, XFS_INODE_PERCENT};
    if (ftruncate(file_fd, (off_t)want) < 0 || (r = loop_resize(loop_fd)) < 0 ||
        ioctl(dir_fd, XFS_GROW_DATA, &request) < 0)
        return err_sys(err, r < 0 ? r : -errno, "grow the pool of disks");
    return 0;
}

static int open_images(int mnt_fd, int *ret_fd)
{
    if (mkdirat(mnt_fd, "disks", 0700) < 0 && errno != EEXIST)
        return -errno;
    int fd = openat(mnt_fd, "disks", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return 0;
}

int pool_open(int data_fd, int *ret_fd, struct err *err)
{
    _cleanup_close_ int file = -EBADF, loop = -EBADF, mnt = -EBADF, dir = -EBADF;
    int r = open_file(data_fd, &file, err);
    if (r == 0)
        r = mount_pool(file, &loop, &mnt, err);
    if (r < 0)
        return r;
    r = open_images(mnt, &dir);
    if (r < 0)
        return err_sys(err, r, "open the folder of disks in the pool");
    r = grow_pool(data_fd, file, loop, dir, err);
    if (r == 0)
        *ret_fd = take_fd(&dir);
    return r;
}
