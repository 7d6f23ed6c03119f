#include "net/sysctl.h"

#include "base/cleanup.h"
#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static int open_setting(const char *name, int flags)
{
    char path[128];
    int r = fs_join(path, sizeof(path), "/proc/sys/net", name);
    if (r < 0)
        return r;
    int fd = open(path, flags | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int net_sysctl_set(const char *name, const char *value, struct err *err)
{
    _cleanup_close_ int fd = open_setting(name, O_WRONLY);
    int r = fd < 0 ? fd : fs_write_all(fd, value, strlen(value));
    return r < 0 ? err_sys(err, r, "set net/%s", name) : 0;
}

char net_sysctl_first(const char *name)
{
    _cleanup_close_ int fd = open_setting(name, O_RDONLY);
    char c = '\0';
    return fd >= 0 && read(fd, &c, 1) == 1 ? c : '\0';
}
