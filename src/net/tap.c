#include "net/tap.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/ioctl.h>

static const char device[] = "/dev/net/tun";

int tap_make(const char *name, const unsigned char mac[static MAC_BYTES], int *ret_fd,
             struct err *err)
{
    _cleanup_close_ int fd = open(device, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT || errno == ENODEV
                   ? err_set(err, -errno, ERR_UNAVAILABLE,
                             "%s is missing: load the kernel's module (modprobe tun)", device)
                   : err_sys(err, -errno, "open %s", device);
    struct ifreq q = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL};
    (void)snprintf(q.ifr_name, sizeof(q.ifr_name), "%s", name);
    if (ioctl(fd, TUNSETIFF, &q) < 0)
        return err_sys(err, -errno, "make the tap device %s", name);
    q.ifr_hwaddr.sa_family = ARPHRD_ETHER;
    memcpy(q.ifr_hwaddr.sa_data, mac, MAC_BYTES);
    if (ioctl(fd, SIOCSIFHWADDR, &q) < 0)
        return err_sys(err, -errno, "set the address of %s", name);
    *ret_fd = take_fd(&fd);
    return 0;
}
