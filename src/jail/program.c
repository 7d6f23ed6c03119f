#include "jail/jail.h"

#include "base/cleanup.h"
#include "base/fs.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#ifndef MFD_EXEC /* Linux 6.3 */
#define MFD_EXEC 0x0010U
#endif

enum { PROGRAM_MAX_BYTES = 256 * 1024 * 1024 };

/* Older kernels do not know MFD_EXEC and need no such permission. */
static int memory_file(void)
{
    int fd = memfd_create("silica-envd", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    if (fd < 0 && errno == EINVAL)
        fd = memfd_create("silica-envd", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return fd;
}

static int copy_all(int from, int to, off_t size)
{
    while (size > 0) {
        ssize_t n = sendfile(to, from, NULL, (size_t)size);
        if (n <= 0)
            return n < 0 ? -errno : -EIO; /* the file shrank under us */
        size -= n;
    }
    return 0;
}

int jail_program_open(const char *path, int *ret_fd, struct err *err)
{
    _cleanup_close_ int from = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (from < 0 || fstat(from, &st) < 0)
        return err_sys(err, -errno, "open the program %s", path);
    if (!S_ISREG(st.st_mode) || st.st_size > PROGRAM_MAX_BYTES)
        return err_set(err, -EINVAL, ERR_INVALID, "%s is no program file", path);
    _cleanup_close_ int fd = memory_file();
    if (fd < 0)
        return err_sys(err, -errno, "make a memory file");
    int r = copy_all(from, fd, st.st_size);
    if (r == 0 && fchmod(fd, 0555) < 0)
        r = -errno;
    if (r == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
        r = -errno;
    if (r < 0)
        return err_sys(err, r, "copy the program %s to sealed memory", path);
    *ret_fd = take_fd(&fd);
    return 0;
}
