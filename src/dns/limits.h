/*
 * What one sandbox, and all of them together, may have of the nameserver. A table with one small row
 * for each slot; nothing is allocated when a packet arrives.
 *
 * How much of what is shared one may hold depends on how much is free: a quarter of it, and never more
 * than a maximum of its own. So a flood leaves room for the others, and what many floods give back goes
 * to those that hold less.
 */
#pragma once

#include "base/ids.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    DNS_RATE_PER_SECOND = 100, /* queries of one sandbox, in the long run */
    DNS_RATE_BURST = 300,      /* and at once: a package manager asks for many names together */
    DNS_INFLIGHT_MAX = 1024,   /* queries under way, each with a socket */
    DNS_INFLIGHT_PER_SANDBOX = 64,
    DNS_TCP_MAX = 256, /* connections from sandboxes */
    DNS_TCP_PER_SANDBOX = 8,
};

enum dns_share { DNS_SHARE_INFLIGHT, DNS_SHARE_TCP, DNS_SHARE_MAX_ };

struct dns_account {
    uint64_t filled_ns; /* when the bucket was last filled; 0: never, it is full */
    uint32_t tokens;    /* in thousandths of a query */
    uint16_t held[DNS_SHARE_MAX_];
};

struct dns_limits {
    unsigned held[DNS_SHARE_MAX_];
    struct dns_account of[SLOTS_PER_INSTANCE];
};

/* One more query of `slot` now: false when it is over its rate. */
bool dns_limits_query(struct dns_limits *l, unsigned slot, uint64_t now_ns);
/* Take one of what is shared, until it is given back; false when the sandbox has its share. */
bool dns_limits_take(struct dns_limits *l, enum dns_share what, unsigned slot);
void dns_limits_give(struct dns_limits *l, enum dns_share what, unsigned slot);
