/*
 * The machine's one interface, with the addresses that every sandbox has inside (base/ids.h).
 *
 * The gateway's hardware address is fixed: nobody has to ask for it, and no answer can change it.
 * IPv6 is off but for the loopback interface, as in a container.
 */
#include "guest/guest.h"

#include "base/cleanup.h"
#include "base/ids.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/route.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define INTERFACE "eth0"

static const uint32_t NETMASK = 0xfffffffcu; /* of a /30 */
static const unsigned char gateway_mac[6] = {0x02, 0x53, 0x4c, 0x00, 0x00, 0x01};

static void set_addr(struct sockaddr *dst, uint32_t addr)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(addr)};
    memcpy(dst, &a, sizeof(a));
}

static struct ifreq request_for(const char *interface)
{
    struct ifreq q = {0};
    (void)snprintf(q.ifr_name, sizeof(q.ifr_name), "%s", interface); /* fits: ours */
    return q;
}

static int bring_up(int fd, const char *interface, struct err *err)
{
    struct ifreq q = request_for(interface);
    q.ifr_flags = IFF_UP | IFF_RUNNING;
    return ioctl(fd, SIOCSIFFLAGS, &q) < 0 ? err_sys(err, -errno, "bring up %s", interface) : 0;
}

static int set_address(int fd, struct err *err)
{
    struct ifreq q = request_for(INTERFACE);
    set_addr(&q.ifr_addr, SANDBOX_INNER_ADDR);
    if (ioctl(fd, SIOCSIFADDR, &q) < 0)
        return err_sys(err, -errno, "set the address of " INTERFACE);
    set_addr(&q.ifr_netmask, NETMASK);
    if (ioctl(fd, SIOCSIFNETMASK, &q) < 0)
        return err_sys(err, -errno, "set the netmask of " INTERFACE);
    return 0;
}

static int set_gateway(int fd, struct err *err)
{
    struct arpreq arp = {.arp_flags = ATF_PERM | ATF_COM, .arp_dev = INTERFACE};
    struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};
    set_addr(&arp.arp_pa, SANDBOX_GATEWAY);
    arp.arp_ha.sa_family = ARPHRD_ETHER;
    memcpy(arp.arp_ha.sa_data, gateway_mac, sizeof(gateway_mac));
    if (ioctl(fd, SIOCSARP, &arp) < 0)
        return err_sys(err, -errno, "set the gateway's hardware address");
    set_addr(&route.rt_dst, 0);
    set_addr(&route.rt_genmask, 0);
    set_addr(&route.rt_gateway, SANDBOX_GATEWAY);
    return ioctl(fd, SIOCADDRT, &route) < 0 ? err_sys(err, -errno, "set the default route") : 0;
}

/* A kernel without IPv6 lacks some of them, which is as good. */
static int set_sysctls(struct err *err)
{
    static const struct {
        const char *path, *value;
    } list[] = {
        {"/proc/sys/net/ipv6/conf/all/disable_ipv6", "1"},
        {"/proc/sys/net/ipv6/conf/default/disable_ipv6", "1"},
        {"/proc/sys/net/ipv6/conf/lo/disable_ipv6", "0"},
        {"/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"},
        {"/proc/sys/net/ipv4/ping_group_range", "0 65535"},
    };
    for (size_t i = 0; i < ARRAY_LEN(list); i++) {
        int r = guest_write_file(AT_FDCWD, list[i].path, list[i].value);
        if (r < 0 && r != -ENOENT)
            return err_sys(err, r, "write %s", list[i].path);
    }
    return 0;
}

int guest_start_network(struct guest *g, struct err *err)
{
    (void)g;
    _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_sys(err, -errno, "make a socket");
    int r = bring_up(fd, "lo", err);
    if (r == 0) /* before the interface is up, so that it never has an address of IPv6 */
        r = set_sysctls(err);
    if (r == 0)
        r = set_address(fd, err);
    if (r == 0)
        r = bring_up(fd, INTERFACE, err);
    return r == 0 ? set_gateway(fd, err) : r;
}
