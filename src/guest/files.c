/* Two acts on files and descriptors that several steps need. */
#include "guest/guest.h"

#include "base/cleanup.h"
#include "base/fs.h"

#include <fcntl.h>

int guest_write_file(int dir_fd, const char *path, const char *text)
{
    _cleanup_close_ int fd = openat(dir_fd, path, O_WRONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fs_write_all(fd, text, strlen(text));
}

int guest_park(int fd)
{
    if (fd < 0)
        return -1;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, GUEST_FDS_FROM);
    (void)fd_close(fd); /* keeps errno */
    return high;
}
