/*
 * What the host itself is given for an instance: its firewall table, forwarding, rules beside those of
 * other firewalls (beside.h).
 *
 * Forwarding. Sandboxes need net.ipv4.ip_forward, on the links they come in by and on the uplink where
 * their answers come in; the latter makes the host a router for whoever stands there, so switching on
 * single links would protect nobody. Instead: when it was off, it is switched on, and our table drops
 * what others want forwarded, as before. That ends for good as soon as somebody else's chain takes part
 * in forwarding (Docker, libvirt, a firewall). If it did not end, closing switches forwarding off again.
 */
#pragma once

#include "base/err.h"
#include "net/beside.h"
#include "net/nft.h"

#include <stdbool.h>
#include <stdint.h>

struct host_net {
    unsigned instance;
    bool alone; /* forwarding is on for us alone */
};

struct host_net_changes {
    bool forwarding_on; /* it was off */
    bool others_again;  /* others may forward from now on */
};

/*
 * Put the instance's table in place (replacing one that is there: policy->forward_alone is decided
 * here), switch forwarding on and put rules beside other firewalls'; `told` hears of those.
 */
int host_net_open(const struct host_policy *policy, struct host_net *ret,
                  struct host_net_changes *ret_changes, beside_told *told, void *user,
                  struct err *err);

/* Look again after the host's rules changed. -EAGAIN: they change at this moment, come back. */
int host_net_check(struct host_net *net, struct host_net_changes *ret_changes, beside_told *told,
                   void *user, struct err *err);

/* Remove table and rules, switch forwarding off if it is on for us alone. */
int host_net_close(const struct host_net *net, struct err *err);

/* Visit the names of the links that an instance made ("sil<N>s<slot>"), also those left behind. */
int host_links_each(unsigned instance, void (*each)(void *user, unsigned slot), void *user,
                    struct err *err);
