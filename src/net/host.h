/* What the host itself is given for an instance: its firewall table, forwarding, the nameserver. */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Put the instance's table in place (replacing one that is there) and switch IPv4 forwarding on if
 * it was off; *ret_forwarding_changed tells, so that the caller can say so.
 */
int host_net_open(unsigned instance, uint32_t daemon_uid, uint32_t nameserver,
                  bool *ret_forwarding_changed, struct err *err);

/* Remove the table. Forwarding stays as it is: others may rely on it by now. */
int host_net_close(unsigned instance, struct err *err);

/*
 * The host's first IPv4 nameserver that is not on loopback, from /etc/resolv.conf or, where that
 * names a local stub, systemd-resolved's own file. Host byte order; 0 when there is none.
 */
uint32_t host_nameserver(void);

/* Visit the names of the links that an instance made ("sil<N>s<slot>"), also those left behind. */
int host_links_each(unsigned instance, void (*each)(void *user, unsigned slot), void *user,
                    struct err *err);
