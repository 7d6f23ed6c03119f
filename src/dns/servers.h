/*
 * The nameservers that are asked: the host's own, from the file that its C library reads
 * (resolv.conf), in that order. The file is opened once, before the program gives its rights up, and
 * read again through that descriptor when it changed; a file that was replaced by another one can only
 * be read by a fresh start (dns_servers_refresh() tells).
 *
 * A server that did not answer in time rests for a while: it is asked after the others.
 */
#pragma once

#include "base/err.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum {
    DNS_SERVERS_MAX = 8, /* further lines are passed over; the C library takes three */
    DNS_SERVER_REST_MS = 10000,
    DNS_FILE_CHECK_MS = 1000, /* between two looks at it */
    DNS_FILE_MAX_BYTES = 64 * 1024,
};

struct dns_server {
    union {
        struct sockaddr sa;
        struct sockaddr_storage storage; /* port 53 */
    } addr;
    socklen_t len;
    uint64_t rests_until_ns;
};

struct dns_servers {
    struct dns_server server[DNS_SERVERS_MAX];
    unsigned n;
    const char *path;
    int fd; /* owned; -EBADF when there was no file */
    struct stat seen;
};

/* The nameserver lines of a resolv.conf; without one it is this host, as the C library has it. */
void dns_servers_parse(struct slice text, struct dns_servers *ret);

/* Open and read `path` (borrowed for good). A file that is not there is one without lines. */
int dns_servers_open(const char *path, struct dns_servers *ret, struct err *err);
void dns_servers_close(struct dns_servers *s);

/*
 * Look at the file. Returns 0: as before; 1: read again; -ESTALE: it is another file by now, and this
 * process cannot open it.
 */
int dns_servers_refresh(struct dns_servers *s);

/* Copies in the order to ask in: those that rest come last. Returns how many. */
unsigned dns_servers_order(const struct dns_servers *s, uint64_t now_ns,
                           struct dns_server ret[static DNS_SERVERS_MAX]);

/* Nothing came from that server in time. */
void dns_servers_let_rest(struct dns_servers *s, const struct dns_server *which, uint64_t now_ns);
