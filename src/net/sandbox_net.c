/*
 * How a slot's link is wired: net/policy_inside.c has the addresses, this file the links.
 *
 * Both ends of the pair have the same hardware addresses in every sandbox and know each other by
 * permanent neighbour entries. So no ARP is spoken, the gateway's address needs to be on no
 * interface of the host, and a saved sandbox finds the same neighbour wherever it is resumed.
 */
#include "net/sandbox_net.h"

#include "base/cleanup.h"
#include "base/ids.h"
#include "net/conntrack.h"
#include "net/netns.h"
#include "net/nft.h"
#include "net/policy.h"
#include "net/rtnl.h"
#include "net/sysctl.h"
#include "net/tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

static const unsigned char host_mac[MAC_BYTES] = {0x02, 0x53, 0x4c, 0, 0, 1};
static const unsigned char inner_mac[MAC_BYTES] = {0x02, 0x53, 0x4c, 0, 0, 2};

enum { LINK_PREFIX = 30, LISTEN_BACKLOG = 128 };

static int missing_is_fine(int r)
{
    return r == -ENOENT ? 0 : r;
}

/* A setting that an older kernel may refuse for our range: then unprivileged ping does not work. */
static void allow_ping(uint32_t gid_base)
{
    char range[32];
    (void)snprintf(range, sizeof(range), "%u %u", gid_base, gid_base + SANDBOX_UID_RANGE - 1);
    (void)net_sysctl_set("ipv4/ping_group_range", range, NULL);
}

/* Connections that ended are forgotten soon: policy.h counts on it. */
static int forget_soon(struct err *err)
{
    static const char *const names[] = {"netfilter/nf_conntrack_tcp_timeout_time_wait",
                                        "netfilter/nf_conntrack_tcp_timeout_close"};
    char seconds[16];
    int r = 0;
    (void)snprintf(seconds, sizeof(seconds), "%d", (int)CLOSING_S);
    for (unsigned i = 0; r == 0 && i < ARRAY_LEN(names); i++)
        r = net_sysctl_set(names[i], seconds, err);
    return r;
}

/* Before the link arrives: it is born without IPv6. "lo" keeps ::1, which programs bind to. */
static int settings_inside(const struct net_slot *slot, struct err *err)
{
    int r = missing_is_fine(net_sysctl_set("ipv6/conf/default/disable_ipv6", "1", err));
    if (r == 0)
        r = net_sysctl_set("ipv4/ip_unprivileged_port_start", "0", err);
    if (r == 0)
        r = forget_soon(err);
    if (r == 0)
        allow_ping(slot->uid_base);
    return r;
}

/* With internet off there is a way to the host's end alone, where the daemon's connections come from. */
static int route_inside(struct rtnl *nl, const struct net_slot *slot, bool internet,
                        struct err *err)
{
    return internet ? rtnl_route_add(nl, "eth0", 0, 0, SANDBOX_GATEWAY, err)
                    : rtnl_route_add(nl, "eth0", slot->host_addr, 32, SANDBOX_GATEWAY, err);
}

static int links_inside(const struct net_slot *slot, bool internet, struct err *err)
{
    _cleanup_(rtnl_closep)
    struct rtnl *nl = NULL;
    int r = rtnl_open(&nl, err);
    if (r == 0)
        r = rtnl_link_up(nl, "lo", err);
    if (r == 0)
        r = rtnl_addr_add(nl, "eth0", SANDBOX_INNER_ADDR, LINK_PREFIX, err);
    if (r == 0)
        r = rtnl_link_up(nl, "eth0", err);
    if (r == 0)
        r = rtnl_neigh_add(nl, "eth0", SANDBOX_GATEWAY, host_mac, err);
    if (r == 0)
        r = route_inside(nl, slot, internet, err);
    return r;
}

static int policy_inside(const struct net_slot *slot, const struct net_policy *policy,
                         struct err *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT(NFT_TEXT_MAX_BYTES);
    (void)(policy->machine ? nft_machine_policy : nft_sandbox_policy)(&text, slot, policy);
    /* nft_run sees its failure */
    return nft_run(&text, err);
}

static int listen_inside(int *ret_fd, struct err *err)
{
    _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(ENVD_PORT)};
    int on = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, LISTEN_BACKLOG) < 0)
        return err_sys(err, -errno, "listen inside the sandbox");
    *ret_fd = take_fd(&fd);
    return 0;
}

/* Settings of the host's end. With internet off the host forwards nothing that comes from there. */
static int settings_host_end(const char *link, bool internet, struct err *err)
{
    static const struct {
        const char *family, *name, *value;
    } settings[] = {
        {"ipv6", "disable_ipv6", "1"},     {"ipv4", "rp_filter", "1"},
        {"ipv4", "accept_redirects", "0"}, {"ipv4", "send_redirects", "0"},
        {"ipv4", "route_localnet", "0"},
    };
    char name[64];
    int r = 0;
    for (unsigned i = 0; r == 0 && i < ARRAY_LEN(settings); i++) {
        (void)snprintf(name, sizeof(name), "%s/conf/%s/%s", settings[i].family, link,
                       settings[i].name);
        r = net_sysctl_set(name, settings[i].value, err);
        if (settings[i].family[3] == '6')
            r = missing_is_fine(r);
    }
    (void)snprintf(name, sizeof(name), "ipv4/conf/%s/forwarding", link);
    return r == 0 ? net_sysctl_set(name, internet ? "1" : "0", err) : r;
}

static int host_end(struct rtnl *nl, const struct sandbox_net *net, bool internet, struct err *err)
{
    const struct net_slot *slot = &net->slot;
    struct rtnl_veth veth = {.name = slot->link,
                             .mac = host_mac,
                             .peer_name = "eth0",
                             .peer_mac = inner_mac,
                             .peer_netns_fd = net->netns_fd};
    int r = rtnl_veth_add(nl, &veth, err);
    if (r == 0)
        r = settings_host_end(slot->link, internet, err);
    if (r == 0)
        r = rtnl_addr_add(nl, slot->link, slot->host_addr, LINK_PREFIX, err);
    if (r == 0)
        r = rtnl_link_up(nl, slot->link, err);
    if (r == 0)
        r = rtnl_neigh_add(nl, slot->link, slot->outer_addr, inner_mac, err);
    return r;
}

/*
 * A machine's namespace is a router between its tap device and the link. The gateway's address is on
 * the tap device; the guest and the gateway know each other as the two ends of a container's link do.
 */
static int links_machine(struct sandbox_net *net, struct err *err)
{
    const struct net_slot *slot = &net->slot;
    _cleanup_(rtnl_closep)
    struct rtnl *nl = NULL;
    int r = rtnl_open(&nl, err);
    if (r == 0)
        r = tap_make("tap0", host_mac, &net->tap_fd, err);
    if (r == 0)
        r = rtnl_addr_add(nl, "tap0", SANDBOX_GATEWAY, LINK_PREFIX, err);
    if (r == 0)
        r = rtnl_link_up(nl, "tap0", err);
    if (r == 0)
        r = rtnl_neigh_add(nl, "tap0", SANDBOX_INNER_ADDR, inner_mac, err);
    if (r == 0)
        r = rtnl_addr_add(nl, "eth0", slot->outer_addr, LINK_PREFIX, err);
    if (r == 0)
        r = rtnl_link_up(nl, "eth0", err);
    if (r == 0)
        r = rtnl_neigh_add(nl, "eth0", slot->host_addr, host_mac, err);
    if (r == 0)
        r = rtnl_route_add(nl, "eth0", 0, 0, slot->host_addr, err);
    return r == 0 ? net_sysctl_set("ipv4/ip_forward", "1", err) : r;
}

/* The policy is in place before the link is up: there is no moment without it. */
static int inside(struct sandbox_net *net, const struct net_policy *policy, struct err *err)
{
    int r = netns_enter(net->netns_fd, err);
    if (r < 0)
        return r;
    r = policy_inside(&net->slot, policy, err);
    if (policy->machine) {
        r = r == 0 ? links_machine(net, err) : r;
        netns_leave();
        return r;
    }
    if (r == 0)
        r = links_inside(&net->slot, policy->internet, err);
    if (r == 0)
        r = listen_inside(&net->listen_fd, err);
    netns_leave();
    return r;
}

static int prepare(const struct sandbox_net *net, struct err *err)
{
    int r = netns_enter(net->netns_fd, err);
    if (r < 0)
        return r;
    r = settings_inside(&net->slot, err);
    netns_leave();
    return r;
}

int sandbox_net_make(struct rtnl *host_nl, const struct net_slot *slot,
                     const struct net_policy *policy, struct sandbox_net *ret, struct err *err)
{
    struct sandbox_net net = {
        .slot = *slot, .netns_fd = -EBADF, .listen_fd = -EBADF, .tap_fd = -EBADF};
    int r = netns_new(&net.netns_fd, err);
    if (r == 0)
        r = prepare(&net, err);
    if (r == 0)
        r = host_end(host_nl, &net, policy->internet, err);
    if (r == 0)
        r = inside(&net, policy, err);
    if (r < 0) {
        sandbox_net_close(&net);
        if (r != -EEXIST)
            (void)sandbox_net_remove(host_nl, slot, NULL); /* the first failure is reported */
        return r;
    }
    *ret = net;
    return 0;
}

void sandbox_net_close(struct sandbox_net *net)
{
    net->netns_fd = fd_close(net->netns_fd);
    net->listen_fd = fd_close(net->listen_fd);
    net->tap_fd = fd_close(net->tap_fd);
}

int sandbox_net_remove(struct rtnl *host_nl, const struct net_slot *slot, struct err *err)
{
    int r = rtnl_link_delete(host_nl, slot->link, err);
    if (r == 0)
        (void)conntrack_forget(slot->outer_addr, NULL); /* they would time out by themselves */
    return r;
}
