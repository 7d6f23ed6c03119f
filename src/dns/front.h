/*
 * Where sandboxes ask: one UDP and one TCP socket for all of them, bound by the supervisor to a port
 * of the host that its firewall opens for sandboxes alone. Here a source that is no sandbox of this
 * instance is dropped a second time.
 */
#pragma once

#include "dns/dns.h"

struct dns_udp;
/* `fd` is the caller's, bound; he closes it after dns_udp_stop() and the loop's end. */
int dns_udp_start(struct dns *dns, int fd, struct dns_udp **ret, struct err *err);
/* Queries under way answer to nobody afterwards: cancel them too. Frees. */
void dns_udp_stop(struct dns_udp *u);

enum {
    DNS_TCP_IDLE_MS = 10000,   /* between two queries (RFC 7766, 6.2.3: a few seconds) */
    DNS_TCP_MESSAGE_MS = 5000, /* from the first byte of a query to its last */
    DNS_TCP_WRITE_MS = 5000,   /* an answer that is not read */
};

struct dns_tcp;
/* The same for a listening socket. One query at a time of each connection is under way. */
int dns_tcp_start(struct dns *dns, int fd, struct dns_tcp **ret, struct err *err);
void dns_tcp_stop(struct dns_tcp *t);
