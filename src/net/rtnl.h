/*
 * The few rtnetlink requests that a sandbox's link needs, over libmnl.
 *
 * Each function is one request that waits for the kernel's acknowledgement. The socket speaks for
 * the network namespace in which it was opened. Addresses are in host byte order.
 */
#pragma once

#include "base/err.h"

#include <stdint.h>

struct rtnl; /* one netlink socket; one thread */

enum { MAC_BYTES = 6 };

int rtnl_open(struct rtnl **ret, struct err *err);
void rtnl_close(struct rtnl *nl); /* NULL is fine */
void rtnl_closep(struct rtnl **nl);

struct rtnl_veth {
    const char *name; /* our end, in the socket's namespace */
    const unsigned char *mac;
    const char *peer_name; /* the other end, moved to peer_netns_fd at once */
    const unsigned char *peer_mac;
    int peer_netns_fd;
};
/* -EEXIST when a link of that name is there. */
int rtnl_veth_add(struct rtnl *nl, const struct rtnl_veth *veth, struct err *err);
/* Deletes a link and its peer, now. Success when there is none. */
int rtnl_link_delete(struct rtnl *nl, const char *name, struct err *err);
/* Without address resolution: no ARP is sent, answered or learnt. "lo" has none anyway. */
int rtnl_link_up(struct rtnl *nl, const char *name, struct err *err);
int rtnl_addr_add(struct rtnl *nl, const char *link, uint32_t addr, unsigned prefix,
                  struct err *err);
/* A permanent neighbour: no ARP is asked for it. */
int rtnl_neigh_add(struct rtnl *nl, const char *link, uint32_t addr,
                   const unsigned char mac[static MAC_BYTES], struct err *err);
/* To addr/prefix by way of the gateway; prefix 0 is the default route. */
int rtnl_route_add(struct rtnl *nl, const char *link, uint32_t addr, unsigned prefix,
                   uint32_t gateway, struct err *err);
