/* What the host itself is given for an instance: its firewall table, forwarding. */
#pragma once

#include "base/err.h"
#include "net/nft.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Put the instance's table in place (replacing one that is there) and switch IPv4 forwarding on if
 * it was off; *ret_forwarding_changed tells, so that the caller can say so.
 */
int host_net_open(const struct host_policy *policy, bool *ret_forwarding_changed, struct err *err);

/* Remove the table. Forwarding stays as it is: others may rely on it by now. */
int host_net_close(unsigned instance, struct err *err);

/* Visit the names of the links that an instance made ("sil<N>s<slot>"), also those left behind. */
int host_links_each(unsigned instance, void (*each)(void *user, unsigned slot), void *user,
                    struct err *err);
