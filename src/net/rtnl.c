#include "net/rtnl.h"

#include "base/cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <string.h>

/*
 * Theory: one request, one acknowledgement. A reply with another sequence number is left over from
 * nothing we do (no dumps, no subscriptions), so it is an error and not skipped.
 */

enum { REQUEST_MAX_BYTES = 1024, REPLY_MAX_BYTES = 8192 };

struct rtnl {
    struct mnl_socket *socket;
    uint32_t seq;
};

struct request {
    char bytes[REQUEST_MAX_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));
    struct nlmsghdr *head;
};

int rtnl_open(struct rtnl **ret, struct err *err)
{
    struct rtnl *nl = xnew(struct rtnl);
    nl->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    if (nl->socket == NULL || mnl_socket_bind(nl->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
        int saved = -errno;
        rtnl_close(nl);
        return err_sys(err, saved, "open a route socket");
    }
    *ret = nl;
    return 0;
}

void rtnl_close(struct rtnl *nl)
{
    if (nl == NULL)
        return;
    if (nl->socket != NULL)
        (void)mnl_socket_close(nl->socket); /* nothing is lost with it */
    free(nl);
}

void rtnl_closep(struct rtnl **nl)
{
    rtnl_close(*nl);
    *nl = NULL;
}

/* Starts a request with a zeroed family header of n bytes, which is returned. */
static void *request_start(struct request *q, uint16_t type, uint16_t flags, size_t n)
{
    q->head = mnl_nlmsg_put_header(q->bytes);
    q->head->nlmsg_type = type;
    q->head->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
    return mnl_nlmsg_put_extra_header(q->head, n);
}

/* Returns 0 or the kernel's negative errno. */
static int request_send(struct rtnl *nl, struct request *q)
{
    char reply[REPLY_MAX_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));
    q->head->nlmsg_seq = ++nl->seq;
    if (mnl_socket_sendto(nl->socket, q->head, q->head->nlmsg_len) < 0)
        return -errno;
    ssize_t n = mnl_socket_recvfrom(nl->socket, reply, sizeof(reply));
    if (n < 0)
        return -errno;
    unsigned port = mnl_socket_get_portid(nl->socket);
    return mnl_cb_run(reply, (size_t)n, nl->seq, port, NULL, NULL) < 0 ? -errno : 0;
}

static int link_index(const char *name, unsigned *ret)
{
    *ret = if_nametoindex(name); /* asks in the caller's namespace, which is the socket's */
    return *ret == 0 ? -errno : 0;
}

int rtnl_veth_add(struct rtnl *nl, const struct rtnl_veth *veth, struct err *err)
{
    struct request q;
    (void)request_start(&q, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
    mnl_attr_put_strz(q.head, IFLA_IFNAME, veth->name);
    mnl_attr_put(q.head, IFLA_ADDRESS, MAC_BYTES, veth->mac);
    struct nlattr *info = mnl_attr_nest_start(q.head, IFLA_LINKINFO);
    mnl_attr_put_strz(q.head, IFLA_INFO_KIND, "veth");
    struct nlattr *data = mnl_attr_nest_start(q.head, IFLA_INFO_DATA);
    struct nlattr *peer = mnl_attr_nest_start(q.head, VETH_INFO_PEER);
    struct ifinfomsg *peer_head = mnl_nlmsg_put_extra_header(q.head, sizeof(*peer_head));
    peer_head->ifi_family = AF_UNSPEC;
    mnl_attr_put_strz(q.head, IFLA_IFNAME, veth->peer_name);
    mnl_attr_put(q.head, IFLA_ADDRESS, MAC_BYTES, veth->peer_mac);
    mnl_attr_put_u32(q.head, IFLA_NET_NS_FD, (uint32_t)veth->peer_netns_fd);
    mnl_attr_nest_end(q.head, peer);
    mnl_attr_nest_end(q.head, data);
    mnl_attr_nest_end(q.head, info);
    int r = request_send(nl, &q);
    return r < 0 ? err_sys(err, r, "add the link %s", veth->name) : 0;
}

int rtnl_link_delete(struct rtnl *nl, const char *name, struct err *err)
{
    struct request q;
    (void)request_start(&q, RTM_DELLINK, 0, sizeof(struct ifinfomsg));
    mnl_attr_put_strz(q.head, IFLA_IFNAME, name);
    int r = request_send(nl, &q);
    return r < 0 && r != -ENODEV ? err_sys(err, r, "delete the link %s", name) : 0;
}

int rtnl_link_up(struct rtnl *nl, const char *name, struct err *err)
{
    struct request q;
    struct ifinfomsg *link = request_start(&q, RTM_NEWLINK, 0, sizeof(*link));
    unsigned index;
    int r = link_index(name, &index);
    link->ifi_index = (int)index;
    link->ifi_flags = link->ifi_change = IFF_UP | IFF_NOARP;
    if (r == 0)
        r = request_send(nl, &q);
    return r < 0 ? err_sys(err, r, "bring up the link %s", name) : 0;
}

int rtnl_addr_add(struct rtnl *nl, const char *link, uint32_t addr, unsigned prefix,
                  struct err *err)
{
    struct request q;
    struct ifaddrmsg *msg = request_start(&q, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof(*msg));
    int r = link_index(link, &msg->ifa_index);
    msg->ifa_family = AF_INET;
    msg->ifa_prefixlen = (unsigned char)prefix;
    mnl_attr_put_u32(q.head, IFA_LOCAL, htonl(addr));
    mnl_attr_put_u32(q.head, IFA_ADDRESS, htonl(addr));
    if (r == 0)
        r = request_send(nl, &q);
    return r < 0 ? err_sys(err, r, "add an address to %s", link) : 0;
}

int rtnl_neigh_add(struct rtnl *nl, const char *link, uint32_t addr,
                   const unsigned char mac[static MAC_BYTES], struct err *err)
{
    struct request q;
    struct ndmsg *msg = request_start(&q, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, sizeof(*msg));
    unsigned index;
    int r = link_index(link, &index);
    msg->ndm_family = AF_INET;
    msg->ndm_ifindex = (int)index;
    msg->ndm_state = NUD_PERMANENT;
    mnl_attr_put_u32(q.head, NDA_DST, htonl(addr));
    mnl_attr_put(q.head, NDA_LLADDR, MAC_BYTES, mac);
    if (r == 0)
        r = request_send(nl, &q);
    return r < 0 ? err_sys(err, r, "add a neighbour to %s", link) : 0;
}

int rtnl_route_add(struct rtnl *nl, const char *link, uint32_t addr, unsigned prefix,
                   uint32_t gateway, struct err *err)
{
    struct request q;
    struct rtmsg *msg = request_start(&q, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, sizeof(*msg));
    unsigned index;
    int r = link_index(link, &index);
    msg->rtm_family = AF_INET;
    msg->rtm_dst_len = (unsigned char)prefix;
    msg->rtm_table = RT_TABLE_MAIN;
    msg->rtm_protocol = RTPROT_STATIC;
    msg->rtm_scope = RT_SCOPE_UNIVERSE;
    msg->rtm_type = RTN_UNICAST;
    mnl_attr_put_u32(q.head, RTA_DST, htonl(addr));
    mnl_attr_put_u32(q.head, RTA_GATEWAY, htonl(gateway));
    mnl_attr_put_u32(q.head, RTA_OIF, index);
    if (r == 0)
        r = request_send(nl, &q);
    return r < 0 ? err_sys(err, r, "add a route by way of %s", link) : 0;
}
