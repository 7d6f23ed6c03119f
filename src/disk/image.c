#include "disk/image.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mounts.h"
#include "disk/loop.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <time.h>

enum { RELEASE_POLL_MS = 2 };

/*
 * No barriers: what a disk holds is lost with its host all the same, and a flush of one disk would
 * be one of the host's. Inode tables stay unwritten. An error turns it read-only, whatever it says.
 */
int image_mount(int file_fd, int *ret_fd, struct err *err)
{
    char device[LOOP_NAME_BYTES];
    _cleanup_close_ int loop = -EBADF;
    int r = loop_attach(file_fd, &loop, device, err);
    if (r < 0)
        return r;
    const struct fs_option options[] = {
        {"source", device}, {"noinit_itable", NULL}, {"nobarrier", NULL}, {"errors", "remount-ro"}};
    int fd = fs_new_mount("ext4", options, ARRAY_LEN(options), MOUNT_ATTR_NODEV);
    if (fd < 0)
        return err_sys(err, fd, "mount a disk");
    *ret_fd = fd;
    return 0;
}

void image_await_release(int file_fd, unsigned wait_ms)
{
    uint64_t end = clock_monotonic_ns() + wait_ms * NS_PER_MS;
    const struct timespec pause = {.tv_nsec = (long)(RELEASE_POLL_MS * NS_PER_MS)};
    while (fcntl(file_fd, F_SETLEASE, F_WRLCK) < 0 && errno == EAGAIN && clock_monotonic_ns() < end)
        (void)nanosleep(&pause, NULL);
    (void)fcntl(file_fd, F_SETLEASE, F_UNLCK);
}
