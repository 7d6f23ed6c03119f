/*
 * A device is taken in two steps, asking for a free number and configuring it; another program may
 * take it in between, and then the next one is asked for. Configuring is one call with all settings,
 * so that there is no moment in which a death of ours leaves a device behind (Linux 5.8).
 *
 * Direct I/O keeps the file's content out of the page cache: a guest's data is cached once, on the
 * guest's account, and what it writes is not in the host's way.
 */
#include "disk/loop.h"

#include "base/cleanup.h"
#include "base/num.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

enum { ATTACH_TRIES_MAX = 256, LOOP_NUMBER_MAX = 1 << 20, LOOP_BLOCK_BYTES = 4096 };

static const char control_path[] = "/dev/loop-control";

static int open_number(long number, char name[static LOOP_NAME_BYTES])
{
    (void)snprintf(name, LOOP_NAME_BYTES, "/dev/loop%ld", number);
    int fd = open(name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : fd;
}

static int try_attach(int control_fd, int file_fd, int *ret_fd, char name[static LOOP_NAME_BYTES])
{
    const struct loop_config config = {
        .fd = (uint32_t)file_fd,
        .block_size = LOOP_BLOCK_BYTES,
        .info = {.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO},
    };
    int number = ioctl(control_fd, LOOP_CTL_GET_FREE);
    if (number < 0)
        return -errno;
    _cleanup_close_ int fd = open_number(number, name);
    if (fd < 0)
        return fd;
    if (ioctl(fd, LOOP_CONFIGURE, &config) < 0)
        return -errno;
    *ret_fd = take_fd(&fd);
    return 0;
}

int loop_attach(int file_fd, int *ret_fd, char name[static LOOP_NAME_BYTES], struct err *err)
{
    _cleanup_close_ int control = open(control_path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (control < 0)
        return errno == ENOENT || errno == ENODEV
                   ? err_set(err, -ENODEV, ERR_INTERNAL,
                             "the kernel has no loop devices (no %s); as root: modprobe loop",
                             control_path)
                   : err_sys(err, -errno, "open %s", control_path);
    int r = -EBUSY;
    for (unsigned i = 0; r == -EBUSY && i < ATTACH_TRIES_MAX; i++)
        r = try_attach(control, file_fd, ret_fd, name);
    return r < 0 ? err_sys(err, r, "attach a loop device") : 0;
}

/* Device and inode as the kernel knows them: the name of the file may have changed. */
static bool holds(int loop_fd, const struct stat *file)
{
    struct loop_info64 info;
    if (ioctl(loop_fd, LOOP_GET_STATUS64, &info) < 0)
        return false; /* not attached, or not any more */
    unsigned minor_no =
        (unsigned)(info.lo_device & 0xff) | (unsigned)(info.lo_device >> 12 & 0xfff00);
    unsigned major_no = (unsigned)(info.lo_device >> 8 & 0xfff);
    return info.lo_inode == file->st_ino && major_no == major(file->st_dev) &&
           minor_no == minor(file->st_dev);
}

/* "loop12" of the attached devices of /sys/block, else a negative number. */
static long attached_number(const char *entry)
{
    char path[NAME_MAX + 32];
    uint32_t number;
    if (strncmp(entry, "loop", 4) != 0 ||
        parse_u32(slice_str(entry + 4), LOOP_NUMBER_MAX, &number) < 0)
        return -1;
    (void)snprintf(path, sizeof(path), "/sys/block/%s/loop", entry);
    return access(path, F_OK) == 0 ? (long)number : -1;
}

static void close_dir(DIR **dir)
{
    if (*dir != NULL)
        (void)closedir(*dir);
}

int loop_find(int file_fd, int *ret_fd, char name[static LOOP_NAME_BYTES])
{
    struct stat file;
    _cleanup_(close_dir)
    DIR *dir = opendir("/sys/block");
    if (dir == NULL || fstat(file_fd, &file) < 0)
        return -errno;
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        long number = attached_number(e->d_name);
        _cleanup_close_ int fd = number >= 0 ? open_number(number, name) : -ENODEV;
        if (fd >= 0 && holds(fd, &file)) {
            *ret_fd = take_fd(&fd);
            return 0;
        }
    }
    return -ENOENT;
}

int loop_resize(int loop_fd)
{
    return ioctl(loop_fd, LOOP_SET_CAPACITY, 0) < 0 ? -errno : 0;
}
