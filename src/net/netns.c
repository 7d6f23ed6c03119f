#include "net/netns.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>

static int home_fd = -EBADF;

int netns_init(struct err *err)
{
    home_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    return home_fd < 0 ? err_sys(err, -errno, "open the network namespace") : 0;
}

int netns_new(int *ret_fd, struct err *err)
{
    if (unshare(CLONE_NEWNET) < 0)
        return err_sys(err, -errno, "make a network namespace");
    int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    int r = -errno;
    netns_leave();
    if (fd < 0)
        return err_sys(err, r, "open the new network namespace");
    *ret_fd = fd;
    return 0;
}

int netns_enter(int fd, struct err *err)
{
    return setns(fd, CLONE_NEWNET) < 0 ? err_sys(err, -errno, "enter a network namespace") : 0;
}

void netns_leave(void)
{
    if (setns(home_fd, CLONE_NEWNET) < 0)
        abort();
}
