/*
 * Requests to the kernel's packet filter and connection tracking by netlink, for what libnftables does
 * not offer or offers as text only: looking at the chains of others, removing tracked connections.
 *
 * A socket speaks for the network namespace in which it was opened.
 */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct mnl_socket;
struct nlmsghdr;
struct nlattr;

enum { NFNL_REQUEST_BYTES = 1024, NFNL_ATTRIBUTES_MAX = 64 };

struct nfnl_request {
    char bytes[NFNL_REQUEST_BYTES] __attribute__((aligned(8)));
    struct nlmsghdr *head;
};

/* The caller closes the socket by nfnl_close(). */
int nfnl_open(struct mnl_socket **ret, struct err *err);
void nfnl_close(struct mnl_socket *nl); /* NULL is fine */
void nfnl_closep(struct mnl_socket **nl);

/*
 * Starts a request; attributes follow by mnl_attr_put*(q->head, …). `subsystem` and `message` of
 * linux/netfilter/nfnetlink*.h, `family` of linux/netfilter.h, `flags` besides NLM_F_REQUEST.
 */
void nfnl_request(struct nfnl_request *q, unsigned subsystem, unsigned message, uint8_t family,
                  uint16_t flags);

/* An answer's attributes by their type; those above NFNL_ATTRIBUTES_MAX are left out. */
struct nfnl_item {
    uint8_t family;
    const struct nlattr *attr[NFNL_ATTRIBUTES_MAX];
};

/*
 * Sends a dump request and visits its answers. Returns 0, -EINTR when what was asked for changed
 * meanwhile (ask again), or what the kernel said.
 */
int nfnl_dump(struct mnl_socket *nl, const struct nfnl_request *q,
              void (*each)(void *user, const struct nfnl_item *item), void *user);

/* The attributes nested in one, by their type; NULL nests nothing. */
void nfnl_nested(const struct nlattr *nest, const struct nlattr *attr[static NFNL_ATTRIBUTES_MAX]);

/* NULL unless it is text of less than `max` bytes with its zero byte. */
const char *nfnl_text(const struct nlattr *attr, unsigned max);
/* False unless it is a number of that size in network byte order. */
bool nfnl_u32(const struct nlattr *attr, uint32_t *ret);
bool nfnl_u64(const struct nlattr *attr, uint64_t *ret);
