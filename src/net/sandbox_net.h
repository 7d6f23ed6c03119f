/*
 * The network of one sandbox: namespace, link pair, addresses, policy, and envd's listening socket.
 */
#pragma once

#include "base/err.h"
#include "net/nft.h"
#include "net/slot.h"

struct rtnl;

struct sandbox_net {
    struct net_slot slot;
    int netns_fd; /* -EBADF when adopted: the sandbox's processes hold the namespace */
    int listen_fd; /* listening on 0.0.0.0:ENVD_PORT inside; -EBADF for a machine, and once passed on */
    int tap_fd; /* of a machine: its network card's other end (net/tap.h); else -EBADF */
};

/*
 * Make all of it. `host_nl` speaks for the host's namespace. The namespace lives as long as
 * netns_fd or a process in it; the link pair until sandbox_net_remove(). On failure nothing is left.
 */
int sandbox_net_make(struct rtnl *host_nl, const struct net_slot *slot,
                     const struct net_policy *policy, struct sandbox_net *ret, struct err *err);

/* Close the descriptors; NULL-safe members. The link stays. */
void sandbox_net_close(struct sandbox_net *net);

/*
 * Delete the link pair of the slot, now, and what the host tracks for it. Success when there is none.
 */
int sandbox_net_remove(struct rtnl *host_nl, const struct net_slot *slot, struct err *err);
