#include "jail/jail_internal.h"

#include "base/cleanup.h"
#include "base/syscalls.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

int jail_open_plain(int dir_fd, const char *path, int flags)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    int fd = sys_openat2(dir_fd, path, &how, sizeof(how));
    return fd < 0 ? -errno : fd;
}

int jail_attach(int mnt_fd, int dir_fd, const char *name)
{
    _cleanup_close_ int at = jail_open_plain(dir_fd, name, O_PATH | O_DIRECTORY);
    if (at == -ENOENT) {
        if (mkdirat(dir_fd, name, 0755) < 0)
            return -errno;
        at = jail_open_plain(dir_fd, name, O_PATH | O_DIRECTORY);
    }
    if (at < 0)
        return at;
    if (move_mount(mnt_fd, "", at, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        return -errno;
    return 0;
}
