#include "base/mounts.h"

#include "base/cleanup.h"

#include <sys/mount.h>

int fs_new_mount(const char *type, const struct fs_option *options, unsigned n, unsigned attrs)
{
    _cleanup_close_ int fs = fsopen(type, FSOPEN_CLOEXEC);
    if (fs < 0)
        return -errno;
    for (unsigned i = 0; i < n; i++) {
        unsigned cmd = options[i].value != NULL ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;
        if (fsconfig(fs, cmd, options[i].key, options[i].value, 0) < 0)
            return -errno;
    }
    if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -errno;
    int mnt = fsmount(fs, FSMOUNT_CLOEXEC, attrs);
    return mnt < 0 ? -errno : mnt;
}
